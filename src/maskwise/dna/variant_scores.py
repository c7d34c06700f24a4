"""Scores of variants: how much more probable a model finds the alternative than the reference."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskwise.dna.bases import UNKNOWN, encode, reverse_complement
from maskwise.dna.fasta import Genome
from maskwise.dna.indels import score_indels
from maskwise.dna.places import Variant
from maskwise.dna.tokens import DNA
from maskwise.dna.variant_status import (
    SCORED,
    TOO_LONG,
    UNKNOWN_BASE,
    check_references,
    judge,
    width_of,
)
from maskwise.measure.features import frozen
from maskwise.tokens.model import LanguageModel

HIDDEN = "bases hidden together"
RATIO = "pseudo-likelihood ratio"


class Change(NamedTuple):
    """The bases that variants change: those at `places` from `start` on, which is from 0."""

    record: int
    start: int
    places: tuple[int, ...]


class Scores(NamedTuple):
    """Scores of variants in nats, float64 [N] each; NaN where there is none."""

    score: np.ndarray  # mean of both strands
    forward: np.ndarray
    reverse: np.ndarray
    status: list[str]  # "scored", or why not
    method: list[str]  # how; "" where there is no score


def score_variants(
    model: LanguageModel[DNA], genome: Genome, variants: Sequence[Variant], batch_size: int = 256
) -> Scores:
    r"""Score variants by what a model expects of their bases, on both strands.

    Substitutions, also of several bases, are scored with the bases that they change hidden,

    .. math:: s = \log p(\text{alt} \mid x_R) - \log p(\text{ref} \mid x_R),

    summed over the hidden tokens: the changed bases, or the k-mers that hold them. Insertions and
    deletions are scored by the ratio of two pseudo-likelihoods, see `indels.score_indels`. Each
    strand has its own window of the model's size around the change, as much before it as behind
    it in the direction of reading; windows at the ends of a record are shifted into it, and a
    shorter record is used whole.

    The model's device is used. Variants that follow each other in the genome share work;
    `batch_size` is the number of changes in one call, each of which is two masked inputs.

    Raises:
        UserError: a model of byte-pair pieces, or more than one in ten references, of 50 or more,
            that disagree with the genome. Fewer are counted in a warning.

    Source: Benegas, Batra and Song (2023), PNAS 120, e2311219120 (GPN).

    >>> from maskwise.dna.fasta import genome_of
    >>> from maskwise.dna.model import DNAModelSettings
    >>> from maskwise.modalities import build
    >>> genome = genome_of(["ACGTACGT"], names=["chr1"])
    >>> model = build(DNA(window=8), DNAModelSettings(width=8, depth=1), seed=0)
    >>> variants = [Variant("chr1", 3, "G", "T"), Variant("1", 3, "GT", "G")]
    >>> score_variants(model, genome, variants).method
    ['bases hidden together', 'pseudo-likelihood ratio']
    """
    status = judge(model.tokenizer, genome, variants)
    check_references(genome, zip(variants, status, strict=True))
    return score_judged(model, genome, variants, status, batch_size)


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
    method = [""] * len(variants)
    for place, variant in enumerate(variants):
        if status[place] != SCORED:
            continue
        if variant.alt == "-" or len(variant.ref) != len(variant.alt):
            method[place] = RATIO
            continue
        method[place] = HIDDEN
        change, bases = _change(variant, genome)
        width = width_of(model.tokenizer, int(genome.lengths[change.record]))
        found[width][change].append((place, bases))
    with frozen(model):
        for width, changes in found.items():
            kept = list(changes)
            for start in range(0, len(kept), batch_size):
                batch = kept[start : start + batch_size]
                owners = np.repeat(np.arange(len(batch)), [len(changes[each]) for each in batch])
                index, alts = zip(*(pair for each in batch for pair in changes[each]), strict=True)
                strands[:, index] = _score_batch(model, genome, width, batch, owners, alts)
        indels = [place for place, how in enumerate(method) if how == RATIO]
        ratios, fits = score_indels(
            model, genome, [variants[place] for place in indels], batch_size
        )
        strands[:, indels] = ratios
    without = np.isnan(strands).any(0)
    strands[:, without] = np.nan
    # Not the base that changes is unknown, but another one of its k-mer, or of its repeat.
    status = [
        UNKNOWN_BASE if none and each == SCORED else each
        for none, each in zip(without, status, strict=True)
    ]
    for place, fit in zip(indels, fits, strict=True):
        status[place] = status[place] if fit else TOO_LONG
    method = [how if each == SCORED else "" for how, each in zip(method, status, strict=True)]
    return Scores(strands.mean(0), strands[0], strands[1], status, method)


def _change(variant: Variant, genome: Genome) -> tuple[Change, str]:
    """Return what a variant changes, and the new bases."""
    pairs = list(zip(variant.ref.upper(), variant.alt.upper(), strict=True))
    places = [place for place, (ref, alt) in enumerate(pairs) if ref != alt]
    record, start = genome.record(variant.chrom), variant.pos - 1 + places[0]
    change = Change(record, start, tuple(place - places[0] for place in places))
    return change, "".join(pairs[place][1] for place in places)


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
