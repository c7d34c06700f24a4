"""What fills in values, and what answers from them."""

import numpy as np
import pytest

from maskwise.columns.gaussian import Gaussian
from maskwise.predict import baselines


def holes(num, width, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 3)) @ rng.normal(size=(3, width)) + rng.normal(size=(num, width)) + 5
    return x, np.where(rng.random(x.shape) < 0.4, np.nan, x)


def test_the_gaussian_is_the_conditional_mean():
    x, visible = holes(300, 6)
    mean, std = x.mean(0), x.std(0)
    truth = Gaussian(np.zeros(6), np.corrcoef(x.T) + baselines.RIDGE * np.eye(6))
    want = truth.conditional((visible - mean) / std)[0] * std + mean
    np.testing.assert_allclose(baselines.by_gaussian(x)(visible), want)


def test_gaussians_of_wide_rows_are_probabilistic_components(monkeypatch):
    monkeypatch.setattr(baselines, "NUM_COMPONENTS", 4)
    x, visible = holes(60, 12)
    want = baselines.by_components(x, x.mean(0), seed=0)(visible)
    found = baselines.by_gaussian(x, dense=10)(visible)
    np.testing.assert_allclose(found, want, atol=1e-3)
    few = baselines.narrowed(x, baselines.by_mean(x))(visible)
    assert few.shape == (60, 4)
    whole = baselines.narrowed(x, baselines.by_mean(x))(x)
    assert np.linalg.norm(whole.T @ whole - np.diag(np.square(whole).sum(0))) < 1e-6 * len(x)


def test_columns_of_which_nothing_is_known_have_a_mean():
    x, visible = holes(50, 4)
    x[:, 1] = np.nan
    for learn in (baselines.by_mean, baselines.by_gaussian):
        assert np.isfinite(learn(x)(visible)).all()


@pytest.mark.parametrize("classes", [True, False])
def test_neighbours_and_trees_answer_from_what_is_visible(classes, monkeypatch):
    """The first column tells, the second is noise, and a hidden first column tells nothing."""
    monkeypatch.setattr(baselines, "TREES", 20)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = (x[:, 0] > 0).astype(int) if classes else x[:, 0]
    shown = np.array([[2.0, np.nan], [-2.0, np.nan]])
    near = baselines.by_neighbours(x, y, classes)(shown)
    copies = np.concatenate([x, np.where([False, True], np.nan, x)])
    trees = baselines.by_trees(copies, np.tile(y, 2), classes, seed=0)(shown)
    want = [1, 0] if classes else [2, -2]
    np.testing.assert_allclose(near, want, atol=0 if classes else 0.4)
    np.testing.assert_allclose(trees, want, atol=0 if classes else 0.4)
