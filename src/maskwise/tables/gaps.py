"""Values put into the gaps of a data frame, whichever library holds it; all else stays."""

import datetime
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import narwhals as nw
import numpy as np

from maskwise.tables.dates import nearest
from maskwise.tables.frames import Plain, columns_of

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
    if isinstance(out, np.ndarray | dict):
        array = isinstance(out, np.ndarray)
        out = np.array(out) if array else {key: np.array(v) for key, v in columns_of(out).items()}
        for name, (rows, values) in gaps.items():
            (out[:, int(name[1:])] if array else out[name])[rows] = values
        return out
    table = nw.from_native(out, eager_only=True)
    if table.implementation.is_pandas_like():
        out = out.copy()
    for place, name in enumerate(map(str, table.columns)):
        if name not in gaps:
            continue
        series, filled = table[:, place], gaps[name]
        if series.dtype.is_temporal():
            out = _with_times(
                out, place, series, Filled(filled.rows, _times_as(series, filled.values))
            )
            continue
        items, whole = series.to_list(), series.dtype.is_integer()
        days = {type(item) for item in items} & {datetime.date}  # objects of Python
        for row, value in zip(filled.rows.tolist(), filled.values, strict=True):
            if days and isinstance(value, datetime.datetime):
                value = nearest(value, 86400).date()
            items[row] = round(value) if whole and isinstance(value, float) else value
        out = _replaced(out, place, series.to_native(), items)
    return out


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


def _replaced(frame: Any, place: int, old: Any, items: list[Plain]) -> Any:
    """Return a data frame with other items in a column; one of pandas is changed."""
    library = nw.get_native_namespace(frame)
    if library.__name__ == "polars":
        return frame.with_columns(library.Series(old.name, items, dtype=old.dtype))
    if library.__name__ == "pyarrow":
        field = frame.schema.field(place)
        return frame.set_column(place, field, library.array(items, type=field.type))
    kind = old.dtype
    if kind.name == "category":
        unknown = {item for item in items if item == item} - set(kind.categories)
        kind = library.CategoricalDtype(
            [*kind.categories, *sorted(unknown, key=str)], kind.ordered
        )
    frame.isetitem(place, library.Series(items, index=old.index, name=old.name, dtype=kind))
    return frame
