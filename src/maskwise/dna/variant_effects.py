"""Scores of variants against measured effects, beside predictors that know no sequence."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskwise.dna.bases import NUM_BASES, REPEAT, C, G
from maskwise.dna.fasta import Genome
from maskwise.dna.places import Variant
from maskwise.errors import UserError
from maskwise.measure.bootstrap import ends

MEAN = "mean of groups"
FEWEST = 10
LARGE = 0.75  # effects beyond this quantile of their sizes are large

_CELLS = 1 << 21  # resampled values held at once: 16 MiB of float64
_PURINES, _GC = frozenset("AG"), frozenset("GC")


def baselines(genome: Genome, variants: Sequence[Variant], window: int) -> dict[str, np.ndarray]:
    """Return what predicts the effect of substitutions without a model, float64 [N] each.

    - "transversions": minus the number of bases that change between purine and pyrimidine;
    - "change of GC": bases that become G or C, less those that cease to be;
    - "GC content": the share of G and C in the window around the variant.

    Args:
        genome: the reference.
        variants: substitutions of equal length.
        window: bases around a variant, as the model sees.
    """
    pairs = [(each.ref.upper(), each.alt.upper()) for each in variants]
    crossed = [
        -sum((a in _PURINES) != (b in _PURINES) for a, b in zip(*pair, strict=True))
        for pair in pairs
    ]
    change = [sum((b in _GC) - (a in _GC) for a, b in zip(*pair, strict=True)) for pair in pairs]
    records = np.array([genome.record(each.chrom) for each in variants], dtype=np.int64)
    starts = np.array([each.pos - 1 - window // 2 for each in variants], dtype=np.int64)
    bases = genome.read(records, starts, window) & (REPEAT - 1)
    num = (bases < NUM_BASES).sum(1)
    return {
        "transversions": np.array(crossed, dtype=np.float64),
        "change of GC": np.array(change, dtype=np.float64),
        "GC content": ((bases == C) | (bases == G)).sum(1) / num.clip(min=1),
    }


def variant_effects(
    predictors: Mapping[str, np.ndarray],
    effects: np.ndarray,
    places: np.ndarray,
    groups: Sequence[str] | None = None,
    num: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compare predictors with measured effects, in each group and over groups.

    - Spearman's correlation of predictor and effect, both with their sign; 0 where either is
      constant.
    - AUROC of the predictor's size for the quarter of the group's variants with the largest
      effects, whatever their sign; ties count one half. It asks for no significance, which
      depends on how deeply an effect was measured.

    Intervals are percentile bootstraps of the places of a group, because alternatives of one base
    share most of their effect; equal data and seeds resample the same places, whatever the
    predictor. The mean of groups has the mean of their resamples: other groups may differ more.

    Args:
        predictors: values by name, float [N] each, without NaN.
        effects: measured effects, float [N]; those that are NaN are left out.
        places: which place each variant changes, [N]; alternatives of one place are equal.
        groups: the group of each variant, such as the element; groups of fewer than 10 variants
            are left out. Default: one group.
        num: resamples.
        seed: of the resampling.

    Returns:
        Rows with "group", "predictor", "num", and "spearman" and "auroc", each also with "_low"
        and "_high"; those of the mean of groups first, if there are groups.

    Raises:
        UserError: fewer than 10 measured variants in every group.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    >>> x = np.arange(40.0)
    >>> [row] = variant_effects({"x": x}, x**3, places=x, num=10)
    >>> row["spearman"], row["auroc"]
    (1.0, 1.0)
    """
    labels = np.array(["all"] * len(effects) if groups is None else list(groups))
    measured = np.isfinite(effects)
    rows, parts, sizes = [], [], []
    for place, group in enumerate(np.unique(labels[measured])):
        [index] = np.nonzero(measured & (labels == group))
        if len(index) < FEWEST:
            continue
        values = np.stack([np.asarray(each, np.float64)[index] for each in predictors.values()])
        found = _resampled(values, effects[index], places[index], num, [seed, place])
        parts.append(found)
        sizes.append(len(index))
        rows += _rows(str(group), predictors, len(index), found)
    if not rows:
        raise UserError(f"fewer than {FEWEST} scored variants of a group have a measured effect")
    if groups is None:
        return rows
    return _rows(MEAN, predictors, sum(sizes), np.mean(parts, axis=0)) + rows


def _rows(
    group: str, predictors: Mapping[str, np.ndarray], num: int, found: np.ndarray
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(predictors):
        rows.append({"group": group, "predictor": name, "num": num})
        for what, values in zip(("spearman", "auroc"), found[:, place], strict=True):
            low, high = ends(values[1:])
            rows[-1] |= {what: float(values[0]), f"{what}_low": low, f"{what}_high": high}
    return rows


def _resampled(
    values: np.ndarray, effects: np.ndarray, places: np.ndarray, num: int, seed: Sequence[int]
) -> np.ndarray:
    """Return both statistics of predictors [P, n], of the sample and then of resamples.

    Returns:
        Spearman's correlation and AUROC, float64 [2, P, 1 + num].
    """
    rng = np.random.default_rng(seed)
    _, place = np.unique(places, return_inverse=True)
    num_places = int(place.max()) + 1
    share = np.full(num_places, 1 / num_places)
    sizes = np.abs(effects)
    # Where many effects are equal, all of those at the border, but never all there are.
    large = (sizes >= np.quantile(sizes, LARGE)) & (sizes > sizes.min())
    found = [_statistics(values, effects, large, np.ones((1, len(effects))))]
    rows = max(_CELLS // len(effects), 1)
    for start in range(0, num, rows):
        counts = rng.multinomial(num_places, share, size=min(rows, num - start))
        found.append(_statistics(values, effects, large, counts[:, place].astype(np.float64)))
    return np.concatenate(found, axis=2)


def _statistics(
    values: np.ndarray, effects: np.ndarray, large: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return both statistics of predictors [P, n] under weights [R, n], float64 [2, P, R]."""
    of_effects = _ranks(effects, weights)
    correlations = [_correlation(_ranks(each, weights), of_effects, weights) for each in values]
    areas = [_area(_ranks(np.abs(each), weights), large, weights) for each in values]
    return np.array([correlations, areas])


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the rank of each value where it is there `weights` times, ties halved, [R, n].

    >>> _ranks(np.array([5.0, 1.0, 5.0]), np.ones((1, 3))).tolist()
    [[2.0, 0.5, 2.0]]
    """
    _, which = np.unique(values, return_inverse=True)
    order = np.argsort(which, kind="stable")
    starts = np.searchsorted(which[order], np.arange(which.max() + 1))
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    return (tied.cumsum(1) - tied / 2)[:, which]


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(1, keepdims=True)
    x = x - (x * weights).sum(1, keepdims=True) / total
    y = y - (y * weights).sum(1, keepdims=True) / total
    spread = (weights * x**2).sum(1) * (weights * y**2).sum(1)
    # The mean of equal ranks may differ from them in rounding.
    flat = spread < 1e-9
    return np.where(flat, 0, (weights * x * y).sum(1) / np.sqrt(np.where(flat, 1, spread)))


def _area(ranks: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    of_positive = weights * positive
    num, num_others = of_positive.sum(1), (weights * ~positive).sum(1)
    above = (of_positive * ranks).sum(1) - num**2 / 2
    none = (num == 0) | (num_others == 0)
    return np.where(none, 0.5, above / np.where(none, 1, num * num_others))
