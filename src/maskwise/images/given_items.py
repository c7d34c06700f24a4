"""Images of data sets that are too large for memory, or never the same: read when asked for."""

import logging
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskwise.borrowed import keyed
from maskwise.errors import UserError, option
from maskwise.given import Items, Streamed, is_of_hub
from maskwise.images.array_files import Layout
from maskwise.images.arrays import Arrays, layout_of
from maskwise.images.headers import header_of
from maskwise.images.images import ImageSource
from maskwise.images.pictures import Become, Pictures, empty
from maskwise.textio import encode_labels

log = logging.getLogger("maskwise")
PICTURE, LABEL = (
    ("image", "img", "pixel_values", "picture", "x"),
    ("label", "labels", "target", "y"),
)
LOOKED_AT = 8  # samples that are read twice, to see whether they stay the same
BESIDE = ("targets", "labels")  # what data sets of others call the labels of all samples
PLAIN = Become()
_one = threading.RLock()  # code of others need not bear several threads


@dataclass(frozen=True)
class How:
    """How single pictures become images, as the settings of the data say."""

    become: Become = PLAIN
    layout: Layout = None
    max_pixels: int = 178_956_970


def is_array(data: object) -> bool:
    """Say whether data are an array or a tensor."""
    return hasattr(data, "ndim") and hasattr(data, "dtype") and not hasattr(data, "columns")


def is_pillow(item: object) -> bool:
    """Say whether an item is a picture of Pillow."""
    return hasattr(item, "getexif") and hasattr(item, "convert")


def is_picture(item: object) -> bool:
    """Say whether an item is a picture: an array, a tensor, nested lists, or one of Pillow."""
    if is_array(item):
        return getattr(item, "ndim", 0) in (2, 3)
    nested = isinstance(item, list) and bool(item) and isinstance(item[0], list)
    return nested or is_pillow(item)


def parts_of(data: Items | Streamed, item: Any, number: int) -> tuple[Any, Any]:
    """Return the picture of an item and its label, or None.

    Raises:
        UserError: None, or a dict without the key that was asked for.
    """
    sample, label = data.parts(item, number, PICTURE, LABEL)
    if isinstance(sample, (tuple, list)) and 1 <= len(sample) <= 2 and is_picture(sample[0]):
        return sample[0], sample[1] if len(sample) > 1 else label
    return sample, label


def array_of(picture: Any, how: How, where: str) -> np.ndarray:
    """Return a picture as an image [H, W, C], uint8 or float32.

    Raises:
        UserError: it is none, or cannot be read.
    """
    if not is_picture(picture):
        raise UserError(f"{where} is no picture, but {type(picture).__name__}")
    if is_pillow(picture):
        image = empty(1, how.become.plan(header_of(picture)))[0]
        read = Pictures(lambda row: picture.copy(), [where], how.become, how.max_pixels)
        if why := read.decode(0, image):
            raise UserError(f"{where}: unreadable image ({why}); replace or remove it")
        return image
    if isinstance(picture, torch.Tensor):
        picture = picture.detach().cpu()
        values = (picture.float() if picture.is_floating_point() else picture).numpy()
        values = values.transpose(1, 2, 0) if values.ndim == 3 else values  # channels are first
    else:
        masked = np.ma.is_masked(picture)
        values = (
            np.ma.filled(picture.astype(np.float32), np.nan) if masked else np.asarray(picture)
        )
        if values.ndim == 3 and (how.layout or layout_of((1, *values.shape), where)) == "NCHW":
            values = values.transpose(1, 2, 0)
    if values.dtype.kind not in "biuf" or 0 in values.shape:
        raise UserError(f"{where}: images must be numbers, got {values.dtype} {values.shape}")
    values = values[..., None] if values.ndim == 2 else values
    values = values.astype(
        np.uint8 if values.dtype in (np.uint8, bool) else np.float32, copy=False
    )
    if values.dtype == np.float32 and (bad := int((~np.isfinite(values)).sum())):
        raise UserError(f"{where}: {bad} of {values.size} values are NaN or infinite")
    return values


@dataclass(frozen=True)
class Like:
    """What all images of a data set are: what the first one is."""

    how: How
    shape: tuple[int, ...]  # H, W, C
    dtype: np.dtype[Any]
    first: str  # what messages call the first

    @property
    def num_bytes(self) -> int:
        """What an image takes in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def array(self, picture: Any, where: str) -> np.ndarray:
        """Return a picture as an image like the others.

        Raises:
            UserError: it is not; or it cannot be read.
        """
        image = array_of(picture, self.how, where)
        if image.shape == self.shape and image.dtype == self.dtype:
            return image
        kinds = "" if image.shape != self.shape else f" of {image.dtype} and {self.dtype}"
        size = f" or give {option('data.size')}" if is_pillow(picture) else ""
        raise UserError(
            f"{where} has the shape {image.shape} and {self.first} {self.shape}{kinds} (height,"
            f" width, channels): make them alike{size}"
        )


@dataclass(frozen=True, eq=False)
class Lazy:
    """Images of a data set, read when they are asked for.

    Args:
        items: the data set.
        like: what each image must be.
        varying: whether reading one twice gives two: then what its transforms draw is keyed.
    """

    items: Items
    like: Like
    varying: bool

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return images by number, [b, H, W, C].

        Raises:
            UserError: one that cannot be read, or is not like the first; or another length.
        """
        self.items.check()
        images = np.empty((len(rows), *self.like.shape), self.like.dtype)
        numbers = np.asarray(rows).tolist()
        with _one, keyed(numbers) if self.varying else nullcontext() as begin:
            for place, (image, row) in enumerate(zip(images, numbers, strict=True)):
                if begin is not None:
                    begin(place)
                picture, _ = parts_of(self.items, self.items.item(row), row)
                image[:] = self.like.array(picture, self.items.named(row))
        return images


def like_first(items: Items, how: How) -> Like:
    """Return what the first image of a data set asks of the others.

    Raises:
        UserError: it is no picture, or cannot be read.
    """
    image = array_of(parts_of(items, items.first, 0)[0], how, items.named(0))
    return Like(how, image.shape, image.dtype, items.named(0))


def varies(items: Items, like: Like) -> bool:
    """Say whether images of a data set are others when they are read again; a few are read twice.

    Raises:
        UserError: they are not like the first.
    """
    rows = np.unique(np.linspace(0, items.num - 1, min(items.num, LOOKED_AT)).astype(int))
    found = False
    for row in rows.tolist():
        one, two = (
            like.array(parts_of(items, items.item(row), row)[0], items.named(row)) for _ in "12"
        )
        found |= not np.array_equal(one, two)
    return found


def lazily(
    items: Items, like: Like, y: Sequence[Any] | np.ndarray | None, varying: bool
) -> Arrays:
    """Return the images of a data set that is read whenever they are asked for.

    Raises:
        UserError: labels that are no classes, or not of all samples.
    """
    if y is not None and len(y) != items.num:
        raise UserError(f"data: {len(y)} labels for {items.num} images")
    codes, classes = (None, None) if y is None else encode_labels(np.asarray(y), "data: y")
    height, width, channels = like.shape
    source = ImageSource(
        *((channels, height, width), Lazy(items, like, varying).read, np.arange(items.num)),
        *(codes, classes, False),
    )
    if varying:
        log.info(
            "data: a sample differs when it is read again, so its transforms run in training,"
            " keyed by seed, epoch and sample; means and probes see one draw of each"
        )
    return Arrays("data", [source], {})


def labels_beside(items: Items, first: Any) -> list[Any] | None:
    """Return the labels of all samples, where a data set has them without reading its samples.

    Args:
        items: the data set.
        first: the label of its first sample, which must be the same.
    """
    columns = [items.data[items.y]] if items.y is not None and is_of_hub(items.data) else []
    for found in (*columns, *(getattr(items.data, name, None) for name in BESIDE)):
        values = found.tolist() if hasattr(found, "tolist") else found
        if isinstance(values, Sequence) and len(values) == items.num:
            wanted = first.item() if hasattr(first, "item") else first
            return list(values) if values[0] == wanted else None
    return None
