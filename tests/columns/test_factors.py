"""Factor analysis of rows with holes is a normal distribution like others."""

import numpy as np
import pytest

from maskwise.columns import factors
from maskwise.columns.factors import Factors
from maskwise.columns.gaussian import Gaussian


def some_model(width=7, num=2):
    rng = np.random.default_rng(0)
    return Factors(
        rng.normal(size=width), rng.normal(size=(width, num)), rng.uniform(0.2, 1, size=width)
    )


def dense(model):
    return Gaussian(model.mean, model.loadings @ model.loadings.T + np.diag(model.noise))


def holed(model, num, share=0.4):
    rng = np.random.default_rng(1)
    x = dense(model).draw(np.full((num, len(model.mean)), np.nan), rng)
    return np.where(rng.random(x.shape) < share, np.nan, x)


@pytest.mark.parametrize("most", [factors.MOST, 8])
def test_conditionals_are_those_of_the_dense_covariance(monkeypatch, most):
    monkeypatch.setattr(factors, "MOST", most)
    model = some_model()
    x = np.vstack([holed(model, 30), np.full((1, 7), np.nan)])
    for found, expected in zip(model.conditional(x), dense(model).conditional(x), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_no_iteration_is_less_likely():
    x = holed(some_model(), 80)

    def value(model):
        penalty = (np.square(model.loadings).sum(axis=1) / model.noise).sum()
        return dense(model).log_likelihood(x) - factors.RIDGE * penalty / 2

    model, values = None, []
    for _ in range(12):
        model = Factors.fit(x, 2, start=model, iterations=1)
        values.append(value(model))
    assert min(np.diff(values)) > -1e-6
    assert values[-1] > values[0] + 1


def test_em_finds_the_covariance_from_rows_with_holes():
    truth = some_model()
    found = dense(Factors.fit(holed(truth, 4000), 2, iterations=60))
    np.testing.assert_allclose(found.mean, truth.mean, atol=0.1)
    np.testing.assert_allclose(found.covariance, dense(truth).covariance, atol=0.4)


def test_draws_have_the_moments_of_the_conditional():
    model = some_model()
    row = np.array([0.3, np.nan, np.nan, -1.0, np.nan, 0.0, 1.0])
    many = np.tile(row, (20_000, 1))
    drawn = model.draw(many, np.random.default_rng(0))[:, np.isnan(row)]
    expected = dense(model).draw(many, np.random.default_rng(1))[:, np.isnan(row)]
    np.testing.assert_allclose(drawn.mean(axis=0), expected.mean(axis=0), atol=0.04)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(expected.T), atol=0.05)
    assert np.array_equal(model.centred.loadings, model.loadings)
    assert not model.centred.mean.any()
