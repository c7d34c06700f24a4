"""Highly variable genes: those whose dispersion stands out among genes of like expression."""

import numpy as np

from maskwise.ties import descending

_BINS = 20
# Levels and dispersions are logarithms: those no further apart than this differ by rounding.
_ALIKE = 1e-9


def normalised_dispersions(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return how much each gene varies, in standard deviations of genes that are as expressed.

    d = log(variance / mean) of expression before the logarithm; genes are put in 20 bins of equal
    width by log(1 + mean), and d is standardised within its bin (by its own size, where a gene is
    alone): Satija et al., "Spatial reconstruction of single-cell gene expression data", Nature
    Biotechnology 2015, as scanpy's flavour "seurat" has it.

    Args:
        mean: of each gene, [G].
        variance: of each gene, unbiased, [G].

    Returns:
        float64 [G]; NaN for genes that do not vary.

    >>> normalised_dispersions(np.array([1.0, 1.0, 9.0]), np.array([1.0, 4.0, 0.0])).round(2)
    array([-0.71,  0.71,   nan])
    """
    mean = np.where(mean == 0, 1e-12, mean)
    varies = variance > 0
    d = np.log(np.where(varies, variance / mean, 1.0))
    level = np.log1p(mean)
    low, high = level.min(), level.max()
    edges = np.linspace(low, high, _BINS + 1)[1:-1]
    bins = (edges + _ALIKE).searchsorted(level, "left")  # an edge belongs to the bin below
    num, total = (np.bincount(bins[varies], w, _BINS) for w in (None, d[varies]))
    centre = total / np.maximum(num, 1)
    away = np.bincount(bins[varies], (d - centre[bins])[varies] ** 2, _BINS)
    spread = np.sqrt(away / np.maximum(num - 1, 1))
    alone = num == 1
    spread[alone], centre[alone] = centre[alone], 0.0
    alike = np.abs(spread) < _ALIKE
    scores = np.where(alike[bins], 0.0, (d - centre[bins]) / np.where(alike, 1.0, spread)[bins])
    return np.where(varies, scores, np.nan)


def most_variable(dispersions: np.ndarray, num: int) -> np.ndarray:
    """Return the `num` genes of the largest dispersions, in the order of the genes, int64 [n].

    Genes that do not vary are left out; of equals, the first ones are taken.

    >>> most_variable(np.array([0.5, np.nan, 2.0, 0.5]), 2)
    array([0, 2])
    """
    order = descending(dispersions)  # NaN last
    return np.sort(order[: min(num, int((~np.isnan(dispersions)).sum()))])
