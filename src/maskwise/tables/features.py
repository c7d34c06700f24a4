"""Samples by features in files of tables and arrays: what the theory gives advice on."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from maskwise.errors import UserError
from maskwise.modality import Features
from maskwise.tables.columns import as_numbers, codes_of, distinct
from maskwise.tables.files import read_table
from maskwise.tables.frames import no_column
from maskwise.textio import kind_of, readable

_SPARSE = {"format", "shape", "data"}


def features_of_file(
    source: str, changes: Mapping[str, object], target: str | None = None, classes: bool = False
) -> Features | None:
    """Read a table; None where a source is none.

    Args:
        source: a `.csv`, `.tsv`, `.parquet` or `.feather` file with columns of numbers, a `.npy`
            or `.npz` file with one array of two axes, or a sparse matrix as scipy.sparse saves it.
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
    chosen = chosen.toarray() if sparse.issparse(chosen) else chosen
    return Features(values[:, rest], np.ravel(chosen), "columns")


def _read_table(path: Path, classes: str | None) -> tuple[Any, list[str] | None] | None:
    """Return the table in a file with the names of its columns, or None if there is none."""
    if not path.is_file():
        return None
    if kind_of(path) in (".csv", ".tsv", ".parquet", ".feather"):
        return _read_named(path, classes)
    values: Any = None
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
