"""Rows of data sets: JSON, tables, Parquet and the hub, each with where it is, counted from 1."""

import csv
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from maskwise.encodings import find_encoding, say_encoding
from maskwise.errors import UserError, require
from maskwise.files import stamp
from maskwise.textio import (
    csv_format,
    delimited_rows,
    find_delimiter,
    kind_of,
    names_in_parquet,
    open_parquet,
)
from maskwise.textio import read_lines as lines_of

Row = dict[str, object]
JSON = (".jsonl", ".ndjson", ".json")
TABLES = (".csv", ".tsv")
SUFFIXES = (*JSON, *TABLES, ".parquet")
_LONGEST = 1 << 30  # characters in a field of a table: documents are longer than numbers


class Wrong(NamedTuple):
    """What stands where a row should be."""

    why: str


def encoding_of(path: Path, given: str = "auto") -> str:
    """Return in which encoding a text file can be read: what is given, or what is found.

    Raises:
        UserError: as `find_encoding`.
    """
    try:
        state = tuple(stamp(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return _encoding_of(state, path, given)


@lru_cache(maxsize=1 << 16)
def _encoding_of(state: object, path: Path, given: str) -> str:
    return find_encoding(path) if given == "auto" else find_encoding(path, [given])


def said_encoding(path: Path) -> str:
    """Return the encoding of a text file, which is said if it is an unusual one.

    Raises:
        UserError: as `find_encoding`.
    """
    encoding = encoding_of(path)
    say_encoding(path, encoding)
    return encoding


def json_items(path: Path, encoding: str = "auto") -> Iterator[tuple[str, object]]:
    """Give what lines of JSON, or a list in a .json, hold, each with where it is.

    Blank lines are none. A line that is no JSON is given as `Wrong`. A .json may hold lines too.

    Raises:
        UserError: a file that cannot be read, or a .json of neither.
    """
    lines = lines_of(path, encoding)
    before = []
    if kind_of(path) == ".json":
        for line in lines:
            before.append(line)
            if line.strip():
                break
        if not isinstance(_parsed("".join(before)), dict):
            yield from _json_list(path, "".join([*before, *lines]))
            return
    for number, line in enumerate(itertools.chain(before, lines), start=1):
        if line.strip():
            yield f"line {number}", _parsed(line)


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return Wrong(f"no JSON: {line.strip()[:40]}")


def _json_list(path: Path, text: str) -> Iterator[tuple[str, object]]:
    found = _parsed(text)
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        raise UserError(
            f"{path} is neither a list in JSON nor lines of JSON: {text.strip()[:40]!r}"
        )
    for number, item in enumerate(found, start=1):
        yield f"row {number}", item


def json_rows(path: Path, encoding: str = "auto") -> Iterator[tuple[str, Row]]:
    """Give the objects of `json_items`.

    Raises:
        UserError: a file that cannot be read, or what is no JSON object.
    """
    for where, row in json_items(path, encoding):
        if not isinstance(row, dict):
            told = row.why.removeprefix("no JSON: ") if isinstance(row, Wrong) else str(row)
            raise UserError(f"{path}: {where} is no JSON object: {told[:40]}")
        yield where, row


def table_rows(path: Path, encoding: str = "auto") -> Iterator[tuple[str, list[str]]]:
    """Give the rows of a .csv (quoted) or .tsv (not), each with where it is.

    All of them have as many columns as the first; empty lines are left out. What separates the
    columns is found.

    Raises:
        UserError: a file that cannot be read, or a row that is shorter or longer.
    """
    encoding = said_encoding(path) if encoding == "auto" else encoding
    usual, options = csv_format(path)
    before = csv.field_size_limit(_LONGEST)  # of the process
    try:
        delimiter = find_delimiter(lines_of(path, encoding), usual, **options)
        yield from delimited_rows(path, lines_of(path, encoding), delimiter, **options)
    finally:
        csv.field_size_limit(before)


def rows_of(
    path: Path, encoding: str = "auto", wanted: Collection[str] = ()
) -> Iterator[tuple[str, object]]:
    """Give the rows of a file as mappings by the names of their columns, each with where it is.

    What lines of JSON hold beside objects is given as it is.

    Args:
        path: a file with one of `SUFFIXES` (.gz and .xz too).
        encoding: of a text file.
        wanted: which columns are asked for, where that saves time; none of them: all.

    Raises:
        UserError: a file that cannot be read, two columns of one name, or a row that is shorter or
            longer than the first.
    """
    kind = kind_of(path)
    if kind in JSON:
        yield from json_items(path, encoding)
    elif kind in TABLES:
        rows = table_rows(path, encoding)
        names = [name.strip() for name in next(rows, ("", []))[1]]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"{path}: two columns are called {twice[0]!r}: rename one")
        yield from ((where, dict(zip(names, row, strict=True))) for where, row in rows)
    else:
        with open_parquet(path) as file:
            chosen = [name for name in file.schema_arrow.names if name in wanted] or None
            number = 0
            for batch in file.iter_batches(batch_size=1024, columns=chosen):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row


def names_of(path: Path, encoding: str = "auto") -> list[str]:
    """Return the names of the columns of a table or a .parquet without rows.

    Raises:
        UserError: it cannot be read.
    """
    if kind_of(path) in TABLES:
        return [name.strip() for name in next(table_rows(path, encoding), ("", []))[1]]
    return names_in_parquet(path) if kind_of(path) == ".parquet" else []


def is_missing(value: object) -> bool:
    """Say whether a value says that there is none: None, NaN, or a text without letters.

    >>> is_missing(None), is_missing(float("nan")), is_missing(" "), is_missing(0)
    (True, True, True, False)
    """
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def columns(path: Path, names: Sequence[str], *known: Sequence[str]) -> list[str]:
    """Return which of `names` is one of each group of `known` names.

    Raises:
        UserError: a group has none, or several.

    >>> columns(Path("a.csv"), ["id", "class", "text"], ["text", "review"], ["label", "class"])
    ['text', 'class']
    """
    found = [[name for name in names if name in group] for group in known]
    if any(len(each) != 1 for each in found):
        raise UserError(
            f"{path} has the columns {', '.join(names) or 'none'}: give one of"
            f" {' and one of '.join(', '.join(group) for group in known)}"
        )
    return [name for [name] in found]


def open_hub(source: str) -> Mapping[str, Any]:
    """Return the splits of a data set of the Hugging Face hub, hf:NAME, by name.

    Raises:
        UserError: it cannot be loaded, or datasets is not installed.
    """
    datasets = require("datasets", source, "data")
    try:
        return datasets.load_dataset(source.removeprefix("hf:").partition(":")[0])
    except Exception as error:  # whatever hub, network, cache and file formats raise
        reason = str(error).split("\n")[0]
        raise UserError(f"{source}: cannot be loaded ({reason})") from error
