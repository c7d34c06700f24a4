"""Figures of the singular spectrum: closed forms, what few samples do, invariances."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.diagnostics import (
    alpha_req,
    effective_rank,
    participation_ratio,
    rankme,
    spectrum,
    stable_rank,
)
from maskwise.errors import UserError
from tests.diagnostics.features import features_of, gaussian, orthonormal

RANKS = [effective_rank, rankme, participation_ratio, stable_rank]


def entropy_rank(values):
    share = np.asarray(values) / np.sum(values)
    return np.exp(-(share * np.log(share)).sum())


def test_the_spectrum_is_that_of_the_covariance_and_of_the_second_moment():
    z = gaussian(60, 5) * [5, 4, 3, 2, 1] + 7
    covariance = np.linalg.eigvalsh(np.cov(z.T))[::-1]
    np.testing.assert_allclose(spectrum(z) ** 2 / 59, covariance)
    moment = np.linalg.eigvalsh(z.T @ z / 60)[::-1]
    np.testing.assert_allclose(spectrum(z, center=False) ** 2 / 60, moment)


def test_known_singular_values():
    """Not those of eigenvalues: 4, 1, 1 would have an effective rank of 2.38, not of 2.83."""
    z = features_of([2, 1, 1], 50)
    np.testing.assert_allclose(spectrum(z), [2, 1, 1])
    assert effective_rank(z) == pytest.approx(2**1.5)
    assert participation_ratio(z) == pytest.approx(6**2 / (4**2 + 1 + 1))
    assert stable_rank(z) == pytest.approx(6 / 4)


@pytest.mark.parametrize("rank", RANKS)
def test_equal_singular_values_count_all_directions(rank):
    assert rank(features_of(np.ones(40), 200)) == pytest.approx(40, rel=1e-12)


@pytest.mark.parametrize("rank", RANKS)
def test_one_direction_is_rank_one(rank):
    """Where every share gets 1e-5 added, 300 dimensions would give 1.03."""
    z = np.outer(gaussian(1200), gaussian(300, seed=1))
    assert rank(z) == pytest.approx(1, abs=1e-12)


def test_a_mean_hides_the_spectrum_unless_centred():
    """The mean feature is one more singular value, √N times its length."""
    spread = np.append(np.ones(63), 0)
    z = features_of(spread, 256, mean=10.0)
    assert effective_rank(z) == pytest.approx(63)
    hidden = entropy_rank(np.append(np.ones(63), np.sqrt(256) * 10))
    assert rankme(z) == effective_rank(z, center=False) == pytest.approx(hidden)
    assert hidden < 8
    assert participation_ratio(z, center=False) < 1.01 < 62 < participation_ratio(z)
    assert stable_rank(z, center=False) < 1.01 < 62 < stable_rank(z)


@pytest.mark.parametrize("dim", [10, 16, 64, 150])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 3.0])
def test_the_exponent_of_a_power_law(dim, alpha):
    values = np.arange(1, dim + 1) ** (-alpha / 2)
    assert alpha_req(7 * features_of(values, 4 * dim)) == pytest.approx(alpha, abs=1e-9)


def test_the_exponent_is_that_of_one_decade():
    """Eigenvalues 10 to 100 of 150, 6 to 60 of 64; what lies outside does not count."""
    for dim, first in [(150, 10), (64, 6)]:
        values = 1 / np.arange(1, dim + 1)
        outside = values.copy()
        outside[: first - 1] *= 1000
        outside[10 * first :] /= 1000
        assert alpha_req(features_of(outside, 4 * dim)) == pytest.approx(2)
        for inside in (first, 10 * first - 1):
            bent = values.copy()
            bent[:inside] *= 1.5
            assert abs(alpha_req(features_of(bent, 4 * dim)) - 2) > 0.005


def marchenko_pastur_rank(ratio):
    """Return effective rank / d of white Gaussian features, d and N large, d / N = ratio."""
    angle = (np.arange(20_000) + 0.5) * np.pi / 20_000
    variance = 1 + ratio + 2 * np.sqrt(ratio) * np.cos(angle)
    weight = np.sin(angle) ** 2 / variance
    value = np.sqrt(variance)
    mean = np.average(value, weights=weight)
    return mean * np.exp(-np.average(value * np.log(value), weights=weight) / mean)


@pytest.mark.filterwarnings("ignore:.*ranks read low")
@pytest.mark.parametrize(("times", "percent"), [(1, 20), (2, 7), (4, 3), (8, 2)])
def test_few_samples_read_low(times, percent):
    """The figures of the docstrings and of the warning."""
    z = gaussian(times * 128, 128)
    assert 100 * (1 - effective_rank(z) / 128) == pytest.approx(percent, abs=0.8)
    assert effective_rank(z) / 128 == pytest.approx(marchenko_pastur_rank(1 / times), abs=0.006)
    assert participation_ratio(z) / 128 == pytest.approx(1 / (1 + 1 / times), abs=0.01)
    assert stable_rank(z) / 128 == pytest.approx((1 + times**-0.5) ** -2, abs=0.03)


def test_the_participation_ratio_of_samples():
    """R / (1 + R / N) where R is that of the population, not d."""
    variances = np.arange(1, 65) ** -0.5
    population = variances.sum() ** 2 / (variances**2).sum()
    assert population < 50
    draws = (gaussian(256, 64, seed=seed) * np.sqrt(variances) for seed in range(20))
    found = np.mean([participation_ratio(z) for z in draws])
    assert found == pytest.approx(population / (1 + population / 256), rel=0.01)


@pytest.mark.filterwarnings("ignore:.*ranks read low")
@pytest.mark.parametrize(("times", "alpha"), [(1, 1.5), (2, 0.9), (4, 0.6)])
def test_few_samples_steepen_a_flat_spectrum(times, alpha):
    assert alpha_req(gaussian(times * 64, 64)) == pytest.approx(alpha, abs=0.06)


@pytest.mark.parametrize("figure", [spectrum, alpha_req, *RANKS])
def test_few_samples_are_warned_of(figure):
    with pytest.warns(
        UserWarning, match="^63 samples of 16 features, fewer than 4 for each"
    ) as said:
        figure(gaussian(63, 16))
    assert said[0].filename == __file__
    figure(gaussian(64, 16))


@given(st.integers(0, 2**32), st.integers(1, 12), st.floats(0.01, 100), st.booleans())
def test_what_holds_for_any_features(seed, dim, scale, center):
    z = gaussian(4 * dim + 4, dim, seed=seed) ** 3 + 1
    figures = [rank(z, center) for rank in (stable_rank, participation_ratio, effective_rank)]
    assert 1 - 1e-9 <= figures[0] <= figures[1] + 1e-9 <= figures[2] + 2e-9 <= dim + 3e-9
    other = scale * z[::-1] @ orthonormal(dim, dim, seed=seed)
    again = [rank(other, center) for rank in (stable_rank, participation_ratio, effective_rank)]
    np.testing.assert_allclose(figures, again)


def test_tensors_of_any_precision():
    z = torch.from_numpy(gaussian(64, 8)).bfloat16().requires_grad_()
    assert effective_rank(z) == effective_rank(z.detach().double().numpy())
    assert isinstance(effective_rank(z), float)


BAD = [
    (lambda: effective_rank(gaussian(20, 64)), "20 samples of 64 features .* at least 64"),
    (lambda: effective_rank(np.full((50, 3), 0.1)), "the same for every sample"),
    (lambda: effective_rank(np.zeros((50, 3))), "all 0"),
    (lambda: rankme(np.zeros((50, 3))), "all 0"),
    (lambda: alpha_req(gaussian(50, 9)), "these features have 9"),
    (lambda: alpha_req(features_of([3, 2, 1] + [0] * 17, 80)), "2 to 20: .* rank 3"),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(build, message):
    with pytest.raises(UserError, match=message):
        build()
