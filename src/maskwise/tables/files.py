"""Tables in files: text, Parquet, Feather and arrays; built in; as the theory takes them."""

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import sparse

from maskwise.errors import UserError, require
from maskwise.files import atomic
from maskwise.laws.combined import is_number
from maskwise.modality import Features
from maskwise.tables.columns import as_numbers, codes_of, distinct
from maskwise.tables.frames import Columns, columns_of, from_texts, is_missing, no_column
from maskwise.textio import arrow_errors, kind_of, readable, table_rows

SUFFIXES = (".csv", ".tsv", ".parquet", ".feather", ".npy", ".npz")
_SPARSE = {"format", "shape", "data"}
Numbers: TypeAlias = np.ndarray | sparse.sparray | sparse.spmatrix


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


def write_table(path: Path, frame: object) -> None:
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
    cells = [np.where(is_missing(v), np.array(None), v).tolist() for v in columns.values()]
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


def _read_arrow(path: Path) -> object:
    with arrow_errors(path):
        from pyarrow import feather, parquet

        return (parquet if kind_of(path) == ".parquet" else feather).read_table(path)


def _arrays(path: Path) -> np.ndarray | Columns:
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


def breast_cancer() -> dict[str, np.ndarray]:
    """Return the columns of scikit-learn's 569 tumours: 30 measurements and the diagnosis.

    Source: Street, Wolberg and Mangasarian, Nuclear feature extraction for breast tumor diagnosis
    (SPIE 1905, 1993).

    >>> columns = breast_cancer()
    >>> len(columns), len(columns["mean radius"]), columns["diagnosis"][0]
    (31, 569, 'malignant')
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = dict(zip(map(str, data.feature_names), data.data.T, strict=True))
    return columns | {"diagnosis": data.target_names[data.target].astype(object)}


def features_of_file(
    source: str, changes: Mapping[str, object], target: str | None = None, classes: bool = False
) -> Features | None:
    """Read a table; None where a source is none.

    Args:
        source: a `.csv`, `.tsv`, `.parquet` or `.feather` file with columns of numbers, a `.npy`
            or `.npz` file with one array of two axes, or a matrix as scipy.sparse saves it.
        changes: settings, of which a table has none.
        target: name of a column, or its number from 0, to be predicted from the others.
        classes: the target holds classes, also texts, and becomes their numbers; NaN if missing.

    Raises:
        UserError: what cannot be read, or has no such column.
    """
    found = _read_table(Path(source).expanduser(), target if classes else None)
    if found is None:
        return None
    if changes:
        raise UserError(f"{source} is a table, and other --data settings are for images")
    values, names = found
    if target is None:
        return Features(values, None, "columns")
    index = _column(target, names, values.shape[1], source)
    rest = np.delete(np.arange(values.shape[1]), index)
    chosen = values[:, [index]]
    chosen = chosen if isinstance(chosen, np.ndarray) else chosen.toarray()
    return Features(values[:, rest], np.ravel(chosen), "columns")


def _read_table(path: Path, classes: str | None) -> tuple[Numbers, list[str] | None] | None:
    """Return the table in a file with the names of its columns, or None if there is none."""
    if not path.is_file():
        return None
    if kind_of(path) in (".csv", ".tsv", ".parquet", ".feather"):
        return _read_named(path, classes)
    values: np.ndarray | None = None
    with readable(path):
        if path.suffix == ".npy":
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        elif path.suffix == ".npz" and zipfile.is_zipfile(path):
            with path.open("rb") as file:
                archive = np.load(file, allow_pickle=False)
                if set(archive.files) >= _SPARSE:
                    return sparse.load_npz(path), None
                if len(archive.files) == 1:
                    values = archive[archive.files[0]]
    return (values, None) if values is not None and values.ndim == 2 else None


def _read_named(path: Path, classes: str | None) -> tuple[np.ndarray, list[str]]:
    columns = read_table(path)
    if classes is not None:
        name = list(columns)[_column(classes, list(columns), len(columns), str(path))]
        codes = codes_of(columns[name], distinct(columns[name]))
        columns[name] = np.where(codes < 0, np.nan, codes)
    try:
        values = np.stack([as_numbers(*column) for column in columns.items()], axis=1)
    except UserError as error:
        raise UserError(f"{path}: {error}; a table must hold numbers only") from None
    if not len(values):
        raise UserError(f"{path}: there are no rows below the names of columns")
    return values, list(columns)


def _column(target: str, names: list[str] | None, num: int, where: str) -> int:
    """Return the index of a column by its name or number."""
    if names is not None and target in names:
        return names.index(target)
    if target.isdecimal() and int(target) < num:
        return int(target)
    if names is None:
        raise UserError(f"{where}: no column '{target}'; columns are numbered 0 to {num - 1}")
    raise UserError(f"{where}: {no_column(target, names)}")
