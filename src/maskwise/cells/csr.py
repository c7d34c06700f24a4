"""Rows of a sparse matrix that stays where it is: in memory, or in a file."""

import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import sparse

from maskwise.errors import UserError

_BLOCK = 1 << 19  # values read at once where all rows are

Fill = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
Matrix: TypeAlias = np.ndarray | sparse.sparray | sparse.spmatrix


@dataclass(frozen=True, eq=False)
class Stored:
    """A long array, read in pieces.

    Args:
        dtype: of its values.
        fill: `fill(out, bounds, starts)` fills `out` with pieces, the k-th of them from bounds[k]
            to bounds[k + 1] with the values from number starts[k] on.
    """

    dtype: np.dtype
    fill: Fill


@dataclass(frozen=True, eq=False)
class CSR:
    """A matrix of cells by genes, by rows.

    Args:
        indptr: where each row begins in the other two, int64 [N + 1].
        indices: the columns of the values.
        values: the values that are not 0.
        num_columns: how many columns there are.
    """

    indptr: np.ndarray
    indices: Stored
    values: Stored
    num_columns: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the values of rows (int64 [b], in any order).

        Returns:
            how many each row has, int64 [b]; the columns of all, one row after the other; values.
        """
        starts = self.indptr[rows]
        sizes = self.indptr[rows + 1] - starts
        # What lies together is read together.
        first = np.flatnonzero(np.append(True, starts[1:] != (starts + sizes)[:-1]))[: len(rows)]
        ends = np.append(0, sizes.cumsum())
        bounds, pieces = ends[np.append(first, len(rows))], starts[first]
        columns = np.empty(ends[-1], dtype=self.indices.dtype)
        values = np.empty(ends[-1], dtype=self.values.dtype)
        self.indices.fill(columns, bounds, pieces)
        self.values.fill(values, bounds, pieces)
        return sizes, columns, values

    def blocks(self) -> Iterator[np.ndarray]:
        """Give the numbers of all rows in order, as many at once as fit in little memory."""
        return (np.arange(*span) for span in spans(self.indptr, _BLOCK, _BLOCK // 8))


def spans(indptr: np.ndarray, most: int, longest: int) -> Iterator[tuple[int, int]]:
    """Give ranges of rows: at most `longest` ones of at most `most` values, but one at least."""
    num, start = len(indptr) - 1, 0
    while start < num:
        stop = int(indptr.searchsorted(indptr[start] + most, "right")) - 1
        stop = min(max(stop, start + 1), start + longest, num)
        yield start, stop
        start = stop


def in_memory(matrix: Matrix) -> CSR:
    """Return a matrix in memory, sparse or dense, by rows.

    >>> sizes, columns, values = in_memory(np.array([[0, 3, 0], [1, 0, 2]])).read(np.array([1, 0]))
    >>> sizes.tolist(), columns.tolist(), values.tolist()
    ([2, 1], [0, 2, 1], [1, 2, 3])
    """
    if matrix.dtype.kind not in "biuf":
        raise UserError(f"the matrix of cells holds {matrix.dtype}, no numbers")
    rows = sparse.csr_matrix(matrix, dtype=matrix.dtype.newbyteorder("="))

    def stored(array: np.ndarray) -> Stored:
        def fill(out: np.ndarray, bounds: np.ndarray, starts: np.ndarray) -> None:
            for (low, high), start in zip(pairwise(bounds.tolist()), starts.tolist(), strict=True):
                out[low:high] = array[start : start + high - low]

        return Stored(array.dtype, fill)

    return CSR(
        rows.indptr.astype(np.int64), stored(rows.indices), stored(rows.data), rows.shape[1]
    )


def in_file(path: Path, dtype: np.dtype, offsets: np.ndarray, size: int) -> Stored:
    """Return an array that a file holds in chunks of `size` values, as they are in memory.

    No memory map: what was read would count as this program's memory.

    Args:
        path: the file.
        dtype: of its values.
        offsets: where each chunk begins, int64 [chunks], in bytes.
        size: values in a chunk.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    fill = partial(_fill, handle, path, offsets, size)
    weakref.finalize(fill, os.close, handle)
    return Stored(dtype, fill)


def _fill(
    handle: int,
    path: Path,
    offsets: np.ndarray,
    size: int,
    out: np.ndarray,
    bounds: np.ndarray,
    starts: np.ndarray,
) -> None:
    width, stops = out.itemsize, starts + np.diff(bounds)
    chunk = starts // size
    # Pieces that lie in several chunks become several pieces, empty ones none.
    num = np.where(stops > starts, (stops - 1) // size - chunk + 1, 0)
    piece = np.repeat(np.arange(len(num)), num)
    chunk = chunk[piece] + np.arange(len(piece)) - np.repeat(num.cumsum() - num, num)
    begin = np.maximum(starts[piece], chunk * size)
    end = np.minimum(stops[piece], (chunk + 1) * size)
    low = (bounds[piece] + begin - starts[piece]) * width
    view = out.data.cast("B")
    for first, last, offset in zip(
        low.tolist(),
        (low + (end - begin) * width).tolist(),
        (offsets[chunk] + (begin - chunk * size) * width).tolist(),
        strict=True,
    ):
        if os.preadv(handle, (view[first:last],), offset) != last - first:
            raise UserError(f"{path} was cut short or changed while it was read")
