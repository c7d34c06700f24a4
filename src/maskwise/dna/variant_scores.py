"""Scores of variants: how much more probable a model finds the alternative than the reference."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskwise.dna.bases import REPEAT, UNKNOWN, decode, encode, reverse_complement
from maskwise.dna.fasta import Genome
from maskwise.dna.places import Variant, locate
from maskwise.dna.tokens import DNA, Pieces
from maskwise.errors import UserError
from maskwise.measure.features import frozen
from maskwise.tokens.model import LanguageModel

log = logging.getLogger("maskwise")

SCORED = "scored"
INDEL = "insertion or deletion"
NO_BASES = "not A, C, G or T"
NO_CHANGE = "no change"
TOO_LONG = "longer than the window"
UNKNOWN_BASE = "unknown base"
DISAGREES = "reference is "

# Beyond this share it is not some variants that are wrong, but the genome.
MOST_DISAGREEING = 0.1


class Scores(NamedTuple):
    """Scores of variants in nats, float64 [N] each; NaN where there is none."""

    score: np.ndarray  # mean of both strands
    forward: np.ndarray
    reverse: np.ndarray
    status: list[str]  # "scored", or why not


class Change(NamedTuple):
    """The bases that variants change: those at `places` from `start` on, which is from 0."""

    record: int
    start: int
    places: tuple[int, ...]


def score_variants(
    model: LanguageModel[DNA], genome: Genome, variants: Sequence[Variant], batch_size: int = 256
) -> Scores:
    r"""Score substitutions with the bases that they change hidden, on both strands.

    .. math:: s = \log p(\text{alt} \mid x_R) - \log p(\text{ref} \mid x_R),

    summed over the hidden tokens: the changed bases, or the k-mers that hold them. Each strand
    has its own window of the model's size around the change, as much before it as behind it in
    the direction of reading; windows at the ends of a record are shifted into it, and a shorter
    record is used whole.

    The model's device is used. Variants that follow each other in the genome share work;
    `batch_size` is the number of changes in one call, each of which is two masked inputs.

    Raises:
        UserError: a model of byte-pair pieces, a variant outside the genome, or more than one in
            ten references that disagree with the genome. Fewer are counted in a warning.

    Source: Benegas, Batra and Song (2023), PNAS 120, e2311219120 (GPN).

    >>> from maskwise.dna.fasta import genome_of
    >>> from maskwise.dna.model import DNAModelSettings
    >>> from maskwise.modalities import build
    >>> genome = genome_of(["ACGTACGT"], names=["chr1"])
    >>> model = build(DNA(window=8), DNAModelSettings(width=8, depth=1), seed=0)
    >>> score_variants(model, genome, [Variant("chr1", 3, "G", "T")]).status
    ['scored']
    """
    status = judge(model.tokenizer, genome, variants)
    check_references(zip(variants, status, strict=True))
    return score_judged(model, genome, variants, status, batch_size)


def judge(dna: DNA, genome: Genome, variants: Sequence[Variant]) -> list[str]:
    """Return "scored" for variants that a model of `dna` can score, and why not for the others."""
    if isinstance(dna.kind, Pieces):
        what = "have no fixed bases, so that variants cannot be scored"
        raise UserError(f"tokens {dna.tokens} {what}: use a model of bases or k-mers")
    records = np.array([locate(each, genome) for each in variants], dtype=np.int64)
    rooms = [_width(dna, int(length)) for length in genome.lengths[records]]
    status = [
        _of_alleles(each.ref.upper(), each.alt.upper(), room)
        for each, room in zip(variants, rooms, strict=True)
    ]
    index = [place for place, found in enumerate(status) if found == SCORED]
    if not index:
        return status
    refs = [variants[place].ref.upper() for place in index]
    lengths = np.array([len(ref) for ref in refs])
    starts = np.array([variants[place].pos - 1 for place in index])
    inside = np.arange(lengths.max()) < lengths[:, None]
    found = genome.read(records[index], starts, int(lengths.max())) & (REPEAT - 1)
    wanted = np.zeros_like(found)
    wanted[inside] = encode("".join(refs))
    for row in np.nonzero(((found != wanted) & inside).any(1))[0]:
        bases = found[row, : lengths[row]]
        unknown = (bases >= UNKNOWN).any()
        status[index[row]] = UNKNOWN_BASE if unknown else DISAGREES + decode(bases)
    return status


def _of_alleles(ref: str, alt: str, room: int) -> str:
    if set(ref) | set(alt) <= set("ACGT") and ref and alt:
        if len(ref) != len(alt):
            return INDEL
        if ref == alt:
            return NO_CHANGE
        return SCORED if len(ref) <= room else TOO_LONG
    if "-" in (ref, alt) or alt == "*" or alt.startswith(("<DEL", "<INS")):
        return INDEL
    return NO_BASES


def check_references(judged: Iterable[tuple[Variant, str]]) -> None:
    """Warn of references that disagree with the genome; refuse more than one in ten."""
    first, num, compared = "", 0, 0
    for variant, status in judged:
        disagrees = status.startswith(DISAGREES)
        compared += disagrees or status == SCORED
        num += disagrees
        if disagrees and not first:
            first = f"{variant.chrom}:{variant.pos} has {variant.ref}, the genome {status[13:]}"
    told = f"{num:,} of {compared:,} references disagree with the genome"
    if num > MOST_DISAGREEING * compared:
        what = "give the FASTA of the assembly that the variants are of"
        raise UserError(f"{told}, first {first}: {what}")
    if num:
        log.warning("%s and get no score; first %s", told, first)


def score_judged(
    model: LanguageModel[DNA],
    genome: Genome,
    variants: Sequence[Variant],
    status: Sequence[str],
    batch_size: int = 256,
) -> Scores:
    """Score the variants whose status, by `judge`, is "scored"; see `score_variants`."""
    strands = np.full((2, len(variants)), np.nan)
    found: dict[int, dict[Change, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
    for place, variant in enumerate(variants):
        if status[place] == SCORED:
            change, bases = _change(variant, genome)
            width = _width(model.tokenizer, int(genome.lengths[change.record]))
            found[width][change].append((place, bases))
    with frozen(model):
        for width, changes in found.items():
            kept = list(changes)
            for start in range(0, len(kept), batch_size):
                batch = kept[start : start + batch_size]
                owners = np.repeat(np.arange(len(batch)), [len(changes[each]) for each in batch])
                index, alts = zip(*(pair for each in batch for pair in changes[each]), strict=True)
                strands[:, index] = _score_batch(model, genome, width, batch, owners, alts)
    without = np.isnan(strands).any(0)
    strands[:, without] = np.nan
    # Not the base that changes is unknown, but another one of its k-mer.
    status = [
        UNKNOWN_BASE if none and each == SCORED else each
        for none, each in zip(without, status, strict=True)
    ]
    return Scores(strands.mean(0), strands[0], strands[1], status)


def _change(variant: Variant, genome: Genome) -> tuple[Change, str]:
    """Return what a variant changes, and the new bases."""
    pairs = list(zip(variant.ref.upper(), variant.alt.upper(), strict=True))
    places = [place for place, (ref, alt) in enumerate(pairs) if ref != alt]
    record, start = genome.record(variant.chrom), variant.pos - 1 + places[0]
    change = Change(record, start, tuple(place - places[0] for place in places))
    return change, "".join(pairs[place][1] for place in places)


def _width(dna: DNA, length: int) -> int:
    """Return how many bases of a record of `length` a window holds: k-mers fill it.

    An odd number of single bases, so that both strands see the same around one in the middle.
    """
    width = min(dna.window, length)
    if dna.kind.k > 1:
        return width - width % dna.kind.k
    return width if width == length else width - (1 - width % 2)


def _score_batch(
    model: LanguageModel[DNA],
    genome: Genome,
    width: int,
    changes: Sequence[Change],
    owners: np.ndarray,
    alts: Sequence[str],
) -> np.ndarray:
    """Return scores on both strands, float64 [2, n]; NaN where a hidden token is unknown.

    What the P `changes` hide becomes the new bases in `alts` [n] of their `owners`, 0..P-1, [n].
    """
    num, (records, firsts) = len(changes), np.array([each[:2] for each in changes]).T
    margins = width - np.array([each.places[-1] + 1 for each in changes])
    # As much before the change as behind it, when read in the direction of the strand.
    starts = np.concatenate([firsts - margins // 2, firsts - (margins + 1) // 2])
    starts = starts.clip(0, np.tile(genome.lengths[records] - width, 2))
    codes = genome.read(np.tile(records, 2), starts, width)
    owners = np.concatenate([owners, owners + num])
    changed = np.zeros(codes.shape, dtype=bool)
    for row, change in enumerate([*changes, *changes]):
        changed[row, change.start - starts[row] + np.array(change.places)] = True
    others = codes[owners]
    others[changed[owners]] = encode("".join(alts) * 2)
    dna = model.tokenizer
    ids, other_ids = (_tokens(dna, part) for part in (codes, others))
    # Tokens of unknown bases are those with a base that changes.
    blank = np.zeros_like(codes)
    hidden = _tokens(dna, blank) != _tokens(dna, np.where(changed, np.uint8(UNKNOWN), blank))
    gains = _gains(model, ids, hidden, other_ids, torch.from_numpy(owners))
    known = (dna.eligible(ids) | ~hidden).all(1)
    return gains.masked_fill(~known[owners], torch.nan).view(2, -1).numpy()


def _tokens(dna: DNA, codes: np.ndarray) -> Tensor:
    """Return the ids of codes [2P, W], the second half read as the other strand, [2P, L]."""
    forward, reverse = torch.from_numpy(codes).chunk(2)
    return dna.ids(torch.cat([forward, reverse_complement(reverse)]))


def _gains(
    model: LanguageModel[DNA], ids: Tensor, hidden: Tensor, others: Tensor, owners: Tensor
) -> Tensor:
    """Return by how much `others` [n, L] are more probable than their owners' ids, float64 [n]."""
    log_probs = torch.cat([each.cpu() for each, _ in model.predictions(ids, hidden, ids)]).double()
    places = torch.zeros_like(ids)
    places[hidden] = torch.arange(len(log_probs))
    rows, columns = (others != ids[owners]).nonzero(as_tuple=True)
    which = places[owners[rows], columns]
    of_others = log_probs[which, others[rows, columns]]
    of_ids = log_probs[which, ids[owners[rows], columns]]
    return log_probs.new_zeros(len(others)).index_add(0, rows, of_others - of_ids)
