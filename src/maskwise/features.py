"""Samples by features, from anything that can be read: what the theory gives advice on."""

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from maskwise.errors import UserError
from maskwise.images.arrays import readable
from maskwise.images.data import ImageData, load
from maskwise.images.images import describe
from maskwise.tables.columns import as_numbers, codes_of, distinct
from maskwise.tables.files import read_table
from maskwise.tables.frames import no_column
from maskwise.text.files import kind_of

_SPARSE = {"format", "shape", "data"}


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Samples by features.

    Args:
        values: [n, d] numbers, an array or a scipy.sparse matrix.
        target: [n] the column that was asked for, which `values` lacks.
        what: what a feature is.
        labels: [n] classes of images, if they have any.
    """

    values: Any
    target: np.ndarray | None
    what: str
    labels: np.ndarray | None = None


def read_features(
    data: ImageData, target: str | None = None, *, classes: bool = False
) -> Features:
    """Read a table, or images, whose features are means of patches, because those are hidden.

    Args:
        data: the settings; its source may also be a `.csv`, `.tsv`, `.parquet` or `.feather` file
            with columns of numbers, a `.npy` or `.npz` file with one array of two axes, or a
            sparse matrix as scipy.sparse saves it.
        target: name of a column, or its number from 0, to be predicted from the others.
        classes: the target holds classes, also texts, and becomes their numbers; NaN if missing.

    Raises:
        UserError: what cannot be read, or has no such column.

    >>> read_features(ImageData(source="digits")).values.shape
    (1438, 16)
    """
    found = _read_table(Path(data.source).expanduser(), target if classes else None)
    if found is None:
        if target is not None:
            raise UserError(f"{data.source}: images have no column '{target}'; leave it out")
        return _of_images(data)
    if data != ImageData(source=data.source):
        raise UserError(f"{data.source} is a table, and other --data settings are for images")
    values, names = found
    if target is None:
        return Features(values, None, "columns")
    index = _column(target, names, values.shape[1], data.source)
    rest = np.delete(np.arange(values.shape[1]), index)
    chosen = values[:, [index]]
    chosen = chosen.toarray() if sparse.issparse(chosen) else chosen
    return Features(values[:, rest], np.ravel(chosen), "columns")


def _of_images(data: ImageData) -> Features:
    source = load(data).train
    images = describe(source, data.patch, "raw")
    parts = np.array_split(np.arange(len(source)), -(-len(source) // 256))
    values = [images.tokenize(source.get(part)).mean(-1).numpy() for part in parts]
    (rows, columns), (height, width) = images.grid, images.patch
    what = f"means of the {rows}x{columns} patches of {height}x{width} pixels"
    return Features(np.concatenate(values), None, what, source.labels)


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
