"""Other cells, all of them and in their order, as a model that knows some genes reads them."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskwise.cells.anndata_files import AnnData, Annotated, Genes, read_column
from maskwise.cells.cells import Cells, Held
from maskwise.cells.data import CellsDataSettings, held_by, open_sets, reader
from maskwise.cells.genes import Matching, enough
from maskwise.cells.matrix import CSR
from maskwise.cells.survey import Policy, survey
from maskwise.columns.tabular import TabularRows
from maskwise.errors import UserError, option, require
from maskwise.modality import Entries, Samples

log = logging.getLogger("maskwise")

EMPTY = "no counts"
NO_NUMBER = "a value that is NaN or infinite"


class Aligned(NamedTuple):
    """Cells as a model reads them."""

    rows: TabularRows
    matchings: tuple[Matching, ...]
    """of its genes, for each data set"""
    empty: np.ndarray
    """numbers of the cells without any count, or with a value that is no number, int64"""
    names: Callable[[], list[str]]
    """returns the names of all"""


class Filled(NamedTuple):
    """Those cells of a source that have a count, and numbers only."""

    source: str
    rows: np.ndarray
    """their numbers, int64"""


def align(
    cells: AnnData | str | Path,
    known: Cells,
    data: CellsDataSettings,
    find: Callable[[Sequence[str], Genes], Matching] = enough,
    broken: Policy = "skip",
) -> Aligned:
    """Return other cells, all and in their order, as a model that knows some genes reads them.

    Genes that they lack are NaN, batches that it does not know -1. Cells without a count are
    kept, and told.

    Args:
        cells: AnnData, or a source as in `CellsDataSettings`.
        known: what the model learned from.
        data: how to read them: layer, gene_ids, batch.
        find: finds the model's genes among theirs.
        broken: what is done about values that are no numbers.

    Raises:
        UserError: as for `load`, or fewer than half of the model's genes are there.
    """
    sets = open_sets(cells, data)
    matchings = tuple(find(known.genes, each.genes) for each in sets)
    libraries, held = [], _as_known(known, data)
    for each, matching in zip(sets, matchings, strict=True):
        log.info("%s", matching)
        none = np.zeros(len(each.matrix), dtype=bool)
        found = survey(each, none, held, "the model", broken)
        found.tell(each)
        libraries.append(found.library)
    library = np.concatenate(libraries)
    batches = _known_batches(sets, known, data) if known.batches else None
    read = reader(sets, matchings, library, held, known, batches)
    rows = TabularRows(read, np.arange(len(library)), batches=batches)
    return Aligned(rows, matchings, np.flatnonzero(~(library > 0)), lambda: names_of(sets))


def names_of(sets: Sequence[Annotated]) -> list[str]:
    """Return the names of all cells, with that of their data set where they are not unique."""
    names = [name for each in sets for name in each.cells()]
    if len(sets) == 1 or len(set(names)) == len(names):
        return names
    return [f"{each.name}:{name}" for each in sets for name in each.cells()]


def samples_of(data: CellsDataSettings) -> Samples:
    """Return the cells of a source that have a count, with the names of all.

    Raises:
        UserError: it cannot be read, or no cell has a count.
    """
    sets = open_sets(data.source, data)
    kinds = np.concatenate([_values_of(each.matrix) for each in sets])
    whats = {0: EMPTY, 2: NO_NUMBER}
    broken = {row: whats[kinds[row]] for row in np.flatnonzero(kinds != 1).tolist()}
    if len(broken) == len(kinds):
        raise UserError(f"{data.source}: none of {len(kinds):,} cells has a count")
    return Samples(Filled(data.source, np.flatnonzero(kinds == 1)), names_of(sets), broken)


def _values_of(matrix: CSR) -> np.ndarray:
    """Return whether each row has a value (1), none but 0 (0) or one that is no number (2)."""
    found = np.zeros(len(matrix), dtype=np.int8)
    for rows in matrix.blocks():
        sizes, _, values = matrix.read(rows)
        owners = np.repeat(rows, sizes)
        found[owners[values != 0]] = 1
        found[owners[~np.isfinite(values)]] = 2
    return found


def _as_known(known: Cells, data: CellsDataSettings) -> Held:
    """Return what other cells hold: what the settings say, or what the model learned from."""
    told = data.normalised or data.values != "auto"
    held = held_by(data) if told else known.held
    if not known.counts and held in ("counts", "fractional"):
        raise UserError(
            f"the model wants normalised values, and {option('data.values', held)} are none:"
            " normalise them as those that it learned from"
        )
    if known.counts and held == "linear" and known.loss == "mse":
        return "fractional"  # whose depth is another in all cells alike
    if known.counts and held == "linear":
        no = option("data.normalised")
        raise UserError(f"the model has loss {known.loss}, of counts: no {no}")
    return "counts" if known.counts and held == "normalised" else held


def _known_batches(sets: Sequence[Annotated], known: Cells, data: CellsDataSettings) -> np.ndarray:
    if data.batch is None:
        log.warning("the batches of the cells are not known: give %s", option("data.batch"))
        return np.full(sum(len(each.matrix) for each in sets), -1)
    column = read_column(sets, data.batch, "batch").numbered(known.batches)
    if unseen := int((column.codes < 0).sum()):
        log.warning("%d cells are of batches that the model does not know", unseen)
    return column.codes


def example() -> tuple[AnnData, Entries]:
    """Return counts of 60 made-up cells, some of a type that has more of some genes."""
    anndata = require("anndata", "cells to try an encoder on", "cells")
    rng = np.random.default_rng(0)
    rates = rng.gamma(1.0, 2.0, (2, 20))[np.arange(60) % 2]
    cells: AnnData = anndata.AnnData(rng.poisson(rates).astype(np.float32))
    cells.var_names = [f"GENE{number}" for number in range(20)]
    return cells, {}
