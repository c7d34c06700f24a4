"""TIFF files beyond what Pillow reads: many channels, 16 bits and floats in colours, pages."""

from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from maskwise.errors import require
from maskwise.images.bands import Bands

if TYPE_CHECKING:
    from PIL import Image

BITS, COLOURS, SAMPLES, EXTRA = 258, 262, 277, 338  # tags
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2  # what colours are
NATURAL = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3}
"""channels that these have without any more"""
ALPHA = (1, 2)
TURN_HEIGHT, TURN_WIDTH, SWAP = (3, 4, 7, 8), (2, 3, 6, 7), (5, 6, 7, 8)
"""orientations, by what is done of them: sides swap last"""


def more_than_pillow_reads(
    image: "Image.Image", deep: bool, converted: bool, *, pages: bool
) -> bool:
    """Say whether a TIFF file holds more than Pillow reads of it.

    Args:
        image: as Pillow has opened it.
        deep: whether colours of 16 bits are to be kept.
        converted: whether it is to become grey or RGB.
        pages: whether its pages are channels.
    """
    tags: Any = getattr(image, "tag_v2", {})
    natural = NATURAL.get(tags.get(COLOURS))
    if pages and getattr(image, "n_frames", 1) > 1:
        return True
    if natural is None or converted:
        return False
    samples, extra = tags.get(SAMPLES, 1), tags.get(EXTRA, ())
    alpha = tuple(extra)[:1] in [(kind,) for kind in ALPHA]
    colours = deep and natural == 3 and max(tags.get(BITS, (1,))) > 8
    return bool(colours or samples > natural + alpha)


def open_tiff(source: str | IO[bytes], *, pages: bool) -> Bands:
    """Open a TIFF file; its values are read later.

    Args:
        source: its path, or the open file.
        pages: whether its pages are channels; else the first is read.

    Raises:
        UserError: tifffile is not installed.
        ValueError: it is damaged, or something else than height, width and channels.
    """
    name = source if isinstance(source, str) else "a TIFF file of many channels or more bits"
    tifffile = require("tifffile", name, "tiff")
    file = tifffile.TiffFile(source)
    try:
        # A smaller copy of a page is none.
        found = [page.aspage() for page in file.pages]
        found = [page for page in found if not page.is_reduced]
        if not found:
            raise ValueError("no pages")
        read = found if pages else found[:1]
        for page in read:
            _check(page, file.filehandle.size)
        shapes = {_shape(page) for page in read}
        if len(shapes) > 1 or len({page.dtype for page in read}) > 1:
            raise ValueError(f"pages differ: {' and '.join(map(str, sorted(shapes)))}")
        [(height, width, channels)] = shapes
        return Bands(
            (height, width, channels * len(read)),
            np.dtype(read[0].dtype),
            lambda: np.concatenate([_values(page) for page in read], axis=2),
            file.close,
            ("frames",) if len(found) > len(read) else (),
        )
    except BaseException:
        file.close()
        raise


def _check(page: Any, size: int) -> None:
    if page.dtype is None:
        raise ValueError("values of a type that no array has")
    if set(page.axes) - set("YXS"):
        raise ValueError(f"axes {page.axes}, which are not height, width and channels")
    if page.photometric not in (BLACK_IS_ZERO, RGB):
        told = getattr(page.photometric, "name", page.photometric)
        raise ValueError(f"colours of kind {told}: convert it")
    ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not ends or max(ends) > size:
        raise ValueError("cut off")


def _orientation(page: Any) -> int:
    tag = page.tags.get(274)
    with suppress(TypeError, ValueError):
        return int(tag.value) if tag else 1
    return 1


def _shape(page: Any) -> tuple[int, int, int]:
    sizes = dict(zip(page.axes, page.shape, strict=True))
    height, width = sizes["Y"], sizes["X"]
    if _orientation(page) in SWAP:
        height, width = width, height
    return height, width, sizes.get("S", 1)


def _values(page: Any) -> np.ndarray:
    """Return the values of a page [H, W, C], turned as its orientation says."""
    values = page.asarray(maxworkers=1)
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    values = values[..., None] if values.ndim == 2 else values
    turn = _orientation(page)
    if turn in SWAP:
        values = values.swapaxes(0, 1)
    if turn in TURN_HEIGHT:
        values = values[::-1]
    return values[:, ::-1] if turn in TURN_WIDTH else values
