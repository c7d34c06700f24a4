"""Which variants can be scored, and why not the others; and whether it is their genome."""

import logging
from collections.abc import Iterable, Sequence

import numpy as np

from maskwise.dna.bases import REPEAT, UNKNOWN, decode, encode
from maskwise.dna.fasta import Genome
from maskwise.dna.places import Variant
from maskwise.dna.tokens import DNA, Pieces
from maskwise.errors import UserError
from maskwise.textio import few

log = logging.getLogger("maskwise")

SCORED = "scored"
CONTIG = "unknown contig"
TELOMERE = "telomere"
OUTSIDE = "outside its record"
SYMBOLIC = "symbolic allele"
NO_ALTERNATIVE = "no alternative"
NO_PLACE = "place of the insertion unclear"
NO_BASES = "not A, C, G or T"
NO_CHANGE = "no change"
TOO_LONG = "longer than the window"
UNKNOWN_BASE = "unknown base"
DISAGREES = "reference is "

# Beyond this share, of this many or more, it is not some variants that are wrong, but the genome.
MOST_DISAGREEING = 0.1
FEWEST_COMPARED = 50


def judge(dna: DNA, genome: Genome, variants: Sequence[Variant]) -> list[str]:
    """Return "scored" for variants that a model of `dna` can score, and why not for the others."""
    if isinstance(dna.kind, Pieces):
        what = "have no fixed bases, so that variants cannot be scored"
        raise UserError(f"tokens {dna.tokens} {what}: use a model of bases or k-mers")
    found = [genome.find(each.chrom) for each in variants]
    records = np.array([0 if each is None else each for each in found], dtype=np.int64)
    lengths = genome.lengths[records].tolist()
    status = [
        CONTIG if record is None else _of_place(each, length) or _of_alleles(dna, each, length)
        for record, each, length in zip(found, variants, lengths, strict=True)
    ]
    index = [place for place, found in enumerate(status) if found == SCORED]
    if not index:
        return status
    refs = [variants[place].ref.upper() for place in index]
    lengths = np.array([len(ref) for ref in refs])
    starts = np.array([variants[place].pos - 1 for place in index])
    inside = np.arange(lengths.max()) < lengths[:, None]
    there = genome.read(records[index], starts, int(lengths.max())) & (REPEAT - 1)
    wanted = np.zeros_like(there)
    wanted[inside] = encode("".join(refs))
    for row in np.nonzero(((there != wanted) & inside).any(1))[0]:
        bases = there[row, : lengths[row]]
        unknown = (bases >= UNKNOWN).any()
        status[index[row]] = UNKNOWN_BASE if unknown else DISAGREES + decode(bases)
    return status


def _of_place(variant: Variant, length: int) -> str:
    """Return what is wrong with the place of a variant in a record; "" = nothing."""
    if variant.pos in (0, length + 1):
        return TELOMERE
    return "" if 1 <= variant.pos <= length + 1 - len(variant.ref) else OUTSIDE


def _of_alleles(dna: DNA, variant: Variant, length: int) -> str:
    ref, alt = (text.upper() for text in (variant.ref, variant.alt))
    if alt.startswith("<") or alt == "*" or "[" in alt or "]" in alt:
        return SYMBOLIC
    if alt in (".", ""):
        return NO_ALTERNATIVE
    if ref == "-":
        return NO_PLACE
    alt = "" if alt == "-" else alt  # a deletion, without the base before it
    if not ref or not set(ref) | set(alt) <= set("ACGT"):
        return NO_BASES
    if ref == alt:
        return NO_CHANGE
    room = width_of(dna, length) if len(ref) == len(alt) else dna.window
    return SCORED if max(len(ref), len(alt)) <= room else TOO_LONG


def check_references(genome: Genome, judged: Iterable[tuple[Variant, str]]) -> None:
    """Warn of references that disagree with the genome; refuse more than one in ten of 50.

    Raises:
        UserError: these, or 50 variants or more of which none is on a contig of the genome.
    """
    first, num, compared = "", 0, 0
    rows, known, contigs = 0, 0, dict[str, None]()
    for variant, status in judged:
        rows += 1
        if status == CONTIG and len(contigs) < 4:
            contigs[variant.chrom] = None
        known += status != CONTIG
        disagrees = status.startswith(DISAGREES)
        compared += disagrees or status == SCORED
        num += disagrees
        if disagrees and not first:
            first = f"{variant.chrom}:{variant.pos} has {variant.ref}, the genome {status[13:]}"
    if rows >= FEWEST_COMPARED and not known:
        raise UserError(
            f"none of {rows:,} variants is on a contig of {genome.name}: they are on"
            f" {few(list(contigs))}, and it has {few(genome.names)}: give the FASTA of the"
            " assembly that the variants are of"
        )
    told = f"{num:,} of {compared:,} references disagree with the genome"
    if compared >= FEWEST_COMPARED and num > MOST_DISAGREEING * compared:
        what = "give the FASTA of the assembly that the variants are of"
        raise UserError(f"{told}, first {first}: {what}")
    if num:
        log.warning("%s and get no score; first %s", told, first)


def width_of(dna: DNA, length: int) -> int:
    """Return how many bases of a record of `length` a window holds: k-mers fill it.

    An odd number of single bases, so that both strands see the same around one in the middle.
    """
    width = min(dna.window, length)
    if dna.kind.k > 1:
        return width - width % dna.kind.k
    return width if width == length else width - (1 - width % 2)
