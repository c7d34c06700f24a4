"""Spans: lengths, where they end, and that no place is preferred."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch
from scipy import stats

from maskwise import masks
from maskwise.masks.patterns import GEOMETRIC, LONGEST, Request, Spans
from maskwise.rng import Keys, Stream


def order_of(pattern: Spans, batch: int, length: int, eligible: torch.Tensor | None = None):
    """The positions of each row in the order in which they are hidden."""
    if eligible is None:
        eligible = torch.ones(length, dtype=torch.bool)
    keys = Keys(3, 0, torch.arange(batch))
    everywhere, counts = eligible.expand(batch, -1), torch.ones(batch, dtype=torch.int64)
    most = int(eligible.sum())
    hidden = [
        pattern.hide(Request(counts * n, (length,), keys, keys, everywhere, None))
        for n in range(most + 1)
    ]
    grown = [after & ~before for before, after in pairwise(hidden)]
    assert all(bool((step.sum(1) == 1).all()) for step in grown)
    return torch.stack([step.long().argmax(1) for step in grown], dim=1)


def runs(order: list[int], num: int) -> list[int]:
    """Lengths of the runs of neighbours, each one to the right of the last, on a ring."""
    found = [1]
    for before, after in pairwise(order):
        if after == (before + 1) % num:
            found[-1] += 1
        else:
            found.append(1)
    return found


def test_lengths_are_geometric_and_cut_off() -> None:
    u = Keys(0, 0, torch.arange(500)).uniform(Stream.SHAPE, 40)
    times = torch.bincount(Spans()._lengths(u).flatten(), minlength=LONGEST + 1).double()
    weights = torch.tensor([0.0] + [(1 - GEOMETRIC) ** n for n in range(LONGEST)]).double()
    expected = weights / weights.sum() * times.sum()
    assert int(times[0]) == 0
    assert len(times) == LONGEST + 1
    statistic = float(((times - expected) ** 2 / expected)[1:].sum())
    assert statistic < stats.chi2.isf(1e-6, LONGEST - 1)
    mean = float((times * torch.arange(LONGEST + 1)).sum() / times.sum())
    assert mean == pytest.approx(3.8, abs=0.05)


def test_spans_are_hidden_one_after_the_other() -> None:
    """Runs of the order of hiding are spans, or spans that happen to follow each other."""
    length, batch = 400, 40
    found: Counter[int] = Counter()
    for row in order_of(Spans(), batch, length).tolist():
        found.update(runs(row, length))
    total = sum(found.values())
    weights = [(1 - GEOMETRIC) ** n for n in range(LONGEST)]
    for size in range(1, LONGEST + 1):
        share = weights[size - 1] / sum(weights)
        bound = 5 * math.sqrt(share * (1 - share) / total) + 3 / length * 4
        assert abs(found[size] / total - share) < bound
    assert sum(found[size] for size in found if size > LONGEST) / total < 0.02


def test_a_fixed_length() -> None:
    for row in order_of(Spans(4), 30, 40).tolist():
        assert all(size % 4 == 0 for size in runs(row, 40))
    # The turned row is cut where its end does not fill a span.
    for row in order_of(Spans(4), 30, 42).tolist():
        assert sum(size % 4 for size in runs(row, 42)) in (2, 4)


def test_a_span_ends_at_a_gap_but_not_at_the_border() -> None:
    eligible = torch.ones(30, dtype=torch.bool)
    eligible[[0, 10, 11, 20, 29]] = False
    places = eligible.nonzero().flatten().tolist()
    crossing, over_border = 0, 0
    for row in order_of(Spans(100), 300, 30, eligible).tolist():
        for before, after in pairwise(row):
            nearest = places[(places.index(before) + 1) % len(places)]
            crossing += after == nearest and after - before > 1
            over_border += after == nearest and after < before
    # Next to each other over a gap are only spans whose scores happen to be so: 1 in 3 or 4.
    assert 150 < crossing < 350
    assert over_border > 250


def test_text_between_special_tokens_and_padding_has_no_border() -> None:
    eligible = torch.zeros(20, dtype=torch.bool)
    eligible[1:15] = True
    hidden = masks.draw(
        0.3,
        (20,),
        sample_ids=torch.arange(10_000),
        seed=7,
        pattern="spans",
        eligible=eligible,
    ).hidden
    share = 4 / 14
    z = (hidden.double().mean(0)[eligible] - share) / math.sqrt(share * (1 - share) / 10_000)
    assert float(z.abs().max()) < stats.norm.isf(1e-6 / 28)


def test_spans_of_words_are_runs_of_words() -> None:
    sizes = torch.tensor([1, 2, 1, 3, 1, 1, 2, 1, 1, 1] * 4)
    units = torch.arange(len(sizes)).repeat_interleave(sizes)
    length, batch = len(units), 400
    num_runs = {}
    for pattern in ("words", "spans"):
        hidden = masks.draw(
            0.3,
            (length,),
            sample_ids=torch.arange(batch),
            seed=1,
            pattern=pattern,
            units=units.expand(batch, -1),
        ).hidden
        assert (hidden.sum(1) == round(0.3 * length)).double().mean() > 0.99
        begins = hidden & ~hidden.roll(1, dims=1)
        num_runs[pattern] = float(begins.sum() / batch)
    assert num_runs["spans"] < 0.6 * num_runs["words"]
