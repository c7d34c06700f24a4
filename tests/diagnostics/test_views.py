"""Figures of masked views: closed forms, the definition spelled out, views not grouped."""

import numpy as np
import pytest
from scipy import linalg

from maskwise.diagnostics import alignment, lidar
from maskwise.errors import UserError
from tests.diagnostics.features import features_of, gaussian
from tests.diagnostics.test_spectra import entropy_rank


def crosses(centres, within):
    """Return views a step either way along every axis, with the covariance diag(within)."""
    steps = np.diag(np.sqrt(len(within) * within))
    return centres[:, None] + np.concatenate([steps, -steps])


@pytest.mark.parametrize("within", [np.ones(4), np.array([0.3, 0.2, 0.1, 0.0])])
def test_lidar_in_closed_form(within):
    """λ = variance of the centres / (variance within + 1e-4), axis by axis."""
    values = np.array([4.0, 3.0, 2.0, 1.0])
    expected = entropy_rank(values**2 / (within + 1e-4))
    centres = np.linalg.svd(features_of(values, 64), full_matrices=False)[0] * values
    assert lidar(crosses(centres, within)) == pytest.approx(expected)


def test_lidar_by_definition():
    views = gaussian(80, 3, 6) * [3, 1, 1, 2, 1, 1] + 2 * gaussian(80, 1, 6, seed=1) + 5
    means = views.mean(axis=1)
    within = np.mean([np.cov(sample.T, bias=True) for sample in views], axis=0)
    root = linalg.inv(linalg.sqrtm(within + 1e-4 * np.eye(6)))
    values = np.linalg.eigvalsh(root @ np.cov(means.T) @ root)
    assert lidar(views) == pytest.approx(entropy_rank(values))


def test_lidar_needs_views_that_are_grouped():
    """The number of directions that samples differ in; shuffled, it is that of the noise."""
    for rank, lowest in [(4, 4), (16, 15), (64, 58)]:
        signal = np.zeros((1000, 1, 128))
        signal[:, 0, :rank] = gaussian(1000, rank)
        views = signal + 0.03 * gaussian(1000, 10, 128, seed=1)
        assert lowest < lidar(views) < rank + 0.2
        flat = np.random.default_rng(2).permutation(views.reshape(-1, 128))
        assert lidar(flat.reshape(1000, 10, 128)) > 118


@pytest.mark.filterwarnings("ignore:.*LiDAR of features")
@pytest.mark.parametrize(("times", "percent"), [(1, 39), (2, 22), (4, 12), (8, 6)])
def test_few_samples_read_low(times, percent):
    assert 100 * (1 - np.exp(-1 / (2 * times))) == pytest.approx(percent, abs=0.5)
    views = crosses(gaussian(64 * times, 64), np.ones(64))
    assert 100 * (1 - lidar(views) / 64) == pytest.approx(percent, abs=2)


def test_few_samples_are_warned_of():
    with pytest.warns(UserWarning, match="^31 samples of 8 features") as said:
        lidar(gaussian(31, 2, 8))
    assert said[0].filename == __file__
    lidar(gaussian(32, 2, 8))


def test_alignment_is_the_mean_over_pairs_of_views():
    views = gaussian(5, 4, 3)
    u = views / np.linalg.norm(views, axis=-1, keepdims=True)
    pairs = [((s[i] - s[j]) ** 2).sum() for s in u for i in range(4) for j in range(4) if i != j]
    assert alignment(views) == pytest.approx(np.mean(pairs))


def test_alignment_of_known_views():
    once = gaussian(6, 1, 5)
    assert alignment(once * np.array([1, 2, 7])[:, None]) == pytest.approx(0, abs=1e-15)
    assert alignment(np.tile(np.eye(3), (4, 1, 1))) == pytest.approx(2)
    assert alignment(np.concatenate([once, -once], axis=1)) == pytest.approx(4)
    assert alignment(gaussian(300, 10, 64)) == pytest.approx(2, abs=0.01)


BAD = [
    (lambda: lidar(gaussian(20, 64)), "shape .20, 64. must be .samples, views, width."),
    (lambda: lidar(gaussian(20, 1, 4)), "give at least 2"),
    (lambda: lidar(gaussian(5, 3, 8)), "5 samples of 8 features"),
    (lambda: lidar(np.tile(gaussian(3, 2), (20, 1, 1))), "the same for every sample"),
    (lambda: alignment(gaussian(20, 1, 4)), "give at least 2"),
    (lambda: alignment(gaussian(1, 3, 4)), "one sample"),
    (lambda: alignment(np.zeros((3, 2, 4))), "6 of 6"),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(build, message):
    with pytest.raises(UserError, match=message):
        build()
