"""A pass over all cells: whether values are what they are said to be, and sums of them."""

import hashlib
import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from maskwise.cells.anndata_files import Annotated
from maskwise.cells.cells import Held
from maskwise.errors import UserError, option
from maskwise.files import atomic, cached
from maskwise.textio import Broken, few

log = logging.getLogger("maskwise")

Policy = Broken | Literal["hide"]
"""what is done about values that are no numbers; `hide`: NaN counts as not measured"""
_MOST = 30  # of a log1p of anything that is counted
_SPAN = 2.0  # whole numbers so far apart in one cell are no logarithms that happen to be whole
_FEW = 0.01  # share of the cells
_ALIKE = 0.9  # the least sum of a cell over the largest, where they were made alike


@dataclass(frozen=True, eq=False)
class Survey:
    """What a pass over a data set found."""

    library: np.ndarray
    """the sum of each cell's values, float64 [N]; NaN of cells with one that is no number"""
    sums: np.ndarray
    """of each gene's share in the counts of a training cell, or of expm1 of what is normalised"""
    squares: np.ndarray
    """sums of the squares of these, float64 [G]"""
    largest: float = np.nan
    """the largest value, where they could be logarithms that are taken for something else"""

    def tell(self, cells: Annotated) -> None:
        """Log what of this is to be known, each time that cells are used."""
        broken = np.flatnonzero(np.isnan(self.library))
        if len(broken):
            names = [_named(cells, row) for row in broken[:4].tolist()]
            what = "%s: %d cells with values that are NaN or infinite left out: %s"
            log.warning(what, cells.genes.where, len(broken), few(names))
        if not np.isnan(self.largest):
            log.warning(
                "%s: %s has no value above %.3g: if these are logarithms already, give %s and no"
                " %s",
                *(cells.genes.where, cells.layer, self.largest),
                *(option("data.values", "normalised"), option("data.normalised")),
            )


def survey(
    cells: Annotated,
    train: np.ndarray,
    held: Held,
    asked_by: str | None = None,
    broken: Policy = "stop",
) -> Survey:
    """Look through all cells; of a file only the first time, what was found is cached.

    Sums are over the training cells, bool [N]. Values must be what they are said to be; who wants
    that is `asked_by`, if it is not for the settings to say. Cells with values that are NaN or
    infinite stop the survey, or have no sum; those that are NaN may also count for nothing.

    Raises:
        UserError: a value is NaN, infinite, negative or no count: which, where, what to do; or
            values that should be normalised are whole numbers.
    """
    digest = hashlib.sha256(train.tobytes()).hexdigest()
    if cells.stamp is None:
        key = (held, digest + broken)
        if key not in cells.surveys:
            cells.surveys[key] = _look(cells, train, held, asked_by, broken)
        found = cells.surveys[key]
        assert isinstance(found, Survey)
        return found
    path = cached("surveys", [4, cells.stamp, cells.layer, held, digest, broken]).with_suffix(
        ".npy"
    )
    if not path.is_file():
        found = _look(cells, train, held, asked_by, broken)
        largest = np.array([found.largest])
        whole = np.concatenate([largest, found.library, found.sums, found.squares])
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.save(file, whole)
        return found
    num = len(cells.matrix)
    try:
        values = np.load(path, allow_pickle=False)
        library, sums, squares = np.split(values[1:], [num, num + cells.matrix.num_columns])
        return Survey(library, sums, squares, float(values[0]))
    except (OSError, ValueError):
        raise UserError(f"{path} is damaged: delete it") from None


def _look(
    cells: Annotated, train: np.ndarray, held: Held, asked_by: str | None, broken: Policy
) -> Survey:
    num_genes = cells.matrix.num_columns
    library = np.zeros(len(cells.matrix))
    sums, squares = np.zeros((2, num_genes))
    whole, most, left_out = np.zeros((len(library), 2), dtype=bool), 0.0, list[int]()
    for rows in cells.matrix.blocks():
        sizes, columns, values = cells.matrix.read(rows)
        if broken == "hide":
            values[np.isnan(values)] = 0
        if broken != "stop" and not np.isfinite(values).all():
            left_out += _without_broken(rows, sizes, values)
        good = (values >= 0) & (values < np.inf)
        if held in ("counts", "normalised"):
            good &= values == np.rint(values) if held == "counts" else values < _MOST
        if not good.all():
            place = int(good.argmin())
            row = int(rows[np.repeat(np.arange(len(rows)), sizes)[place]])
            where = f"{_named(cells, row)}, gene {cells.genes.names[columns[place]]}"
            value = float(values[place])
            mended = {} if np.isfinite(value) or asked_by else {"data.broken": "skip"}
            raise UserError(_explain(cells, value, where, held, asked_by), mended)
        most = max(most, float(values.max(initial=0)))
        if held != "counts":
            whole[rows] = _whole(sizes, values)
        ends = np.append(0, sizes.cumsum())
        block = sparse.csr_matrix(
            (values.astype(np.float64), columns, ends), shape=(len(rows), num_genes)
        )
        total = library[rows] = block @ np.ones(num_genes)
        weight = train[rows].astype(np.float64)
        if held in ("counts", "fractional"):
            weight /= np.where(total > 0, total, 1)
        elif held == "normalised":
            np.expm1(block.data, out=block.data)
        sums += weight @ block
        block.data *= block.data
        squares += weight**2 @ block
    if held == "linear":  # of which some cells may be whole, and all whose sums are the same
        whole[:, 1] = False
    if held == "normalised" or (held == "linear" and not alike(library)):
        _refuse_counts(cells, whole, library > 0, asked_by)
    doubtful = held in ("fractional", "linear") and most < _MOST and not whole[:, 0].all()
    library[left_out] = np.nan
    return Survey(library, sums, squares, most if doubtful else np.nan)


def _without_broken(rows: np.ndarray, sizes: np.ndarray, values: np.ndarray) -> list[int]:
    """Set all values of rows with one that is NaN or infinite to 0; return the rows' numbers."""
    owners = np.repeat(rows, sizes)
    found = np.unique(owners[~np.isfinite(values)])
    values[np.isin(owners, found)] = 0
    return found.tolist()


def _named(cells: Annotated, row: int) -> str:
    return f"cell {cells.cells()[row]} (row {row + 1})"


def alike(library: np.ndarray) -> bool:
    """Return whether cells have the same sum, but for a few genes that were left out."""
    some = library[library > 0]
    return len(some) > 1 and bool(some.min() >= _ALIKE * some.max())


def _whole(sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return of cells, bool [b, 2], whether all values are whole numbers, and some far apart."""
    found = np.zeros((len(sizes), 2), dtype=bool)
    rows = np.flatnonzero(sizes)
    if len(rows):
        starts = (sizes.cumsum() - sizes)[rows]
        found[rows, 0] = np.logical_and.reduceat(values == np.rint(values), starts)
        largest, least = (of.reduceat(values, starts) for of in (np.maximum, np.minimum))
        found[rows, 1] = found[rows, 0] & (largest >= least + _SPAN)
    return found


def _refuse_counts(
    cells: Annotated, whole: np.ndarray, some: np.ndarray, asked_by: str | None
) -> None:
    """Refuse whole numbers, [N, 2] of `_whole`, where logarithms should be; `some` has values."""
    every, telling = whole.T & some
    found = every if every.sum() == some.sum() else telling
    if found.sum() <= _FEW * some.sum():
        return
    rows = np.flatnonzero(found)
    way = f"leave out {option('data.values', 'normalised')}, or {option('data.normalised')}"
    if asked_by:
        way = (
            f"{asked_by} wants normalised values: normalise them as those it learned from, or"
            f" name the layer that has them: {option('data.layer')}"
        )
    first = _named(cells, int(rows[0]))
    raise UserError(
        f"{cells.genes.where}: {cells.layer} seems to hold counts: {len(rows):,} of"
        f" {some.sum():,} cells have whole numbers only (the first is {first}); {way}"
    )


def _explain(cells: Annotated, value: float, where: str, held: Held, asked_by: str | None) -> str:
    found = f"{cells.genes.where}: {cells.layer} has {value:g} in {where}"
    if not np.isfinite(value):
        skip = f", or leave out such cells by {option('data.broken', 'skip')}"
        way = "" if asked_by else skip
        return f"{found}: leave that cell or gene out, or give it a value{way}"
    known, layer = cells.with_counts(), option("data.layer")
    counts = " or ".join(option("data.layer", name) for name in known)
    ways = f"counts are in {counts}" if known else "no layer has counts"
    normalised = option("data.values", "normalised")
    if value < 0:
        return (
            f"{found}: neither counts nor log-normalised, whose 0 means not detected, but scaled:"
            f" {ways}; log-normalised values, of raw or a layer, need {layer} and {normalised}"
        )
    if held == "normalised":
        way = f"{asked_by} wants that" if asked_by else f"leave out {normalised}"
        other = f"{option('data.values', 'auto')} and {option('data.normalised', 'true')}"
        return f"{found}: no log1p of anything; {way}; {other} take the log1p of what has none yet"
    way = f"log1p-normalised values need {normalised}, " if value < _MOST else ""
    if asked_by:
        way = f"{asked_by} wants them; "
    way += f"estimated counts {option('data.values', 'fractional')},"
    way += f" TPM or CPM {option('data.normalised', 'true')}"
    return f"{found}: no count; {ways}; {way}"
