"""Images that are given from Python: arrays, data sets, lists of pictures."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.given import Items, Streamed, wrapped
from maskwise.images.arrays import Arrays, of_values
from maskwise.images.folders import Listed
from maskwise.images.given_items import (
    How,
    is_array,
    is_picture,
    is_pillow,
    labels_beside,
    lazily,
    like_first,
    parts_of,
    varies,
)
from maskwise.images.given_maps import of_mapped
from maskwise.images.hub import has_pictures, list_splits, splits_of
from maskwise.images.images import ImageSource
from maskwise.images.looked import MEMORY_BYTES
from maskwise.textio import encode_labels

log = logging.getLogger("maskwise")
TAKEN = (
    "images are given as an array [N, H, W] or [N, H, W, C], a tensor [N, C, H, W], a pair of one"
    " and labels, or a list or data set, of arrays, tensors or pictures, or of pairs (picture,"
    " label), or of dicts"
)


def takes(data: object) -> bool:
    """Say whether data from Python are images.

    >>> takes(np.zeros((5, 4, 4))), takes(np.zeros((5, 4))), takes([1, 2]), takes(None)
    (True, False, False, False)
    """
    if isinstance(data, (Items, Streamed)):
        return _holds_pictures(data)
    if isinstance(data, ImageSource) or has_pictures(data):
        return True
    if is_array(data):
        return getattr(data, "ndim", 0) in (3, 4)
    if isinstance(data, tuple) and len(data) == 2:
        return takes(data[0])
    if not _is_sequence(data):
        return takes(found) if (found := wrapped(data)) is not data else False
    first = data[0] if len(data) else []  # type: ignore[arg-type, index]
    return isinstance(first, list) or _holds_pictures(Items(data))


def _holds_pictures(data: Items | Streamed) -> bool:
    if data.x is None and has_pictures(data.data):
        return True
    first = data.peeked
    try:
        return first is not None and is_picture(parts_of(data, first, 0)[0])
    except UserError:
        return False


def open_given(data: Any, how: How) -> Arrays | Listed:
    """Return images that are given from Python.

    Data sets are read to their length, once, if they fit memory and stay the same.

    Args:
        data: as `takes` takes it.
        how: single pictures become images.

    Raises:
        UserError: something else.
    """
    y = None
    if isinstance(data, tuple) and len(data) == 2 and (data[1] is None or not _is_label(data[1])):
        data, y = data
    if isinstance(data, ImageSource):
        return Arrays("array", [data], {})
    data = wrapped(data)
    inner = data.data if isinstance(data, Items) else data
    if has_pictures(inner) and (data is inner or _of_column(data)):
        keys = (data.x, data.y) if isinstance(data, Items) else (None, None)
        return list_splits("data", splits_of(inner), *keys)
    if isinstance(data, np.memmap):
        return of_mapped(data, y, how.layout)
    if is_array(data) or (isinstance(data, list) and data and isinstance(data[0], list)):
        return of_values(data, y, how.layout)
    if not isinstance(data, Items):
        if not _is_sequence(data):
            raise UserError(f"data of type {type(data).__name__} are no images: {TAKEN}")
        data = Items(data)
    return _of_items(data, y, how)


def _of_column(data: Items) -> bool:
    """Say whether the sample is in a column of pictures, and not in one of arrays."""
    return data.x is None or type(data.data.features.get(data.x)).__name__ in ("Image", "NoneType")


def _is_sequence(data: object) -> bool:
    return isinstance(data, (list, tuple))


def _is_label(value: Any) -> bool:
    if value is None or isinstance(value, (str, int, float)):
        return True
    return is_array(value) and value.ndim == 0


def _of_items(items: Items, y: Any, how: How) -> Arrays | Listed:
    """Return the pictures of a data set: read now, or when they are asked for."""
    if not items.num:
        raise UserError(f"a {type(items.data).__name__} without samples: {TAKEN}")
    if isinstance(items.data, (list, tuple)):
        return _joined(*_read(items), y, how)
    large, varying, like = False, False, None
    try:
        like = like_first(items, how)
        large = like.num_bytes * items.num > MEMORY_BYTES
        varying = varies(items, like)
    except UserError:  # reading all of them tells all that is wrong
        if large:
            raise
    if like is None or not (large or varying):
        return _joined(*_read(items), y, how)
    label = parts_of(items, items.first, 0)[1]
    if y is None and label is not None:
        y = labels_beside(items, label)
    if y is None and label is not None and not large:
        y = labels_among(_read(items)[1])
    elif y is None and label is not None:
        log.warning(
            "data: labels are not read, as this would read all of %d samples: give (data, labels),"
            " or the data set an attribute `targets`",
            items.num,
        )
    return lazily(items, like, y, varying)


def _read(items: Items) -> tuple[list[Any], list[Any]]:
    """Return the pictures and the labels of a data set, never beyond its length."""
    pictures, labels = [], []
    for row, item in enumerate(items.every()):
        picture, label = parts_of(items, item, row)
        if not is_picture(picture):
            what = type(picture).__name__
            raise UserError(f"{items.named(row)} is no picture, but {what}: {TAKEN}")
        pictures.append(picture)
        labels.append(label)
    return pictures, labels


def _joined(pictures: list[Any], labels: list[Any], y: Any, how: How) -> Arrays | Listed:
    """Return pictures as one array, or those of Pillow by row, with labels where all are such."""
    if y is None:
        y = labels_among(labels)
    elif len(y) != len(pictures):
        raise UserError(f"data: {len(y)} labels for {len(pictures)} images")
    if all(map(is_pillow, pictures)):
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
    return of_values(torch.stack(pictures) if all(kinds) else np.stack(pictures), y, how.layout)


def labels_among(labels: list[Any]) -> np.ndarray | None:
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
