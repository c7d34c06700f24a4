"""Dates as numbers of days, and back in the spelling of their column."""

import datetime
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from maskwise.errors import UserError
from maskwise.tables.frames import Plain, is_missing, respelled

_DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")  # microseconds
_UNITS = {"D": 86400, "h": 3600, "m": 60, "s": 1}  # seconds
_ISO = re.compile(
    r"(?P<date>\d{4}(?P<sign>[-/])\d{2}(?P=sign)\d{2})"
    r"(?P<time>(?P<between>[T ])(?P<clock>\d{2}:\d{2}(?P<second>:\d{2}((?P<dot>[.,])\d{1,9})?)?)"
    r"(?P<zone>Z|[-+]\d{2}:?\d{2})?)?"
)


def days_of(values: np.ndarray) -> np.ndarray | None:
    """Return a column of dates as days since 1970, float64 [N], NaN where missing; None if none.

    Dates are times without a zone, which is UTC, or texts of ISO 8601, also with `/`.

    >>> days_of(np.array(["1970-01-02", None, "1970-01-03 12:00"], dtype=object))
    array([1. , nan, 2.5])
    >>> days_of(np.array(["1970-01-02", "soon"], dtype=object)) is None
    True
    """
    if values.dtype.kind == "M":
        times = values.astype("datetime64[us]")
        return np.where(np.isnat(times), np.nan, times.astype(np.int64) / _DAY)
    if values.dtype.kind != "O":
        return None
    known: dict[object, float] = {None: np.nan}
    for value in values:
        if value not in known:
            found = _days(value)
            if found is None:
                return None
            known[value] = found
    return np.array([known[value] for value in values]) if len(known) > 1 else None


def as_days(name: str, values: np.ndarray) -> np.ndarray:
    """Return a column that a model knows as dates, as days, float64 [N].

    Raises:
        UserError: a value is no date.
    """
    found = np.full(len(values), np.nan) if is_missing(values).all() else days_of(values)
    if found is not None:
        return found
    row = next(row for row, value in enumerate(values.tolist()) if _days(value) is None)
    raise UserError(
        f"column '{name}': '{values[row]}' in data row {row + 1} is no date such as 2024-01-31,"
        " as the model knows them"
    )


def times_of(days: np.ndarray) -> np.ndarray:
    """Return days since 1970, [N], as datetime64[us]; NaT where NaN."""
    known = ~np.isnan(days)
    times = np.rint(np.where(known, days, 0) * _DAY).astype("datetime64[us]")
    times[~known] = np.datetime64("NaT")
    return times


def are_whole(times: np.ndarray, unit: str = "D") -> bool:
    """Return whether all times, datetime64 [N], that are known begin a day, or another unit."""
    known = times[~np.isnat(times)]
    return bool((known == known.astype(f"datetime64[{unit}]")).all())


def written(values: np.ndarray, column: np.ndarray) -> list[Plain]:
    """Return values for the gaps of a column [N], as it spells its own."""
    if values.dtype.kind != "M":
        if not is_missing(column).all():
            values = values.astype(column.dtype)
        return list(respelled(values.tolist(), column))
    if column.dtype.kind == "M":
        unit = next((unit for unit in _UNITS if are_whole(column, unit)), None)
        return [nearest(time, _UNITS[unit]) if unit else time for time in values.tolist()]
    texts = [text for text in column.tolist() if isinstance(text, str)]
    return _spelled(values.tolist(), texts)


def _days(value: object) -> float | None:
    """Return a text as days since 1970; None if it is no date."""
    if isinstance(value, datetime.date):
        value = value.isoformat()
    found = _ISO.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        time = datetime.datetime.fromisoformat(found[0].replace("/", "-"))
    except ValueError:  # the 31st of February
        return None
    time = time.replace(tzinfo=time.tzinfo or datetime.UTC)
    return (time - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) / datetime.timedelta(days=1)


def _spelled(times: Iterable[datetime.datetime], texts: list[str]) -> list[Plain]:
    """Return times, without a zone, as most of some texts are spelled."""
    shapes: dict[str, str] = {}
    counts: Counter[str] = Counter()
    clocks = set()
    for text in texts:
        found = _ISO.fullmatch(text.strip())
        if found is not None:
            clocks.add((found["clock"] or "").strip("0:.,"))
            shape = re.sub(r"\d", "0", text[: len(text) - len(found["zone"] or "")])
            shape += found["zone"] or ""
            counts[shape] += 1
            shapes.setdefault(shape, text)
    like = (
        shapes[max(counts, key=lambda shape: (counts[shape], shape))] if counts else "2024-01-31"
    )
    return [_spell(time, like, clocks <= {""}) for time in times]


def _spell(time: datetime.datetime, like: str, whole: bool) -> str:
    """Return a time, UTC, as a text spells another, rounded to what that says."""
    found = _ISO.fullmatch(like.strip())
    assert found is not None
    if found["zone"]:
        zone = datetime.datetime.fromisoformat(f"2024-01-01T00:00{found['zone']}").utcoffset()
        time += zone or datetime.timedelta()
    digits = len(found["second"] or "") - 4 if found["dot"] else 0
    unit = 10.0 ** -min(digits, 6) if found["second"] else 60
    time = nearest(time, 86400 if whole or not found["time"] else unit)
    date = f"{time.year:04}{found['sign']}{time.month:02}{found['sign']}{time.day:02}"
    if not found["time"]:
        return like.replace(found[0], date)
    clock = f"{time.hour:02}:{time.minute:02}"
    if found["second"]:
        clock += f":{time.second:02}"
    if found["dot"]:
        clock += found["dot"] + f"{time.microsecond:06}000"[:digits]
    return like.replace(found[0], date + found["between"] + clock + (found["zone"] or ""))


def nearest(time: datetime.datetime, seconds: float) -> datetime.datetime:
    """Return the nearest time that is whole in units of some seconds."""
    start = datetime.datetime(1, 1, 1)
    num = round((time - start) / datetime.timedelta(seconds=seconds))
    return start + num * datetime.timedelta(seconds=seconds)
