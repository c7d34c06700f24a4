"""The normal distribution of rows with holes, beside direct formulas."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from maskwise.columns import gaussian
from maskwise.columns.gaussian import Gaussian


def some_model(width=5, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(width, width))
    return Gaussian(rng.normal(size=width), root @ root.T / width + 0.1 * np.eye(width))


def holed(model, num, share, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal(model.mean, model.covariance, size=num)
    return np.where(rng.random(x.shape) < share, np.nan, x)


def direct(model, row):
    """Return what is hidden of a row, its mean and covariance, by the textbook."""
    hidden = np.isnan(row)
    cross = model.covariance[np.ix_(hidden, ~hidden)]
    inner = np.linalg.inv(model.covariance[np.ix_(~hidden, ~hidden)])
    mean = model.mean[hidden] + cross @ inner @ (row - model.mean)[~hidden]
    return hidden, mean, model.covariance[np.ix_(hidden, hidden)] - cross @ inner @ cross.T


@pytest.mark.parametrize("most", [gaussian.MOST, 60])  # all at once, and two rows at a time
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_conditionals_are_those_of_the_textbook(monkeypatch, share, most):
    monkeypatch.setattr(gaussian, "MOST", most)
    model = some_model()
    x = np.vstack([holed(model, 60, share), np.full((1, 5), np.nan), np.zeros((1, 5))])
    mean, variance = model.conditional(x)
    for row, found, spread in zip(x, mean, variance, strict=True):
        hidden, expected, covariance = direct(model, row)
        np.testing.assert_allclose(found[hidden], expected, atol=1e-12)
        np.testing.assert_allclose(spread[hidden], np.diag(covariance), atol=1e-12)
        assert np.array_equal(found[~hidden], row[~hidden])
        assert not spread[~hidden].any()


def test_the_likelihood_is_that_of_what_is_visible():
    model = some_model()
    x = holed(model, 50, 0.5)
    total = 0.0
    for row in x:
        seen = ~np.isnan(row)
        if seen.any():
            part = model.covariance[np.ix_(seen, seen)]
            total += multivariate_normal(model.mean[seen], part).logpdf(row[seen])
    assert model.log_likelihood(x) == pytest.approx(total, abs=1e-9)


def test_an_iteration_takes_the_moments_of_what_is_expected():
    model, start = some_model(), Gaussian(np.zeros(5), np.eye(5) + 0.5)
    x = holed(model, 40, 0.4)
    x = x[~np.isnan(x).all(axis=1)]
    first, second = np.zeros(5), np.zeros((5, 5))
    for row in x:
        hidden, mean, covariance = direct(start, row)
        filled = row.copy()
        filled[hidden] = mean
        first += filled / len(x)
        second += np.outer(filled, filled) / len(x)
        second[np.ix_(hidden, hidden)] += covariance / len(x)
    found = Gaussian.fit(x, 0.1, start=start, iterations=1)
    np.testing.assert_allclose(found.mean, first, atol=1e-12)
    expected = 0.9 * (second - np.outer(first, first)) + 0.1 * np.eye(5)
    np.testing.assert_allclose(found.covariance, expected, atol=1e-8)


@pytest.mark.parametrize("shrinkage", [0.0, 0.2])
def test_no_iteration_is_less_likely(shrinkage):
    x = holed(some_model(), 80, 0.4)
    x = x[~np.isnan(x).all(axis=1)]
    weight = len(x) * shrinkage / (1 - shrinkage)

    def value(model):
        penalty = np.linalg.slogdet(model.covariance)[1] + np.trace(
            np.linalg.inv(model.covariance)
        )
        return model.log_likelihood(x) - weight / 2 * penalty

    model, values = Gaussian(np.zeros(5), np.eye(5)), []
    for _ in range(12):
        model = Gaussian.fit(x, shrinkage, start=model, iterations=1)
        values.append(value(model))
    assert min(np.diff(values)) > -1e-6
    assert values[-1] > values[0] + 1


def test_em_finds_the_distribution_and_without_holes_the_moments():
    truth = some_model(4, seed=3)
    model = Gaussian.fit(holed(truth, 6000, 0.3), iterations=60, tol=1e-5)
    np.testing.assert_allclose(model.mean, truth.mean, atol=0.06)
    np.testing.assert_allclose(model.covariance, truth.covariance, atol=0.2)
    x = holed(truth, 30, 0.0)
    whole = Gaussian.fit(x)
    np.testing.assert_allclose(whole.mean, x.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(whole.covariance, np.cov(x.T, ddof=0), atol=1e-8)


def test_draws_have_the_moments_of_the_conditional():
    model = some_model()
    row = np.array([0.3, np.nan, np.nan, -1.0, np.nan])
    drawn = model.draw(np.tile(row, (20_000, 1)), np.random.default_rng(0))
    hidden, mean, covariance = direct(model, row)
    np.testing.assert_allclose(drawn[:, hidden].mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn[:, hidden].T), covariance, atol=0.03)
    assert (drawn[:, ~hidden] == row[~hidden]).all()


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_expected_needs_no_inverse(shared):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    model = Gaussian(rng.normal(size=6), root @ root.T + np.eye(6))
    x = rng.normal(size=(60, 6))
    hidden = rng.random(x.shape) < rng.random((60, 1))
    x[hidden[:1].repeat(60, axis=0) if shared else hidden] = np.nan
    x[3] = np.nan
    np.testing.assert_allclose(model.expected(x), model.conditional(x)[0], atol=1e-12)
