"""Every position is hidden as often as any other: 10,000 masks of each pattern.

The check that follows is shown to catch a block that may not cross the border, a centre that is
preferred, and a position that is never hidden.
"""

import math
from itertools import combinations

import pytest
import torch
from scipy import stats

from maskwise import masks
from maskwise.laws import Fixed, num_hidden
from maskwise.masks import PATTERNS
from maskwise.masks.mask import hide_lowest

NUM = 10_000
CASES = [
    (pattern, grid, ratio)
    for name in PATTERNS
    if name != "shared"  # whose masks are those of steps: tests/masks/test_shared.py
    for pattern in {
        "units": ["units", "units:4"],
        "columns": ["columns", "columns:0"],
        "tubes": ["tubes", "tubes:1"],
        "spans": ["spans", "spans:4"],
    }.get(name, [name])
    for grid, ratio in (
        ((8, 8), 0.75), ((8, 8), 0.2), ((16,), 0.5), ((4, 8, 4), 0.6), ((7, 5), 0.4),
        ((3, 8), 0.9),
    )
    if not (name == "tubes" and len(grid) == 1)
    if name != "units" or all(side % int(pattern.partition(":")[2] or 2) == 0 for side in grid)
]  # fmt: skip


def hidden_masks(pattern: str, grid: tuple[int, ...], ratio: float) -> torch.Tensor:
    length = math.prod(grid)
    if pattern.startswith("spans"):
        grid = (length,)
    # Words of one size: where they differ, the smaller ones fit more often.
    units = (torch.arange(length) // size_of_words(length)).expand(NUM, -1)
    given = {"units": units, "observed": torch.eye(length) > 0}  # every position as often
    ids = torch.arange(NUM)
    return masks.draw(Fixed(ratio), grid, sample_ids=ids, seed=20, pattern=pattern, **given).hidden


def size_of_words(length: int) -> int:
    return next(size for size in (3, 2, 5, 1) if length % size == 0)


def check_inclusion(hidden: torch.Tensor, share: float) -> None:
    """Hold each position's frequency against `share`.

    Over independent masks a count is binomial; the bound is the normal quantile at which any of
    the L positions fails by chance in one test of a million (Bonferroni, two-sided).
    """
    num, length = hidden.shape
    frequency = hidden.double().mean(dim=0)
    z = (frequency - share) / math.sqrt(share * (1 - share) / num)
    bound = stats.norm.isf(1e-6 / (2 * length))
    assert float(z.abs().max()) < bound, f"z = {z.tolist()}"


@pytest.mark.parametrize(("pattern", "grid", "ratio"), CASES)
def test_every_position_is_hidden_equally_often(
    pattern: str, grid: tuple[int, ...], ratio: float
) -> None:
    hidden = hidden_masks(pattern, grid, ratio)
    counts = hidden.sum(1)
    assert bool((counts == counts[0]).all())
    check_inclusion(hidden, int(counts[0]) / math.prod(grid))


def test_uneven_units_stay_near() -> None:
    """Last units that are smaller make the frequencies equal only nearly."""
    hidden = hidden_masks("units", (7, 5), 0.4)
    frequency = hidden.double().mean(dim=0)
    assert float(frequency.max() - frequency.min()) < 0.05
    assert float(frequency.mean()) == pytest.approx(0.4, abs=0.02)


# A box, or a span, on a grid with holes reaches some positions more easily than others.
@pytest.mark.parametrize(
    "pattern", sorted(set(PATTERNS) - {"block", "inverse-block", "spans", "shared"})
)
def test_every_eligible_position_is_hidden_equally_often_where_that_is_promised(
    pattern: str,
) -> None:
    eligible = torch.tensor([True, False, True, True] * 4).view(4, 4)
    eligible[:] = eligible[0]  # columns and units of equal sizes
    if pattern == "units":
        eligible[:] = torch.tensor([True, True, False, False])
    flat = eligible.flatten()
    hidden = masks.draw(
        Fixed(0.5),
        (4, 4),
        sample_ids=torch.arange(NUM),
        seed=21,
        pattern=pattern,
        eligible=flat,
        units=(torch.arange(16) // 4).expand(NUM, -1),
        observed=torch.eye(16) > 0,
    ).hidden
    share = float(hidden.sum(1).double().mean() / flat.sum())
    check_inclusion(hidden[:, flat], share)


def test_pairs_are_hidden_together_as_in_sampling_without_replacement() -> None:
    length, count = 12, 5
    hidden = masks.draw(
        Fixed(count / length), (length,), sample_ids=torch.arange(20_000), seed=22
    ).hidden.double()
    share = count * (count - 1) / (length * (length - 1))
    pairs = list(combinations(range(length), 2))
    bound = stats.norm.isf(1e-6 / (2 * len(pairs)))
    together = hidden.T @ hidden / len(hidden)
    for i, j in pairs:
        z = (float(together[i, j]) - share) / math.sqrt(share * (1 - share) / len(hidden))
        assert abs(z) < bound


def box_inside(rows: torch.Tensor, columns: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Boxes with the given first row and column that end before the border."""
    i, j = torch.arange(8)[:, None], torch.arange(8)
    hides_row = (i >= rows[:, None, None]) & (i < rows[:, None, None] + size[0])
    hides_column = (j >= columns[:, None, None]) & (j < columns[:, None, None] + size[1])
    return (hides_row & hides_column).flatten(1)


def test_the_check_catches_a_block_that_does_not_wrap() -> None:
    generator = torch.Generator().manual_seed(0)
    size = (4, 4)
    rows, columns = (torch.randint(0, 8 - side + 1, (NUM,), generator=generator) for side in size)
    hidden = box_inside(rows, columns, size)
    assert bool((hidden.sum(1) == 16).all())
    with pytest.raises(AssertionError, match="z ="):
        check_inclusion(hidden, 16 / 64)


def test_the_check_catches_a_dead_position_and_a_preferred_centre() -> None:
    generator = torch.Generator().manual_seed(0)
    score = torch.rand(NUM, 64, generator=generator)
    counts = torch.full((NUM,), 32)
    everywhere = torch.ones(NUM, 64, dtype=torch.bool)
    check_inclusion(hide_lowest(score, counts, everywhere), 0.5)
    alive = everywhere.clone()
    alive[:, 5] = False
    with pytest.raises(AssertionError, match="z ="):
        check_inclusion(hide_lowest(score, counts, alive), 0.5)
    score[:, [27, 28, 35, 36]] -= 0.03
    with pytest.raises(AssertionError, match="z ="):
        check_inclusion(hide_lowest(score, counts, everywhere), 0.5)


def test_counts_of_the_cases_are_what_the_law_asks_for() -> None:
    for pattern, grid, ratio in CASES:
        if pattern in ("scattered", "block", "inverse-block"):
            asked = int(num_hidden(Fixed(ratio), 0.5, math.prod(grid)))
            assert int(hidden_masks(pattern, grid, ratio)[0].sum()) == asked
