"""Corrections are added where they predict what the closed form cannot."""

import numpy as np
import pytest

from maskwise.columns import refinement, residual_network
from maskwise.columns.closed_form import ClosedForm
from maskwise.columns.refinement import Refinement, refine


def curved(num=500):
    """Two numbers, their product, and which of them is larger."""
    x = np.random.default_rng(0).normal(size=(num, 2))
    return np.column_stack([x, x[:, 0] * x[:, 1], np.where(x[:, 0] > x[:, 1] + 0.5, 1.0, -1.0)])


def holed(x):
    return np.where(np.random.default_rng(1).random(x.shape) < 0.1, np.nan, x)


@pytest.fixture(scope="module")
def learned():
    holes = holed(curved())
    closed = ClosedForm.learn(holes, (0,) * 4)
    return closed, holes, refine(closed, holes)


def test_smooth_functions_and_jumps_are_corrected_as_much_as_is_said(learned):
    closed, _, found = learned
    assert list(found.parts) == ["kernel", "forest"]
    assert found.strength.shape == (2, 4)
    assert (found.strength >= 0).all()
    rng = np.random.default_rng(5)
    new = rng.normal(size=(1000, 2))
    true = np.column_stack([new, new[:, 0] * new[:, 1], np.sign(new[:, 0] - new[:, 1] - 0.5)])
    columns = closed.columns(np.where(rng.random(true.shape) < 0.2, np.nan, true))
    filled, holes = closed.fill(columns), np.isnan(columns)
    more = found.correct(filled, holes)
    left = np.where(holes, closed.columns(true) - filled, 0)
    before, after = (np.square(np.where(holes, left - each, 0)).sum(axis=0) for each in (0, more))
    assert after[2] < 0.65 * before[2]
    assert after[3] < 0.8 * before[3]
    np.testing.assert_allclose(np.square(found.spread), after / before, atol=0.15)


def test_two_calls_agree(learned):
    closed, holes, found = learned
    again = refine(closed, holes)
    assert np.array_equal(found.strength, again.strength)
    columns = closed.columns(holes)
    told = closed.fill(columns), np.isnan(columns)
    assert np.array_equal(found.correct(*told), again.correct(*told))


def test_nothing_is_added_where_all_is_linear_or_little_is_known():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 1)) + 0.5 * rng.normal(size=(600, 4))
    assert refine(ClosedForm.learn(holed(x), (0,) * 4), holed(x)) is None
    for few in (x[:10], x[:, :1]):
        assert refine(ClosedForm.learn(few, (0,) * few.shape[1]), few) is None


def test_large_tables_have_a_network_instead(monkeypatch):
    monkeypatch.setattr(residual_network, "num_steps", lambda rows, columns: 100)
    monkeypatch.setattr(residual_network, "MASKED", 5000)
    monkeypatch.setattr(refinement, "LARGE", 1000)
    monkeypatch.setattr(refinement, "LONG", 500)
    x = curved(1500)[:, :3]
    found = refine(ClosedForm.learn(x, (0, 0, 0)), x)
    assert list(found.parts) == ["network"]
    assert found.strength[0, 2] > 0.5
    assert found.spread[2] < 0.9


def test_strengths_are_the_least_squares_that_are_not_negative():
    rng = np.random.default_rng(0)
    good, bad = rng.normal(size=(2, 300, 2))
    left = 0.5 * good - 0.5 * bad
    left[:, 1] = rng.normal(size=300)
    left[30:, 1] = np.nan
    found = refinement._weighed({"a": None, "b": None}, [good, bad], left, np.ones(2))
    slope = (good * left)[:, 0].sum() / np.square(good[:, 0]).sum()
    np.testing.assert_allclose(found.strength[:, 0], [slope, 0])
    share = np.square(left - slope * good)[:, 0].sum() / np.square(left[:, 0]).sum()
    assert found.spread[0] == pytest.approx(np.sqrt(share))
    left[refinement.FEWEST - 1 :, 1] = np.nan
    found = refinement._weighed({"a": None, "b": None}, [good, bad], left, np.ones(2))
    assert (found.strength[:, 1].tolist(), found.spread[1]) == ([0.0, 0.0], 1.0)
    assert refinement._weighed({"a": None}, [-left], left, np.ones(2)) is None


def test_corrections_of_parts_are_multiplied_and_summed_up():
    class Part:
        def __init__(self, value):
            self.value = value

        def predict(self, filled, holes):
            return np.full(filled.shape, self.value)

    strength = np.array([[1.0, 0.5], [0.0, 2.0]])
    both = Refinement({"kernel": Part(1.0), "forest": Part(10.0)}, strength, np.ones(2))
    found = both.correct(np.zeros((2, 2)), np.ones((2, 2), dtype=bool))
    np.testing.assert_allclose(found, [[1.0, 20.5]] * 2)
