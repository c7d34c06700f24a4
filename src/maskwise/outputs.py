"""Features as a file: a row for each sample, in the order of its source and with its name."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskwise.errors import UserError, require
from maskwise.files import atomic

OK = "ok"


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
        """Return what the rows of a table begin with: the name of a sample, and its status."""
        every = range(len(self.features))
        names = self.names if self.names is not None else [str(row + 1) for row in every]
        return {"name": list(names), "status": [self.broken.get(row, OK) for row in every]}


def spread(
    features: np.ndarray, names: Sequence[str] | None, broken: Mapping[int, str]
) -> Embedded:
    """Return features in the rows of their samples.

    Args:
        features: [n, D], of the samples that could be read.
        names: of all N samples, or None.
        broken: numbers, from 0, of the N - n samples that could not be read, and why.

    >>> spread(np.ones((2, 1), np.float32), None, {1: "empty"}).features.ravel()
    array([ 1., nan,  1.], dtype=float32)
    """
    whole = np.full((len(features) + len(broken), features.shape[1]), np.nan, np.float32)
    whole[np.setdiff1d(np.arange(len(whole)), list(broken))] = features
    return Embedded(whole, names, broken)


def check_place(path: Path) -> None:
    """Refuse a file whose ending says nothing of how features are written.

    Raises:
        UserError: such a file.
    """
    if path.suffix not in WRITERS:
        raise UserError(
            f"{path}: features are written as {', '.join(WRITERS)}, of cells also as .h5ad"
        )


def write_features(path: Path, found: Embedded) -> None:
    """Write features as the ending of the file says.

    `.npy` has the features alone, and their names go into a text file beside it; `.npz` has
    `features`, `name` and `status`; the others are tables of `name`, `status` and `f0`, `f1`, ...
    """
    WRITERS[path.suffix](path, found)


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


def _delimited(path: Path, found: Embedded) -> None:
    first = found.columns()
    with (
        atomic(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="replace", newline="") as file,
    ):
        rows = csv.writer(file, delimiter="," if path.suffix == ".csv" else "\t")
        rows.writerow([*first, *(f"f{number}" for number in range(found.features.shape[1]))])
        for *told, values in zip(*first.values(), found.features, strict=True):
            rows.writerow([*told, *("" if np.isnan(value) else value for value in values)])


def _parquet(path: Path, found: Embedded) -> None:
    pyarrow = require("pyarrow", path, "data")
    from pyarrow import parquet

    numbers = {f"f{number}": column for number, column in enumerate(found.features.T)}
    with atomic(path) as temporary:
        parquet.write_table(pyarrow.table({**found.columns(), **numbers}), temporary)


WRITERS: Mapping[str, Callable[[Path, Embedded], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _delimited,
    ".tsv": _delimited,
    ".parquet": _parquet,
}
