import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.text.packing import PackedRows, cut, expand, pack

sizes = st.lists(st.integers(2, 60), min_size=1, max_size=80)


def documents(sizes):
    ends = np.cumsum(sizes)
    return np.stack([ends - sizes, ends], axis=1)


@given(sizes, st.integers(2, 20))
def test_pieces_cover_every_token_once_and_fit(sizes, room):
    bounds = documents(np.array(sizes))
    first, size = cut(bounds, room)
    assert size.min() >= 1
    assert size.max() <= room
    tokens, piece = expand(first, size)
    assert tokens.tolist() == list(range(sum(sizes)))
    of_document = np.searchsorted(bounds[:, 1], first, side="right")
    for number, total in enumerate(sizes):
        mine = size[of_document == number]
        assert len(mine) == -(-total // room)  # as few as fit
        assert mine.max() - mine.min() <= 1  # of nearly equal size
    assert piece[-1] == len(size) - 1


@given(sizes, st.integers(6, 24), st.integers(0, 2), st.integers(0, 2))
def test_rows_hold_every_token_once_within_their_length(sizes, length, start, stop):
    first, size = cut(documents(np.array(sizes)), length - start - stop)
    alone = PackedRows(first, size, np.full(len(size), start), np.arange(len(size) + 1))
    for rows in (pack(first, size, length, start, stop), alone):
        assert sorted(rows.first.tolist()) == first.tolist()
        token, row, place = rows.tokens_of(np.arange(len(rows)))
        assert sorted(token.tolist()) == list(range(sum(sizes)))
        used = np.zeros((len(rows), length), dtype=int)
        np.add.at(used, (row, place), 1)
        for index in range(len(rows)):
            for piece in range(rows.begin[index], rows.begin[index + 1]):
                front = rows.place[piece]
                for frame in [*range(front - start, front)]:
                    used[index, frame] += 1
                back = front + rows.size[piece]
                for frame in range(back, back + stop):
                    used[index, frame] += 1
        assert used.max() == 1  # no place is taken twice, and all lie in the row


def test_rows_can_be_asked_for_in_any_order():
    first, size = cut(documents(np.array([7, 3, 5, 2, 9])), 8)
    rows = pack(first, size, 10, 1, 1)
    token, row, place = rows.tokens_of(np.array([1, 0, 1]))
    alone, _, there = rows.tokens_of(np.array([1]))
    for copy in (0, 2):
        assert token[row == copy].tolist() == alone.tolist()
        assert place[row == copy].tolist() == there.tolist()


@pytest.mark.parametrize("longest", [20, 126])
def test_packing_wastes_little(longest):
    rng = np.random.default_rng(0)
    first, size = cut(documents(rng.integers(2, longest, 5000)), 126)
    rows = pack(first, size, 128, 1, 1)
    filled = size.sum() + 2 * len(size)
    assert filled / (len(rows) * 128) > 0.97
    # The same pieces in rows of their own fill less.
    assert filled / (len(size) * 128) < 0.6


def test_packing_is_a_matter_of_sizes_only():
    first, size = cut(documents(np.array([9, 4, 4, 7, 2, 2])), 12)
    one, other = (pack(first, size, 14, 1, 1) for _ in range(2))
    assert one.first.tolist() == other.first.tolist()
