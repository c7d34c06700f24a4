"""Heads on features of partly visible samples."""

import numpy as np
import pytest

from maskwise.columns.asked import ClosedAsked
from maskwise.columns.closed_form import ClosedForm
from maskwise.predict import heads, masked_copies


@pytest.fixture(scope="module")
def rows():
    """Two classes, the means of whose four columns are 2 apart."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=400)
    return rng.normal(size=(400, 4)) + 2 * y[:, None], y


@pytest.fixture(scope="module")
def fitted(rows):
    x, y = rows
    asked = ClosedAsked(ClosedForm.learn(x, (0,) * 4), x)
    hidden = masked_copies.hide(asked.there, copies=4)
    return asked, heads.fit(asked, y, hidden, classes=True)


def test_nothing_visible_is_answered_by_the_shares_of_the_classes(rows, fitted):
    asked, head = fitted
    nothing = np.ones((1, 4), dtype=bool)
    found = head.probabilities(asked.features(np.array([0]), nothing), np.zeros(1))
    assert found[0].tolist() == pytest.approx((np.bincount(rows[1]) / 400).tolist())


def test_a_head_is_the_same_after_arrays(fitted):
    asked, head = fitted
    again = heads.from_arrays(heads.to_arrays(head))
    x = asked.features(np.arange(9), np.zeros((9, 4), dtype=bool))
    assert (again.probabilities(x, np.ones(9)) == head.probabilities(x, np.ones(9))).all()
