"""Where tables come from: settings, and `load`, which makes samples of them and holds out some."""

import dataclasses
import difflib
import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from maskwise.columns.tabular import TabularRows, TabularSplits
from maskwise.encodings import check_encoding
from maskwise.errors import UserError, option
from maskwise.given import ItemSettings
from maskwise.modality import Entries, Samples
from maskwise.outputs import Formulas
from maskwise.settings import settings
from maskwise.tables.column import ENOUGH
from maskwise.tables.dates import days_of
from maskwise.tables.files import forget, survey
from maskwise.tables.frames import (
    MISSING,
    Columns,
    codes_of,
    columns_of,
    distinct,
    is_missing,
    no_column,
)
from maskwise.tables.mending import LEAVE_OUT, Mendable, Trouble
from maskwise.tables.splits import Parts, at_random, comparable_columns, in_time
from maskwise.tables.table import Table, num_rows, windows
from maskwise.tables.texts import Dialect

log = logging.getLogger("maskwise")


@settings
class TableDataSettings(ItemSettings):
    """Which table to use and how to read it."""

    source: str = "array"
    """`breast-cancer`, built in; a .csv or .tsv (also .gz, .xz) whose first line names the
    columns, a .parquet, .feather, .npy or .npz."""
    y: str | None = None
    """Of data from Python whose items are dicts: the key of what probes predict."""
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
        if self.encoding != "auto":
            check_encoding(self.encoding)

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
    columns = survey(data.source, data.dialect, data.drop).columns
    forget()
    try:
        return splits_of_columns(columns, name_of(data), data)
    except UserError as error:
        raise UserError(f"{data.source}: {error}") from None


def name_of(data: TableDataSettings) -> str:
    """Return what the table that `data` describes is called."""
    return Path(data.source).name.split(".")[0]


def read_samples(data: TableDataSettings) -> Samples:
    """Return all rows of the table that `data` describes, and their names, if they have such.

    Names are the index that pandas wrote, or else the first column of identifiers.
    """
    found = survey(data.source, data.dialect, data.drop)
    forget()
    if found.names is not None:
        return Samples(found.columns, found.names)
    told = {data.labels, data.group, *data.categorical}
    for name, values in found.columns.items():
        if name not in told and _are_names(name, values, name in data.drop):
            log.info("%s: rows are called by column '%s'", data.source, name)
            return Samples(found.columns, [str(value).strip() for value in values.tolist()])
    return Samples(found.columns)


def _are_names(name: str, values: np.ndarray, dropped: bool) -> bool:
    """Return whether a column names rows: a word or whole number in each, and all different.

    Of few rows that may be so by chance: then its own name must say so, or that it is left out.
    """
    if values.dtype.kind not in "Oiu" or is_missing(values).any() or not len(values):
        return False
    sure = dropped or re.search(r"(^|[^a-z])(id|key|name|sample|barcode|index)s?$", name.lower())
    if not sure and (len(values) < ENOUGH or values.dtype.kind != "O"):
        return False
    texts = [str(value).strip() for value in values.tolist()]
    spaced = sum(len(text.split()) > 1 for text in texts)
    return (
        len(set(texts)) == len(texts) and (bool(sure) or spaced == 0) and days_of(values) is None
    )


def from_frame(frame: object, data: TableDataSettings) -> TabularSplits:
    """Split a table in memory: as `columns_of` takes it, or a pair of such and labels [N].

    Raises:
        UserError: as for `load`.

    >>> columns = {"a": range(20), "b": range(20, 0, -1), "c": ["x", "y"] * 10}
    >>> splits = from_frame(columns, TableDataSettings())
    >>> len(splits.train), len(splits.test), splits.tokenizer.sizes
    (18, 2, (0, 0, 2))
    """
    columns, labels = in_memory(frame, data)
    return splits_of_columns(columns, "table", data, labels)


def in_memory(frame: object, data: TableDataSettings) -> tuple[Columns, np.ndarray | None]:
    """Return the columns of a table in memory, and labels if they are given with it.

    Raises:
        UserError: it is no table, or texts are said to be missing.
    """
    if data.missing != MISSING:
        text = "missing is for files: put None where a data frame has no value"
        raise Mendable(Trouble(text, {"missing": MISSING}))
    labels = None
    if isinstance(frame, tuple) and len(frame) == 2:
        frame, labels = frame
        labels = columns_of({"labels": labels})["labels"]
    return columns_of(frame, unused=lambda name: name in data.drop), labels


def table_of(
    columns: Columns, data: TableDataSettings, rows: np.ndarray | slice = slice(None)
) -> Table:
    """Return how rows become samples, learned from some of them, and tell of constant columns."""
    check_names(columns, data, (), ("categorical",))
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


def splits_of_columns(
    columns: Columns, name: str, data: TableDataSettings, labels: np.ndarray | None = None
) -> TabularSplits:
    """Split the columns of a table that is called `name`, and learn how rows become samples.

    Raises:
        UserError: as for `load`; `Mendable` where settings would help.
    """
    check_names(columns, data, ("labels", "group"), ("drop",))
    num, classes = num_rows(columns), None
    if data.labels is not None:
        labels = columns[data.labels]
    if labels is not None:
        if len(labels) != num:
            raise UserError(f"{len(labels)} labels for {num} rows")
        classes, labels = classes_of(labels, data)
    train, test = parts_of(columns, data)
    apart = {data.labels, data.group, *data.drop}
    columns = {key: values for key, values in columns.items() if key not in apart}
    table = table_of(columns, data, np.arange(train.max() + 1) if data.lags else train)
    if len(table.names) < 2:
        text = f"{len(table.names)} columns that vary; a model learns one from others"
        some = any(column.kind == "apart" and column.date for column in table.columns)
        raise Mendable(Trouble(text, {"dates": "number"} if some else {}))
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


def parts_of(columns: Columns, data: TableDataSettings) -> Parts:
    """Return which rows are learned from and which are held out; some may be in neither.

    Raises:
        UserError: there are no rows, or none can be held out.
    """
    groups, num = columns.get(data.group or ""), num_rows(columns)
    apart = {data.labels, data.group, *data.drop}
    columns = {key: values for key, values in columns.items() if key not in apart}
    if not columns or not num:
        raise UserError(f"{num} rows of {len(columns)} columns: no data")
    if data.lags and groups is not None:
        text = f"group={data.group} with lags={data.lags}: a series is split in time"
        raise Mendable(Trouble(text, {"group": None}))
    if data.lags:
        return in_time(columns, data.lags, data.holdout)
    alike = comparable_columns(columns, data.max_categories, data.dates == "number")
    return at_random(alike, groups, data.holdout)


def check_names(
    columns: Columns, data: TableDataSettings, one: Sequence[str], several: Sequence[str]
) -> None:
    """Refuse settings that name columns which there are not, all of them."""
    wrong, known = [], list(columns)
    for key in one:
        name = getattr(data, key)
        if name is not None and name not in columns:
            near = difflib.get_close_matches(name, known, n=1)
            wrong.append(Trouble(str(no_column(name, known)), {key: near[0] if near else None}))
    for key in several:
        names = getattr(data, key)
        there = tuple(name for name in names if name in columns)
        wrong += [
            Trouble(str(no_column(name, known)), {key: there})
            for name in names
            if name not in columns
        ]
    if wrong:
        raise Mendable(*wrong)


def classes_of(labels: np.ndarray, data: TableDataSettings) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of classes and the number of each label, -1 where there is none."""
    found = distinct(labels)
    real = any(isinstance(value, float) for value in found)
    if real or len(found) > data.max_categories:
        text = (
            f"labels '{data.labels or 'y'}' have {len(found)} different values; classes are at "
            f"most {data.max_categories} texts or whole numbers"
            f" ({option('data.max_categories')})"
        )
        way_out: dict[str, object] = {"max_categories": len(found)}
        if real or 2 * len(found) > len(labels):  # which are no classes
            way_out = {"labels": None, LEAVE_OUT: data.labels} if data.labels else {}
        raise Mendable(Trouble(text, way_out))
    return tuple(str(value).strip() for value in found), codes_of(labels, found)


def example() -> tuple[dict[str, list[Any]], Entries]:
    """Return columns of 60 made-up rows, with gaps, and settings for them.

    >>> sorted(example()[0])
    ['age', 'dose', 'group', 'size']
    """
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(60, 3)).round(3)
    columns: dict[str, list[Any]] = dict(
        zip(("age", "dose", "size"), numbers.T.tolist(), strict=True)
    )
    columns["age"][5] = columns["dose"][9] = None
    return columns | {"group": ["a", "b", "c"] * 20}, {}
