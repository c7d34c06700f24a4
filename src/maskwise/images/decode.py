"""Encoded images (files, Hugging Face rows) to arrays: orientation, mode, size, and checks."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from maskwise.errors import UserError
from maskwise.images.source import ImageSource, array_source

if TYPE_CHECKING:
    from PIL import Image

MEMORY_BYTES = 4 << 30  # decoded images up to this size are kept in memory
_BATCH = 64  # pictures a thread decodes at a time
_GREY = ("1", "L", "LA", "La")
_ORIENTATION = 0x0112  # EXIF tag; 5..8 swap height and width


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Encoded images by row, and what they are decoded to.

    Args:
        open: row -> Pillow image, not necessarily decoded yet.
        name: row -> name for messages.
        size: (height, width) to resize and crop to, or None to keep.
        channels: 1 (grey), 3 (RGB), or None to keep.
    """

    open: Callable[[int], "Image.Image"]
    name: Callable[[int], str]
    size: tuple[int, int] | None
    channels: int | None


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What a picture becomes: Pillow mode "L", "RGB" or "F" (more than 8 bits), and shape."""

    mode: str
    height: int
    width: int
    channels: int


def picture_sources(
    pictures: Pictures,
    num_train: int,
    num_test: int,
    labels: np.ndarray | None,
    classes: tuple[str, ...] | None,
) -> tuple[ImageSource, ImageSource | None, Pictures]:
    """Return sources that decode on demand: the first rows, then the others, if there are any.

    Every picture must become what the first does.
    """
    plan = _plan(pictures, 0)
    shape = (plan.channels, plan.height, plan.width)
    rows = np.arange(num_train + num_test)
    both = ImageSource(
        shape, partial(_read, pictures, plan), rows, labels, classes, in_memory=False
    )
    train, test = (both.take(part) for part in np.split(rows, [num_train]))
    return train, test if num_test else None, pictures


def keep_in_memory(sources: list[ImageSource], pictures: Pictures) -> list[ImageSource]:
    """Decode every source once, on all cores, if all fit `MEMORY_BYTES`; else check headers.

    Raises:
        UserError: a picture that is broken, or differs in size or channels from the first.
    """
    first = sources[0].read(sources[0].rows[:1])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if first.nbytes * sum(len(source) for source in sources) <= MEMORY_BYTES:
            return [_read_all(source, first, pool) for source in sources]
        if pictures.size is None or pictures.channels is None:
            plan = _plan(pictures, 0)
            for source in sources:
                for row, other in zip(
                    source.rows, pool.map(partial(_plan, pictures), source.rows), strict=True
                ):
                    _require_same(pictures, plan, other, row)
    return sources


def _read_all(source: ImageSource, first: np.ndarray, pool: ThreadPoolExecutor) -> ImageSource:
    images = np.empty((len(source), *first.shape[1:]), first.dtype)
    starts = range(0, len(source), _BATCH)
    batches = [source.rows[start : start + _BATCH] for start in starts]
    for start, batch in zip(starts, pool.map(source.read, batches), strict=True):
        images[start : start + len(batch)] = batch
    return array_source(images, source.labels, source.classes)


def _read(pictures: Pictures, plan: _Plan, rows: np.ndarray) -> np.ndarray:
    """Decode rows into one array [b, H, W, C]."""
    dtype = np.float32 if plan.mode == "F" else np.uint8
    images = np.empty((len(rows), plan.height, plan.width, plan.channels), dtype)
    for image, row in zip(images, rows, strict=True):
        image[:] = _decode(pictures, plan, row)
    return images


def _decode(pictures: Pictures, plan: _Plan, row: int) -> np.ndarray:
    """Decode one picture [H, W, C], which must become what the plan says."""
    from PIL import Image, ImageOps

    with _named_errors(pictures, row), pictures.open(int(row)) as image:
        _require_same(pictures, plan, _plan_of(image, pictures), row)
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        if image.mode.startswith("I;"):
            image = image.convert("I")
        image = image.convert(plan.mode)
        if pictures.size is not None:
            box = (plan.width, plan.height)
            image = ImageOps.fit(image, box, method=Image.Resampling.BICUBIC)
        array = np.asarray(image)
    bad = array.size - np.count_nonzero(np.isfinite(array)) if plan.mode == "F" else 0
    if bad:
        raise UserError(f"{pictures.name(row)}: {bad} pixels are NaN or infinite")
    return array[..., None] if array.ndim == 2 else array  # one channel spreads over three


def _plan(pictures: Pictures, row: int) -> _Plan:
    """Say from the header what a picture becomes."""
    with _named_errors(pictures, row), pictures.open(int(row)) as image:
        return _plan_of(image, pictures)


def _plan_of(image: "Image.Image", pictures: Pictures) -> _Plan:
    width, height = image.size
    if image.getexif().get(_ORIENTATION, 1) >= 5:
        width, height = height, width
    if pictures.size is not None:
        height, width = pictures.size
    if image.mode == "F" or image.mode.startswith("I"):
        return _Plan("F", height, width, pictures.channels or 1)
    channels = pictures.channels or (1 if image.mode in _GREY else 3)
    return _Plan("L" if channels == 1 else "RGB", height, width, channels)


def _require_same(pictures: Pictures, first: _Plan, plan: _Plan, row: int) -> None:
    if plan == first:
        return
    names = pictures.name(0), pictures.name(row)
    if (plan.height, plan.width) != (first.height, first.width):
        raise UserError(
            f"images differ in size: {names[0]} is {first.height}x{first.width}, {names[1]} is "
            f"{plan.height}x{plan.width} (height x width); give one with --data.size "
            f"{first.height},{first.width} or, for a square, --data.size "
            f"{min(first.height, first.width)}"
        )
    if plan.channels != first.channels:
        raise UserError(
            f"images differ in channels: {names[0]} has {first.channels}, {names[1]} has "
            f"{plan.channels}; give --data.channels 3 (or 1) to convert"
        )
    raise UserError(
        f"images differ in depth: {names[0]} and {names[1]} are not both 8-bit or both deeper; "
        "convert one kind to the other"
    )


@contextmanager
def _named_errors(pictures: Pictures, row: int) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds on broken files
        reason = str(error).split("\n")[0] or type(error).__name__
        name = pictures.name(row)
        raise UserError(f"{name}: unreadable image ({reason}); replace or remove it") from error
