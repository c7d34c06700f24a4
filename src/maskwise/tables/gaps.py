"""Values put into the gaps of a data frame, whichever library holds it; all else stays."""

import datetime
import decimal
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import narwhals as nw
import numpy as np

from maskwise.errors import UserError
from maskwise.tables.dates import nearest
from maskwise.tables.frames import Plain, as_array, columns_of, from_values, is_missing

F = TypeVar("F")


class Filled(NamedTuple):
    """What stands in the gaps of a column."""

    rows: np.ndarray
    """which rows had no value, [n]"""
    values: Sequence[Plain]
    """theirs now: a number, the likeliest category"""


def put(frame: F, gaps: Mapping[str, Filled]) -> F:
    """Return a table whose gaps are filled, by column as `columns_of` names them.

    All else stays bit for bit the same, and so do types; a mapping becomes one of arrays. Where
    pandas does not know a category, it is told.
    """
    out: Any = frame
    if isinstance(out, dict):
        return cast(F, _in_mapping(out, gaps))
    if isinstance(out, np.ndarray):
        out = np.array(out)
        for name, (rows, values) in gaps.items():
            if out.dtype != object and any(isinstance(value, str) for value in values):
                raise UserError(f"column '{name}': {values[0]!r} does not fit into {out.dtype}")
            out[rows, int(name[1:])] = values
        return out
    table = nw.from_native(out, eager_only=True)
    if table.implementation.is_pandas_like():
        out = out.copy()
    for place, name in enumerate(map(str, table.columns)):
        if name not in gaps:
            continue
        series, filled = table[:, place], gaps[name]
        if series.dtype.is_temporal():
            filled = Filled(filled.rows, _times_as(series, filled.values))
            out = _with_times(out, place, series, filled)
            continue
        items = series.to_list()
        values = _like(items, filled.values, series.dtype.is_integer())
        for row, value in zip(filled.rows.tolist(), values, strict=True):
            items[row] = value
        free = series.null_count() == len(series) and not _holds(series, values)
        out = _replaced(out, place, series.to_native(), items, free)
    return out


def _in_mapping(columns: Mapping[str, Any], gaps: Mapping[str, Filled]) -> dict[str, np.ndarray]:
    """Return a mapping of columns as arrays, those with gaps filled."""
    out = {name: np.array(as_array(values)) for name, values in columns.items()}
    for name in out:
        if str(name) not in gaps:
            continue
        [column] = columns_of({name: columns[name]}).values()
        rows, values = gaps[str(name)]
        if is_missing(column).all():  # which says nothing of its type
            items: list[Plain] = [None] * len(column)
            for row, value in zip(rows.tolist(), values, strict=True):
                items[row] = value
            out[name] = from_values(items)
        elif out[name].dtype == object and column.dtype.kind in "OM":
            out[name][rows] = _like(out[name].tolist(), values)
        else:
            out[name] = np.array(column)
            out[name][rows] = values
    return out


def _like(items: Sequence[Any], values: Sequence[Any], whole: bool = False) -> list[Any]:
    """Return values of the types that a column holds: `whole` numbers, decimals, days, a zone."""
    if whole:
        return [round(value) if isinstance(value, float) else value for value in values]
    if known := [item for item in items if isinstance(item, decimal.Decimal)]:
        finest = min(int(item.as_tuple().exponent) for item in known)
        return [round(decimal.Decimal(value), -finest) for value in values]
    if not all(isinstance(value, datetime.datetime) for value in values):
        return list(values)
    if any(type(item) is datetime.date for item in items):  # as objects of Python
        return [nearest(value, 86400).date() for value in values]
    zones = [item.tzinfo for item in items if isinstance(item, datetime.datetime)]
    zone = next((zone for zone in zones if zone is not None), None)
    if zone is None:
        return list(values)
    return [value.replace(tzinfo=datetime.UTC).astimezone(zone) for value in values]


def _holds(series: "nw.Series[Any]", values: Sequence[Any]) -> bool:
    """Return whether a column that holds nothing yet can hold some values."""
    texts = any(isinstance(value, str) for value in values)
    narrow = series.dtype.is_numeric() or series.dtype == nw.Boolean
    return series.dtype != nw.Unknown and not (texts and narrow)


def _times_as(series: "nw.Series[Any]", values: Sequence[Any]) -> list[Plain]:
    """Return times, which are UTC, as those of a series: dates, or of its zone and whole days."""
    if series.dtype == nw.Date:
        return [nearest(time, 86400).date() for time in values]
    zone = getattr(series.dtype, "time_zone", None)
    if zone is None:
        return list(values)
    aware = [time.replace(tzinfo=datetime.UTC) for time in values]
    local = series.drop_nulls().dt.replace_time_zone(None)
    try:
        place = zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):  # such as +02:00
        return list(aware)
    aware = [time.astimezone(place) for time in aware]
    if (local == local.dt.truncate("1d")).all():
        days = [nearest(time.replace(tzinfo=None), 86400) for time in aware]
        aware = [day.replace(tzinfo=place) for day in days]
    return list(aware)


def _with_times(frame: Any, place: int, series: "nw.Series[Any]", filled: Filled) -> Any:
    """Return a data frame with times in the gaps of a column; one of pandas is changed."""
    old, rows, values = series.to_native(), filled.rows, filled.values
    library = nw.get_native_namespace(frame)
    if library.__name__ == "polars":
        new = library.Series(values, dtype=old.dtype)
        return frame.with_columns(old.clone().scatter(rows, new))
    if library.__name__ == "pyarrow":
        from pyarrow import compute

        gap = np.isin(np.arange(len(old)), rows)
        new = compute.replace_with_mask(old, gap, library.array(values, type=old.type))
        return frame.set_column(place, frame.schema.field(place), new)
    old = old.copy()
    old.iloc[rows] = library.Series(values, dtype=old.dtype).array
    frame.isetitem(place, old)
    return frame


def _replaced(frame: Any, place: int, old: Any, items: list[Plain], free: bool) -> Any:
    """Return a data frame with other items in a column; one of pandas is changed.

    If it is `free`, the column gets the type of its new items.
    """
    library = nw.get_native_namespace(frame)
    if library.__name__ == "polars":
        kind = None if free else old.dtype
        return frame.with_columns(library.Series(old.name, items, dtype=kind))
    if library.__name__ == "pyarrow":
        field = frame.schema.field(place)
        made = _dictionary(old, items) if library.types.is_dictionary(field.type) else None
        made = made or library.array(items, type=None if free else field.type)
        return frame.set_column(place, field.with_type(made.type), made)
    dtype: Any = object if free else old.dtype
    if not free and dtype.name == "category":
        objects = {str(item): item for item in dtype.categories}  # intervals, as their texts
        items = [item if item != item else objects.get(str(item), item) for item in items]
        unknown = {item for item in items if item == item} - set(dtype.categories)
        every = [*dtype.categories, *sorted(unknown, key=str)]
        dtype = library.CategoricalDtype(every, dtype.ordered)
    frame.isetitem(place, library.Series(items, index=old.index, name=old.name, dtype=dtype))
    return frame


def _dictionary(old: Any, items: list[Any]) -> Any:
    """Return items as an Arrow column of the same type, whose categories stay."""
    import pyarrow

    levels = old.unify_dictionaries().chunk(0).dictionary.to_pylist() if len(old) else []
    levels += [item for item in dict.fromkeys(items) if item is not None and item not in levels]
    codes = {level: code for code, level in enumerate(levels)} | {None: None}
    indices = pyarrow.array([codes[item] for item in items], old.type.index_type)
    categories = pyarrow.array(levels, old.type.value_type)
    return pyarrow.DictionaryArray.from_arrays(indices, categories, ordered=old.type.ordered)
