"""Where sequences come from: settings, and `load`, which turns them into windows, by index."""

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from maskwise.dna.bases import NOTHING, NUM_BASES, reverse_complement
from maskwise.dna.fasta import Genome, genome_of, open_genome
from maskwise.dna.places import Parts, read_bed
from maskwise.dna.tokens import DNA, Kmers, parse_tokens, train_pieces
from maskwise.errors import UserError, option
from maskwise.files import atomic, cached
from maskwise.given import ItemSettings
from maskwise.modality import Indices
from maskwise.rng import Keys, Stream
from maskwise.settings import settings
from maskwise.textio import Broken, leave_out, user_path
from maskwise.train.stream import StreamSource

log = logging.getLogger("maskwise")

WINDOW = 512  # bases, where records are that long
_TRAINING_WINDOWS = 20_000  # that pieces are learned from
_BATCH = 1 << 13  # windows looked at together
# NAME:START-STOP, also with a name in front and a strand behind, as bedtools writes it.
_CUT_OUT = re.compile(r"(?:.*::)?(.+):\d+-\d+(?:\([+.-]\))?")


def whole(genome: Genome) -> Parts:
    """Return all records, from end to end."""
    lengths = genome.lengths
    return Parts(np.arange(len(lengths)), np.zeros_like(lengths), lengths)


def merged(regions: Parts) -> Parts:
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
    regions: Parts | None = None,
) -> tuple[Parts, Parts]:
    """Split a genome in what is learned from and what is held out, at most one part per record.

    Held out are `heldout` records or chromosomes, or at most a share of the bases (of regions, if
    given): whole records at random, all those of a chromosome together (records named
    NAME:START-STOP are of NAME); where no choice makes at least half the share, the end of the
    largest record.
    """
    used = whole(genome) if regions is None else merged(regions)
    size = np.zeros(len(genome.lengths), dtype=np.int64)
    np.add.at(size, used.records, used.stops - used.starts)
    numbers: dict[str, int] = {}
    chromosomes = (found[1] if (found := _CUT_OUT.fullmatch(n)) else n for n in genome.names)
    group = np.array([numbers.setdefault(name, len(numbers)) for name in chromosomes])
    parts = whole(genome)
    if heldout:
        held = np.zeros(len(group), dtype=bool)
        for name in map(str.strip, heldout):
            held[group == numbers[name] if name in numbers else genome.record(name)] = True
    else:
        sizes = np.bincount(group, weights=size).astype(np.int64)
        most = holdout * size.sum()
        chosen, left = np.zeros(len(sizes), dtype=bool), most
        for number in np.random.default_rng(0).permutation(len(sizes)).tolist():
            if sizes[number] <= left:
                chosen[number] = True
                left -= sizes[number]
        held = chosen[group]
        if size[held].sum() < most / 2:
            return _cut(parts, used, int(size.argmax()), round(most), group)
    if not size[held].sum() or not size[~held].sum():
        what = f"holding out {', '.join(heldout)}" if heldout else f"a share of {holdout:g}"
        raise UserError(
            f"{genome.name}: {what} leaves nothing to learn from, or nothing to evaluate on"
        )
    return parts[~held], parts[held]


def _cut(
    parts: Parts, used: Parts, record: int, most: int, group: np.ndarray
) -> tuple[Parts, Parts]:
    """Hold out the end of a record, with `most` of its bases that are used."""
    inside = used[used.records == record]
    size = (inside.stops - inside.starts)[::-1].cumsum()
    if not 0 < most < size[-1] or (group == group[record]).sum() > 1:
        raise UserError(
            f"{len(parts.records)} records are too few to hold out {most} bases of them: give more"
            f" sequences, or name records to hold out by {option('data.heldout')}"
        )
    last = np.searchsorted(size, most)
    border = inside.starts[len(size) - 1 - last] + size[last] - most
    held = Parts(np.array([record]), np.array([border]), parts.stops[[record]])
    stops = parts.stops.copy()
    stops[record] = border
    return Parts(parts.records, parts.starts, stops), held


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows by index: runs of tiles, of which each of n intervals of a genome has one or more.

    No list of windows is kept: tile j of an interval begins at min(first + j * stride, last).
    """

    genome: Genome
    width: int  # bases in a window
    stride: int  # bases from one to the next
    records: np.ndarray  # of each interval, int64 [n]
    first: np.ndarray  # where its first tile begins, int64 [n]
    last: np.ndarray  # where its last tile begins, int64 [n]
    stops: np.ndarray  # where reading ends, int64 [n]: windows do not cross into another part
    tiles: np.ndarray  # how many come before each interval, and all, int64 [n + 1]
    runs: np.ndarray  # the first of the tiles of each run of tiles that are windows, int64 [k]
    begins: np.ndarray  # how many windows come before each run, and all, int64 [k + 1]
    in_memory: bool = True

    def __len__(self) -> int:
        return int(self.begins[-1])

    def place(self, indices: Indices) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return record, start and end of reading of windows, int64 [b] each."""
        windows = np.asarray(indices, dtype=np.int64)
        run = self.begins.searchsorted(windows, side="right") - 1
        tiles = windows - self.begins[run] + self.runs[run]
        row = self.tiles.searchsorted(tiles, side="right") - 1
        start = self.first[row] + (tiles - self.tiles[row]) * self.stride
        return self.records[row], np.minimum(start, self.last[row]), self.stops[row]

    def get(self, indices: Indices) -> Tensor:
        """Return the codes of windows, uint8 [b, width], at `indices`."""
        records, starts, stops = self.place(indices)
        return torch.from_numpy(self.genome.read(records, starts, self.width, stops))

    def units(self, indices: Indices) -> Tensor | None:
        return None


def tile(
    genome: Genome, parts: Parts, regions: Parts | None, width: int, stride: int
) -> tuple[Windows, dict[str, int]]:
    """Lay windows over parts of a genome, or over regions in these; count what is special.

    A region shorter than a window gets one centred on it, shifted into its part; the last window
    of a longer one, or of a part, ends with it.
    """
    counts, used, within = {}, parts, parts
    if regions is not None:
        used = merged(regions)
        counts["merged"] = len(regions.starts) - len(used.starts)
        # A record has one part at most.
        part = np.full(max(used.records.max(initial=0), parts.records.max(initial=0)) + 1, -1)
        part[parts.records] = np.arange(len(parts.records))
        used = used[part[used.records] >= 0]
        within = parts[part[used.records]]
        starts, stops = used.starts.clip(within.starts), used.stops.clip(max=within.stops)
        some = starts < stops
        used, within = Parts(used.records, starts, stops)[some], within[some]
    starts, stops, low, high = used.starts, used.stops, within.starts, within.stops
    centred = np.maximum(np.minimum((starts + stops - width) // 2, high - width), low)
    first = np.where(stops - starts < width, centred, starts)
    last = np.maximum(stops - width, first)
    counts["short"] = int((high - low < width).sum())
    tiles = np.append(0, (-((first - last) // stride) + 1).cumsum())
    where = (width, stride, used.records, first, last, high, tiles)
    return Windows(genome, *where, runs=tiles[:1], begins=tiles[[0, -1]]), counts


def windows(
    genome: Genome,
    parts: Parts,
    *,
    width: int,
    stride: int | None = None,
    regions: Parts | None = None,
    name: str = "windows",
) -> Windows:
    """Return the windows of parts of a genome, or of regions in these, that have a base.

    Which those are is found once, by reading all, and kept in the cache.
    """
    stride = stride or max(width // 2, 1)
    tiles, counts = tile(genome, parts, regions, width, stride)
    runs = _kept(tiles)
    begins = np.append(0, (runs[:, 1] - runs[:, 0]).cumsum())
    kept = int(begins[-1])
    log.info(
        "%s: %d windows of %d bases, %d without a base (A C G T) left out, %d padded%s",
        *(name, kept, width, len(tiles) - kept, counts["short"]),
        f", {counts['merged']} overlapping regions merged" if "merged" in counts else "",
    )
    if not kept:
        raise UserError(f"{genome.name}: {name}: no window has a base (A C G T) to learn from")
    return replace(tiles, runs=runs[:, 0].copy(), begins=begins)


def _kept(tiles: Windows) -> np.ndarray:
    """Return the runs of tiles that have a base: their first tile and the one after the last."""
    columns = (tiles.records, tiles.first, tiles.last, tiles.stops)
    digest = [hashlib.sha256(column.tobytes()).hexdigest() for column in columns]
    key = [tiles.genome.fingerprint, tiles.width, tiles.stride, digest]
    path = cached("windows", key).with_suffix(".npy")
    if path.is_file():
        try:
            return np.load(path, allow_pickle=False).reshape(-1, 2)
        except (OSError, ValueError):
            raise UserError(f"{path} is damaged: delete it") from None
    steps = range(0, len(tiles), _BATCH)
    read = (tiles.get(range(at, min(at + _BATCH, len(tiles)))).numpy() for at in steps)
    good = [np.zeros(0, dtype=bool), *((codes & 7 < NUM_BASES).any(axis=1) for codes in read)]
    # Where a run of windows with a base begins, and where it ends.
    edges = np.diff(np.concatenate(good), prepend=False, append=False)
    runs = np.flatnonzero(edges).reshape(-1, 2)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, runs)
    return runs


@settings
class DNADataSettings(ItemSettings):
    """Which sequences to use and how to read them."""

    source: str = "array"
    """A FASTA file (.fa, .fasta, .fna, .ffn, .fas, also .gz, .bgz or .xz) or a folder of these; or
    reads (.fastq, .fq)."""
    broken: Broken = "stop"
    """What is done about records that are no DNA, and regions that are not in the genome: `stop`,
    with the names of all, or `skip`, which counts them."""
    regions: str | None = None
    """A BED file: learn from these regions only."""
    heldout: tuple[str, ...] = ()
    """Records to evaluate on, as chr8,chr20 (NAME also means all records called NAME:START-END);
    none: `holdout` of the bases."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the bases held out: whole records at random; of a few, the end of the largest."""
    window: PositiveInt | None = None
    """Bases of a sample; none: 512, or the longest record."""
    stride: PositiveInt | None = None
    """Bases from one window to the next; none: half a window."""
    tokens: str = "bases"
    """`bases`; `kmers:K`, side by side; `overlapping:K`, for `--pattern spans`; `pieces:V`, byte
    pairs learned from the windows."""
    both_strands: bool = True
    """Training sees each window as either strand, at random."""
    repeat_weight: Annotated[float, Field(ge=0, le=1)] = 0.1
    """What a soft-masked (lower-case) base counts in the loss; others count 1."""

    def __post_init__(self) -> None:
        parse_tokens(self.tokens)


def either_strand(codes: Tensor, keys: Keys) -> Tensor:
    """Return windows [B, W] as training sees them: one strand or the other, at random."""
    return torch.where(keys.uniform(Stream.STRAND, 1) < 0.5, other_strand(codes), codes)


def other_strand(codes: Tensor) -> Tensor:
    """Return the other strand of windows [B, W]; padding stays at the end.

    >>> other_strand(torch.tensor([[0, 0, 1, 5]], dtype=torch.uint8)).tolist()
    [[2, 3, 3, 5]]
    """
    num_bases = (codes & 7 != NOTHING).sum(dim=1, keepdim=True)
    place = torch.arange(codes.shape[1], device=codes.device)
    return reverse_complement(codes).gather(1, (place - num_bases) % codes.shape[1])


@dataclass(frozen=True, eq=False)
class DNASplits:
    """Windows ready for use: `train` to learn from, `test` to evaluate on.

    Of a stream they are its first ones, and `stream` is what is learned from.
    """

    train: Windows
    test: Windows
    name: str
    stream: StreamSource | None = None


def open_source(data: DNADataSettings, sequences: Sequence[str] | None, broken: Broken) -> Genome:
    """Open the sequences that `data` describes, or those given, a record each."""
    if sequences is None:
        return open_genome(user_path(data.source), broken)
    if isinstance(sequences, str):
        raise UserError("sequences are one str: give a list of str")
    for number, sequence in enumerate(sequences, start=1):
        if not isinstance(sequence, str):
            kind = type(sequence).__name__
            raise UserError(f"sequence {number} is {kind}, not str: give a list of str")
    return genome_of(sequences, broken=broken)


def lay(data: DNADataSettings, genome: Genome, regions: Parts | None, name: str) -> DNASplits:
    """Lay windows over a genome, or over regions of it, to train on and held out."""
    width = data.window or int(min(WINDOW, genome.lengths.max()))
    parts = split(genome, data.holdout, data.heldout, regions)
    train, test = (
        windows(genome, part, width=width, stride=data.stride, regions=regions, name=what)
        for part, what in zip(parts, (f"{name}, to train on", f"{name}, held out"), strict=True)
    )
    genome.tell_renamed(name)
    return DNASplits(train, test, name)


def name_of(data: DNADataSettings, sequences: Sequence[str] | None) -> str:
    """Return what the data are called."""
    if sequences is not None:
        return "sequences"
    return user_path(data.source).name.split(".")[0] or data.source


def load(data: DNADataSettings, sequences: Sequence[str] | None = None) -> DNASplits:
    """Lay windows over the sequences that `data` describes, or over those given, a record each."""
    genome = open_source(data, sequences, data.broken)
    regions = None
    if data.regions is not None:
        found = read_bed(data.regions, genome)
        found.require_some(data.regions)
        leave_out(data.regions, found.told, data.broken)
        regions = found.parts
    return lay(data, genome, regions, name_of(data, sequences))


def describe(splits: DNASplits, data: DNADataSettings) -> DNA:
    """Return how the windows become tokens; pieces are learned from them."""
    kind, train = parse_tokens(data.tokens), splits.train
    if not isinstance(kind, Kmers):
        index = np.linspace(0, len(train) - 1, min(len(train), _TRAINING_WINDOWS)).astype(int)
        number, kind = kind, train_pieces(train.get(index), kind)
        log.info("%d pieces, %.2f for each base at most", number, kind.density)
    return DNA(train.width, data.tokens, data.repeat_weight, kind)
