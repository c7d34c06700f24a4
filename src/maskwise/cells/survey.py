"""One pass over all cells: are these counts, how deep is each cell, how much does a gene vary."""

import hashlib
from dataclasses import dataclass

import numpy as np

from maskwise.cells.anndata_files import Annotated
from maskwise.errors import UserError
from maskwise.files import atomic, cached

_MOST = 30  # of a log1p of anything that is counted


@dataclass(frozen=True, eq=False)
class Survey:
    """What a pass over a data set found.

    Args:
        library: sum of each cell's values, float64 [N].
        sums: of each gene over the training cells, of its share in a cell's counts (of expm1 of
            values that were normalised), float64 [G].
        squares: the same of squares.
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
    from scipy import sparse

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
