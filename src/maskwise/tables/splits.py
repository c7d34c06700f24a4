"""Which rows of a table are learned from, and which are held out."""

import logging

import numpy as np

from maskwise.errors import UserError
from maskwise.tables.column import stands_apart
from maskwise.tables.dates import days_of
from maskwise.tables.frames import Columns, codes_of, distinct, is_missing
from maskwise.tables.mending import Mendable, Trouble

log = logging.getLogger("maskwise")

Parts = tuple[np.ndarray, np.ndarray]


def comparable_columns(columns: Columns, most: int, dates: bool) -> Columns:
    """Return the columns in which rows can be equal: all but names and times, if there are any.

    With `dates` those are numbers of days.
    """
    some = {}
    for name, values in columns.items():
        days = days_of(values) if dates else None
        if days is not None:
            some[name] = days
        elif not stands_apart(values[~is_missing(values)], most):
            some[name] = values
    return some or columns


def at_random(columns: Columns, groups: np.ndarray | None, holdout: float) -> Parts:
    """Return rows to learn from and rows held out: whole groups, which are equal rows by default.

    Rows without any value are in neither; those without a group, a column [N], are one together.
    No more than a share `holdout` is held out where groups allow that.

    >>> [part.tolist() for part in at_random({"a": np.array([5, 6, 5, 5])}, None, 0.5)]
    [[0, 2, 3], [1]]
    """
    index = np.flatnonzero(_any_value(columns))
    if groups is None:
        group = _equal_rows({name: values[index] for name, values in columns.items()})
    else:
        group = codes_of(groups[index], distinct(groups))
    group = np.unique(group, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(group)
    if len(sizes) < 2:
        if groups is None:
            raise UserError(f"{len(sizes)} different rows: a split needs two")
        text = f"{len(sizes)} groups: a split needs two"
        raise Mendable(Trouble(text, {"group": None}))
    held = np.zeros(len(sizes), dtype=bool)
    left = max(round(holdout * len(index)), 1)
    for one in np.random.default_rng(0).permutation(len(sizes)):
        if sizes[one] <= left:
            held[one] = True
            left -= sizes[one]
    if not held.any() or held.all():
        held = np.arange(len(sizes)) == sizes.argmin()
    return index[~held[group]], index[held[group]]


def in_time(columns: Columns, lags: int, holdout: float) -> Parts:
    """Return rows to learn from and the last ones, held out, with a gap of `lags` rows.

    No sample of both parts, with the rows before its own, holds the same value. Rows without any
    value are in neither.

    >>> [part.tolist() for part in in_time({"a": np.arange(10)}, 2, 0.3)]
    [[2, 3, 4], [7, 8, 9]]
    """
    known = _any_value(columns)
    first = len(known) - max(round(holdout * len(known)), 1)
    index = np.flatnonzero(known)
    train, test = index[(index >= lags) & (index < first - lags)], index[index >= first]
    if not len(train) or not len(test):
        text = f"{len(known)} rows are too few for {lags} lags and a share held out"
        raise Mendable(Trouble(text, {"lags": 0}))
    return train, test


def _any_value(columns: Columns) -> np.ndarray:
    """Return which rows hold a value, bool [N]."""
    known = ~np.all([is_missing(values) for values in columns.values()], axis=0)
    if num := int((~known).sum()):
        log.warning("%d of %d rows hold no value and are left out", num, len(known))
    return known


def _equal_rows(columns: Columns) -> np.ndarray:
    """Return a number for each row that equal rows share, int64 [N]."""
    numbers = [
        codes_of(values, distinct(values)) if values.dtype.kind == "O" else values
        for values in columns.values()
    ]
    seen: dict[bytes, int] = {}
    rows = np.stack([values.astype(np.float64) for values in numbers], axis=1)
    rows[np.isnan(rows)] = np.nan  # which has many forms, ...
    rows += 0.0  # ... and zero has two
    return np.array([seen.setdefault(row.tobytes(), len(seen)) for row in rows], dtype=np.int64)
