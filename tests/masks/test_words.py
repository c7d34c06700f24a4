"""Whole words: never split, exact counts, against a loop over words."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise import UserError, masks
from maskwise.masks.mask import hide_in_order, number_units
from maskwise.masks.patterns import Request, Words
from maskwise.rng import Keys, Stream

ROWS = st.lists(
    st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=12),
    min_size=1,
    max_size=4,
)


def text(rows: list[list[tuple[int, bool]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Units and eligible positions of rows of (size, whether it may be hidden), padded."""
    length = max(sum(size for size, _ in row) for row in rows) + 2
    units = torch.full((len(rows), length), -7)
    eligible = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        at = 1
        for word, (size, may) in enumerate(row):
            # Numbers rise, but need not be consecutive; those of ineligible positions are noise.
            units[index, at : at + size] = 3 * word + 5 if may else 3 - word
            eligible[index, at : at + size] = may
            at += size
    return units, eligible


def by_hand(order: list[int], sizes: list[int], count: int) -> set[int]:
    """Words that fit, one after the other; the first where none does."""
    hidden, left = set(), count
    for word in order:
        if sizes[word] and sizes[word] <= left:
            hidden.add(word)
            left -= sizes[word]
    with_positions = [word for word in order if sizes[word]]
    return hidden or set(with_positions[:1] if count else [])


@given(ROWS, st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_as_a_loop_over_words(rows: list[list[tuple[int, bool]]], ratio: float, seed: int) -> None:
    units, eligible = text(rows)
    counts = (ratio * eligible.sum(1)).ceil().long()
    keys = Keys(seed, 0, torch.arange(len(rows)))
    hidden = Words().hide(Request(counts, (units.shape[1],), keys, keys, eligible, units))
    scores = keys.bits(Stream.SCORE, units.shape[1])
    for index in range(len(rows)):
        numbers = units[index, eligible[index]].tolist()
        words = sorted(set(numbers))
        sizes = [numbers.count(word) for word in words]
        order = sorted(range(len(words)), key=lambda word: int(scores[index, word]))
        chosen = {words[w] for w in by_hand(order, sizes, int(counts[index]))}
        expected = [
            may and unit in chosen
            for unit, may in zip(units[index].tolist(), eligible[index].tolist(), strict=True)
        ]
        assert hidden[index].tolist() == expected


@pytest.mark.parametrize("pattern", ["words", "ngrams", "spans", "spans:2"])
@given(ROWS, st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_words_are_never_split_and_counts_never_exceeded(
    pattern: str, rows: list[list[tuple[int, bool]]], ratio: float, seed: int
) -> None:
    units, eligible = text(rows)
    ids = torch.arange(len(rows))
    more = {"seed": seed, "pattern": pattern, "scope": "sample"}
    mask = masks.draw(
        ratio, (units.shape[1],), sample_ids=ids, units=units, eligible=eligible, **more
    )
    asked = masks.draw(
        ratio, (units.shape[1],), sample_ids=ids, eligible=eligible, seed=seed, scope="sample"
    ).num_hidden
    assert not bool((mask.hidden & ~eligible).any())
    for index in range(len(rows)):
        state: dict[int, bool] = {}
        for position in eligible[index].nonzero().flatten().tolist():
            value = bool(mask.hidden[index, position])
            assert state.setdefault(int(units[index, position]), value) == value
        hidden = int(mask.num_hidden[index])
        assert (hidden > 0) == bool(eligible[index].any())
        # Above what is asked only where even one word is too much.
        assert hidden <= asked[index] or sum(state.values()) == 1
    # Nothing depends on the other rows, nor on padding.
    row = masks.draw(
        ratio,
        (units.shape[1] + 3,),
        sample_ids=ids[-1:],
        units=torch.nn.functional.pad(units[-1:], (0, 3)),
        eligible=torch.nn.functional.pad(eligible[-1:], (0, 3)),
        **more,
    )
    assert torch.equal(row.hidden[:, :-3], mask.hidden[-1:])


@pytest.mark.parametrize("pattern", ["words", "spans"])
def test_counts_are_exact_where_small_words_are_left(pattern: str) -> None:
    sizes = torch.tensor([1, 2, 1, 4, 1, 3, 1, 1, 6, 1, 2, 1])
    units = torch.arange(len(sizes)).repeat_interleave(sizes).expand(500, -1)
    length = int(sizes.sum())
    for count in range(1, 13):
        mask = masks.draw(
            count / length,
            (length,),
            sample_ids=torch.arange(500),
            seed=count,
            pattern=pattern,
            units=units,
        )
        exact = (mask.num_hidden == count).float().mean()
        assert bool((mask.num_hidden <= count).all())
        # Seven words have one position; beyond, they may be used up.
        assert exact == 1 if count < 8 else exact > 0.9


def test_a_known_answer() -> None:
    unit_of = torch.tensor([[0, 0, 0, 1, 1, 2, 3, 3, 3, 3]])
    everywhere = torch.ones(1, 10, dtype=torch.bool)

    def hide(order: list[int], count: int) -> set[int]:
        places = torch.tensor([order + list(range(4, 10))])
        hidden = hide_in_order(places, torch.tensor([count]), unit_of, everywhere)
        return set(unit_of[hidden].tolist())

    assert hide([3, 0, 1, 2], 4) == {3}
    assert hide([3, 0, 1, 2], 5) == {3, 2}
    assert hide([0, 3, 1, 2], 5) == {0, 1}
    assert hide([3, 0, 1, 2], 3) == {0}
    assert hide([3, 0, 1, 2], 2) == {1}
    assert hide([3, 0, 1, 2], 0) == set()
    assert hide([3, 0, 1, 2], 10) == {0, 1, 2, 3}
    # Nothing fits: the first.
    assert set(unit_of[hide_in_order(
        torch.tensor([[3, 0, *range(4, 10), 1, 2]]),
        torch.tensor([1]),
        unit_of,
        unit_of != 2,
    )].tolist()) == {3}  # fmt: skip


def test_words_of_one_size_are_hidden_equally_often() -> None:
    units = (torch.arange(24) // 3).expand(10_000, -1)
    eligible = torch.ones(24, dtype=torch.bool)
    eligible[:3] = eligible[21:] = False
    hidden = masks.draw(
        0.34,
        (24,),
        sample_ids=torch.arange(10_000),
        seed=3,
        pattern="words",
        units=units,
        eligible=eligible,
    ).hidden
    frequency = hidden.double().mean(0)[eligible]
    assert bool(((frequency - 1 / 3).abs() < 5 * (2 / 9 / 10_000) ** 0.5).all())


@given(ROWS)
def test_numbers_of_units(rows: list[list[tuple[int, bool]]]) -> None:
    units, eligible = text(rows)
    unit_of, begins = number_units(units, eligible)
    for index in range(len(rows)):
        seen: dict[int, int] = {}
        for position in eligible[index].nonzero().flatten().tolist():
            unit = int(units[index, position])
            assert bool(begins[index, position]) == (unit not in seen)
            assert int(unit_of[index, position]) == seen.setdefault(unit, len(seen))
        assert not bool(begins[index, ~eligible[index]].any())


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("words and ngrams need units", {"pattern": "words"}),
        ("words and ngrams need units", {"pattern": "ngrams"}),
        ("the form is words", {"pattern": "words:2"}),
        ("units are torch.int32 (2, 8): give int64 [2, 8]",
         {"units": torch.zeros(2, 8, dtype=torch.int32)}),
        ("units are torch.int64 (8,)", {"units": torch.arange(8)}),
        ("spans need a length of at least 1, not 0", {"pattern": "spans:0"}),
        ("spans need positions along one axis, not a grid of 2",
         {"pattern": "spans", "grid": (2, 4)}),
        ("the form is spans[:LENGTH]", {"pattern": "spans:x"}),
    ],
)  # fmt: skip
def test_refused_in_one_line(says: str, change: dict) -> None:
    arguments = {"law": 0.5, "grid": (8,), "sample_ids": torch.arange(2), "seed": 0}
    with pytest.raises(UserError) as error:
        masks.draw(**(arguments | change))
    assert says in str(error.value)
    assert "\n" not in str(error.value)
