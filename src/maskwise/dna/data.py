"""Where sequences come from: settings, and `load`, which turns them into windows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import AfterValidator, Field, PositiveInt
from torch import Tensor

from maskwise.dna.bases import INVALID, NOTHING, encode, reverse_complement
from maskwise.dna.fasta import genome_of, open_genome
from maskwise.dna.places import read_bed
from maskwise.dna.tokens import DNA, Bases, parse_tokens, train_pieces
from maskwise.dna.windows import Windows, split, whole, windows
from maskwise.errors import UserError
from maskwise.rng import Keys, Stream
from maskwise.settings import settings

log = logging.getLogger("maskwise")

WINDOW = 512  # bases, where records are that long
_TRAINING_WINDOWS = 20_000  # that pieces are learned from


def _tokens(text: str) -> str:
    parse_tokens(text)
    return text


@settings
class DNADataSettings:
    """Which sequences to use and how to read them."""

    source: str = "array"
    """A FASTA file (.fa, .fasta, .fna, .ffn, also .gz, .bgz or .xz) or a folder of these."""
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
    tokens: Annotated[str, AfterValidator(_tokens)] = "bases"
    """`bases`; `kmers:K`, side by side; `overlapping:K`, for `--pattern spans`; `pieces:V`, byte
    pairs learned from the windows."""
    both_strands: bool = True
    """Training sees each window as either strand, at random."""
    repeat_weight: Annotated[float, Field(ge=0, le=1)] = 0.1
    """What a soft-masked (lower-case) base counts in the loss; others count 1."""


def either_strand(codes: Tensor, keys: Keys) -> Tensor:
    """Return windows [B, W] as training sees them: one strand or the other, at random."""
    other = keys.uniform(Stream.STRAND, 1) < 0.5
    return torch.where(other, other_strand(codes), codes)


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
    """Windows ready for use: `train` to learn from, `test` to evaluate on."""

    train: Windows
    test: Windows
    name: str


def load(data: DNADataSettings, sequences: Sequence[str] | None = None) -> DNASplits:
    """Lay windows over the sequences that `data` describes, or over those given, a record each."""
    for number, sequence in enumerate(() if sequences is None else sequences):
        if not isinstance(sequence, str):
            kind = type(sequence).__name__
            raise UserError(f"sequence {number} is {kind}, not str: give a list of str")
    source = Path(data.source).expanduser()
    genome = open_genome(source) if sequences is None else genome_of(sequences)
    name = "sequences" if sequences is not None else source.name.split(".")[0] or data.source
    width = data.window or int(min(WINDOW, genome.lengths.max()))
    regions = None if data.regions is None else read_bed(data.regions, genome)
    parts = split(genome, data.holdout, data.heldout, regions)
    train, test = (
        windows(genome, part, width=width, stride=data.stride, regions=regions, name=what)
        for part, what in zip(parts, (f"{name}, to train on", f"{name}, held out"), strict=True)
    )
    return DNASplits(train, test, name)


def describe(splits: DNASplits, data: DNADataSettings) -> DNA:
    """Return how the windows become tokens; pieces are learned from them."""
    kind, train = parse_tokens(data.tokens), splits.train
    if not isinstance(kind, Bases):
        index = np.linspace(0, len(train) - 1, min(len(train), _TRAINING_WINDOWS)).astype(int)
        number, kind = kind, train_pieces(train.get(index), kind)
        log.info("%d pieces, %.2f for each base at most", number, kind.density)
    return DNA(train.tiles.width, data.tokens, data.repeat_weight, kind)


def as_codes(sequences: Sequence[str | np.ndarray]) -> list[np.ndarray]:
    """Return sequences, given as letters or as codes, as codes."""
    found = [encode(each) if isinstance(each, str) else each for each in sequences]
    for number, (codes, given) in enumerate(zip(found, sequences, strict=True)):
        if not len(codes):
            raise UserError(f"sequence {number} is empty: leave it out")
        if (codes == INVALID).any():
            at = int((codes == INVALID).argmax())
            raise UserError(f"sequence {number}: '{given[at]}' at position {at + 1} is no DNA")
    return found


def sequences(data: DNADataSettings) -> list[np.ndarray]:
    """Return all records of a source as codes, or its regions where there are some."""
    genome = open_genome(Path(data.source).expanduser())
    wanted = whole(genome) if data.regions is None else read_bed(data.regions, genome)
    places = np.stack([wanted.records, wanted.starts, wanted.stops - wanted.starts], axis=1)
    return [genome.read(place[:1], place[1:2], int(place[2]))[0] for place in places]
