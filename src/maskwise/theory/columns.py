"""Tables of samples by features, standardised a block at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from maskwise.errors import UserError
from maskwise.theory.spectra import Array

# Numbers in a block that is made dense and float64 at a time.
BLOCK = 2**22
# A deviation this small beside the mean is rounding: the column never varies.
STILL = 1e-12


@dataclass(frozen=True, eq=False)
class Columns:
    """A table [n, d], dense or sparse, with the mean and standard deviation [d] of its columns."""

    values: Any
    mean: Array
    deviation: Array

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape

    @property
    def still(self) -> np.ndarray:
        """Indices of columns that never vary."""
        return np.flatnonzero(self.deviation == 0)

    def take(self, columns: np.ndarray) -> "Columns":
        return Columns(self.values[:, columns], self.mean[columns], self.deviation[columns])

    def blocks(self, axis: int) -> Iterator[tuple[slice, Array]]:
        """Yield blocks of rows (axis 0) or of columns (axis 1), standardised, and their places."""
        for place, block in _blocks(self.values, axis):
            columns = place if axis else slice(None)
            block -= self.mean[columns]
            block /= self.deviation[columns]
            yield place, block


def read_columns(data: Any) -> Columns:
    """Return a table with the moments of its columns.

    Args:
        data: [n, d] numbers, an array or a scipy.sparse matrix.

    Raises:
        UserError: not two axes of at least 2, not numbers, or a value that is not finite.
    """
    values = data.tocsr() if sparse.issparse(data) else np.asarray(data)
    if values.ndim != 2 or min(values.shape) < 2:
        raise UserError(
            f"data of shape {values.shape} must be [samples, features], at least 2 of each"
        )
    if values.dtype.kind not in "biuf":
        raise UserError(f"data of type {values.dtype} must be real numbers")
    mean, deviation = np.empty((2, values.shape[1]))
    for place, block in _blocks(values, axis=1):
        with np.errstate(over="ignore", invalid="ignore"):
            mean[place] = block.mean(axis=0)
            deviation[place] = np.sqrt(((block - mean[place]) ** 2).mean(axis=0))
        if not np.isfinite(deviation[place]).all():
            raise UserError(_not_finite(block, deviation[place], place.start))
    deviation[deviation <= STILL * np.abs(mean)] = 0.0
    return Columns(values, mean, deviation)


def read_targets(target: ArrayLike, num_samples: int) -> Array:
    """Return targets [n, m], standardised.

    Raises:
        UserError: they are not one finite number per sample, or never vary.
    """
    values = np.asarray(target)
    if values.ndim not in (1, 2) or len(values) != num_samples:
        raise UserError(f"a target of shape {values.shape} needs {num_samples} rows, as the data")
    if values.dtype.kind not in "biuf":
        raise UserError(f"a target of type {values.dtype} must be real numbers")
    values = values.reshape(num_samples, -1).astype(np.float64)
    if not np.isfinite(values).all():
        row = np.argwhere(~np.isfinite(values))[0, 0]
        raise UserError(f"target of row {row} is not finite: fill it in or leave the row out")
    centred = values - values.mean(axis=0)
    deviation = np.sqrt((centred**2).mean(axis=0))
    if (deviation <= STILL * np.abs(values.mean(axis=0))).any():
        raise UserError("the target never varies: there is nothing to predict")
    return centred / deviation


def _blocks(values: Any, axis: int) -> Iterator[tuple[slice, Array]]:
    if sparse.issparse(values):
        values = values.tocsc() if axis else values.tocsr()
    step = max(1, BLOCK // values.shape[1 - axis])
    for start in range(0, values.shape[axis], step):
        place = slice(start, start + step)
        part = values[:, place] if axis else values[place]
        dense = part.toarray() if sparse.issparse(part) else part
        yield place, dense.astype(np.float64)


def _not_finite(block: Array, deviation: Array, first: int) -> str:
    bad = np.argwhere(~np.isfinite(block))
    if not len(bad):
        column = first + int(np.argmin(np.isfinite(deviation)))
        return f"column {column} holds numbers too large to square: rescale it"
    row, column = bad[0]
    return (
        f"row {row}, column {first + column} is {block[row, column]}: fill it in, or leave the "
        "row or column out"
    )
