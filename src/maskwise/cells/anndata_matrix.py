"""Matrices of .h5ad and .zarr files, by rows: read where they lie, or unpacked into the cache."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from maskwise.cells.csr import CSR, Matrix, Stored, in_file, in_memory, spans
from maskwise.errors import UserError
from maskwise.files import Stamp, atomic_folder, cached, read_json, write_json

log = logging.getLogger("maskwise")

_PART = 1 << 23  # values unpacked at once
_VALUES, _INDICES, _INDPTR, _SHAPE = "values", "indices", "indptr", "shape.json"
_SAMPLE = 200  # rows, at the beginning, in the middle and at the end


class Element(Protocol):
    """What h5py and zarr have in common: an array, or a group of them."""

    name: str
    attrs: Mapping[str, Any]
    dtype: np.dtype
    shape: tuple[int, ...]

    def __getitem__(self, key: Any) -> Any: ...

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, key: str) -> bool: ...


def open_matrix(element: Element, path: Path, stamp: Stamp) -> CSR:
    """Open a matrix of a file.

    By rows and not compressed, it is read where it lies. Else it is unpacked into the cache, the
    first time, a part at a time.

    Args:
        element: of h5py or zarr, a group with a sparse matrix or a dense array.
        path: the file.
        stamp: what tells this state of the file from another.

    Raises:
        UserError: it is no matrix, or of no numbers.
    """
    kind, shape = layout(element, path)
    if kind == "csr":
        indices, values = (_in_place(element[name], path) for name in ("indices", "data"))
        if indices is not None and values is not None:
            return CSR(element["indptr"][:].astype(np.int64), indices, values, shape[1])
    folder = cached("cells", [1, stamp, element.name])
    if not folder.is_dir():
        log.info("%s: unpacking %s (kept in %s)", path, element.name, folder)
        with atomic_folder(folder) as work:
            (_transpose if kind == "csc" else _unpack)(element, kind, shape, work)
    return _unpacked(folder)


def layout(element: Element, path: Path) -> tuple[str, tuple[int, int]]:
    """Return "csr", "csc" or "dense", and how many cells and genes a matrix has.

    Raises:
        UserError: it is no matrix, or of no numbers.
    """
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


def rows(element: Element, kind: str, start: int, stop: int) -> sparse.csr_matrix:
    """Return some rows (some columns, transposed, of "csc") as a scipy matrix in memory."""
    if kind == "dense":
        return sparse.csr_matrix(element[start:stop].astype(np.float32))
    indptr = element["indptr"][start : stop + 1].astype(np.int64)
    low, high = int(indptr[0]), int(indptr[-1])
    width = int(element.attrs["shape"][1 if kind == "csr" else 0])
    values = element["data"][low:high].astype(np.float32)
    some = values, element["indices"][low:high], indptr - low
    return sparse.csr_matrix(some, shape=(stop - start, width))


def _steps(element: Element, kind: str, num: int) -> Iterator[tuple[int, int]]:
    """Give ranges of rows (columns of "csc") with not too many values each."""
    if kind == "dense":
        step = max(1, _PART // max(element.shape[1], 1))
        yield from ((start, min(start + step, num)) for start in range(0, num, step))
        return
    yield from spans(element["indptr"][:].astype(np.int64), _PART, num)


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


def _unpack(element: Element, kind: str, shape: tuple[int, int], work: Path) -> None:
    indptr = [np.zeros(1, dtype=np.int64)]
    with (work / _VALUES).open("wb") as values, (work / _INDICES).open("wb") as indices:
        for start, stop in _steps(element, kind, shape[0]):
            part = rows(element, kind, start, stop)
            values.write(part.data.tobytes())
            indices.write(part.indices.astype(np.int32).tobytes())
            indptr.append(indptr[-1][-1] + part.indptr[1:].astype(np.int64))
    _finish(work, np.concatenate(indptr), shape)


def _transpose(element: Element, kind: str, shape: tuple[int, int], work: Path) -> None:
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
    if indptr[-1]:
        values = np.memmap(work / _VALUES, np.float32, "w+", shape=(indptr[-1],))
        indices = np.memmap(work / _INDICES, np.int32, "w+", shape=(indptr[-1],))
        place = indptr[:-1].copy()
        for start, stop in _steps(element, kind, shape[1]):
            part = rows(element, kind, start, stop).tocsc()  # transposed: its columns are cells
            counts = np.diff(part.indptr)
            target = np.arange(len(part.data)) + np.repeat(place - part.indptr[:-1], counts)
            values[target], indices[target] = part.data, part.indices + start
            place += counts
    _finish(work, indptr, shape)


def _finish(work: Path, indptr: np.ndarray, shape: tuple[int, int]) -> None:
    (work / _INDPTR).write_bytes(indptr.tobytes())
    write_json(work / _SHAPE, list(shape))


def _unpacked(folder: Path) -> CSR:
    num_columns = read_json(folder / _SHAPE)[1]
    indptr = np.fromfile(folder / _INDPTR, np.int64)
    types = np.dtype(np.int32), np.dtype(np.float32)
    if not indptr[-1]:  # files without a byte
        indices, values = (Stored(dtype, lambda out, bounds, starts: None) for dtype in types)
        return CSR(indptr, indices, values, num_columns)
    indices, values = (
        _contiguous(folder / name, dtype, 0, int(indptr[-1]))
        for name, dtype in zip((_INDICES, _VALUES), types, strict=True)
    )
    return CSR(indptr, indices, values, num_columns)


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
    kind, shape = layout(element, path)

    def values(start: int, stop: int) -> np.ndarray:
        return rows(element, kind, start, stop).data

    return _counts(shape[kind == "csc"], values)


def _counts(num: int, values: Callable[[int, int], np.ndarray]) -> bool:
    """Return whether the values of some rows are integers from 0 up, some above 0."""
    starts = {0, max(0, num // 2 - _SAMPLE // 2), max(0, num - _SAMPLE)}
    some = np.concatenate([values(start, min(start + _SAMPLE, num)) for start in starts])
    return bool(some.any() and ((some >= 0) & (some == np.rint(some))).all())
