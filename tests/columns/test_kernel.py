"""Smooth corrections: their errors without each row, and what they find."""

import numpy as np

from maskwise.columns import kernel
from maskwise.columns.kernel import RIDGES, Kernel
from maskwise.columns.left_over import LeftOver


def over_of(x, left, seed=0):
    """Rows that are filled in the same way whatever is hidden."""
    part = np.random.default_rng(seed).integers(2, size=left.shape)
    return LeftOver(np.stack([x, x]), part, left)


def test_what_is_said_without_a_value_is_what_a_fit_without_it_says():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    coefficients, said = kernel._ridge(x, y)
    errors = []
    for ridge in RIDGES:
        one = []
        for row in range(30):
            rest = np.arange(30) != row
            inner = x[rest].T @ x[rest] + ridge * np.eye(4)
            one.append(x[row] @ np.linalg.solve(inner, x[rest].T @ y[rest]))
        errors.append((np.square(y - one).sum(), ridge, np.array(one)))
    _, best, expected = min(errors, key=lambda each: each[0])
    np.testing.assert_allclose(said, expected)
    np.testing.assert_allclose(
        coefficients, np.linalg.solve(x.T @ x + best * np.eye(4), x.T @ y), atol=1e-12
    )


def test_a_smooth_function_is_found_and_noise_is_not():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 2))
    left = np.column_stack([x[:, 0] * x[:, 1], rng.normal(size=600)])
    left[::5, 0] = np.nan
    found, said = Kernel.fit(over_of(x, left), np.random.default_rng(2))
    known = ~np.isnan(left)
    assert np.array_equal(np.isnan(said), ~known)
    off = [np.mean(np.square(said - left)[known[:, j], j]) for j in (0, 1)]
    assert off[0] < 0.2
    assert off[1] > 0.95
    more = found.predict(x, np.ones_like(x))
    assert np.mean(np.square(more[::5, 0] - (x[:, 0] * x[:, 1])[::5])) < 0.1


def test_rows_that_are_all_the_same_have_a_mean():
    left = np.tile([[1.0, np.nan]], (50, 1))
    found, said = Kernel.fit(over_of(np.zeros((50, 2)), left), np.random.default_rng(0))
    assert abs(said[0, 0] - 1) < 0.1
    assert np.isnan(said[:, 1]).all()
    assert np.isfinite(found.predict(np.ones((3, 2)), np.ones((3, 2)))).all()
