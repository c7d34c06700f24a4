"""What makes a pattern that pattern."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise import masks
from maskwise.masks import parse_pattern
from maskwise.masks.patterns import Block, Columns, InverseBlock, Request, Tubes, Units
from maskwise.rng import Keys

SIDES = st.lists(st.integers(1, 8), min_size=1, max_size=3).map(tuple)


def hide(pattern: str, grid: tuple[int, ...], counts: list[int], seed: int = 0) -> torch.Tensor:
    """Hidden positions of samples 0.. with the given counts, bool [B, *grid]."""
    keys = Keys(seed, 0, torch.arange(len(counts)))
    everywhere = torch.ones(len(counts), math.prod(grid), dtype=torch.bool)
    hidden = parse_pattern(pattern).hide(
        Request(torch.tensor(counts), grid, keys, keys, everywhere, None)
    )
    return hidden.view(len(counts), *grid)


def arc(occupied: list[bool]) -> int:
    """Length of the shortest arc of a ring that covers all occupied places."""
    side = len(occupied)
    places = [i for i in range(side) if occupied[i]]
    gaps = [
        (second - first) % side or side
        for first, second in zip(places, places[1:] + places[:1], strict=True)
    ]
    return side - max(gaps) + 1


def sides_of_box(hidden: torch.Tensor) -> list[int]:
    """Sides of the smallest box on the torus around the hidden positions."""
    axes = range(hidden.ndim)
    return [
        arc(hidden.any(dim=[other for other in axes if other != axis]).tolist())
        if hidden.ndim > 1
        else arc(hidden.tolist())
        for axis in axes
    ]


def is_connected(hidden: torch.Tensor) -> bool:
    """Whether one can walk between hidden positions, over the border of the torus too."""
    reached = torch.zeros_like(hidden)
    reached.view(-1)[hidden.flatten().nonzero()[0]] = True
    while True:
        wider = reached.clone()
        for axis in range(hidden.ndim):
            wider |= reached.roll(1, axis) | reached.roll(-1, axis)
        wider &= hidden
        if torch.equal(wider, reached):
            return torch.equal(reached, hidden)
        reached = wider


@pytest.mark.parametrize("grid", [(16,), (8, 8), (7, 5), (14, 14), (4, 6, 6)])
def test_a_block_is_a_box(grid: tuple[int, ...]) -> None:
    """A box but for one side, which may be partly filled: that side is all that is missing."""
    length = math.prod(grid)
    counts = [1, 2, length // 5, length // 4, length // 2, 3 * length // 4, length - 1] * 30
    for hidden in hide("block", grid, counts):
        box = sides_of_box(hidden)
        missing = math.prod(box) - int(hidden.sum())
        assert is_connected(hidden)
        assert missing < math.prod(box) / min(box) or missing == 0
        assert all(side <= of_grid for side, of_grid in zip(box, grid, strict=True))


def test_a_block_fills_boxes_of_several_shapes() -> None:
    """Full boxes of aspects between 1/2 and 2 occur; on a long axis the block is an interval."""
    shapes = {tuple(sides_of_box(h)) for h in hide("block", (14, 14), [48] * 300)}
    assert {(6, 8), (8, 6), (7, 7)} <= shapes
    assert all(1 / 2.8 < height / width < 2.8 for height, width in shapes)
    for hidden in hide("block", (16,), list(range(1, 16)) * 10):
        assert arc(hidden.tolist()) == int(hidden.sum())


def test_blocks_cross_the_border() -> None:
    crossing = [
        bool(h[0].any() and h[-1].any() and not h.any(dim=1).all())
        for h in hide("block", (10, 10), [25] * 100)
    ]
    assert 0.2 < sum(crossing) / 100 < 0.7


@given(SIDES, st.integers(0, 2**32), st.data())
def test_inverse_block_is_the_complement_of_a_block(
    grid: tuple[int, ...], seed: int, data: st.DataObject
) -> None:
    length = math.prod(grid)
    counts = data.draw(st.lists(st.integers(0, length), min_size=1, max_size=8))
    visible = [length - count for count in counts]
    inverse = hide("inverse-block", grid, counts, seed)
    assert torch.equal(inverse, ~hide("block", grid, visible, seed))


def test_inverse_block_is_the_complement_on_large_grids() -> None:
    for grid in ((64, 64), (128, 128)):
        length = math.prod(grid)
        counts = [length // 3] * 100
        inverse = hide("inverse-block", grid, counts)
        assert torch.equal(inverse, ~hide("block", grid, [length - c for c in counts]))


def test_inverse_block_hides_around_the_box_among_eligible_positions() -> None:
    keys, counts = Keys(0, 0, torch.arange(40)), torch.full((40,), 20)
    eligible = torch.arange(64).remainder(3).ne(0).expand(40, 64)
    hidden = InverseBlock().hide(Request(counts, (8, 8), keys, keys, eligible, None))
    visible = Block().hide(Request(eligible.sum(1) - counts, (8, 8), keys, keys, eligible, None))
    assert torch.equal(hidden, eligible & ~visible)


@pytest.mark.parametrize("size", [1, 2, 3])
@given(SIDES, st.floats(0.01, 0.99), st.integers(0, 1000))
def test_units_are_hidden_whole(size: int, grid: tuple[int, ...], ratio: float, seed: int) -> None:
    mask = masks.draw(ratio, grid, sample_ids=torch.arange(3), seed=seed, pattern=f"units:{size}")
    state: dict[tuple[int, ...], bool] = {}
    for sample, hidden in enumerate(mask.hidden.view(3, *grid)):
        for place in torch.cartesian_prod(*(torch.arange(side) for side in grid)).view(
            -1, len(grid)
        ):
            unit = (sample, *(place // size).tolist())
            value = bool(hidden[tuple(place.tolist())])
            assert state.setdefault(unit, value) == value


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_columns_are_hidden_whole(axis: int) -> None:
    grid = (4, 5, 6)
    for ratio in (0.05, 0.4, 0.5, 0.97):
        hidden = masks.draw(
            ratio, grid, sample_ids=torch.arange(20), seed=1, pattern=f"columns:{axis}"
        ).hidden.view(20, *grid)
        slices = hidden.movedim(axis + 1 if axis >= 0 else axis, 1).flatten(2)
        assert torch.equal(slices.all(2), slices.any(2))
        num, side = slices.all(2).sum(1), grid[axis]
        nearest = min(max(round(ratio * side), 1), side - 1)
        assert bool((num == nearest).all())


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_tubes_hide_a_place_at_all_times(axis: int) -> None:
    grid = (4, 5, 6)
    for ratio in (0.06, 0.4, 0.9):
        hidden = masks.draw(
            ratio, grid, sample_ids=torch.arange(20), seed=1, pattern=f"tubes:{axis}"
        ).hidden.view(20, *grid)
        lines = hidden.movedim(axis + 1 if axis >= 0 else axis, 3).flatten(1, 2)
        assert torch.equal(lines.all(2), lines.any(2))
        assert bool((lines.all(2).sum(1) == round(ratio * lines.shape[1])).all())
    usual = masks.draw(0.5, grid, sample_ids=torch.arange(2), seed=1, pattern="tubes").hidden
    assert torch.equal(usual.view(2, *grid)[:, 0], usual.view(2, *grid)[:, 3])


def test_columns_default_to_the_last_axis() -> None:
    ids = torch.arange(8)
    last, named, rows = (
        masks.draw(0.5, (4, 6), sample_ids=ids, seed=0, pattern=pattern).hidden.view(8, 4, 6)
        for pattern in ("columns", "columns:1", "columns:0")
    )
    assert torch.equal(last, named)
    assert torch.equal(last[:, 0], last[:, -1])
    assert torch.equal(rows[..., 0], rows[..., -1])
    assert not torch.equal(last, rows)


def test_units_leave_their_ineligible_positions_visible() -> None:
    eligible = torch.ones(4, 4, dtype=torch.bool)
    eligible[0, 0] = eligible[3] = False
    hidden = masks.draw(
        0.5,
        (4, 4),
        sample_ids=torch.arange(50),
        seed=0,
        pattern="units:2",
        eligible=eligible.flatten(),
    ).hidden.view(50, 4, 4)
    for row in (slice(0, 2), slice(2, 4)):
        for column in (slice(0, 2), slice(2, 4)):
            unit, allowed = hidden[:, row, column], eligible[row, column]
            assert torch.equal(unit[:, allowed].any(1), unit[:, allowed].all(1))


def test_parse_pattern() -> None:
    assert parse_pattern("units") == Units(2)
    assert parse_pattern("units:3") == Units(3)
    assert parse_pattern("columns") == Columns(-1)
    assert parse_pattern("columns:0") == Columns(0)
    assert parse_pattern("tubes:1") == Tubes(1)
    assert parse_pattern("block") == Block()
