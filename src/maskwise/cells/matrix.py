"""Matrices of cells by genes, by rows: in memory, where they lie in a file, or unpacked."""

import logging
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from maskwise.errors import UserError
from maskwise.files import Stamp, atomic_folder, cached, read_json, write_json

log = logging.getLogger("maskwise")

_BLOCK = 1 << 19  # values read at once where all rows are
_PART = 1 << 23  # values unpacked at once
_VALUES, _INDICES, _INDPTR, _SHAPE = "values", "indices", "indptr", "shape.json"
_SAMPLE = 200  # rows, at the beginning, in the middle and at the end

Matrix: TypeAlias = np.ndarray | sparse.sparray | sparse.spmatrix
Element: TypeAlias = Any
"""an array of h5py or zarr, or a group of them"""


@dataclass(frozen=True, eq=False)
class Stored:
    """A long array: `fill(out, bounds, starts)` reads pieces of it, of type `dtype`.

    The k-th piece goes to bounds[k] to bounds[k + 1]; its values are those from starts[k] on.
    """

    dtype: np.dtype
    fill: Callable[[np.ndarray, np.ndarray, np.ndarray], None]


@dataclass(frozen=True, eq=False)
class CSR:
    """A matrix of cells by genes, by rows: row i has the values indptr[i] to indptr[i + 1]."""

    indptr: np.ndarray
    indices: Stored
    values: Stored
    num_columns: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return of rows, int64 [b], how many values each has, the columns of all, the values."""
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
        return (np.arange(*span) for span in _spans(self.indptr, _BLOCK, _BLOCK // 8))


def _spans(indptr: np.ndarray, most: int, longest: int) -> Iterator[tuple[int, int]]:
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

    indptr = rows.indptr.astype(np.int64)
    return CSR(indptr, stored(rows.indices), stored(rows.data), rows.shape[1])


def in_file(path: Path, dtype: np.dtype, offsets: np.ndarray, size: int) -> Stored:
    """Return an array that a file holds in chunks of `size` values, as in memory, at `offsets`.

    No memory map: what was read would count as this program's memory.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None

    def fill(out: np.ndarray, bounds: np.ndarray, starts: np.ndarray) -> None:
        width, stops = out.itemsize, starts + np.diff(bounds)
        chunk = starts // size
        # Pieces that lie in several chunks become several pieces, empty ones none.
        num = np.where(stops > starts, (stops - 1) // size - chunk + 1, 0)
        piece = np.repeat(np.arange(len(num)), num)
        chunk = chunk[piece] + np.arange(len(piece)) - np.repeat(num.cumsum() - num, num)
        begin = np.maximum(starts[piece], chunk * size)
        end = np.minimum(stops[piece], (chunk + 1) * size)
        low = (bounds[piece] + begin - starts[piece]) * width
        view = out.view(np.uint8).data
        for first, last, offset in zip(
            low.tolist(),
            (low + (end - begin) * width).tolist(),
            (offsets[chunk] + (begin - chunk * size) * width).tolist(),
            strict=True,
        ):
            if os.preadv(handle, (view[first:last],), offset) != last - first:
                raise UserError(f"{path} was cut short or changed while it was read")

    weakref.finalize(fill, os.close, handle)
    return Stored(dtype, fill)


def open_matrix(element: Element, path: Path, stamp: Stamp) -> CSR:
    """Open a matrix of a file, a group with a sparse matrix or a dense array.

    By rows and not compressed, it is read where it lies. Else it is unpacked into the cache, the
    first time, a part at a time; the stamp tells this state of the file from another.

    Raises:
        UserError: it is no matrix, or of no numbers.
    """
    kind, shape = _layout(element, path)
    if kind == "csr":
        indices, values = (_in_place(element[name], path) for name in ("indices", "data"))
        if indices is not None and values is not None:
            return CSR(element["indptr"][:].astype(np.int64), indices, values, shape[1])
    folder = cached("cells", [1, stamp, element.name])
    if not folder.is_dir():
        log.info("%s: unpacking %s (kept in %s)", path, element.name, folder)
        with atomic_folder(folder) as work:
            indptr = (_transpose if kind == "csc" else _unpack)(element, kind, shape, work)
            (work / _INDPTR).write_bytes(indptr.tobytes())
            write_json(work / _SHAPE, list(shape))
    indptr = np.fromfile(folder / _INDPTR, np.int64)
    indices, values = (
        _contiguous(folder / name, np.dtype(kind), 0, int(indptr[-1]))
        for name, kind in ((_INDICES, np.int32), (_VALUES, np.float32))
    )
    return CSR(indptr, indices, values, read_json(folder / _SHAPE)[1])


def _layout(element: Element, path: Path) -> tuple[str, tuple[int, int]]:
    """Return "csr", "csc" or "dense", and how many cells and genes a matrix has."""
    kind = str(element.attrs.get("encoding-type", ""))
    if kind in ("csr_matrix", "csc_matrix"):
        shape, values = element.attrs["shape"], element["data"]
    elif getattr(element, "shape", None) is not None and len(element.shape) == 2:
        kind, shape, values = "dense", element.shape, element
    else:
        raise UserError(
            f"{path}: {element.name} is no matrix of cells by genes as anndata writes since 0.7:"
            " read it with anndata and write it again"
        )
    if values.dtype.kind not in "biuf":
        raise UserError(f"{path}: {element.name} holds {values.dtype}, no numbers")
    return kind.removesuffix("_matrix"), (int(shape[0]), int(shape[1]))


def _in_place(data: object, path: Path) -> Stored | None:
    """Return an array of an HDF5 file that lies there as it is in memory, if it does."""
    import h5py

    if not isinstance(data, h5py.Dataset) or not data.dtype.isnative or data.file.userblock_size:
        return None
    if data.id.get_create_plist().get_nfilters() or not data.size:
        return None
    if data.chunks is None:
        offset = data.id.get_offset()
        return None if offset is None else _contiguous(path, data.dtype, offset, data.size)
    [size] = data.chunks
    offsets = np.full(-(-data.size // size), -1, dtype=np.int64)

    data.id.chunk_iter(
        lambda chunk: offsets.__setitem__(chunk.chunk_offset[0] // size, chunk.byte_offset)
    )
    return None if (offsets < 0).any() else in_file(path, data.dtype, offsets, size)


def _contiguous(path: Path, dtype: np.dtype, offset: int, num: int) -> Stored:
    """Return an array of a file, in chunks that are not too long for one read."""
    return in_file(path, dtype, offset + np.arange(0, num, _PART) * dtype.itemsize, _PART)


def _parts(element: Element, kind: str, num: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Give some rows at a time (of "csc" columns, transposed), after the number of the first."""
    if kind == "dense":
        indptr = np.arange(num + 1) * element.shape[1]
    else:
        indptr = element["indptr"][:].astype(np.int64)
    for start, stop in _spans(indptr, _PART, num):
        yield start, _rows(element, kind, start, stop)


def _rows(element: Element, kind: str, start: int, stop: int) -> sparse.csr_matrix:
    """Return some rows (some columns, transposed, of "csc") as a scipy matrix in memory."""
    if kind == "dense":
        return sparse.csr_matrix(element[start:stop].astype(np.float32))
    indptr = element["indptr"][start : stop + 1].astype(np.int64)
    low, high = int(indptr[0]), int(indptr[-1])
    width = int(element.attrs["shape"][1 if kind == "csr" else 0])
    values = element["data"][low:high].astype(np.float32)
    some = values, element["indices"][low:high], indptr - low
    return sparse.csr_matrix(some, shape=(stop - start, width))


def _unpack(element: Element, kind: str, shape: tuple[int, int], work: Path) -> np.ndarray:
    """Write values and columns, return where each row begins."""
    indptr = [np.zeros(1, dtype=np.int64)]
    with (work / _VALUES).open("wb") as values, (work / _INDICES).open("wb") as indices:
        for _, part in _parts(element, kind, shape[0]):
            values.write(part.data.tobytes())
            indices.write(part.indices.astype(np.int32).tobytes())
            indptr.append(indptr[-1][-1] + part.indptr[1:].astype(np.int64))
    return np.concatenate(indptr)


def _transpose(element: Element, kind: str, shape: tuple[int, int], work: Path) -> np.ndarray:
    """Write what is stored by columns by rows.

    The first pass counts the values of each row, the second puts them where they belong. Each
    part has values for most rows, so that the second writes all over the disk: about (values /
    `_PART`) passes over the pages of the copy, which the system's cache makes bearable while the
    copy fits there.
    """
    sizes = np.zeros(shape[0], dtype=np.int64)
    for start in range(0, element["indices"].shape[0], _PART):
        sizes += np.bincount(element["indices"][start : start + _PART], minlength=shape[0])
    indptr = np.append(0, sizes.cumsum())
    for name in (_VALUES, _INDICES):
        (work / name).touch()
    if indptr[-1]:  # an empty file cannot be mapped
        values = np.memmap(work / _VALUES, np.float32, "w+", shape=(indptr[-1],))
        indices = np.memmap(work / _INDICES, np.int32, "w+", shape=(indptr[-1],))
        place = indptr[:-1].copy()
        for start, each in _parts(element, kind, shape[1]):
            part = each.tocsc()  # transposed: its columns are cells
            counts = np.diff(part.indptr)
            target = np.arange(len(part.data)) + np.repeat(place - part.indptr[:-1], counts)
            values[target], indices[target] = part.data, part.indices + start
            place += counts
    return indptr


def counts_in_memory(matrix: Matrix) -> bool:
    """Return whether a matrix seems to hold counts.

    >>> counts_in_memory(np.array([[0, 3], [1, 0]])), counts_in_memory(np.array([[0.5, 3]]))
    (True, False)
    """

    def values(start: int, stop: int) -> np.ndarray:
        return in_memory(matrix[start:stop]).read(np.arange(stop - start))[2]

    return _counts(matrix.shape[0], values)


def counts_in_file(element: Element, path: Path) -> bool:
    """Return whether a matrix of a file seems to hold counts."""
    kind, shape = _layout(element, path)
    return _counts(shape[kind == "csc"], lambda *span: _rows(element, kind, *span).data)


def _counts(num: int, values: Callable[[int, int], np.ndarray]) -> bool:
    """Return whether the values of some rows are integers from 0 up, some above 0."""
    starts = {0, max(0, num // 2 - _SAMPLE // 2), max(0, num - _SAMPLE)}
    some = np.concatenate([values(start, min(start + _SAMPLE, num)) for start in starts])
    return bool(some.any() and ((some >= 0) & (some == np.rint(some))).all())
