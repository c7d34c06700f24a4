"""Scores of insertions and deletions: the ratio of two pseudo-likelihoods."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskwise.dna.bases import REPEAT, UNKNOWN, encode, reverse_complement
from maskwise.dna.fasta import Genome
from maskwise.dna.places import Variant
from maskwise.dna.tokens import DNA
from maskwise.measure.features import frozen
from maskwise.tokens.model import LanguageModel

FLANK = 16  # bases on each side whose probability an insertion or deletion may change


class Edit(NamedTuple):
    """A stretch of a record, from `start` on, and what stands there instead; codes of bases."""

    record: int
    start: int
    ref: np.ndarray
    alt: np.ndarray

    @property
    def longer(self) -> int:
        """How many bases more the alternative has."""
        return len(self.alt) - len(self.ref)


class Row(NamedTuple):
    """What is asked of a model: of which allele, strand and variant; and a window, uint8 [W]."""

    allele: int
    strand: int
    variant: int
    codes: np.ndarray
    scored: np.ndarray
    """which of its bases count, bool [W]"""


def score_indels(
    model: LanguageModel[DNA], genome: Genome, variants: Sequence[Variant], batch_size: int = 256
) -> tuple[np.ndarray, list[bool]]:
    r"""Score insertions, deletions and what replaces bases by more or fewer, on both strands.

    .. math:: s = \sum_{i \in A} \log p(a_i \mid a_{-i}) - \sum_{i \in R} \log p(r_i \mid r_{-i}),

    where r is a window of the reference and a that of the alternative, with the same bases around
    the change; each base of R, or A, is hidden by itself. These are the stretch that changes and
    16 bases on each side of it, or the k-mers that hold one of them; unknown bases do not count.
    The stretch is all over which the change can be moved without another result, so that its
    score does not depend on how it is written. The longer window has the size of the model's, or
    that of the record.

    Args:
        model: of bases or k-mers.
        genome: of the variants, which agrees with them.
        variants: of two alleles of different lengths; "-" is none.
        batch_size: half of the masked inputs in one call.

    Returns:
        Scores on both strands, float64 [2, N], NaN where a k-mer that counts is unknown; and
        whether the change fits in a window.

    Source: the ratio of pseudo-likelihoods of Brandes et al., Nature Genetics 55 (2023), who take
    it over whole proteins.
    """
    groups: dict[int, list[Row]] = defaultdict(list)
    fits = []
    for number, variant in enumerate(variants):
        rows = _rows(model.tokenizer, genome, variant, number)
        fits.append(bool(rows))
        for row in rows:
            groups[len(row.codes)].append(row)
    found = np.full((2, 2, len(variants)), np.nan)
    with frozen(model):
        for group in groups.values():
            at = tuple(np.array([row[:3] for row in group]).T)
            found[at] = _pseudo_likelihoods(model, group, 2 * batch_size)
    return found[1] - found[0], fits


def edit_of(variant: Variant, genome: Genome, room: int) -> Edit:
    """Return what a variant changes, with all bases over which it can be moved.

    Args:
        variant: of two alleles, "-" is none.
        genome: what it is in.
        room: how far it is moved at most.

    >>> from maskwise.dna.fasta import genome_of
    >>> genome = genome_of(["CAAAG"], ["r"])
    >>> edit = edit_of(Variant("r", 1, "CA", "C"), genome, room=9)  # one of three A
    >>> edit.start, edit.ref.tolist(), edit.alt.tolist()
    (1, [0, 0, 0], [0, 0])
    """
    record, start = genome.record(variant.chrom), variant.pos - 1
    ref, alt = (
        encode(each.replace("-", "").upper()).tolist() for each in (variant.ref, variant.alt)
    )
    while ref and alt and ref[-1] == alt[-1]:
        ref.pop()
        alt.pop()
    while ref and alt and ref[0] == alt[0]:
        del ref[0], alt[0]
        start += 1
    before, behind = list[int](), list[int]()
    if not ref or not alt:
        piece, at = ref or alt, np.array([start - room, start + len(ref)])
        near = (genome.read(np.array([record] * 2), at, room) & (REPEAT - 1)).tolist()
        num = len(piece)
        while len(before) < room and near[0][-1 - len(before)] == piece[-1 - len(before) % num]:
            before.append(near[0][-1 - len(before)])
        while len(behind) < room and near[1][len(behind)] == piece[len(behind) % num]:
            behind.append(near[1][len(behind)])
    whole = ([*before[::-1], *part, *behind] for part in (ref, alt))
    old, new = (np.array(each, dtype=np.uint8) for each in whole)
    return Edit(record, start - len(before), old, new)


def _rows(dna: DNA, genome: Genome, variant: Variant, number: int) -> list[Row]:
    """Return what is asked of a variant, both alleles on both strands; nothing if too long."""
    edit = edit_of(variant, genome, dna.window)
    length = int(genome.lengths[edit.record])
    width = min(dna.window - max(edit.longer, 0), length)
    margin = width - len(edit.ref)
    if margin < 1 or min(width, width + edit.longer) < dna.kind.k:
        return []
    rows = []
    # As much before the change as behind it, when read in the direction of the strand.
    for strand, ahead in enumerate((margin // 2, (margin + 1) // 2)):
        begin = min(max(edit.start - ahead, 0), length - width)
        [codes] = genome.read(np.array([edit.record]), np.array([begin]), width)
        low = edit.start - begin
        high = low + len(edit.ref)
        other = np.concatenate([codes[:low], edit.alt, codes[high:]])
        for allele, window in enumerate((codes, other)):
            last = high + allele * edit.longer
            scored = np.zeros(len(window), dtype=bool)
            scored[max(low - FLANK, 0) : last + FLANK] = True
            if strand:
                window, scored = reverse_complement(window), scored[::-1]
            rows.append(Row(allele, strand, number, window, scored))
    return rows


def _pseudo_likelihoods(
    model: LanguageModel[DNA], rows: Sequence[Row], batch_size: int
) -> np.ndarray:
    """Return sums of log p(token | all others) over what counts in windows of one width, [n]."""
    dna = model.tokenizer
    codes = torch.from_numpy(np.stack([row.codes for row in rows]))
    ids, counted = dna.ids(codes), _tokens_of(dna, np.stack([row.scored for row in rows]))
    known = dna.eligible(ids)
    sums = torch.zeros(len(rows), dtype=torch.float64)
    owners, places = (counted & known).nonzero(as_tuple=True)
    for owner, place in zip(owners.split(batch_size), places.split(batch_size), strict=True):
        some = ids[owner]
        hidden = torch.zeros_like(some, dtype=torch.bool).scatter(1, place[:, None], True)
        for predicted, wanted in model.predictions(some, hidden, some):
            values = predicted.gather(1, wanted[:, None])[:, 0].cpu().double()
            sums.index_add_(0, owner[: len(values)], values)
            owner = owner[len(values) :]
    # K-mers with an unknown base are others in the two windows; bases are the same.
    unknown = (counted & ~known).any(1) if dna.kind.k > 1 else torch.zeros(len(rows)).bool()
    return sums.masked_fill(unknown, torch.nan).numpy()


def _tokens_of(dna: DNA, bases: np.ndarray) -> Tensor:
    """Return which tokens hold one of some bases, bool [n, L], of bool [n, W]."""
    blank = np.zeros(bases.shape, dtype=np.uint8)
    marked = np.where(bases, np.uint8(UNKNOWN), blank)
    return dna.ids(torch.from_numpy(blank)) != dna.ids(torch.from_numpy(marked))
