"""Rows of data sets and streams from Python: dicts of columns, or vectors; with labels or not."""

import datetime
import decimal
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskwise.errors import UserError, option
from maskwise.given import Items, Streamed, is_of_hub
from maskwise.tables.frames import as_array
from maskwise.textio import few

Rows = dict[str, Any] | tuple[dict[str, Any], list[Any]]
"""columns by name, or a pair of these and labels"""
_VALUES = (str, bool, int, float, np.generic, decimal.Decimal, datetime.date, datetime.timedelta)


class Row(NamedTuple):
    """A row, by the names of its columns, and what is known of it, or None."""

    values: Mapping[str, Any]
    label: Any


def are_rows(data: Items | Streamed) -> bool:
    """Say whether the first item of data is a row.

    >>> are_rows(Items([{"a": 1, "b": None}])), are_rows(Items([{"a": [1]}]))
    (True, False)
    """
    first = data.peeked
    try:
        return first is not None and bool(row_of(data, first, 0).values)
    except UserError:
        return False


def row_of(data: Items | Streamed, item: Any, number: int) -> Row:
    """Return the row that an item is.

    Raises:
        UserError: it is none.
    """
    sample, label = data.parts(item, number)
    if isinstance(sample, (tuple, list)) and 1 <= len(sample) <= 2 and not _is_value(sample[0]):
        sample, label = sample[0], sample[1] if len(sample) > 1 else label
    label = label.item() if hasattr(label, "item") and np.ndim(label) == 0 else label
    if isinstance(sample, Mapping):
        values = {str(key): value for key, value in sample.items()}
        if sample is item and data.y is not None:
            values.pop(data.y)
        wrong = [name for name, value in values.items() if not _is_value(value)]
        if wrong:
            what = type(values[wrong[0]]).__name__
            raise UserError(
                f"{data.named(number)}: column '{wrong[0]}' is {what}, no value: name the key of a"
                f" vector, {option('data.x')}, or give texts, numbers and bools"
            )
        return Row({name: _plain(value) for name, value in values.items()}, label)
    if _is_vector(sample):
        values = np.asarray(sample).tolist()
        return Row({f"x{place}": value for place, value in enumerate(values)}, label)
    shape = f" of shape {tuple(sample.shape)}" if hasattr(sample, "shape") else ""
    raise UserError(
        f"{data.named(number)} is no row, but {type(sample).__name__}{shape}: give dicts of"
        " columns, or vectors [F]"
    )


def vector_of(item: Any) -> np.ndarray | None:
    """Return the row of an item that is an array or a tensor [F], alone or with a label, or None.

    >>> vector_of((np.arange(3), 1)), vector_of({"a": 1})
    (array([0, 1, 2]), None)
    """
    if isinstance(item, (tuple, list)) and 1 <= len(item) <= 2:
        item = item[0]
    plain = hasattr(item, "dtype") and getattr(item, "ndim", 0) == 1
    return np.asarray(item) if plain else None


def of_items(items: Items) -> Rows:
    """Return the columns of a data set, which is read once, with labels if it has some.

    Raises:
        UserError: an item that is no row, or has other columns than the first.
    """
    if is_of_hub(items.data) and items.x is None:
        columns = {name: list(items.data[name]) for name in items.data.column_names}
        labels = None if items.y is None else columns.pop(items.y, None)
        return columns if labels is None else (columns, labels)
    rows = [row_of(items, item, number) for number, item in enumerate(items.every())]
    columns, labels = columns_of_rows(items, rows)
    return columns if labels is None else (columns, labels)


def columns_of_rows(
    data: Items | Streamed,
    rows: Sequence[Row],
    names: Sequence[str] | None = None,
    start: int = 0,
) -> tuple[dict[str, Any], list[Any] | None]:
    """Return columns of rows, which are those of the first, and their labels or None.

    Args:
        data: where the rows are from.
        rows: one or more.
        names: of the columns; None: those of the first row.
        start: number of the first row.

    Raises:
        UserError: a row with more columns, or with another number of values.
    """
    known = list(rows[0].values) if names is None else list(names)
    for number, row in enumerate(rows, start=start):
        check_columns(data, row, number, known)
    columns = {name: as_array([row.values.get(name) for row in rows]) for name in known}
    labels = [row.label for row in rows]
    return columns, None if all(label is None for label in labels) else labels


def check_columns(data: Items | Streamed, row: Row, number: int, known: Sequence[str]) -> None:
    """Refuse a row of other columns than the first has; of a dict some may lack.

    Raises:
        UserError: such a row.
    """
    if row.values.keys() == dict.fromkeys(known).keys():
        return
    first, vector = data.named(0), all(name == f"x{place}" for place, name in enumerate(known))
    if vector:
        raise UserError(
            f"{data.named(number)} has {len(row.values)} values and {first} {len(known)}: give"
            " rows of one length"
        )
    if other := [name for name in row.values if name not in known]:
        raise UserError(
            f"{data.named(number)} has a column '{other[0]}', which {first} lacks; it has"
            f" {few(list(known))}: give the first a None for it"
        )


def _is_value(value: Any) -> bool:
    return value is None or isinstance(value, _VALUES) or getattr(value, "ndim", None) == 0


def _is_vector(sample: Any) -> bool:
    if isinstance(sample, (list, tuple)):
        return bool(sample) and all(map(_is_value, sample))
    return getattr(sample, "ndim", 0) == 1 and hasattr(sample, "dtype")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
