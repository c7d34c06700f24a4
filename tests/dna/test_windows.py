"""What of a genome is held out, and its windows by index."""

import logging
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.dna.bases import NOTHING, encode
from maskwise.dna.data import merged, split, tile, whole, windows
from maskwise.dna.fasta import genome_of
from maskwise.dna.places import Parts
from maskwise.errors import UserError


def genome(lengths, names=None):
    return genome_of(["A" * length for length in lengths], names)


def regions(*rows):
    records, starts, stops = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Parts(records, starts, stops)


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
    with pytest.raises(UserError, match="no record named 3: its records are chr1, chr2"):
        split(genome([9, 9], ["chr1", "chr2"]), 0.1, ("3",))
    with pytest.raises(UserError, match="holding out chr1, chr2 leaves nothing"):
        split(genome([9, 9], ["chr1", "chr2"]), 0.1, ("chr1", "chr2"))
    with pytest.raises(UserError, match="holding out chr1 leaves nothing"):
        split(genome([9, 9], ["chr1", "chr2"]), 0.1, ("chr1",), regions((1, 0, 5)))
    peaks = genome([100] * 9, [f"chr1:{n}-{n + 100}" for n in range(9)])
    with pytest.raises(UserError, match="9 records are too few to hold out 90 bases"):
        split(peaks, 0.1)
    with pytest.raises(UserError, match="too few to hold out 0 bases"):
        split(genome([3]), 0.1)


LETTERS = st.text("ACGTacgtNNNNNNNNNNNN", min_size=1, max_size=70)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))


def plain(sequences, parts, width, stride):
    """Return the windows that are kept, one after the other."""
    found = []
    for record, start, stop in parts:
        first = start
        while True:
            letters = sequences[record][first : min(first + width, stop)]
            if set(letters.upper()) & set("ACGT"):
                found.append((record, first, letters))
            if first + width >= stop:
                break
            first = min(first + stride, stop - width)
    return found


@given(st.lists(LETTERS, min_size=1, max_size=4), st.integers(1, 20), st.integers(1, 25))
def test_records_are_tiled(sequences, width, stride):
    genome = genome_of(sequences)
    wanted = plain(sequences, [(r, 0, len(s)) for r, s in enumerate(sequences)], width, stride)
    if not wanted:
        with pytest.raises(UserError, match="no window has a base"):
            windows(genome, whole(genome), width=width, stride=stride)
        return
    for _ in range(2):  # looked through, and from the cache
        source = windows(genome, whole(genome), width=width, stride=stride)
        assert len(source) == len(wanted)
        records, starts, _ = source.place(range(len(source)))
        assert records.tolist() == [record for record, _, _ in wanted]
        assert starts.tolist() == [start for _, start, _ in wanted]
        codes = source.get(torch.arange(len(source)))
        assert codes.dtype == torch.uint8
        for row, (_, _, letters) in zip(codes.tolist(), wanted, strict=True):
            assert row == encode(letters).tolist() + [NOTHING] * (width - len(letters))
        backwards = source.get(np.arange(len(source))[::-1])
        assert torch.equal(backwards.flip(0), codes)
    assert source.units([0]) is None
    assert source.in_memory


@given(
    st.lists(st.integers(1, 90), min_size=2, max_size=6),
    st.integers(1, 25),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 80), st.integers(1, 50)), max_size=8),
)
def test_no_base_is_in_windows_of_both_parts(lengths, width, stride, drawn):
    genome = genome_of(["A" * length for length in lengths])
    rows = [
        (r, min(start, lengths[r] - 1), min(start + size, lengths[r]))
        for r, start, size in drawn
        if r < len(lengths)
    ]
    wanted = regions(*rows) if rows else None
    try:
        parts = split(genome, 0.3, regions=wanted)
    except UserError:
        return
    seen = []
    for part in parts:
        source = windows(genome, part, width=width, stride=stride, regions=wanted)
        records, starts, stops = source.place(range(len(source)))
        codes = source.get(range(len(source))).numpy()
        read = set()
        for record, start, stop, row in zip(records, starts, stops, codes, strict=True):
            inside = min(width, stop - start)
            assert (row[:inside] == 0).all()
            assert (row[inside:] == NOTHING).all()
            read |= {(int(record), place) for place in range(start, start + inside)}
        seen.append(read)
    assert not seen[0] & seen[1]
    if stride <= width:
        used = {(r, place) for r, a, b in rows for place in range(a, b)}
        everything = {(r, place) for r, n in enumerate(lengths) for place in range(n)}
        assert (used or everything) <= seen[0] | seen[1]


def starts(parts, wanted, width, stride):
    tiles, counts = tile(genome([9]), Parts(*np.array(parts).T), wanted, width, stride)
    records, first, stops = tiles.place(np.arange(len(tiles)))
    return list(zip(records.tolist(), first.tolist(), stops.tolist(), strict=True)), counts


def test_windows_of_regions():
    part = [(0, 100, 200), (2, 0, 8)]
    cases = [
        ((0, 140, 150), [(0, 135, 200)]),  # centred
        ((0, 141, 150), [(0, 135, 200)]),
        ((0, 102, 104), [(0, 100, 200)]),  # shifted into its part
        ((0, 195, 200), [(0, 180, 200)]),
        ((0, 50, 104), [(0, 100, 200)]),  # what is in the part of it
        ((0, 50, 125), [(0, 100, 200), (0, 105, 200)]),
        ((0, 110, 130), [(0, 110, 200)]),
        ((0, 110, 131), [(0, 110, 200), (0, 111, 200)]),
        ((0, 110, 151), [(0, 110, 200), (0, 125, 200), (0, 131, 200)]),
        ((2, 3, 5), [(2, 0, 8)]),  # padded
        ((1, 0, 50), []),  # another part's
        ((0, 0, 100), []),
    ]
    for region, wanted in cases:
        assert starts(part, regions(region), 20, 15)[0] == wanted
    both = regions((2, 3, 5), (0, 110, 120), (0, 119, 130), (0, 130, 140))
    found, counts = starts(part, both, 20, 15)
    assert found == [(0, 110, 200), (0, 125, 200), (2, 0, 8)]
    assert counts == {"short": 1, "merged": 1}


def test_what_is_left_out_is_counted(caplog):
    genome = genome_of(["ACGTNNNNNNNNNNNNACGT", "NNNN", "AC"])
    wanted = regions((0, 0, 9), (0, 5, 20), (2, 0, 2))
    with caplog.at_level(logging.INFO, "maskwise"):
        source = windows(genome, whole(genome), width=4, stride=4, regions=wanted, name="training")
        windows(genome, whole(genome), width=4)
    assert source.place(range(3))[1].tolist() == [0, 16, 0]
    assert (
        "training: 3 windows of 4 bases, 3 without a base (A C G T) left out, 1 padded,"
        " 1 overlapping regions merged" in caplog.text
    )
    assert "windows: 5 windows of 4 bases, 6 without a base (A C G T) left out, 1 padded" in (
        caplog.text
    )


def test_runs_go_on_across_batches(monkeypatch):
    sequences = ["A" * 10 + "N" * 7 + "A" * 6 + "N" * 9]
    genome = genome_of(sequences)
    wanted = plain(sequences, [(0, 0, 32)], 1, 1)
    for size in (1, 2, 3, 5, 100):
        monkeypatch.setattr("maskwise.dna.data._BATCH", size)
        source = windows(genome, whole(genome), width=1, stride=1, name=str(size))
        assert source.runs.tolist() == [0, 17]
        assert source.begins.tolist() == [0, 10, 16]
        assert source.place(range(16))[1].tolist() == [start for _, start, _ in wanted]


def test_a_damaged_cache_is_told(tmp_path):
    genome = genome_of(["ACGT"])
    windows(genome, whole(genome), width=2)
    [file] = (tmp_path / "cache").rglob("*.npy")
    file.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="is damaged: delete it"):
        windows(genome, whole(genome), width=2)
