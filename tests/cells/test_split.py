"""Which cells are held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.cells.data import held_out
from maskwise.errors import UserError


@pytest.mark.parametrize(("num", "share", "expected"), [(100, 0.1, 10), (2, 0.1, 1), (7, 0.5, 3)])
def test_cells_at_random(num, share, expected):
    held = held_out(num, share)
    assert held.sum() == expected
    assert (held == held_out(num, share)).all()


@given(st.lists(st.integers(-1, 5), min_size=2, max_size=40), st.sampled_from([0.1, 0.4]))
def test_groups_stay_whole(drawn, share):
    groups = np.array(drawn)
    if len(set(drawn)) < 2 and drawn[0] >= 0:
        with pytest.raises(UserError, match="all cells are in one group"):
            held_out(len(groups), share, groups)
        return
    held = held_out(len(groups), share, groups)
    assert 0 < held.sum() < len(groups)
    for group in set(drawn) - {-1}:
        assert len(set(held[groups == group].tolist())) == 1
    smallest = min(drawn.count(group) if group >= 0 else 1 for group in drawn)
    assert held.sum() <= max(share * len(groups), smallest)


@pytest.mark.parametrize("num", [0, 1])
def test_too_few_cells(num):
    with pytest.raises(UserError, match=f"{num} cells are too few"):
        held_out(num, 0.1)
