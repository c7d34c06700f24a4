"""What every pattern must keep; a new pattern joins by its line in PATTERNS."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise import laws, masks
from maskwise.masks import PATTERNS, Mask
from tests.pairs import pairs

GRIDS = [(16,), (8, 8), (7, 5), (4, 6, 6)]
LAWS = ["fixed:0.75", "uniform:0.1,0.9", "choice:0.02,0.98", "likelihood"]
# Patterns that hide exactly what the law asks for; the others hide whole units.
EXACT = {
    *("scattered", "shared", "block", "inverse-block", "spans", "spans:3"),
    *("copied", "proportional"),
}
VARIANTS = {
    "units": ["units", "units:1", "units:3"],
    "columns": ["columns", "columns:0"],
    "tubes": ["tubes", "tubes:-1"],
    "spans": ["spans", "spans:3"],
}
# Patterns that hide the units that come with the data.
WORDS = {"words", "ngrams"}
# Patterns that hide what rows of the data lack.
COPIES = {"copied", "proportional"}
# Another number may be that of another row, whose gaps are others.
NOT_NESTED = {*WORDS, "copied"}
NAMES = [variant for name in PATTERNS for variant in VARIANTS.get(name, [name])]
IDS = torch.tensor([3, 0, 41, 2**40 + 1, 7, 12])
SCOPES = ["step", "sample"]

every_pattern = pytest.mark.parametrize("pattern", NAMES)
every_two = pytest.mark.parametrize(
    ("pattern", "grid", "law", "scope"), pairs(NAMES, GRIDS, LAWS, SCOPES), ids=str
)


def draw(law: str, grid: tuple[int, ...], pattern: str, ids: torch.Tensor = IDS, **more) -> Mask:
    more = {"seed": 11} | more
    length = math.prod(grid)
    if pattern in WORDS:
        # Units of two positions and of one, in turn.
        more["units"] = (2 * torch.arange(length) // 3).expand(len(ids), -1)
    if pattern.startswith("spans"):
        grid = (length,)
    if pattern.startswith("tubes") and len(grid) == 1:
        grid = (2, length // 2) if length % 2 == 0 else (1, length)
    if pattern in COPIES:  # of five rows for every number of gaps up to three quarters
        sizes = torch.arange(1, 3 * length // 4 + 2).repeat(5)[:, None]
        u = torch.rand(len(sizes), length, generator=torch.Generator().manual_seed(1))
        more["observed"] = u.argsort(dim=1) < sizes
    return masks.draw(law, grid, sample_ids=ids, pattern=pattern, **more)


@every_two
def test_a_mask_is_a_function_of_its_keys(
    pattern: str, grid: tuple[int, ...], law: str, scope: str
) -> None:
    mask = draw(law, grid, pattern, scope=scope, epoch=2, step=5)
    length = math.prod(grid)
    assert mask.hidden.shape == (6, length)
    assert mask.hidden.dtype == torch.bool
    again = draw(law, grid, pattern, scope=scope, epoch=2, step=5)
    assert torch.equal(mask.hidden, again.hidden)
    # Any part of the batch, in any order, gives the same rows.
    for rows in ([4], [2, 0], [5, 4, 3, 2, 1, 0]):
        part = draw(law, grid, pattern, IDS[rows], scope=scope, epoch=2, step=5)
        assert torch.equal(part.hidden, mask.hidden[rows])
    if scope == "step" and units_fit(pattern, grid):
        assert mask.is_rectangular


@pytest.mark.parametrize(
    ("pattern", "grid"), pairs([name for name in NAMES if name != "shared"], GRIDS), ids=str
)
def test_seed_epoch_and_sample_change_the_positions(pattern: str, grid: tuple[int, ...]) -> None:
    ids = torch.arange(40)
    mask = draw("fixed:0.5", grid, pattern, ids)
    for other in (
        draw("fixed:0.5", grid, pattern, ids, seed=12),
        draw("fixed:0.5", grid, pattern, ids, epoch=1),
        draw("fixed:0.5", grid, pattern, ids + 40),
    ):
        same = (mask.hidden == other.hidden).all(dim=1).float().mean()
        assert same < 0.6
    # With one ratio the step plays no part: the same sample in the same epoch.
    assert torch.equal(mask.hidden, draw("fixed:0.5", grid, pattern, ids, step=9).hidden)


@every_pattern
def test_what_the_ratio_depends_on(pattern: str) -> None:
    grid, ids = (18, 18), torch.arange(64)

    def counts(**more) -> tuple[int, ...]:
        return tuple(draw("uniform:0,1", grid, pattern, ids, **more).num_hidden.tolist())

    by_step = {step: counts(step=step) for step in range(6)}
    assert len(set(by_step.values())) >= 4
    assert all(len(set(of_step)) == 1 for of_step in by_step.values())
    assert counts(step=3, epoch=1) == by_step[3]
    by_sample = counts(scope="sample")
    assert len(set(by_sample)) >= 6
    assert counts(scope="sample", step=9) == by_sample
    assert counts(scope="sample", epoch=1) != by_sample
    assert counts(scope="sample", seed=1) != by_sample


@pytest.mark.parametrize(
    ("pattern", "grid", "law", "scope"), pairs(NAMES, GRIDS, LAWS[:-1], SCOPES), ids=str
)
def test_both_sides_are_never_empty(
    pattern: str, grid: tuple[int, ...], law: str, scope: str
) -> None:
    assert law != "likelihood"
    mask = draw(law, grid, pattern, torch.arange(100), scope=scope)
    assert int(mask.num_hidden.min()) >= 1
    assert int(mask.num_hidden.max()) <= math.prod(grid) - 1


@pytest.mark.parametrize(("pattern", "grid"), pairs(NAMES, GRIDS), ids=str)
def test_counts(pattern: str, grid: tuple[int, ...]) -> None:
    """Exact, or the nearest that whole units allow."""
    length, ids = math.prod(grid), torch.arange(20)
    unit = largest_unit(pattern, grid)
    for ratio in (0.02, 0.15, 0.3, 0.5, 0.75, 0.98):
        mask = draw(f"fixed:{ratio}", grid, pattern, ids)
        asked = int(laws.num_hidden(laws.Fixed(ratio), 0.5, length))
        for hidden in mask.num_hidden.tolist():
            # At least one unit is hidden and one visible, however large the units are.
            one_hidden = asked < hidden <= unit
            one_visible = asked > hidden >= length - unit
            assert abs(hidden - asked) <= unit / 2 or one_hidden or one_visible
            assert unit > 1 or hidden == asked
        assert torch.equal(mask.ratio, mask.num_hidden / length)


def units_fit(pattern: str, grid: tuple[int, ...]) -> bool:
    """Whether all units have one size; only then do they hide one number at one ratio."""
    name, _, argument = pattern.partition(":")
    if name in WORDS:
        return False
    return name != "units" or all(side % int(argument or 2) == 0 for side in grid)


def largest_unit(pattern: str, grid: tuple[int, ...]) -> int:
    name, _, argument = pattern.partition(":")
    if name in EXACT:
        return 1
    if name in WORDS:
        return 2
    if name == "columns":
        return math.prod(grid) // grid[int(argument or -1)]
    if name == "tubes":
        return grid[int(argument or 0)] if len(grid) > 1 else math.prod(grid) // 2
    return math.prod(min(int(argument or 2), side) for side in grid)


@pytest.mark.parametrize(
    ("pattern", "grid", "partly"),
    pairs([name for name in NAMES if name not in NOT_NESTED], GRIDS, [False, True]),
    ids=str,
)
def test_masks_are_nested_across_ratios(pattern: str, grid: tuple[int, ...], partly: bool) -> None:
    ids = torch.arange(20)
    eligible = ragged(20, math.prod(grid)) if partly else None
    before = torch.zeros(20, math.prod(grid), dtype=torch.bool)
    for ratio in (0.05, 0.1, 0.3, 0.31, 0.5, 0.75, 0.9, 0.99):
        hidden = draw(f"fixed:{ratio}", grid, pattern, ids, eligible=eligible).hidden
        assert not bool((before & ~hidden).any())
        before = hidden


def ragged(batch: int, length: int) -> torch.Tensor:
    """Rows with 0, 1, 2, 3 and then random eligible positions."""
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(batch, length, generator=generator).argsort(1)
    sizes = torch.randint(2, length + 1, (batch, 1), generator=generator)
    sizes[:4, 0] = torch.arange(4)
    return order < sizes


@every_two
def test_only_eligible_positions_are_hidden(
    pattern: str, grid: tuple[int, ...], law: str, scope: str
) -> None:
    eligible = ragged(24, math.prod(grid))
    mask = draw(law, grid, pattern, torch.arange(24), scope=scope, eligible=eligible)
    num_eligible = eligible.sum(1)
    assert not bool((mask.hidden & ~eligible).any())
    assert mask.num_hidden[:2].tolist() == [0, 1]
    assert bool((mask.num_hidden[2:] >= 1).all())
    if law != "likelihood" and pattern in {*EXACT, "units:1"}:
        assert bool((mask.num_hidden[2:] < num_eligible[2:]).all())
    expected = mask.num_hidden / num_eligible.clamp(min=1)
    assert torch.equal(mask.ratio, expected)
    if pattern in EXACT and law == "fixed:0.75":
        asked = laws.num_hidden(laws.Fixed(0.75), 0.5, num_eligible.numpy())
        assert mask.num_hidden.tolist() == asked.tolist()
    # A row's mask does not depend on the other rows, and [L] is the same for every row.
    row = draw(law, grid, pattern, torch.arange(5, 6), scope=scope, eligible=eligible[5])
    assert torch.equal(row.hidden, mask.hidden[5:6])


@every_pattern
def test_all_eligible_is_the_default(pattern: str) -> None:
    for grid in GRIDS:
        everything = torch.ones(math.prod(grid), dtype=torch.bool)
        asked = draw("uniform:0,1", grid, pattern, scope="sample", eligible=everything)
        assert torch.equal(asked.hidden, draw("uniform:0,1", grid, pattern, scope="sample").hidden)


@every_pattern
def test_an_empty_batch(pattern: str) -> None:
    for scope in ("step", "sample"):
        mask = draw("uniform:0,1", (4, 4), pattern, torch.arange(0), scope=scope)
        assert mask.hidden.shape == (0, 16)
        assert len(mask.hidden_idx) == len(mask.visible_idx) == 0


@every_pattern
@settings(max_examples=30)
@given(
    grid=st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    law=st.sampled_from(LAWS),
    scope=st.sampled_from(["step", "sample"]),
    seed=st.integers(-(2**63), 2**63),
)
def test_any_grid(pattern: str, grid: tuple[int, ...], law: str, scope: str, seed: int) -> None:
    mask = draw(law, grid, pattern, scope=scope, seed=seed)
    length = math.prod(grid)
    assert bool((mask.num_hidden >= 1).all())
    if pattern in EXACT and law != "likelihood" and length > 1:
        assert bool((mask.num_hidden <= length - 1).all())


@every_pattern
def test_global_generators_are_untouched(pattern: str) -> None:
    state = torch.get_rng_state()
    draw("uniform:0,1", (8, 8), pattern, scope="sample", sampling="stratified")
    assert torch.equal(torch.get_rng_state(), state)


@every_pattern
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_mask_on_a_gpu(pattern: str) -> None:
    for grid in GRIDS:
        here = draw("uniform:0,1", grid, pattern, scope="sample")
        there = draw("uniform:0,1", grid, pattern, scope="sample", device="cuda")
        assert there.hidden.is_cuda
        assert torch.equal(here.hidden, there.hidden.cpu())
