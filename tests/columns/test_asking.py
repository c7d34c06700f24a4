"""What hidden columns may be, in closed form, beside the same rows filled one by one."""

import numpy as np
import pytest

from maskwise.columns.asking import ClosedAsking, RowsAsking
from maskwise.columns.closed_form import ClosedForm, columns_of, owners
from maskwise.columns.factors import Factors
from maskwise.predict.acquire import acquire
from maskwise.predict.asking import ClassifierHead, RegressorHead
from maskwise.predict.attribute import attribute

SIZES = (0, 3, 0, 2, 0)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5)) + rng.normal(size=(400, 1))
    x[:, 1] = np.digitize(x[:, 1], [-1, 1])
    x[:, 2] = np.exp(2 * x[:, 2])  # so skewed that normal scores are taken
    x[:, 3] = x[:, 3] > 0
    return x


@pytest.fixture(scope="module")
def closed(rows):
    return ClosedForm.learn(rows, SIZES)


def test_each_value_is_what_a_row_with_it_is_filled_with(rows, closed):
    assert closed.knots
    asking = ClosedAsking(closed, rows)
    hidden = np.array([True, True, True, False, True])
    positions = np.flatnonzero(hidden)
    found = asking.possible(7, hidden, positions, 1, 0)
    assert found.weights.sum(axis=1) == pytest.approx(1)
    owner = owners(SIZES)
    for place, position in enumerate(positions):
        for value, weight in zip(found.features[place], found.weights[place], strict=True):
            if not weight:
                continue
            column = (value * closed.std + closed.mean)[owner == position]
            x = np.where(hidden, np.nan, rows[7])
            x[position] = (
                column.round() @ [0, 1] + 2 * (1 - column.sum()) if SIZES[position] else column[0]
            )
            assert closed.fill(closed.columns(x[None]))[0] == pytest.approx(value, abs=1e-6)


def test_categories_are_as_likely_as_they_are_drawn(rows, closed):
    asking = ClosedAsking(closed, rows)
    hidden = np.array([False, True, True, False, True])
    found = asking.possible(7, hidden, np.array([1, 4]), 1, 0)
    drawn = asking.drawn(7, hidden, 4000, 0).samples
    shares = np.bincount(drawn[:, 1].astype(int), minlength=3) / 4000
    assert found.weights[0, :3] == pytest.approx(shares, abs=0.03)
    assert (drawn[:, [0, 3]] == rows[7, [0, 3]]).all()


def test_numbers_have_the_mean_of_many_draws(rows, closed):
    asking = ClosedAsking(closed, rows)
    hidden = np.array([True, False, True, False, True])
    found = asking.possible(3, hidden, np.array([0, 2, 4]), 1, 0)
    expected = (found.weights[..., None] * found.features).sum(axis=1)
    [filled] = asking.features(np.array([3]), hidden[None])
    # What is expected once one is known is on average what is expected now.
    assert expected == pytest.approx(np.tile(filled, (3, 1)), abs=0.03)


def test_rows_that_lack_the_same_are_filled_as_one_by_one(rows, closed):
    asking, some = ClosedAsking(closed, rows), np.arange(20)
    hidden = np.tile(np.array([True, False, True, True, False]), (20, 1))
    together = asking.features(some, hidden)
    single = np.concatenate([asking.features(some[[n]], hidden[[n]]) for n in range(20)])
    assert together == pytest.approx(single, abs=1e-9)
    assert np.isnan(asking.features(some, np.ones_like(hidden))).all()


def test_more_and_more_columns_at_once_are_as_one_by_one(rows, closed):
    order, hidden = np.array([1, 4, 0, 2]), np.tile(np.arange(5) == 3, (6, 1))
    asking = ClosedAsking(closed, rows[:6])
    found = asking.along(order, hidden)
    for place in range(3):
        shown = np.where(np.isin(np.arange(5), order[: place + 1]), rows[:6], np.nan)
        assert found[place] == pytest.approx(closed.fill(closed.columns(shown)), abs=1e-9)
    assert asking.along(np.arange(5), hidden) is None


def test_factors_tell_what_their_covariance_tells(rows):
    x = columns_of(rows[:, [0, 2, 4]], (0, 0, 0))
    factors = Factors.fit(x, 1)
    of = {"sizes": (0, 0, 0), "mean": np.zeros(3), "std": np.ones(3), "knots": {}}
    asking = ClosedAsking(ClosedForm(**of, gaussian=factors), x)
    gain, error = asking.told(0, np.array([True, True, False]), np.arange(2), (), 1, 0)
    sigma = factors.loadings @ factors.loadings.T + np.diag(factors.noise)
    pair = np.linalg.inv(np.linalg.inv(sigma)[:2, :2])
    correlation = pair[0, 1] / np.sqrt(pair[0, 0] * pair[1, 1])
    assert gain == pytest.approx([-np.log(1 - correlation**2) / 2] * 2, rel=1e-9)
    assert error.tolist() == [0, 0]


class ByDose:
    """Two classes, by the first column where it is there."""

    def predict_proba(self, x):
        p = np.where(np.isnan(x[:, 0]), 0.5, x[:, 0] > 0)
        return np.stack([p, 1 - p], axis=1)

    def predict(self, x):
        return np.nan_to_num(x[:, 0])


def test_any_model_of_rows_with_holes_can_be_asked(rows, closed):
    """A fair class that a column says for sure is worth ln 2, and no other tells anything."""
    asking = RowsAsking(ClosedForm.learn(rows - [rows[:, 0].mean(), 0, 0, 0, 0], SIZES), rows[:3])
    nothing = np.ones((3, 5), bool)
    found = acquire(asking, ClassifierHead(ByDose()), hidden=nothing)
    assert found.gain[:, 0] == pytest.approx(np.log(2), abs=0.02)
    assert found.gain[:, 1:] == pytest.approx(0, abs=1e-12)
    values = asking.possible(0, nothing[0], np.array([1]), 1, 0)
    assert values.features[0, :3, 1].tolist() == [0, 1, 2]
    assert np.isnan(values.features[0, :3, [0, 2, 3, 4]]).all()
    due = attribute(asking, ClassifierHead(ByDose()))
    assert due.values[:, 0, 0] == pytest.approx((rows[:3, 0] > 0) - 0.5)
    off = np.var(rows[:, 0])
    number = acquire(asking, RegressorHead(ByDose(), 1.25 * off), hidden=nothing)
    assert number.gain[0, 0] == pytest.approx(np.log(5) / 2, abs=0.02)
