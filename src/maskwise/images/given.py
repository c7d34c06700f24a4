"""Images that are given from Python: arrays, data sets, lists of pictures."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.images.arrays import Arrays, Layout, of_values
from maskwise.images.folders import Listed
from maskwise.images.hub import has_pictures, list_splits, splits_of
from maskwise.images.images import ImageSource
from maskwise.textio import encode_labels

log = logging.getLogger("maskwise")
TAKEN = (
    "images are given as an array [N, H, W] or [N, H, W, C], a tensor [N, C, H, W], a pair of one"
    " and labels, or a list or data set with a length, of arrays, tensors or pictures, or of pairs"
    " (picture, label)"
)
PICTURE, LABEL = (
    ("image", "img", "pixel_values", "picture", "x"),
    ("label", "labels", "target", "y"),
)


def takes(data: object) -> bool:
    """Say whether data from Python are images.

    >>> takes(np.zeros((5, 4, 4))), takes(np.zeros((5, 4))), takes([1, 2]), takes(None)
    (True, False, False, False)
    """
    if isinstance(data, ImageSource) or has_pictures(data):
        return True
    if _is_array(data):
        return getattr(data, "ndim", 0) in (3, 4)
    if isinstance(data, tuple) and len(data) == 2:
        return takes(data[0])
    if not _is_sequence(data):
        return False
    try:
        first = data[0] if len(data) else []  # type: ignore[arg-type, index]
        return isinstance(first, list) or _is_picture(_parts(first)[0])
    except Exception:  # whatever a data set of somebody else raises
        return isinstance(data, torch.utils.data.Dataset)


def open_given(data: Any, layout: Layout) -> Arrays | Listed:
    """Return images that are given from Python.

    Data sets are read to their length, once.

    Raises:
        UserError: something else.
    """
    y = None
    if isinstance(data, tuple) and len(data) == 2 and (data[1] is None or not _is_label(data[1])):
        data, y = data
    if isinstance(data, ImageSource):
        return Arrays("array", [data], {})
    if has_pictures(data):
        return list_splits("data", splits_of(data))
    if _is_array(data) or (isinstance(data, list) and data and isinstance(data[0], list)):
        return of_values(data, y, layout)
    if not _is_sequence(data):
        raise UserError(f"data of type {type(data).__name__} are no images: {TAKEN}")
    found = _read(data)
    return _joined(*found, y, layout)


def _is_array(data: object) -> bool:
    return hasattr(data, "ndim") and hasattr(data, "dtype") and not hasattr(data, "columns")


def _is_sequence(data: object) -> bool:
    """Say whether data have a length and can be asked for the sample of a number."""
    kind = type(data)
    if isinstance(data, (str, bytes, bytearray, memoryview, dict, range)):
        return False
    return hasattr(kind, "__len__") and hasattr(kind, "__getitem__")


def _is_picture(item: object) -> bool:
    if _is_array(item):
        return getattr(item, "ndim", 0) in (2, 3)
    nested = isinstance(item, list) and bool(item) and isinstance(item[0], list)
    return nested or _is_pillow(item)


def _is_pillow(item: object) -> bool:
    return hasattr(item, "getexif") and hasattr(item, "convert")


def _is_label(value: Any) -> bool:
    if value is None or isinstance(value, (str, int, float)):
        return True
    return _is_array(value) and value.ndim == 0


def _parts(item: Any) -> tuple[Any, Any]:
    """Return the picture of a sample of a data set, and the rest or None."""
    if isinstance(item, dict):
        picture = next((item[key] for key in PICTURE if key in item), None)
        return picture, next((item[key] for key in LABEL if key in item), None)
    if isinstance(item, (tuple, list)) and 1 <= len(item) <= 2 and _is_picture(item[0]):
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def _read(data: Any) -> tuple[list[Any], list[Any]]:
    """Return the pictures and the labels of a data set, never beyond its length."""
    try:
        num = len(data)
    except (TypeError, NotImplementedError) as error:
        raise UserError(f"a {type(data).__name__} has no length ({error}): {TAKEN}") from None
    pictures, labels = [], []
    for row in range(num):
        try:
            picture, label = _parts(data[row])
        except Exception as error:  # whatever a data set of somebody else raises
            why = str(error).split("\n")[0] or type(error).__name__
            raise UserError(f"sample {row + 1} of {num} cannot be read: {why}") from error
        if not _is_picture(picture):
            told = type(picture).__name__
            raise UserError(f"sample {row + 1} of {num} is no picture, but {told}: {TAKEN}")
        pictures.append(picture)
        labels.append(label)
    if not pictures:
        raise UserError(f"a {type(data).__name__} without samples: {TAKEN}")
    return pictures, labels


def _joined(pictures: list[Any], labels: list[Any], y: Any, layout: Layout) -> Arrays | Listed:
    """Return pictures as one array, or those of Pillow by row, with labels where all are such."""
    if y is None:
        y = _labels(labels)
    elif len(y) != len(pictures):
        raise UserError(f"data: {len(y)} labels for {len(pictures)} images")
    if all(map(_is_pillow, pictures)):
        codes, classes = (None, None) if y is None else encode_labels(np.asarray(y), "data: y")
        names = [f"image {number}" for number in range(1, len(pictures) + 1)]
        return Listed("data", partial(_copy, pictures), names, None, codes, classes)
    kinds = [isinstance(each, torch.Tensor) for each in pictures]
    if any(kinds) and not all(kinds):
        raise UserError("data: some samples are tensors and some are not: give one or the other")
    shapes = [tuple(np.shape(each)) for each in pictures]
    for number, shape in enumerate(shapes, start=1):
        if shape != shapes[0]:
            raise UserError(
                f"data: image 1 has the shape {shapes[0]} and image {number} {shape}: make them"
                " alike, or give pictures of Pillow, which can be resized"
            )
    return of_values(torch.stack(pictures) if all(kinds) else np.stack(pictures), y, layout)


def _labels(labels: list[Any]) -> np.ndarray | None:
    """Return labels of samples; None where there are none, or they are no classes."""
    if all(label is None for label in labels):
        return None
    if not all(map(_is_label, labels)):
        log.warning("data: what stands beside pictures is no class, and not used")
        return None
    plain = [label.item() if hasattr(label, "item") else label for label in labels]
    return np.array(plain, object)


def _copy(pictures: Sequence[Any], row: int) -> Any:
    return pictures[row].copy()  # who opens a picture closes it


def example() -> tuple[np.ndarray, Entries]:
    """Return pictures that are made up, uint8 [40, 32, 32, 3], and settings for them.

    >>> example()[0].shape
    (40, 32, 32, 3)
    """
    coarse = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2), {"data.patch": (4, 4)}
