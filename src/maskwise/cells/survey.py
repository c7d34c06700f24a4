"""One pass over all cells: are these counts, how deep is each cell, how much does a gene vary."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from maskwise.cells.anndata_files import Annotated
from maskwise.cells.genes import Vocabulary
from maskwise.errors import UserError
from maskwise.files import atomic, cached
from maskwise.ties import descending

_BINS = 20  # of expression
# Levels and dispersions are logarithms: those no further apart than this differ by rounding.
_ALIKE = 1e-9
_MOST = 30  # of a log1p of anything that is counted


@dataclass(frozen=True, eq=False)
class Survey:
    """What a pass over a data set found.

    `library` is the sum of each cell's values, float64 [N]; the others are sums over the training
    cells of each gene's share in a cell's counts (of expm1 of values that were normalised), and of
    its square, float64 [G].
    """

    library: np.ndarray
    sums: np.ndarray
    squares: np.ndarray


def survey(
    cells: Annotated, train: np.ndarray, counts: bool, asked_by: str | None = None
) -> Survey:
    """Look through all cells; of a file only the first time, what was found is cached.

    Args:
        cells: the data set.
        train: which cells the sums are over, bool [N].
        counts: whether values must be counts; else they must be normalised.
        asked_by: who wants that, if it is not for the settings to say.

    Raises:
        UserError: a value is NaN, infinite, negative or no count: which, where, what to do.
    """
    if cells.stamp is None:
        return _look(cells, train, counts, asked_by)
    digest = hashlib.sha256(train.tobytes()).hexdigest()
    path = cached("surveys", [1, cells.stamp, cells.layer, counts, digest]).with_suffix(".npy")
    if not path.is_file():
        found = _look(cells, train, counts, asked_by)
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.concatenate([found.library, found.sums, found.squares]))
        return found
    num_cells, num_genes = len(cells.matrix), cells.matrix.num_columns
    try:
        parts = np.split(np.load(path, allow_pickle=False), [num_cells, num_cells + num_genes])
    except (OSError, ValueError):
        raise UserError(f"{path} is damaged: delete it") from None
    return Survey(*parts)


def _look(cells: Annotated, train: np.ndarray, counts: bool, asked_by: str | None) -> Survey:
    num_genes = cells.matrix.num_columns
    library = np.zeros(len(cells.matrix))
    sums, squares = np.zeros((2, num_genes))
    for rows in cells.matrix.blocks():
        sizes, columns, values = cells.matrix.read(rows)
        good = (values >= 0) & (values < np.inf)
        good &= values == np.rint(values) if counts else values < _MOST
        if not good.all():
            place = int(good.argmin())
            row = rows[np.repeat(np.arange(len(rows)), sizes)[place]]
            where = f"row {row}, gene {cells.genes.names[columns[place]]}"
            raise UserError(_explain(cells, float(values[place]), where, counts, asked_by))
        ends = np.append(0, sizes.cumsum())
        block = sparse.csr_matrix(
            (values.astype(np.float64), columns, ends), shape=(len(rows), num_genes)
        )
        total = library[rows] = block @ np.ones(num_genes)
        weight = train[rows].astype(np.float64)
        if counts:
            weight /= np.maximum(total, 1)
        else:
            np.expm1(block.data, out=block.data)
        sums += weight @ block
        block.data *= block.data
        squares += weight**2 @ block
    return Survey(library, sums, squares)


def _explain(
    cells: Annotated, value: float, where: str, counts: bool, asked_by: str | None
) -> str:
    found = f"{cells.genes.where}: {cells.layer} has {value:g} in {where}"
    if not np.isfinite(value):
        return f"{found}: leave that cell or gene out, or give it a value"
    known = cells.with_counts()
    ways = f"counts are in --data.layer {' or '.join(known)}" if known else "no layer has counts"
    if value < 0:
        return (
            f"{found}: neither counts nor log-normalised, whose 0 means not detected, but scaled:"
            f" {ways}; log-normalised values, of raw or a layer, need --data.layer and"
            " --data.values normalised"
        )
    if not counts:
        way = f"{asked_by} wants that" if asked_by else "leave out --data.values normalised"
        return f"{found}: no log1p of anything; {way}"
    way = (
        f"{asked_by} wants them"
        if asked_by
        else "log1p-normalised values need --data.values normalised"
    )
    return f"{found}: no count; {ways}; {way}"


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and unbiased variance of each gene over the training cells of the data sets with it."""

    mean: np.ndarray
    variance: np.ndarray
    num: np.ndarray


def moments(
    genes: Vocabulary, surveys: Sequence[Survey], num_train: Sequence[int], scale: float
) -> Moments:
    """Put the surveys of data sets together.

    Each trains on `num_train` cells that are not empty; `scale` is a library size.

    Raises:
        UserError: no gene varies.
    """
    sums, squares, num = np.zeros((3, len(genes.names)))
    for each, matching, count in zip(surveys, genes.matchings, num_train, strict=True):
        has = matching.columns >= 0
        sums[has] += each.sums[matching.columns[has]]
        squares[has] += each.squares[matching.columns[has]]
        num[has] += count
    mean = sums / np.maximum(num, 1)
    variance = np.maximum(squares - num * mean**2, 0) / np.maximum(num - 1, 1)
    variance[variance <= 1e-12 * mean**2] = 0  # what rounding leaves of a constant
    if not variance.any():
        raise UserError("all genes are constant in the cells to train on: nothing can be learned")
    return Moments(mean * scale, variance * scale**2, num)


def variable_genes(genes: Vocabulary, found: Moments, num: int) -> np.ndarray:
    """Return the highly variable ones of the genes that all data sets have, int64 [n]."""
    shared = np.flatnonzero(np.all([each.columns >= 0 for each in genes.matchings], axis=0))
    scores = normalised_dispersions(found.mean[shared], found.variance[shared])
    return shared[most_variable(scores, num)]


def normalised_dispersions(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return how much each gene varies, in standard deviations of genes that are as expressed.

    d = log(variance / mean) of expression before the logarithm; genes are put in 20 bins of equal
    width by log(1 + mean), and d is standardised within its bin (by its own size, where a gene is
    alone): Satija et al., "Spatial reconstruction of single-cell gene expression data", Nature
    Biotechnology 2015, as scanpy's flavour "seurat" has it.

    Means and unbiased variances are [G]; so is what is returned, NaN for genes that do not vary.

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
