"""Cells of which genes may be missing, as in panels, and what obs says of them."""

import logging
from collections.abc import Sequence

import numpy as np

from maskwise.cells.anndata_files import Annotated, read_column, unknown
from maskwise.cells.cells import Cells
from maskwise.cells.data import CellsDataSettings, held_out, open_sets
from maskwise.cells.genes import some
from maskwise.cells.others import EMPTY, align
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import TabularRunSettings
from maskwise.errors import UserError
from maskwise.modality import Given, Incomplete, Known, Labelled

log = logging.getLogger("maskwise")

INFINITE = "a value that is infinite"


def incomplete(model: TabularModel, given: Given, config: TabularRunSettings) -> Incomplete:
    """Return all cells; genes that are not among theirs, and values that are NaN, are missing.

    How deeply a cell was sequenced is told by what is visible of it.

    Args:
        model: of cells.
        given: AnnData; None: the source that the settings name.
        config: says how to read them.

    Raises:
        UserError: cells that cannot be read, or that have no gene that the model knows.
    """
    known, data = _known(model, given, config)
    found = align(_cells(given, data), known, data, some, "hide")
    sizes = [each.num_matched for each in found.matchings]
    if 2 * min(sizes) < len(known.genes) and known.counts and not known.profile:
        log.warning(
            "the model does not know which share of a cell its genes are, so that %d of them are"
            " taken for all: train it again",
            min(sizes),
        )
    sets = open_sets(_cells(given, data), data)
    broken = {}
    for row in found.empty.tolist():
        if np.isinf(_stored(sets, row)).any():
            broken[row] = INFINITE
        elif not found.rows.get([row])[:, : len(known.genes)].isnan().all():
            broken[row] = EMPTY
    if len(broken) == len(found.rows):
        raise UserError(f"none of {len(broken):,} cells has a count: {broken[0]}")
    kept = np.setdiff1d(np.arange(len(found.rows)), list(broken))
    normalised = known.loss == "mse" and known.counts and len(known.profile) > 0
    labels, classes = None, None
    if data.labels and all(data.labels in each.columns for each in sets):
        column = read_column(sets, data.labels, "labels")
        labels, classes = column.codes[kept], column.names
    return Incomplete(
        *(found.rows.some(kept), None, None, labels, classes, found.names(), broken),
        known.shown if normalised else None,
    )


def labelled(
    model: TabularModel, given: Given, config: TabularRunSettings, column: str | None, known: Known
) -> Labelled:
    """Return all cells, and what a column of obs says of each.

    Which are held out follows from the settings, as for training.

    Args:
        model: of cells.
        given: AnnData; None: the source that the settings name.
        config: says how to read them.
        column: of obs; None: that of labels.
        known: whether labels are given apart.

    Raises:
        UserError: there is no such column, or the cells cannot be read.
    """
    found = incomplete(model, given, config)
    _, data = _known(model, given, config)
    sets = open_sets(_cells(given, data), data)
    column = column or (None if known == "apart" else data.labels)
    num, group = sum(len(each.matrix) for each in sets), None
    if data.group is not None:
        group = read_column(sets, data.group, "group").codes
    held = held_out(num, data.holdout, group)[found.kept]
    values = None if column is None else _values(sets, column, data)[found.kept]
    return Labelled(found, values, held)


def _stored(sets: Sequence[Annotated], row: int) -> np.ndarray:
    """Return the values that are stored of a cell."""
    for each in sets:
        if row < len(each.matrix):
            return each.matrix.read(np.array([row]))[2]
        row -= len(each.matrix)
    raise IndexError(row)


def _values(sets: Sequence[Annotated], name: str, data: CellsDataSettings) -> np.ndarray:
    """Return a column of obs, objects [N]."""
    if name in ("file", data.labels):
        column = read_column(sets, name, "labels")
        return np.array([*column.names, None], dtype=object)[column.codes]
    for each in sets:
        if name not in each.columns:
            raise unknown(f"{each.name}: obs has no column '{name}'", name, each.columns, "labels")
    import pandas as pd

    parts = [pd.Series(each.column(name)).astype(object) for each in sets]
    return pd.concat(parts, ignore_index=True).to_numpy()


def _known(
    model: TabularModel, given: Given, config: TabularRunSettings
) -> tuple[Cells, CellsDataSettings]:
    assert isinstance(model.tokenizer, Cells)
    assert isinstance(config.data, CellsDataSettings)
    if given is None and config.data.source == "array":
        raise UserError("this run was given an AnnData: give it again, as data=")
    return model.tokenizer, config.data


def _cells(given: Given, data: CellsDataSettings) -> Given:
    return data.source if given is None else given
