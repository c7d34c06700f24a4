"""Accuracy by what was bought."""

import numpy as np
import pytest

from maskwise.columns.asking import ClosedAsking
from maskwise.errors import UserError
from maskwise.predict.buying import Bought, curve
from tests.predict.gaussians import class_head, closed_of, number_head

HEAD = class_head([[0.5, -0.5], [2.0, -2.0], [0.1, -0.1]])
X = np.array([[3.0, 1.0, 0.0], [-1.0, -2.0, 0.0], [9.0, -1.0, 0.0]])
Y = np.array([0, 1, 1])


def asking(x=X):
    return ClosedAsking(closed_of(np.eye(3)), x, ["a", "b", "c"])


def test_the_area_is_under_the_steps():
    found = Bought(np.array([[0.0, 2.0, 3.0]]), np.array([[0.0, 1.0, 0.0]]), 4.0)
    assert found.at(np.array([0, 1.9, 2, 2.5, 3, 9])).tolist() == [0, 0, 1, 1, 0, 0]
    assert found.area == pytest.approx(1 / 4)


def test_what_tells_most_is_bought_first():
    """Column b tells most, and says the truth of all; column a, bought first, not of the last."""
    best = curve(asking(), HEAD, Y)
    assert best.spent[0].tolist() == [0, 1, 2, 3]
    assert best.right[:, 1].tolist() == [1, 1, 1]
    fixed = curve(asking(), HEAD, Y, order=np.array([0, 1, 2]))
    assert fixed.right.T.tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 1, 0]]
    each = curve(asking(), HEAD, Y, order=np.array([[0, 1, 2]] * 2 + [[1, 0, 2]]))
    assert each.right[:, 1].tolist() == [1, 1, 1]


def test_costs_are_spent():
    found = curve(asking(), HEAD, Y, order=np.array([2, 0, 1]), cost={"a": 2, "b": 5, "c": 1})
    assert found.spent[0].tolist() == [0, 1, 3, 8]
    assert found.total == 8
    dear = curve(asking(), HEAD, Y, cost={"a": 2, "b": 5000, "c": 1}, most=1)
    assert dear.spent.tolist() == [[0, 2]] * 3


def test_what_is_missing_is_not_bought():
    x = X.copy()
    x[0, 1] = np.nan
    found = curve(asking(x), HEAD, Y)
    assert found.spent[0].tolist() == [0, 1, 2, 2]
    with pytest.raises(UserError, match="nothing of sample 2 is there"):
        curve(asking(np.array([[1.0, 2, 3], [np.nan] * 3, [1, 2, 3]])), HEAD, Y)


def test_numbers_are_right_by_their_error():
    found = curve(asking(), number_head([1.0, 1.0, 0.0]), np.array([4.0, -3.0, 8.0]), most=2)
    assert found.right[:, 0].tolist() == [-16, -9, -64]
    assert found.right[:, 2].tolist() == [0, 0, 0]
