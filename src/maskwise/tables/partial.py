"""Rows of a table of which values may be missing, and what one column says of them."""

from collections.abc import Sequence

import numpy as np

from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import TabularRunSettings, rows_of
from maskwise.errors import UserError
from maskwise.modality import Given, Incomplete, Known, Labelled
from maskwise.predict.targets import targets
from maskwise.tables.data import TableDataSettings, parts_of, read_samples
from maskwise.tables.frames import Columns, columns_of, no_column
from maskwise.tables.table import Table, num_rows


def incomplete(model: TabularModel, given: Given, config: TabularRunSettings) -> Incomplete:
    """Return all rows of a table; what is NaN, empty or a column that lacks is missing.

    Args:
        model: of a table.
        given: a table in memory; None: the source that the settings name.
        config: says how to read it.

    Raises:
        UserError: a table that cannot be read, or has no column that the model knows.
    """
    assert isinstance(config.data, TableDataSettings)
    columns, labels, names = _read(model, given, config.data)
    found = columns.get(config.data.labels or "", labels)
    samples = _encode(model, given, columns)
    if found is None:
        return Incomplete(rows_of(samples), names=names)
    try:
        known = targets(found, "classes")
    except UserError:  # they are numbers
        return Incomplete(rows_of(samples), names=names)
    return Incomplete(rows_of(samples), None, None, known.y, known.classes, names)


def labelled(
    model: TabularModel, given: Given, config: TabularRunSettings, column: str | None, known: Known
) -> Labelled:
    """Return all rows of a table, and what a column says of each.

    Which are held out follows from the settings, as for training.

    Args:
        model: of a table; where the column is among its own, its values are hidden from it.
        given: a table in memory, or a pair of one and labels; None: the source of the settings.
        config: says how to read it.
        column: what is known; None: the column of labels, or what was given with the table.
        known: whether that is given apart, and no column asked for.

    Raises:
        UserError: there is no such column, or the table cannot be read.
    """
    assert isinstance(config.data, TableDataSettings)
    assert isinstance(model.tokenizer, Table)
    column = column or (None if known == "apart" else config.data.labels)
    columns, values, names = _read(model, given, config.data, column)
    if column is not None:
        if column not in columns:
            raise no_column(column, list(columns))
        values = columns[column]
    learned, _ = parts_of(columns, config.data)
    held = ~np.isin(np.arange(num_rows(columns)), learned)
    features = enumerate(model.tokenizer.features)
    own = [place for place, each in features if each.name.strip() == (column or "").strip()]
    found = Incomplete(rows_of(_encode(model, given, columns)), names=names)
    return Labelled(found, values, held, own)


def _read(
    model: TabularModel, given: Given, data: TableDataSettings, column: str | None = None
) -> tuple[Columns, np.ndarray | None, Sequence[str] | None]:
    """Return columns, labels given with them, and the names of rows."""
    if given is None:
        if data.source == "array":
            raise UserError("this run was given a table: give it again, as data=")
        found = read_samples(data)
        return found.given, None, found.names
    table, labels = model.tokenizer, None
    assert isinstance(table, Table)
    if isinstance(given, tuple) and len(given) == 2:
        given, labels = given
        labels = columns_of({"labels": labels})["labels"]
    asked = {column, data.labels, data.group}
    columns = columns_of(given, unused=lambda name: table.unused(name) and name not in asked)
    if labels is not None and len(labels) != num_rows(columns):
        raise UserError(f"{len(labels)} labels for {num_rows(columns)} rows")
    return columns, labels, None


def _encode(model: TabularModel, given: Given, columns: Columns) -> np.ndarray:
    assert isinstance(model.tokenizer, Table)
    given = given[0] if isinstance(given, tuple) and len(given) == 2 else given
    # Columns of an array are known by their number.
    frame = given if isinstance(given, np.ndarray) else columns
    return model.tokenizer.encode(frame, partial=True)
