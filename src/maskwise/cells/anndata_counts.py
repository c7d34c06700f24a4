"""Which matrices seem to hold counts: a look at some rows, for messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.cells.anndata_matrix import layout, rows
from maskwise.cells.csr import in_memory

_SAMPLE = 200  # rows, at the beginning, in the middle and at the end


def counts_in_memory(matrix: Any) -> bool:
    """Return whether a matrix seems to hold counts.

    >>> counts_in_memory(np.array([[0, 3], [1, 0]])), counts_in_memory(np.array([[0.5, 3]]))
    (True, False)
    """

    def values(start: int, stop: int) -> np.ndarray:
        return in_memory(matrix[start:stop]).read(np.arange(stop - start))[2]

    return _counts(matrix.shape[0], values)


def counts_in_file(element: Any, path: Path) -> bool:
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
