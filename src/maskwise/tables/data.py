"""Where tables come from: settings, and `load`, which makes samples of them and holds out some."""

import codecs
import dataclasses
import hashlib
import logging
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from maskwise.columns.tabular import TabularRows, TabularSplits
from maskwise.errors import UserError, option
from maskwise.outputs import Formulas
from maskwise.settings import settings
from maskwise.tables.column import stands_apart
from maskwise.tables.files import read_table
from maskwise.tables.frames import (
    MISSING,
    Columns,
    codes_of,
    columns_of,
    distinct,
    is_missing,
    no_column,
)
from maskwise.tables.table import Table, num_rows, windows
from maskwise.tables.texts import Dialect

log = logging.getLogger("maskwise")

Parts = tuple[np.ndarray, np.ndarray]


@settings
class TableDataSettings:
    """Which table to use and how to read it."""

    source: str = "array"
    """`breast-cancer`, built in; a .csv or .tsv (also .gz, .xz) whose first line names the
    columns, a .parquet, .feather, .npy or .npz."""
    labels: str | None = None
    """A column of classes, kept out of the features: what probes predict."""
    drop: tuple[str, ...] = ()
    """Columns to leave out, such as numbers of rows."""
    categorical: tuple[str, ...] = ()
    """Columns of numbers that stand for categories. Texts, bools and numbers of two values, both
    whole, do anyway."""
    scale: Literal["standard", "quantile"] = "standard"
    """Numbers are standardised, or become normal scores: robust, but then likelihoods are those
    of the scores."""
    max_categories: PositiveInt = 100
    """A column of texts with more, or with 20 that are all different, is left apart, as times are:
    named, kept as it is and never filled."""
    dates: Literal["keep", "number"] = "keep"
    """Dates, times of a data frame or texts such as 2024-01-31 (also with a time), are left apart;
    or they are numbers of days, are filled, and written as their column spells them."""
    lags: NonNegativeInt = 0
    """Rows are a time series in order: a sample also holds this many rows before its own."""
    group: str | None = None
    """A column, kept out of the features, whose groups of rows are held out as a whole."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the rows held out: at random, equal rows together; of a time series, the last."""
    round: bool = True
    """Columns of whole numbers are filled with whole numbers, ..."""
    clip: bool = True
    """... none less or more than some that training saw."""
    missing: tuple[str, ...] = MISSING
    """Texts of a file that say that a value is missing; an empty one always does. A data frame and
    a .parquet say themselves what is missing."""
    delimiter: str = "auto"
    """What separates the columns of a text file, such as `;` or `tab`; found by default."""
    decimal: Literal["auto", ".", ","] = "auto"
    """The decimal sign of its numbers; found by default."""
    encoding: str = "auto"
    """Its encoding; by default UTF-8, or else Windows-1252 (Latin-1), which is then said."""
    header: Literal["auto"] | bool = "auto"
    """Whether its first line names the columns, by default it must; else they are x0, x1, ..."""

    formulas: Formulas = "escape"
    """Cells of a text file that is written which a spreadsheet would run, such as `=1+2`, get an
    apostrophe in front (`escape`), or stay as they are (`keep`)."""

    def __post_init__(self) -> None:
        if self.delimiter not in ("auto", "tab") and len(self.delimiter) != 1:
            raise UserError(f"delimiter {self.delimiter!r} must be one character, or tab")
        try:
            codecs.lookup("utf-8" if self.encoding == "auto" else self.encoding)
        except LookupError:
            raise UserError(f"encoding {self.encoding!r} is not known; take latin-1") from None

    @property
    def dialect(self) -> Dialect:
        """How text files are read."""
        given = {each.name: getattr(self, each.name) for each in dataclasses.fields(Dialect)}
        return Dialect(
            **given | {"delimiter": "\t" if self.delimiter == "tab" else self.delimiter}
        )


def load(data: TableDataSettings) -> TabularSplits:
    """Read the table that `data` describes and split it.

    Raises:
        UserError: it cannot be read, or a column cannot be used, saying which and why.
    """
    columns, name = read_table(data.source, data.dialect), Path(data.source).name.split(".")[0]
    try:
        return _splits(columns, name, data)
    except UserError as error:
        raise UserError(f"{data.source}: {error}") from None


def from_frame(frame: object, data: TableDataSettings) -> TabularSplits:
    """Split a table in memory: as `columns_of` takes it, or a pair of such and labels [N].

    Raises:
        UserError: as for `load`.

    >>> columns = {"a": range(20), "b": range(20, 0, -1), "c": ["x", "y"] * 10}
    >>> splits = from_frame(columns, TableDataSettings())
    >>> len(splits.train), len(splits.test), splits.tokenizer.sizes
    (18, 2, (0, 0, 2))
    """
    if data.missing != MISSING:
        raise UserError("missing is for files: put None where a data frame has no value")
    labels = None
    if isinstance(frame, tuple) and len(frame) == 2:
        frame, labels = frame
        labels = columns_of({"labels": labels})["labels"]
    return _splits(columns_of(frame), "table", data, labels)


def table_of(
    columns: Columns, data: TableDataSettings, rows: np.ndarray | slice = slice(None)
) -> Table:
    """Return how rows become samples, learned from some of them, and tell of constant columns."""
    for name in data.categorical:
        if name not in columns:
            raise no_column(name, list(columns))
    told = ("categorical", "scale", "max_categories", "lags")
    settings = {key: getattr(data, key) for key in told}
    table = Table.learn(columns, rows, dates=data.dates == "number", **settings)
    tell_apart(table, f" ({option('data.max_categories')})")
    constant = [column.name for column in table.columns if column.kind == "constant"]
    if constant:
        log.warning(
            "%d of %d columns hold one value only, or none, and are left out: %s",
            *(len(constant), len(table.columns), ", ".join(constant[:10])),
        )
    return table


def tell_apart(table: Table, hint: str = "") -> None:
    """Say once which columns a model leaves as they are, and what decides it."""
    apart = [column for column in table.columns if column.kind == "apart"]
    names = ", ".join(column.name for column in apart[:10])
    if any(column.date for column in apart):
        names += f"; dates can be numbers: {option('data.dates', 'number')}"
    if apart:
        log.warning(
            "%d of %d columns are times or have too many different texts%s, and are left as"
            " they are: %s",
            *(len(apart), len(table.columns), hint, names),
        )


def _splits(
    columns: Columns, name: str, data: TableDataSettings, labels: np.ndarray | None = None
) -> TabularSplits:
    for wanted in (data.labels, data.group, *data.drop):
        if wanted is not None and wanted not in columns:
            raise no_column(wanted, list(columns))
    num, classes = num_rows(columns), None
    if data.labels is not None:
        labels = columns[data.labels]
    if labels is not None:
        if len(labels) != num:
            raise UserError(f"{len(labels)} labels for {num} rows")
        classes, labels = _classes(labels, data)
    groups = None if data.group is None else columns[data.group]
    apart = {data.labels, data.group, *data.drop}
    columns = {key: values for key, values in columns.items() if key not in apart}
    if not columns or not num:
        raise UserError(f"{num} rows of {len(columns)} columns: no data")
    if data.lags and groups is not None:
        raise UserError(f"group={data.group} with lags={data.lags}: a series is split in time")
    if data.lags:
        train, test = in_time(columns, data.lags, data.holdout)
    else:
        train, test = at_random(_compared(columns, data), groups, data.holdout)
    table = table_of(columns, data, np.arange(train.max() + 1) if data.lags else train)
    if len(table.names) < 2:
        raise UserError(f"{len(table.names)} columns that vary; a model learns one from others")
    rows = table.encode_rows(columns)
    fingerprint = {
        "rows": len(rows),
        "columns": len(table.columns),
        "sha256": hashlib.sha256(rows.tobytes()).hexdigest(),
    }
    samples = windows(rows, data.lags)

    def read(index: np.ndarray) -> Tensor:
        return torch.from_numpy(samples[index].reshape(len(index), -1))

    every = TabularRows(read, np.arange(num), labels)
    parts = every.some(train), every.some(test)
    return TabularSplits(*parts, name, classes, None, fingerprint, table)


def _compared(columns: Columns, data: TableDataSettings) -> Columns:
    """Return the columns in which rows can be equal: all but names and times, if there are any."""
    some = {
        name: values
        for name, values in columns.items()
        if not stands_apart(values[~is_missing(values)], data.max_categories)
    }
    return some or columns


def _classes(labels: np.ndarray, data: TableDataSettings) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of classes and the number of each label, -1 where there is none."""
    found = distinct(labels)
    if len(found) > data.max_categories or any(isinstance(value, float) for value in found):
        raise UserError(
            f"labels '{data.labels or 'y'}' have {len(found)} different values; classes are at "
            f"most {data.max_categories} texts or whole numbers"
            f" ({option('data.max_categories')})"
        )
    return tuple(str(value).strip() for value in found), codes_of(labels, found)


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
        what = "different rows" if groups is None else "groups"
        raise UserError(f"{len(sizes)} {what}: a split needs two")
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
        raise UserError(f"{len(known)} rows are too few for {lags} lags and a share held out")
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
