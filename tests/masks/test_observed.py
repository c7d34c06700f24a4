"""Patterns made of real gaps, against the gaps that they are made of."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from maskwise import UserError, laws, masks
from maskwise.laws import Observed
from maskwise.masks import Mask

# Three kinds of rows with gaps: 5, 3 and 2 of each.
KINDS = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 1, 1, 1, 1, 1]]) > 0
BANK = KINDS[[0] * 5 + [1] * 3 + [2] * 2]
NUM = 4000


def draw(law: str, pattern: str = "copied", bank: torch.Tensor = BANK, **more) -> Mask:
    ids = torch.arange(NUM)
    given = {"sample_ids": ids, "seed": 3, "pattern": pattern, "observed": bank} | more
    return masks.draw(law, (bank.shape[1],), **given)


def kinds_of(mask: Mask) -> list[int]:
    """Which of the kinds each mask is, -1 = none."""
    same = (mask.hidden[:, None] == KINDS).all(dim=2)
    return [kind.index(True) if any(kind) else -1 for kind in same.tolist()]


def within(count: int, num: int, share: float) -> bool:
    return abs(count - num * share) < stats.norm.isf(1e-6) * math.sqrt(num * share * (1 - share))


def test_masks_under_the_law_observed_are_distributed_as_gaps() -> None:
    found = Counter(kinds_of(draw("observed", scope="sample")))
    assert set(found) == {0, 1, 2}
    for kind, share in enumerate((0.5, 0.3, 0.2)):
        assert within(found[kind], NUM, share)


def test_a_number_that_some_rows_lack_gives_copies_of_these() -> None:
    found = Counter(kinds_of(draw("fixed:0.34")))  # two of six
    assert set(found) == {0, 1}
    assert within(found[0], NUM, 5 / 8)


def test_a_number_that_no_row_lacks_gives_a_part_of_one_that_lacks_more() -> None:
    hidden = draw("fixed:0.5").hidden  # three: all from the five of the third kind
    assert not bool((hidden & ~KINDS[2]).any())
    for place in range(1, 6):
        assert within(int(hidden[:, place].sum()), NUM, 3 / 5)


def test_a_number_beyond_all_rows_gives_a_copy_and_others_at_random() -> None:
    hidden = draw("fixed:0.7", bank=BANK[:8]).hidden  # four; rows lack two
    first, second = (hidden[:, kind].all(dim=1) for kind in KINDS[:2])
    assert bool((first | second).all())
    # Of the first kind 5 in 8; of the second, both of the first are among the rest 1 in 6.
    assert within(int(first.sum()), NUM, 5 / 8 + 3 / 8 / 6)


def test_what_a_row_lacks_itself_is_not_copied() -> None:
    own = torch.tensor([True, False, True, True, True, True])  # the second is missing
    mask = draw("fixed:0.2", eligible=own)  # one of five: the first kind has just one left
    assert bool(mask.hidden[:, 0].all())
    assert mask.num_hidden.unique().tolist() == [1]
    nothing = draw("fixed:0.5", bank=KINDS[:1], eligible=~KINDS[0])
    assert nothing.num_hidden.unique().tolist() == [2]  # at random where nothing is in common
    assert within(int(nothing.hidden[:, 5].sum()), NUM, 0.5)


def test_proportional_hides_in_proportion_to_what_is_missing() -> None:
    weights = BANK.sum(dim=0).numpy() + 0.5
    hidden = draw("fixed:0.17", "proportional").hidden
    for place, weight in enumerate(weights):
        assert within(int(hidden[:, place].sum()), NUM, weight / weights.sum())
    # Of two, by adding up the orders in which they may come.
    chance = weights / weights.sum()
    two = [p + sum(q * p / (1 - q) for q in np.delete(chance, i)) for i, p in enumerate(chance)]
    hidden = draw("fixed:0.34", "proportional").hidden
    for place, share in enumerate(two):
        assert within(int(hidden[:, place].sum()), NUM, share)


def test_the_bank_holds_rows_with_gaps() -> None:
    gaps = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]]) > 0
    found = masks.bank([gaps, gaps[:2]])
    assert found is not None
    assert found.int().tolist() == [[1, 0], [0, 1], [1, 0]]
    assert masks.bank([gaps[:1]]) is None
    assert masks.bank([]) is None
    many = masks.bank([torch.tensor([[True, False]]).expand(3000, 2)] * 5)
    assert many is not None
    assert len(many) == 4096
    wide = masks.bank([torch.eye(2**13)[:300] > 0])
    assert wide is not None
    assert len(wide) == 256


def test_the_law_of_data() -> None:
    law = laws.resolved(laws.parse("mixture:0.5*observed+0.5*fixed:0.5"), [0, 1, 1, 3, 4], 4)
    assert str(law) == "mixture:0.5*observed:2*0.25,1*0.75+0.5*fixed:0.5"
    assert not laws.is_resolved(laws.parse("mixture:0.5*observed+0.5*fixed:0.5"))
    assert laws.is_resolved(law)
    assert laws.parse("observed:0.1,0.3") == Observed([0.1, 0.3])
    wide = Observed.of(np.arange(1001), 1000)
    assert len(wide.shares) == 32
    assert wide.mean() == pytest.approx(0.5, abs=1e-3)
    given = masks.with_gaps(Observed(), masks.parse_pattern("copied"), lambda: BANK, "data")
    assert str(given[0]) == "observed:8*0.333333,2*0.833333"
    assert given[1] is BANK
    plain = laws.parse("fixed:0.5"), masks.parse_pattern("scattered")
    assert masks.with_gaps(*plain, None, "data") == (plain[0], None)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: draw("fixed:0.5", observed=None),
            "pattern copied is made of what rows of data lack",
        ),
        (lambda: draw("observed", "scattered", observed=None), "law observed is of data with"),
        (lambda: draw("fixed:0.5", bank=BANK & False), "none of 10 rows lacks a value"),
        (lambda: draw("fixed:0.5", observed=BANK.int()), r"give bool \[M, 6\]"),
        (lambda: draw("fixed:0.5", observed=BANK[:, :5]), r"\[10, 5\]: give bool \[M, 6\]"),
        (lambda: laws.parse("observed:0,0.5"), "share 0 is outside"),
        (lambda: laws.parse("observed:-1*0.5"), "weight -1 must be > 0"),
        (lambda: laws.parse("scheduled:linear,observed..observed"), "a schedule cannot hold"),
        (lambda: laws.resolved(Observed(), [0, 4], 4), "no row lacks a value"),
        (
            lambda: masks.with_gaps(Observed(), masks.parse_pattern("copied"), None, "shop"),
            'shop: no row lacks a value.* give pattern="scattered" and law="uniform:0.1,0.9"',
        ),
    ],
)
def test_what_cannot_be(call, text: str) -> None:
    with pytest.raises(UserError, match=text) as error:
        call()
    assert "\n" not in str(error.value)
