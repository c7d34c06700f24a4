"""A dry look at a table: what its columns are, and all that stands in the way of training."""

from collections import Counter
from typing import Any

import numpy as np

from maskwise.columns.observed import problems_of_gaps
from maskwise.columns.tabular import TabularRunSettings, TabularSplits, check_pattern
from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.inspection import Inspection, Problem, quietly
from maskwise.tables.column import Column
from maskwise.tables.data import TableDataSettings, in_memory, name_of, splits_of_columns
from maskwise.tables.files import survey
from maskwise.tables.frames import Columns, distinct, is_missing
from maskwise.tables.mending import mended, troubles_of
from maskwise.tables.table import Table, num_rows
from maskwise.tables.texts import Dialect

Looked = tuple[Columns, np.ndarray | None, Dialect | None]


class Look:
    """Steps of a look at data: what stops one is noted, and mended by settings where these can."""

    def __init__(self, data: TableDataSettings) -> None:
        self.data = data
        self.problems: list[Problem] = []

    def note(self, error: UserError) -> bool:
        """Note all that an error tells of; return whether settings mend it."""
        mend_all = True
        for trouble in troubles_of(error):
            found = mended(self.data, trouble.settings)
            if found is None:
                self.problems.append(Problem(trouble.text))
                mend_all = False
            else:
                self.data, texts = found
                self.problems.append(Problem(trouble.text, texts))
        return mend_all


def inspect(given: object, config: TabularRunSettings) -> Inspection:
    """Say what a table holds, one in memory or what the settings describe; see `Inspection`."""
    look = Look(config.data)
    try:
        check_pattern(config.pattern)
    except UserError as error:
        look.problems.append(Problem(str(error), {"pattern": "scattered"}))
    found: Entries = {}
    looked = _looked(given, look)
    if looked is None:
        return Inspection(found, problems=look.problems)
    columns, labels, dialect = looked
    found = {"rows": num_rows(columns), "columns": len(columns)}
    splits = _splits(columns, labels, look)
    if splits is not None:
        look.problems += problems_of_gaps(config, splits)
        assert isinstance(splits.tokenizer, Table)
        found |= _kinds(columns, splits.tokenizer) | _labels(splits)
        if look.data.group is not None:
            found["groups"] = len(distinct(columns[look.data.group]))
        found["rows held out"] = len(splits.test)
        empty = num_rows(columns) - len(splits.train) - len(splits.test)
        if empty and not look.data.lags:
            found["rows without a value, left out"] = empty
    found |= _others(columns, config.data, look.data)
    if dialect is not None:
        found |= {
            "columns are separated by": "tab" if dialect.delimiter == "\t" else dialect.delimiter,
            "decimal sign": dialect.decimal,
            "encoding": dialect.encoding,
            "the first line has the names": bool(dialect.header),
        }
    return Inspection(found, None if splits is None else len(splits.train), look.problems)


def _looked(given: object, look: Look) -> Looked | None:
    """Return the columns of a table, its labels if they are given, and how it is spelled."""
    while True:
        try:
            if given is not None:
                return *in_memory(given, look.data), None
            found = survey(look.data.source, look.data.dialect, look.data.drop)
            return found.columns, None, found.dialect
        except UserError as error:
            if not look.note(error):
                return None


def _splits(columns: Columns, labels: np.ndarray | None, look: Look) -> TabularSplits | None:
    """Return what training would have, with all that is in its way mended."""
    while True:
        try:
            with quietly():
                return splits_of_columns(columns, name_of(look.data), look.data, labels)
        except UserError as error:
            if not look.note(error):
                return None


def _kinds(columns: Columns, table: Table) -> Entries:
    """Return the names of columns by what they are, and of categories how many there are."""
    found: dict[str, Any] = {}
    for column in table.columns:
        kind = _kind(column, columns[column.name])
        if kind == "categories":
            found.setdefault(kind, {})[column.name] = len(column.categories)
        else:
            found.setdefault(kind, []).append(column.name)
    return {kind: found[kind] for kind in KINDS if kind in found}


KINDS = (
    *("numbers", "whole numbers", "categories", "dates as numbers"),
    *("identifiers, left as they are", "dates, left as they are", "times, left as they are"),
    *("free text, left as it is", "constant", "empty"),
)


def _kind(column: Column, values: np.ndarray) -> str:
    """Return which of `KINDS` a column is of."""
    if column.kind == "number":
        plain = "whole numbers" if column.limits else "numbers"
        return "dates as numbers" if column.date else plain
    if column.kind == "category":
        return "categories"
    if column.kind == "constant":
        return "constant" if column.categories else "empty"
    if column.date or values.dtype.kind in "Mm":
        return f"{'dates' if column.date else 'times'}, left as they are"
    texts = [str(value) for value in values[~is_missing(values)]]
    spaced = sum(len(text.split()) > 1 for text in texts)
    return "free text, left as it is" if 2 * spaced > len(texts) else KINDS[4]


def _labels(splits: TabularSplits) -> Entries:
    """Return how many rows each class has."""
    if splits.classes is None or splits.train.labels is None or splits.test.labels is None:
        return {}
    labels = np.concatenate([splits.train.labels, splits.test.labels]).tolist()
    counts = Counter(labels)
    found: Entries = {"classes": {name: counts[code] for code, name in enumerate(splits.classes)}}
    return found | ({"rows without a label": counts[-1]} if counts[-1] else {})


def _others(columns: Columns, asked: TableDataSettings, data: TableDataSettings) -> Entries:
    """Return what is missing of the columns, and which are left out."""
    used = [name for name in columns if name not in {data.labels, data.group, *data.drop}]
    missing = {
        name: round(float(is_missing(columns[name]).mean()), 4)
        for name in used
        if is_missing(columns[name]).any()
    }
    found: Entries = {"missing": missing}
    if missing:
        gaps = np.stack([is_missing(columns[name]) for name in used], axis=1)
        found["rows without a gap"] = int((~gaps.any(axis=1)).sum())
        found["patterns of gaps"] = len(np.unique(gaps, axis=0))
    found["left out"] = [name for name in asked.drop if name in columns]
    found["cannot be used"] = [name for name in data.drop if name not in asked.drop]
    return {name: value for name, value in found.items() if value or name.startswith("rows")}
