"""Files with a row for each sample, in the order of its source and with its name."""

import csv
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from maskwise.errors import UserError, require
from maskwise.files import atomic
from maskwise.textio import few

OK = "ok"
Formulas = Literal["escape", "keep"]
"""what is done about cells of text files that spreadsheets would run"""
log = logging.getLogger("maskwise")

_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBERS = re.compile(r"[-+]?[\d\s.,'%]+([eE][-+]?\d+)?[\s%]*")


Columns = Mapping[str, "Sequence[str] | np.ndarray"]
"""a table: texts, or numbers of which NaN is none"""


class Embedded(NamedTuple):
    """Features of all samples of a source.

    Args:
        features: float32 [N, D]; NaN where a sample could not be read.
        names: [N]; None: samples have no other than their numbers.
        broken: numbers, from 0, of samples that could not be read, and why.
    """

    features: np.ndarray
    names: Sequence[str] | None
    broken: Mapping[int, str]

    def columns(self) -> dict[str, list[str]]:
        """Return what the rows of a table begin with, see `first_columns`."""
        return first_columns(len(self.features), self.names, self.broken)


def first_columns(
    num: int, names: Sequence[str] | None, status: Mapping[int, str]
) -> dict[str, list[str]]:
    """Return what the rows of a table begin with: the name of a sample, and its status.

    >>> first_columns(2, None, {1: "empty"})
    {'name': ['1', '2'], 'status': ['ok', 'empty']}
    """
    every = range(num)
    names = names if names is not None else [str(row + 1) for row in every]
    return {"name": list(names), "status": [status.get(row, OK) for row in every]}


def spread(
    features: np.ndarray, names: Sequence[str] | None, broken: Mapping[int, str]
) -> Embedded:
    """Return features in the rows of their samples.

    Args:
        features: [n, D], of the samples that could be read.
        names: of all N samples, or None.
        broken: numbers, from 0, of the N - n samples that could not be read, and why.

    Samples that could be read and have no features hold no value.

    >>> spread(np.ones((2, 1), np.float32), None, {1: "empty"}).features.ravel()
    array([ 1., nan,  1.], dtype=float32)
    """
    whole = np.full((len(features) + len(broken), features.shape[1]), np.nan, np.float32)
    whole[np.setdiff1d(np.arange(len(whole)), list(broken))] = features
    empty = np.flatnonzero(np.isnan(whole).all(axis=1)).tolist()
    return Embedded(whole, names, {**dict.fromkeys(empty, "no value"), **broken})


def check_place(path: Path) -> None:
    """Refuse a file whose ending says nothing of how features are written.

    Raises:
        UserError: such a file.
    """
    if path.suffix not in WRITERS:
        raise UserError(
            f"{path}: features are written as {', '.join(WRITERS)}, of cells also as .h5ad"
        )


def check_table(path: Path, what: str) -> None:
    """Refuse a file whose ending is that of no table.

    Raises:
        UserError: such a file.
    """
    if path.suffix not in TABLES:
        raise UserError(f"{path}: {what} are written as {', '.join(TABLES)}")


def write_table(path: Path, columns: Columns) -> None:
    """Write columns of one length as the ending of the file says.

    Texts of a .csv or .tsv that a spreadsheet would run get an apostrophe in front.
    """
    TABLES[path.suffix](path, columns)


def write_features(path: Path, found: Embedded) -> None:
    """Write features as the ending of the file says.

    `.npy` has the features alone, and their names go into a text file beside it; `.npz` has
    `features`, `name` and `status`; the others are tables of `name`, `status` and `f0`, `f1`, ...
    """
    WRITERS[path.suffix](path, found)


def without_formulas(
    path: Path, rows: Iterable[Sequence[object]], way_out: str
) -> list[list[object]]:
    """Return the rows of a text file so that a spreadsheet runs none of them, and say how many.

    Cells that begin with =, +, -, @ or a tab and are no numbers get an apostrophe in front.

    Args:
        path: of the file.
        rows: cells, of which texts may be formulas.
        way_out: how to have them as they are.

    >>> without_formulas(Path("a.csv"), [["=1+2", "-1,5", "-", 3]], "")
    [["'=1+2", '-1,5', '-', 3]]
    """
    found: list[str] = []

    def cell(value: object) -> object:
        if not isinstance(value, str) or not is_formula(value):
            return value
        found.append(value)
        return f"'{value}"

    made = [list(map(cell, row)) for row in rows]
    if found:
        log.warning(
            "%s: %d cells that a spreadsheet would run begin with an apostrophe: %s (%s)",
            *(path, len(found), few([text[:40] for text in found]), way_out),
        )
    return made


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet would run a text, quoted or not, and not read it as a number.

    >>> [is_formula(text) for text in ('=SUM(A1)', '"@x', "-1.5e3", "+41 44 123", "-")]
    [True, True, False, False, False]
    """
    text = text.lstrip('"')
    if len(text) < 2 or not text.startswith(_STARTS) or _NUMBERS.fullmatch(text):
        return False
    return text.strip("+-").lower() not in ("inf", "infinity", "nan")


def _npy(path: Path, found: Embedded) -> None:
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, found.features)
    if found.names is not None:
        with atomic(path.with_suffix(".names.txt")) as temporary:
            lines = (" ".join(name.splitlines()) + "\n" for name in found.names)
            temporary.write_text("".join(lines), "utf-8", errors="replace")


def _npz(path: Path, found: Embedded) -> None:
    with atomic(path) as temporary, temporary.open("wb") as file:
        name, status = map(np.array, found.columns().values())
        np.savez_compressed(file, features=found.features, name=name, status=status)


def _table(path: Path, found: Embedded) -> None:
    numbers = {f"f{number}": column for number, column in enumerate(found.features.T)}
    write_table(path, {**found.columns(), **numbers})


def _delimited(path: Path, columns: Columns) -> None:
    texts = {name: each for name, each in columns.items() if not isinstance(each, np.ndarray)}
    with (
        atomic(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="replace", newline="") as file,
    ):
        rows = csv.writer(file, delimiter="," if path.suffix == ".csv" else "\t")
        rows.writerow(columns)
        told = without_formulas(path, zip(*texts.values(), strict=True), "not in .parquet")
        safe = dict(zip(texts, zip(*told, strict=True), strict=False))
        cells = [safe.get(name, columns[name]) for name in columns]
        # Of numbers only NaN is unlike itself.
        for row in zip(*cells, strict=True):
            rows.writerow(["" if value != value else value for value in row])


def _parquet(path: Path, columns: Columns) -> None:
    pyarrow = require("pyarrow", path, "data")
    from pyarrow import parquet

    with atomic(path) as temporary:
        parquet.write_table(pyarrow.table(dict(columns)), temporary)


TABLES: Mapping[str, Callable[[Path, Columns], None]] = {
    ".csv": _delimited,
    ".tsv": _delimited,
    ".parquet": _parquet,
}
WRITERS: Mapping[str, Callable[[Path, Embedded], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    **dict.fromkeys(TABLES, _table),
}
