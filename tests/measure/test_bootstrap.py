import numpy as np
import pytest

from maskwise.measure import features


def test_agrees_with_the_normal_approximation_on_a_large_sample() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 20_000)
    mean, low, high = features.interval(values, seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert mean == values.mean()
    # A 2.5 % quantile of 1000 draws has standard error sqrt(.025 * .975 / 1000) / phi(1.96) =
    # .085 deviations, .043 of the half width; four of those.
    assert low == pytest.approx(mean - half, abs=0.18 * half)
    assert high == pytest.approx(mean + half, abs=0.18 * half)


def test_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    num, level = 400, 0.9
    covered = 0
    for trial in range(num):
        _, low, high = features.interval(rng.exponential(1.0, 100), trial, 300, level)
        covered += low <= 1.0 <= high
    # Four binomial deviations are .06; the percentile interval of a skewed mean loses about .01.
    assert covered / num == pytest.approx(level, abs=0.075)


def test_level_sets_the_width() -> None:
    values = np.random.default_rng(0).normal(size=500)
    _, low, high = features.interval(values, seed=0, level=0.5)
    assert high - low == pytest.approx(2 * 0.6745 * values.std() / np.sqrt(500), rel=0.15)


def test_pieces_equal_one_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    index = np.random.default_rng(7).integers(0, 50, (1000, 50))
    low, high = np.quantile(values[index].mean(1), [0.025, 0.975])
    want = pytest.approx((values.mean(), low, high), rel=1e-12)
    assert features.interval(values, seed=7) == want
    monkeypatch.setattr(features, "_CELLS", 170)  # three resamples at once, and one left over
    assert features.interval(values, seed=7) == want


def test_seed_matters_and_repeats() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert features.interval(values, 0) == features.interval(values, 0)
    assert features.interval(values, 0) != features.interval(values, 1)


def test_one_value_is_its_own_interval() -> None:
    assert features.interval(np.array([True]), 0) == (1.0, 1.0, 1.0)
