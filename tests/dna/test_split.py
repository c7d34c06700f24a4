"""What of a genome is held out."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.dna.bed import Regions
from maskwise.dna.fasta import genome_of
from maskwise.dna.split import merged, split
from maskwise.errors import UserError


def genome(lengths, names=None):
    return genome_of(["A" * length for length in lengths], names)


def regions(*rows):
    records, starts, stops = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Regions(records, starts, stops, ("",) * len(rows))


def rows(parts):
    return list(
        zip(*(c.tolist() for c in (parts.records, parts.starts, parts.stops)), strict=True)
    )


def bases(parts):
    return {(r, p) for r, start, stop in rows(parts) for p in range(start, stop)}


ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(1, 9)), max_size=12)


@given(ROWS)
def test_regions_that_overlap_become_one(drawn):
    given_rows = [(record, start, start + size) for record, start, size in drawn]
    found = rows(merged(regions(*given_rows)))
    assert found == sorted(found)
    for (record, _, stop), (other, start, _) in pairwise(found):
        assert record < other or stop <= start
    both = [{(r, p) for r, a, b in some for p in range(a, b)} for some in (found, given_rows)]
    assert both[0] == both[1]
    assert sum(b - a for _, a, b in found) == len(both[0])


def test_regions_that_touch_stay_two():
    touching = regions((0, 5, 9), (0, 0, 5), (0, 8, 9), (1, 0, 2))
    assert rows(merged(touching)) == [(0, 0, 5), (0, 5, 9), (1, 0, 2)]


@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=12),
    st.sampled_from([0.05, 0.2, 0.5]),
    st.booleans(),
    ROWS,
)
def test_no_base_is_on_both_sides(lengths, holdout, some, drawn):
    one = genome(lengths)
    inside = [
        (r, min(a, lengths[r] - 1), min(a + s, lengths[r]))
        for r, a, s in drawn
        if r < len(lengths)
    ]
    wanted = regions(*inside) if some and inside else None
    used = (
        bases(merged(wanted))
        if wanted
        else {(r, p) for r, n in enumerate(lengths) for p in range(n)}
    )
    try:
        train, test = split(one, holdout, regions=wanted)
    except UserError:
        assert wanted or not 1 <= round(holdout * sum(lengths)) < max(lengths)
        return
    assert not bases(train) & bases(test)
    assert len(bases(train) | bases(test)) == sum(lengths)
    held = len(bases(test) & used)
    assert 0 < holdout * len(used) / 2 <= held <= round(holdout * len(used))
    for parts in (train, test):
        assert len(set(parts.records.tolist())) == len(parts.records)


def test_whole_records_where_they_make_the_share():
    train, test = split(genome([100] * 40), 0.1)
    assert len(test.records) == 4
    assert (test.starts == 0).all()
    assert (test.stops == 100).all()
    again = split(genome([100] * 40), 0.1)
    assert rows(again[1]) == rows(test)
    assert test.records.tolist() != [36, 37, 38, 39]
    assert len(train.records) == 36


def test_the_end_of_the_largest_record_where_they_do_not():
    train, test = split(genome([300, 1000, 200]), 0.1)
    assert rows(train) == [(0, 0, 300), (1, 0, 850), (2, 0, 200)]
    assert rows(test) == [(1, 850, 1000)]
    few = regions((1, 0, 100), (1, 200, 250), (1, 400, 450), (0, 0, 10))
    train, test = split(genome([300, 1000, 200]), 0.3, regions=few)
    assert rows(test) == [(1, 237, 1000)]  # 50 + 13 of 210 bases


def test_peaks_of_a_chromosome_stay_together():
    names = [f"chr{n % 20}:{n}-{n + 100}" for n in range(200)]
    names[7], names[27] = "peak::chr7:7-107", "chr7:27-127(+)"
    train, test = split(genome([100] * 200, names), 0.1)
    chromosomes = [{int(record) % 20 for record in part.records} for part in (train, test)]
    assert not chromosomes[0] & chromosomes[1]
    assert len(chromosomes[1]) == 2
    _, test = split(genome([100] * 200, names), 0.1, ("chr7", "chr3:3-103"))
    assert test.records.tolist() == sorted([3, *range(7, 200, 20)])


def test_splits_that_cannot_be():
    with pytest.raises(UserError, match="no record named 1: did you mean chr1"):
        split(genome([9, 9], ["chr1", "chr2"]), 0.1, ("1",))
    with pytest.raises(UserError, match="holding out chr1, chr2 leaves nothing"):
        split(genome([9, 9], ["chr1", "chr2"]), 0.1, ("chr1", "chr2"))
    with pytest.raises(UserError, match="holding out chr1 leaves nothing"):
        split(genome([9, 9], ["chr1", "chr2"]), 0.1, ("chr1",), regions((1, 0, 5)))
    peaks = genome([100] * 9, [f"chr1:{n}-{n + 100}" for n in range(9)])
    with pytest.raises(UserError, match="9 records are too few to hold out 90 bases"):
        split(peaks, 0.1)
    with pytest.raises(UserError, match="too few to hold out 0 bases"):
        split(genome([3]), 0.1)
