"""The benchmark of what to measure next, on little."""

import numpy as np
import pytest

from benchmarks import acquire


def test_every_order_ends_where_all_is_measured(monkeypatch):
    monkeypatch.setattr(acquire, "TIMES", 1)
    found = acquire.curves("wine", 0, rows=6, costs=True)
    assert list(found) == ["gain", "information", "permutation", "random"]
    assert {each.total for each in found.values()} == {6 * 5 + 7}
    last = {
        each.right[:, -1].tolist() == found["gain"].right[:, -1].tolist()
        for each in found.values()
    }
    assert last == {True}
    # Told for its cost, a cheap column is bought first, and it tells something.
    assert found["gain"].spent[:, 1].tolist() == [1] * 6
    assert found["gain"].at(np.array([3]))[0] > found["gain"].at(np.array([0]))[0]


def test_what_is_shuffled_is_lost():
    from maskwise.columns.asking import ClosedAsking
    from tests.predict.gaussians import class_head, closed_of

    x = np.random.default_rng(0).normal(size=(200, 2))
    head = class_head([[3.0, -3.0], [0.0, 0.0]])
    y = (x[:, 0] < 0).astype(int)
    asking = ClosedAsking(closed_of(np.eye(2)), x)
    lost = acquire.losses_of_shuffling(asking, head, y, np.random.default_rng(0))
    assert lost[0] == pytest.approx(0.5, abs=0.05)
    assert lost[1] == 0
