"""Files of values of any number of channels: what is read of them, and what it becomes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from maskwise.images.headers import Header

if TYPE_CHECKING:
    from PIL import Image

# What Pillow has as well: such arrays become a picture, and take its way.
MODES = {("uint8", 1): "L", ("uint8", 3): "RGB", ("uint16", 1): "I;16", ("float32", 1): "F"}


@dataclass(frozen=True, eq=False)
class Bands:
    """An open file of one sample, whose values are not read yet.

    Args:
        shape: height, width and channels.
        dtype: of its values.
        read: gives these, [H, W, C].
        close: closes the file.
        notes: what is told of it, see `NOTES`.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    read: Callable[[], np.ndarray]
    close: Callable[[], None]
    notes: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def header(self) -> Header:
        """What is known of it before its values are read.

        Raises:
            ValueError: it holds no numbers, or none at all.
        """
        height, width, channels = self.shape
        if self.dtype.kind not in "biuf":
            raise ValueError(f"values of type {self.dtype}, which are no numbers")
        if 0 in self.shape:
            raise ValueError(f"no values in an array of {height}x{width}x{channels}")
        name = "uint8" if self.dtype.kind == "b" else self.dtype.name
        mode = MODES.get((name, channels))
        if mode is not None:
            return Header(mode, height, width, self.notes)
        return Header(name, height, width, self.notes, channels)

    def picture(self) -> "Image.Image | None":
        """Return it as a picture of Pillow, where that has such pictures; else None."""
        if self.header.bands:
            return None
        from PIL import Image

        values = self._values()
        return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)

    def decode(self, bits: int, channels: int | None, size: tuple[int, int] | None) -> np.ndarray:
        """Return the values as they are asked for, uint8 or float32 [H, W, C].

        Args:
            bits: 8: as bytes; 16: as floats on the scale of 16 bits; 32: as floats, as they are.
            channels: how many are wanted; None: all.
            size: height and width to resize and crop to; None: as they are.

        Raises:
            ValueError: another number of channels, or values that cannot be brought to a scale.
        """
        if channels not in (None, self.shape[2]):
            raise ValueError(f"{self.shape[2]} channels, not {channels}")
        values, depth = self._values(), self.header.depth
        if bits == 8 and depth == 16 and values.min() < 0:
            raise ValueError("values that are not within 16 bits")
        if bits == 8 and depth == 16:
            values = np.rint(values * (255 / 65535)).astype(np.uint8)
        elif bits > 8:
            with np.errstate(over="ignore"):  # too large for float32 is inf, which is told of
                values = values.astype(np.float32)
            if bits == 16 and depth == 8:
                values *= 65535 / 255
        if values.dtype.kind == "f" and (bad := values.size - np.isfinite(values).sum()):
            raise ValueError(f"{bad} values are NaN or infinite")
        return values if size in (None, values.shape[:2]) else fit(values, size)

    def _values(self) -> np.ndarray:
        values = self.read()
        if values.shape != self.shape or values.dtype != self.dtype:
            raise ValueError("not what its header said")
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return np.ascontiguousarray(values.view(np.uint8) if values.dtype.kind == "b" else values)


def fit(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return values [H, W, C] resized to cover a size and cropped to it, as pictures are.

    Args:
        values: uint8 or float32; each channel is a picture.
        size: height and width.

    >>> fit(np.full((6, 8, 5), 7, np.uint8), (3, 3)).shape
    (3, 3, 5)
    """
    from PIL import Image, ImageOps

    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0))
    fitted = [
        np.asarray(ImageOps.fit(plane, size[::-1], method=Image.Resampling.BICUBIC))
        for plane in planes
    ]
    # What bicubic curves add beyond the values that there are means nothing.
    return np.stack(fitted, axis=-1).clip(values.min(), values.max())
