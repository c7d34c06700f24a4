"""Likelihoods in closed form: equal to scipy's where it has them, and a total of 1 everywhere."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from maskwise.columns import closed_form
from maskwise.columns.closed_density import bounds, log_density
from maskwise.columns.closed_form import ClosedForm
from maskwise.columns.factors import Factors
from maskwise.columns.gaussian import Gaussian

NAN = np.nan


def test_numbers_have_the_density_of_a_normal_distribution_in_the_units_of_samples():
    rng = np.random.default_rng(0)
    mean, std = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.1, 30.0])
    covariance = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 1.0]])
    closed = ClosedForm((0, 0, 0), mean, std, {}, Gaussian(np.array([0.1, 0, 0]), covariance))
    x = mean + std * rng.normal(size=(5, 3))
    x[1, 0] = x[2, 1] = x[2, 2] = NAN
    x[3] = NAN
    found = log_density(closed, x, {})
    for row, value in zip(x, found, strict=True):
        at = np.flatnonzero(~np.isnan(row))
        wide = std[at][:, None] * covariance[np.ix_(at, at)] * std[at]
        centre = mean[at] + std[at] * np.array([0.1, 0, 0])[at]
        true = multivariate_normal(centre, wide).logpdf(row[at]) if len(at) else 0.0
        assert value == pytest.approx(true, abs=1e-9)


def test_factors_say_what_their_normal_distribution_says():
    rng = np.random.default_rng(1)
    factors = Factors(rng.normal(size=4), rng.normal(size=(4, 2)), np.array([0.1, 0.5, 1.0, 2.0]))
    covariance = factors.loadings @ factors.loadings.T + np.diag(factors.noise)
    x = np.where(rng.random((20, 4)) < 0.3, NAN, rng.normal(size=(20, 4)))
    order = np.array([2, 0, 3, 1])
    for columns in (np.arange(4), order):
        ours, theirs = (
            each.ordered(columns).chained(x[:, columns])
            for each in (factors, Gaussian(factors.mean, covariance))
        )
        np.testing.assert_allclose(ours, theirs)
    mean, variance = Gaussian(factors.mean, covariance).chained(x)
    total = np.nansum(norm.logpdf(x, mean, np.sqrt(variance)))
    assert total == pytest.approx(Gaussian(factors.mean, covariance).log_likelihood(x))


def skewed(num=400):
    """A column that is skewed, one whose lower half is 0, whole numbers, and a category."""
    rng = np.random.default_rng(2)
    latent = rng.normal(size=(num, 3)) @ np.linalg.cholesky(0.5 + 0.5 * np.eye(3)).T
    count = np.rint(np.exp(1 + 0.8 * latent[:, 2]))
    kind = (latent[:, 0] + 0.5 * rng.normal(size=num) > 0).astype(float)
    return np.column_stack([np.exp(latent[:, 0]), latent[:, 1].clip(0), count, kind])


@pytest.fixture(scope="module")
def learned():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closed_form, "GAIN", -10)  # normal scores, whatever they save
        closed = ClosedForm.learn(skewed(), (0, 0, 0, 2))
    assert sorted(closed.knots) == [0, 1, 2]
    return closed


def test_densities_and_probabilities_add_up_to_one(learned):
    whole, empty = {2: (1.0, 0.0, 59.0)}, [NAN, NAN, NAN, NAN]

    def total(closed, column, values, width, rest):
        rows = np.tile(rest, (len(values), 1))
        rows[:, column] = values
        base = log_density(closed, np.array([rest]), whole)[0]
        return (np.exp(log_density(closed, rows, whole) - base) * width).sum()

    def grid(column, low, high):
        """The middles of pieces between knots, and their widths."""
        knots = learned.knots[column][0] * learned.std[column] + learned.mean[column]
        ends = np.unique(np.concatenate([knots, np.linspace(low, high, 2000)]))
        ends = ends[(ends >= low) & (ends <= high)]
        ends = np.interp(np.arange(0, len(ends) - 1 + 1e-9, 0.25), range(len(ends)), ends)
        return (ends[1:] + ends[:-1]) / 2, np.diff(ends)

    for rest in (empty, [NAN, NAN, NAN, 1.0], [NAN, 0.0, NAN, 0.0]):
        assert total(learned, 0, *grid(0, -20, 60), rest) == pytest.approx(1, abs=2e-3)
    values, width = grid(1, 0, 20)
    values, width = np.append(values, 0.0), np.append(width, 1.0)  # of 0, a probability
    assert total(learned, 1, values, width, [1.5, NAN, NAN, 0.0]) == pytest.approx(1, abs=2e-3)
    seen = learned.steps[2][0] * learned.std[2] + learned.mean[2]
    for closed, counts in ((learned, seen), (replace(learned, steps={}), np.arange(60.0))):
        for rest in (empty, [1.5, 0.0, NAN, NAN], [0.2, 1.3, NAN, 1.0]):
            assert total(closed, 2, counts, 1.0, rest) == pytest.approx(1)
    assert total(learned, 3, np.arange(2.0), 1.0, empty) == pytest.approx(1)


def test_bounds_and_whole_numbers_are_as_likely_as_they_are_common(learned):
    x = skewed()
    alone = np.array([[NAN, 0.0, NAN, NAN]])
    assert np.exp(log_density(learned, alone, {}))[0] == pytest.approx(0.5, abs=0.05)
    counts = np.arange(12.0)
    rows = np.column_stack([counts * NAN, counts * NAN, counts, counts * NAN])
    found = np.exp(log_density(learned, rows, {2: (1.0, 0.0, x[:, 2].max())}))
    shares = np.array([(x[:, 2] == each).mean() for each in counts])
    np.testing.assert_allclose(found[shares > 0], shares[shares > 0], atol=0.02)
    beyond = np.array([[NAN, NAN, 500.0, NAN], [NAN, NAN, x[:, 2].max(), NAN]])
    found = log_density(learned, beyond, {2: (1.0, 0.0, x[:, 2].max())})
    assert found[0] == pytest.approx(found[1])


def test_unlikely_whole_numbers_are_no_zeros():
    closed = ClosedForm((0,), np.zeros(1), np.ones(1), {}, Gaussian(np.zeros(1), np.eye(1)))
    found = log_density(closed, np.array([[20.0], [-20.0], [0.0]]), {0: (1.0, -30.0, 30.0)})
    assert found[0] == pytest.approx(found[1])
    assert found[0] == pytest.approx(norm.logsf(19.5), rel=1e-6)
    assert found[2] == pytest.approx(np.log(norm.cdf(0.5) - norm.cdf(-0.5)))


def test_columns_without_a_bound_have_none():
    assert bounds(np.array([-3.0, 0.0, 3.0])) == (-np.inf, np.inf)
    low, high = bounds(norm.ppf([0.02, 0.3, 0.8]))
    assert low == -np.inf
    assert norm.sf(high) == pytest.approx(0.4)


def test_values_seen_have_their_shares_and_others_count_as_the_nearest():
    values, cuts = np.array([-1.0, 0.0, 2.0]), norm.ppf([0.5, 0.8])
    gaussian = Gaussian(np.zeros(1), np.eye(1))
    steps = {0: (values, cuts)}
    closed = ClosedForm((0,), np.zeros(1), np.ones(1), {}, gaussian, steps=steps)
    x = np.array([[-1.0], [0.0], [2.0], [0.9], [7.0]])
    found = np.exp(log_density(closed, x, {}))
    np.testing.assert_allclose(found, [0.5, 0.3, 0.2, 0.3, 0.2])
    drawn = closed.draw(np.full((4000, 1), NAN), 0)[:, 0]
    shares = [(drawn == value).mean() for value in values]
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.03)
    moved = closed.draw(np.full((50, 1), NAN), 0, more=0.3, spread=0.5)
    assert set(moved[:, 0]) <= set(values)
