"""Classes as normal distributions of any part of a row."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from maskwise.columns.class_normals import ClassNormals
from maskwise.columns.factors import Factors


@pytest.mark.parametrize("alike", [True, False])
def test_logits_are_those_of_the_marginal_densities(alike):
    rng = np.random.default_rng(0)
    kinds = 1 if alike else 3
    mean, prior = rng.normal(size=(3, 4)), np.log([0.2, 0.3, 0.5])
    loadings, noise = rng.normal(size=(kinds, 4, 2)), rng.uniform(0.5, 1, size=(kinds, 4))
    model = ClassNormals(prior, mean, loadings, noise)
    x = rng.normal(size=(20, 4))
    x[rng.random(x.shape) < 0.5] = np.nan
    x[0] = np.nan
    found = model.logits(x)
    assert found[0].tolist() == prior.tolist()
    for row, logits in zip(x[1:], found[1:], strict=True):
        seen = ~np.isnan(row)
        if not seen.any():
            continue
        true = []
        for kind in range(3):
            own = 0 if alike else kind
            covariance = loadings[own] @ loadings[own].T + np.diag(noise[own])
            part = multivariate_normal(mean[kind, seen], covariance[np.ix_(seen, seen)])
            true.append(prior[kind] + part.logpdf(row[seen]))
        np.testing.assert_allclose(logits - logits[0], np.array(true) - true[0], atol=1e-9)


def test_rows_are_done_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    model = ClassNormals(
        np.zeros(2), rng.normal(size=(2, 3)), rng.normal(size=(1, 3, 1)), np.ones((1, 3))
    )
    x = rng.normal(size=(9, 3))
    whole = model.logits(x)
    monkeypatch.setattr("maskwise.columns.class_normals.MOST", 30)
    np.testing.assert_allclose(model.logits(x), whole)
    assert model.logits(x[:0]).shape == (0, 2)


def test_learned_from_rows_with_holes_it_comes_near_the_true_probabilities():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=4000)
    spread = np.array([[1.0, 0.8], [1.0, -0.8]])  # only together do columns tell the classes apart
    latent = rng.normal(size=4000)
    x = np.stack([latent, latent * spread[y, 1] + 0.6 * rng.normal(size=4000)], axis=1)
    holes = np.where(rng.random(x.shape) < 0.2, np.nan, x)
    alike, apart = ClassNormals.learn(holes, np.eye(2)[y], np.log([0.5, 0.5]))
    right = (apart.logits(x).argmax(axis=1) == y).mean()
    true = [multivariate_normal([0, 0], [[1, c], [c, 1]]).logpdf(x) for c in (0.8, -0.8)]
    best = ((true[1] > true[0]) == y).mean()
    assert right > 0.97 * best
    assert abs((alike.logits(x).argmax(axis=1) == y).mean() - 0.5) < 0.05
    # Halfway to the common covariance, as classes are made: correlations of .4.
    covariance = apart.loadings[0] @ apart.loadings[0].T + np.diag(apart.noise[0])
    assert covariance[0, 1] == pytest.approx(0.4, abs=0.06)


def test_a_class_without_rows_is_in_the_middle_of_all():
    x = np.random.default_rng(0).normal(size=(50, 2)) + 3
    weights = np.tile([1.0, 0.0], (50, 1))
    for model in ClassNormals.learn(x, weights, np.log([0.9, 0.1])):
        np.testing.assert_allclose(model.mean[1], x.mean(axis=0))
        assert np.isfinite(model.logits(x)).all()


def test_a_row_of_weight_two_counts_as_two():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 3))
    x[rng.random(x.shape) < 0.2] = np.nan
    twice = Factors.fit(np.concatenate([x, x[:10]]), 1, iterations=5)
    weighed = Factors.fit(x, 1, weights=np.r_[np.full(10, 2.0), np.ones(20)], iterations=5)
    np.testing.assert_allclose(weighed.noise, twice.noise, rtol=1e-6)
    np.testing.assert_allclose(weighed.mean, twice.mean, atol=1e-6)
