"""Tables in files: text, Parquet, Feather and arrays."""

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.errors import UserError, require
from maskwise.files import atomic
from maskwise.laws.strings import is_number
from maskwise.tables.built_in import breast_cancer
from maskwise.tables.frames import Columns, columns_of, from_texts, is_missing
from maskwise.textio import arrow_errors, kind_of, readable, table_rows

SUFFIXES = (".csv", ".tsv", ".parquet", ".feather", ".npy", ".npz")


def read_table(source: str | Path) -> Columns:
    """Read all rows of a table, in order.

    Args:
        source: "breast-cancer", built in; a .csv or .tsv (also .gz, .xz) whose first line names
            the columns, a .parquet or .feather, a .npy with one array of two axes, or a .npz,
            where arrays of one axis are columns and those of two are columns x0, x1, ...

    Raises:
        UserError: it cannot be read, or is no table; says where.
    """
    if source == "breast-cancer":
        return breast_cancer()
    path = Path(source).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    kind = kind_of(path)
    if kind not in SUFFIXES:
        raise UserError(f"{path}: not a table; tables are {', '.join(SUFFIXES)}")
    try:
        if kind in (".csv", ".tsv"):
            return _read_text(path)
        return columns_of(_read_arrow(path) if kind in (".parquet", ".feather") else _arrays(path))
    except UserError as error:
        told = str(error)
        raise error if str(path) in told else UserError(f"{path}: {told}") from None


def write_table(path: Path, frame: Any) -> None:
    """Write a table: .csv with an empty text where a value is missing, or .parquet.

    Raises:
        UserError: another kind of file, or it cannot be written.
    """
    columns = columns_of(frame)
    if kind_of(path) == ".parquet":
        pyarrow = require("pyarrow", path, "data")
        from pyarrow import parquet

        table = pyarrow.table(
            {name: pyarrow.array(v, mask=is_missing(v)) for name, v in columns.items()}
        )
        with atomic(path) as temporary:
            parquet.write_table(table, temporary)
        return
    if path.suffix.lower() != ".csv":
        raise UserError(f"{path}: tables are written as .csv or .parquet")
    # The csv module writes nothing for None, and numbers so that they are read back the same.
    gaps: Any = None
    cells = [np.where(is_missing(v), gaps, v).tolist() for v in columns.values()]
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*cells, strict=True))


def _read_text(path: Path) -> Columns:
    rows = [row for _, row in table_rows(path)]
    names = [name.strip() for name in rows[0]] if rows else []
    if not names or any(is_number(name) for name in names):
        raise UserError(f"{path}: the first line must name the columns")
    if "" in names:
        place = names.index("") + 1
        raise UserError(f"{path}: column {place} has no name (pandas: to_csv(..., index=False))")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"{path}: two columns are called '{twice[0]}': rename one")
    texts = zip(*rows[1:], strict=True) if len(rows) > 1 else [()] * len(names)
    return {name: from_texts(column) for name, column in zip(names, texts, strict=True)}


def _read_arrow(path: Path) -> Any:
    with arrow_errors(path):
        from pyarrow import feather, parquet

        return (parquet if kind_of(path) == ".parquet" else feather).read_table(path)


def _arrays(path: Path) -> Any:
    with readable(path):
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False)
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("not an .npz archive")
            archive = np.load(file, allow_pickle=False)
            arrays = {key: archive[key] for key in archive.files}
    columns: dict[str, np.ndarray] = {}
    for key, values in arrays.items():
        # Other arrays are refused as columns.
        columns |= columns_of(values) if values.ndim == 2 else {key: values}
    return columns
