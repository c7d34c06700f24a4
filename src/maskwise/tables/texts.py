"""Tables in text files: what separates, names and spells their values, found or given."""

import csv
import dataclasses
import itertools
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from maskwise.errors import UserError, option
from maskwise.files import atomic
from maskwise.laws.combined import is_number
from maskwise.outputs import Formulas, without_formulas
from maskwise.tables.frames import MISSING, Columns, bare, from_texts, is_missing
from maskwise.tables.gaps import Filled
from maskwise.tables.mending import Mendable, Trouble
from maskwise.textio import (
    csv_format,
    delimited_rows,
    find_delimiter,
    find_encoding,
    kind_of,
    read_lines,
)

log = logging.getLogger("maskwise")

_COMMA = re.compile(r"\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*")  # 1,5
_THOUSANDS = re.compile(r"\s*[-+]?[1-9]\d{0,2},\d{3}\s*")  # 1,234 is both


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a text file spells a table; "auto" is found in the file, as said in the settings."""

    delimiter: str = "auto"
    decimal: Literal["auto", ".", ","] = "auto"
    encoding: str = "auto"
    header: Literal["auto"] | bool = "auto"
    missing: tuple[str, ...] = MISSING


@dataclasses.dataclass(frozen=True)
class TextTable:
    """The rows of a text file, as they are spelled.

    Args:
        head: the names of the columns, or nothing if the file has none.
        rows: all others.
        dialect: what was found, without "auto".
        columns: the values that the texts stand for.
    """

    head: list[str]
    rows: list[list[str]]
    dialect: Dialect
    columns: Columns


def read_text(path: Path, dialect: Dialect) -> TextTable:
    """Read a .csv (quoted) or .tsv (not), also .gz or .xz; say what was found that is unusual.

    Raises:
        UserError: it cannot be read, a row is shorter or longer, or columns have no names.
    """
    delimiter, given = dialect.delimiter, dialect.encoding
    encoding = find_encoding(path) if given == "auto" else find_encoding(path, [given])
    if given == "auto" and encoding in ("cp1252", "latin-1"):
        log.warning(
            "%s: not UTF-8, read as %s (%s)", path, encoding, option("data.encoding", encoding)
        )
    usual, options = csv_format(path)
    if delimiter == "auto":
        delimiter = find_delimiter(read_lines(path, encoding), usual, **options)
        if delimiter != usual:
            told = option("data.delimiter", "tab" if delimiter == "\t" else delimiter)
            log.warning("%s: columns are separated by %r (%s)", path, delimiter, told)
    lines = read_lines(path, encoding)
    rows = [row for _, row in delimited_rows(path, lines, delimiter, **options)]
    names = _names(path, rows, dialect.header)
    head = rows.pop(0) if rows and names is not None else []
    names = names or [f"x{place}" for place in range(len(rows[0]) if rows else 0)]
    texts = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    decimal = dialect.decimal
    if decimal == "auto":
        decimal = _decimal(path, dict(zip(names, texts, strict=True)), delimiter, dialect.missing)
    found = dataclasses.replace(
        dialect, delimiter=delimiter, decimal=decimal, encoding=encoding, header=bool(head)
    )
    columns = {
        name: from_texts(column, dialect.missing, decimal)
        for name, column in zip(names, texts, strict=True)
    }
    _tell_missing(path, columns, texts)
    return TextTable(head, rows, found, columns)


def _names(path: Path, rows: list[list[str]], header: Literal["auto"] | bool) -> list[str] | None:
    """Return the names of the columns, or None if the file has none.

    Numbers are names where a text beside them is one: it is no value of its column.
    """
    if header is False:
        return None
    names = [name.strip() for name in rows[0]] if rows else []
    texts = [place for place, name in enumerate(names) if not is_number(name)]
    if header == "auto" and len(texts) < len(names):
        values = [{row[place].strip() for row in rows[1:]} for place in texts]
        if all(names[place] in each for place, each in zip(texts, values, strict=True)):
            names = []
    if not names:
        text = (
            f"{path}: the first line must name the columns: say {option('data.header', 'true')} if"
            f" it does, or {option('data.header', 'false')} if it is a row like others"
        )
        raise Mendable(Trouble(text, {"header": False} if rows else {}))
    if "" in names:
        place = names.index("") + 1
        raise UserError(f"{path}: column {place} has no name (pandas: to_csv(..., index=False))")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"{path}: two columns are called '{twice[0]}': rename one")
    return names


def _decimal(
    path: Path, texts: dict[str, Sequence[str]], delimiter: str, missing: tuple[str, ...]
) -> Literal[".", ","]:
    """Return the decimal sign: a comma if columns of numbers have one, and none has a point.

    Raises:
        UserError: commas that may be of thousands.
    """
    blank, commas = {"", *missing}, {}
    for name, column in texts.items():
        if "," not in "".join(column):
            continue
        known = [text for text in column if text.strip() not in blank]
        if known and all(_COMMA.fullmatch(text) or is_number(text) for text in known):
            commas[name] = [text for text in known if "," in text]
    if not commas or any(_has_points(column) for column in texts.values()):
        return "."
    name, one = next((name, found[0].strip()) for name, found in commas.items())
    doubtful = all(_THOUSANDS.fullmatch(text) for column in commas.values() for text in column)
    if doubtful and delimiter != ";":
        text = (
            f"{path}: column '{name}': {one} is {one.replace(',', '.')} or"
            f" {one.replace(',', '')}: say {option('data.decimal', ',')} or write it without a"
            " comma"
        )
        raise Mendable(Trouble(text, {"decimal": ","}))
    log.warning(
        "%s: decimals have a comma, such as %s (%s)", path, one, option("data.decimal", ",")
    )
    return ","


def _has_points(column: Sequence[str]) -> bool:
    """Return whether a column holds numbers, some of them with a decimal point."""
    return "." in "".join(column) and from_texts(column).dtype.kind == "f"


def _tell_missing(path: Path, columns: Columns, texts: Sequence[Sequence[str]]) -> None:
    """Say which words of columns of texts count as missing, so that none is lost unseen."""
    told = []
    for (name, values), column in zip(columns.items(), texts, strict=True):
        if values.dtype.kind == "O":
            gaps = itertools.compress(column, is_missing(values))
            words = Counter(text.strip() for text in gaps)
            told += [f"{num} '{word}' in {name}" for word, num in words.items() if word]
    if told:
        way_out, few = option("data.missing"), ", ".join(told[:10])
        log.warning("%s: texts count as missing (%s): %s", path, way_out, few)


def filled_rows(table: TextTable, gaps: dict[str, Filled]) -> list[list[str]]:
    """Return the rows of a text file with their gaps filled, and all else as it is spelled."""
    rows = [list(row) for row in table.rows]
    for place, (name, values) in enumerate(table.columns.items()):
        if name not in gaps:
            continue
        known, spelled = ~is_missing(values), {}
        texts = Counter(zip(values[known].tolist(), _texts_at(table, place, known), strict=True))
        for (value, text), _ in sorted(texts.items(), key=lambda each: (each[1], each[0][1])):
            spelled[str(bare(value))] = text
        for row, value in zip(*gaps[name], strict=True):
            new = f"{value:.7g}" if isinstance(value, float) else str(value)
            new = new.replace(".", table.dialect.decimal) if isinstance(value, float) else new
            rows[row][place] = spelled.get(str(bare(value)), new)
    return [table.head, *rows] if table.dialect.header else rows


def _texts_at(table: TextTable, place: int, known: np.ndarray) -> list[str]:
    return [row[place] for row in itertools.compress(table.rows, known)]


def write_rows(
    path: Path, rows: Sequence[Sequence[object]], dialect: Dialect, formulas: Formulas = "escape"
) -> None:
    """Write a .csv (quoted) or .tsv (not); see `without_formulas`, if they are not kept."""
    if formulas == "escape":
        rows = without_formulas(path, rows, f"as they are: {option('data.formulas', 'keep')}")
    kind = csv_format(path)[1]
    kind |= {"lineterminator": "\n", "delimiter": dialect.delimiter}
    if kind_of(path) == ".tsv":
        kind |= {"quotechar": None}
    encoding = dialect.encoding
    with atomic(path) as temporary, temporary.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, **kind).writerows(rows)
