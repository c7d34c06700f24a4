"""A network is added where it predicts what the closed form cannot."""

import numpy as np
import pytest

from maskwise.columns import refinement
from maskwise.columns.closed_form import ClosedForm
from maskwise.columns.refinement import Refinement, num_steps, refine


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(refinement, "num_steps", lambda rows, columns: 200)
    monkeypatch.setattr(refinement, "MASKED", 10_000)


def product(num=1500):
    """Two numbers and their product, of which a regression knows nothing."""
    x = np.random.default_rng(0).normal(size=(num, 2))
    return np.column_stack([x, x[:, 0] * x[:, 1]])


def holed(x):
    return np.where(np.random.default_rng(1).random(x.shape) < 0.2, np.nan, x)


def test_a_product_is_learned():
    x = product()
    holes = holed(x)
    closed = ClosedForm.learn(holes, (0, 0, 0))
    network = refine(closed, holes)
    assert network is not None
    asked = np.column_stack([x[:, :2], np.full(len(x), np.nan)])
    columns = closed.columns(asked)
    filled = closed.fill(columns)
    more = network.correct(filled, np.isnan(columns))
    before, after = (
        np.mean((closed.features(asked, each) - x)[:, 2] ** 2) for each in (filled, filled + more)
    )
    assert after < 0.5 * before
    assert network.strength[2] > 0.5
    assert network.spread[2] < 0.9
    again = refine(closed, holes)
    assert all(np.array_equal(*each) for each in zip(network.weights, again.weights, strict=True))


def test_nothing_is_added_where_all_is_linear():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 1)) + 0.5 * rng.normal(size=(600, 4))
    closed = ClosedForm.learn(holed(x), (0,) * 4)
    assert refine(closed, holed(x)) is None


def test_small_tables_are_not_worth_it():
    assert num_steps(999, 1000) == 0
    assert num_steps(10_000, 1) == 0
    assert num_steps(1000, 2) == refinement.FEWEST
    assert num_steps(20_000, 100) == refinement.MOST
    assert refinement.FEWEST < num_steps(5000, 40) < refinement.MOST


def test_corrections_are_as_strong_as_they_are_trusted():
    rng = np.random.default_rng(0)
    shapes = ((5, 4), (5,), (5, 5), (5,), (2, 5), (2,))
    weights = tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)
    filled, holes = rng.normal(size=(3, 2)), rng.random((3, 2)) < 0.5
    whole = Refinement(weights, np.ones(2), np.ones(2)).correct(filled, holes)
    half = Refinement(weights, np.array([0.5, 0.0]), np.ones(2)).correct(filled, holes)
    np.testing.assert_allclose(half, whole * [0.5, 0.0])
    assert np.abs(whole).min() > 0
