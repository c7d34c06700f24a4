"""Images in memory maps of NumPy, which stay where they are."""

from functools import partial
from typing import Any

import numpy as np

from maskwise.errors import UserError
from maskwise.images.array_files import Layout
from maskwise.images.arrays import Arrays, labels_of, layout_of, not_finite
from maskwise.images.images import ImageSource

_PART = 256 << 20  # bytes looked at together


def of_mapped(x: np.memmap[Any, Any], y: Any = None, layout: Layout = None) -> Arrays:
    """Return images in a memory map [N, H, W] or [N, H, W, C]; what is read of them is copied.

    They are looked through once, a part at a time.

    Args:
        x: numbers; integers within 0..255 are read as uint8, all else as float32.
        y: labels [N], or None.
        layout: where the channels are.

    Raises:
        UserError: something else.
    """
    where = "array: x"
    if x.dtype.kind not in "biuf" or x.ndim not in (3, 4) or 0 in x.shape:
        what = f"{x.dtype} of shape {x.shape}"
        raise UserError(f"{where}: images must be numbers [N, H, W] or [N, H, W, C], got {what}")
    images = x[..., None] if x.ndim == 3 else x
    if x.ndim == 4 and (layout or layout_of(x.shape, where)) == "NCHW":
        images = images.transpose(0, 2, 3, 1)
    dtype, broken = _looked_through(images)
    codes, classes = labels_of(y, len(x))
    _, height, width, channels = images.shape
    read = partial(_read, images, dtype)
    source = ImageSource((channels, height, width), read, np.arange(len(x)), codes, classes)
    return Arrays("array", [source], broken)


def _looked_through(images: np.ndarray) -> tuple[np.dtype[Any], dict[int, str]]:
    """Return what images are read as, and which have values that are not finite."""
    kind, size = images.dtype.kind, max(1, _PART // max(images[0].nbytes, 1))
    broken: dict[int, str] = {}
    small = kind in "biu"
    for start in range(0, 0 if images.dtype == np.uint8 else len(images), size):
        part = images[start : start + size]
        if kind == "f":
            with np.errstate(over="ignore"):
                wrong = not_finite(part.astype(np.float32, copy=False))
            broken |= {start + row: why for row, why in wrong.items()}
        elif small:
            small = bool(part.min() >= 0 and part.max() <= 255)
    return np.dtype(np.uint8 if small else np.float32), broken


def _read(images: np.ndarray, dtype: np.dtype[Any], rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images[rows].astype(dtype, copy=False)).view(np.ndarray)
