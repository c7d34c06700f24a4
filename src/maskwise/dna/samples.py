"""All sequences of a source or a list, in its order; which have no features, and why."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from maskwise.dna.bases import INVALID, NUM_BASES, encode, reverse_complement
from maskwise.dna.data import DNADataSettings, whole
from maskwise.dna.fasta import open_genome, wrong_letter
from maskwise.dna.places import read_bed
from maskwise.dna.tokens import DNA, Kmers, Pieces, parse_tokens
from maskwise.errors import UserError
from maskwise.modality import Entries, Samples
from maskwise.textio import few, user_path

log = logging.getLogger("maskwise")


def samples_of(data: DNADataSettings, *, every: bool = False) -> Samples:
    """Return all records of a source as codes, or its regions where there are some.

    Those without a known base are broken, unless `every` one is asked for.

    Raises:
        UserError: it cannot be read, or not one of them has a known base.
    """
    source = user_path(data.source)
    if data.regions is None:
        genome = open_genome(source, every=True)
        names, broken, wanted = list(genome.names), dict(genome.broken), whole(genome)
        rows = np.arange(len(names))
    else:
        genome = open_genome(source, "skip")
        regions = read_bed(data.regions, genome)
        names, broken, wanted = regions.names, dict(regions.broken), regions.parts
        rows = np.setdiff1d(np.arange(len(names)), list(broken))
    places = np.stack([wanted.records, wanted.starts, wanted.stops - wanted.starts], axis=1)
    dna, found = _tokens(data), []
    for row, place in zip(rows.tolist(), places, strict=True):
        if row in broken:
            continue
        codes = genome.read(place[:1], place[1:2], int(place[2]))[0]
        if why := "" if every and len(codes) else featureless(dna, codes):
            broken[row] = why
        else:
            found.append(codes)
    if not found:
        first = next(iter(broken))
        raise UserError(
            f"{data.regions or source}: none of {len(names)} sequences can be read: the first,"
            f" {names[first]}: {broken[first]}"
        )
    return Samples(found, names, dict(sorted(broken.items())))


def _tokens(data: DNADataSettings) -> DNA:
    """Return how sequences are cut; of pieces, each of which has a base, as bases are."""
    known = isinstance(parse_tokens(data.tokens), Kmers)
    return DNA(data.window or 1, data.tokens if known else "bases")


def featureless(dna: DNA, codes: np.ndarray) -> str:
    """Return why a sequence of codes has no features; "" if it has some.

    >>> featureless(DNA(9), encode("NNN")), featureless(DNA(9, "kmers:3"), encode("AC"))
    ('no known base (A C G T)', 'no token of kmers:3 with known bases')
    """
    if not len(codes):
        return "empty"
    if not (codes & 7 < NUM_BASES).any():
        return "no known base (A C G T)"
    one_each = dna.kind.k == 1 and not isinstance(dna.kind, Pieces)
    if one_each or any(
        bool(dna.eligible(torch.from_numpy(tile.copy())[None]).any()) for tile in tiles(dna, codes)
    ):
        return ""
    return f"no token of {dna.tokens} with known bases"


def tiles(dna: DNA, codes: np.ndarray) -> list[np.ndarray]:
    """Return both strands of a sequence, cut into as few parts of about equal lengths as fit."""
    return [
        tile
        for strand in (codes, reverse_complement(codes))
        for tile in np.array_split(strand, -(-len(strand) // dna.window) or 1)
    ]


def as_codes(
    dna: DNA, sequences: Sequence[str | np.ndarray]
) -> tuple[list[np.ndarray], dict[int, str]]:
    """Return those of some sequences, letters or codes, that have features; what ails the others.

    Raises:
        UserError: there is none that has, or they are something else.
    """
    if not len(sequences):
        raise UserError("no sequences: give at least one")
    found, broken = [], dict[int, str]()
    for number, given in enumerate(sequences):
        if not isinstance(given, (str, np.ndarray)):
            kind = type(given).__name__
            raise UserError(f"sequence {number + 1} is {kind}, not str: give a list of str")
        codes = encode(given) if isinstance(given, str) else given
        wrong = codes == INVALID
        if isinstance(given, str) and wrong.any():
            at = int(wrong.argmax())
            broken[number] = f"position {at + 1}: {wrong_letter(min(ord(given[at]), 255))}"
        elif why := featureless(dna, codes):
            broken[number] = why
        else:
            found.append(codes)
    told = [f"sequence {number + 1}: {why}" for number, why in broken.items()]
    if not found:
        raise UserError(f"none of {len(told)} sequences can be read: {few(told)}")
    if told:
        log.warning("%d sequences have no features (NaN): %s", len(told), few(told))
    return found, broken


def example() -> tuple[list[str], Entries]:
    """Return sequences of letters at random, and settings for them.

    >>> len(example()[0])
    6
    """
    letters = np.random.default_rng(0).choice(list("ACGT"), (6, 400))
    return ["".join(each) for each in letters], {"data.window": 64}
