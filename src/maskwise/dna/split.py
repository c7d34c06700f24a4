"""Which parts of a genome are learned from, and which are held out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwise.dna.bed import Regions
from maskwise.dna.fasta import Genome
from maskwise.errors import UserError

# NAME:START-STOP, also with a name in front and a strand behind, as bedtools writes it.
_CUT_OUT = re.compile(r"(?:.*::)?(.+):\d+-\d+(?:\([+.-]\))?")


@dataclass(frozen=True, eq=False)
class Parts:
    """Intervals of a genome, in its order.

    Args:
        records: int64 [n], which records.
        starts: int64 [n], first positions, counted from 0.
        stops: int64 [n], the positions after the last.
    """

    records: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    def __getitem__(self, some: np.ndarray) -> "Parts":
        return Parts(self.records[some], self.starts[some], self.stops[some])


def whole(genome: Genome) -> Parts:
    """Return all records, from end to end."""
    num = len(genome.lengths)
    return Parts(np.arange(num), np.zeros(num, dtype=np.int64), genome.lengths)


def merged(regions: Regions) -> Parts:
    """Return regions in the order of the genome, those that overlap as one."""
    order = np.lexsort((regions.stops, regions.starts, regions.records))
    records, starts, stops = regions.records[order], regions.starts[order], regions.stops[order]
    # A shift by record makes one running maximum serve all of them.
    shift = records * (int(stops.max(initial=0)) + 1)
    reach = np.maximum.accumulate(stops + shift)
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (starts + shift)[1:] >= reach[:-1]
    ends = np.append(begins[1:], True)[: len(order)]
    return Parts(records[begins], starts[begins], (reach - shift)[ends])


def split(
    genome: Genome,
    holdout: float,
    heldout: Sequence[str] = (),
    regions: Regions | None = None,
) -> tuple[Parts, Parts]:
    """Split a genome in what is learned from and what is held out, at most one part per record.

    Whole records at random, all those of a chromosome together (records named NAME:START-STOP are
    of NAME); where no choice makes at least half the share, the end of the largest record.

    Args:
        genome: the sequences.
        holdout: share of the bases (of regions, if given) to hold out, at most.
        heldout: names of records or chromosomes to hold out instead.
        regions: what is read of the genome; default: everything.

    Raises:
        UserError: a name that is not there, or one of both would be empty.
    """
    used = whole(genome) if regions is None else merged(regions)
    size = np.zeros(len(genome.lengths), dtype=np.int64)
    np.add.at(size, used.records, used.stops - used.starts)
    group, names = _groups(genome)
    parts = whole(genome)
    if heldout:
        held = _named(genome, heldout, group, names)
    else:
        sizes = np.bincount(group, weights=size).astype(np.int64)
        most = holdout * size.sum()
        held = _choose(sizes, most)[group]
        if size[held].sum() < most / 2:
            return _cut(parts, used, int(size.argmax()), round(most), group)
    if not size[held].sum() or not size[~held].sum():
        what = f"holding out {', '.join(heldout)}" if heldout else f"a share of {holdout:g}"
        raise UserError(
            f"{genome.name}: {what} leaves nothing to learn from, or nothing to evaluate on"
        )
    return parts[~held], parts[held]


def _groups(genome: Genome) -> tuple[np.ndarray, dict[str, int]]:
    """Return the chromosome of each record, int64 [R], and the number of each by name."""
    numbers: dict[str, int] = {}
    group = [
        numbers.setdefault(found[1] if (found := _CUT_OUT.fullmatch(name)) else name, len(numbers))
        for name in genome.names
    ]
    return np.array(group, dtype=np.int64), numbers


def _named(
    genome: Genome, heldout: Sequence[str], group: np.ndarray, names: dict[str, int]
) -> np.ndarray:
    held = np.zeros(len(group), dtype=bool)
    for name in map(str.strip, heldout):
        if name in names:
            held |= group == names[name]
        else:
            held[genome.record(name)] = True
    return held


def _choose(sizes: np.ndarray, most: float) -> np.ndarray:
    """Return which groups are held out: in random order, each that still fits."""
    held = np.zeros(len(sizes), dtype=bool)
    for number in np.random.default_rng(0).permutation(len(sizes)).tolist():
        if sizes[number] <= most:
            held[number] = True
            most -= sizes[number]
    return held


def _cut(
    parts: Parts, used: Parts, record: int, most: int, group: np.ndarray
) -> tuple[Parts, Parts]:
    """Hold out the end of a record, with `most` of its bases that are used."""
    inside = used[used.records == record]
    size = (inside.stops - inside.starts)[::-1].cumsum()
    if not 0 < most < size[-1] or (group == group[record]).sum() > 1:
        raise UserError(
            f"{len(parts.records)} records are too few to hold out {most} bases of them: give more"
            " sequences, or name records to hold out by --data.heldout"
        )
    last = np.searchsorted(size, most)
    border = inside.starts[len(size) - 1 - last] + size[last] - most
    stops, starts = parts.stops.copy(), parts.starts[[record]]
    stops[record], starts[0] = border, border
    held = parts[np.array([record])]
    return Parts(parts.records, parts.starts, stops), Parts(held.records, starts, held.stops)
