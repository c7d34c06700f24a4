"""Pictures: what the header of one says, what it becomes, and decoding it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maskwise.errors import UserError
from maskwise.images.bands import Bands
from maskwise.images.headers import Header, end_of, header_of, turned
from maskwise.textio import in_line

if TYPE_CHECKING:
    from PIL import Image

Opener = Callable[[int], "Image.Image | Bands"]
"""gives the picture of a row, or a file of any number of channels, not necessarily decoded"""
Size = tuple[int, int] | None
"""(height, width) to resize and crop to, or None to keep"""


class Plan(NamedTuple):
    """What all pictures become: a mode and a shape.

    The mode is of Pillow, "L", "RGB" or "F" (more than 8 bits), or "bands" (8 bits, and other
    channels than 1 or 3).
    """

    mode: str
    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class Become:
    """What pictures are to become, as far as settings say.

    Args:
        size: height and width; None: as they are.
        channels: 1 (grey) or 3 (RGB), or how many files of other channels must have; None: as
            they are.
        depth: bits of a value, 8 or 16; None: as they are.
    """

    size: Size = None
    channels: int | None = None
    depth: int | None = None

    def plan(self, header: Header) -> Plan:
        """Return what a picture becomes.

        >>> Become(channels=1).plan(Header("RGB", 5, 7, ()))
        Plan(mode='L', height=5, width=7, channels=1)
        """
        height, width = self.size or (header.height, header.width)
        channels = header.channels
        if not header.bands and self.channels in (1, 3):
            channels = self.channels
        mode = {1: "L", 3: "RGB"}.get(channels, "bands")
        return Plan("F" if self.bits(header) > 8 else mode, height, width, channels)

    def bits(self, header: Header) -> int:
        """Return on which scale the values of a picture are: of 8 or 16 bits, or 32, its own.

        >>> Become(depth=16).bits(Header("RGB", 5, 7, ())), Become().bits(Header("F", 5, 7, ()))
        (16, 32)
        """
        return 32 if header.depth == 32 else self.depth or header.depth

    def takes(self, header: Header) -> bool:
        """Say whether a picture can have the channels that are asked for."""
        asked = None if not header.bands and self.channels in (1, 3) else self.channels
        return asked in (None, header.channels)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Encoded pictures by row.

    Args:
        open: returns a Pillow image, not necessarily decoded yet.
        names: what messages call them.
        become: what they become.
        max_pixels: pixels of one at most.
    """

    open: Opener
    names: Sequence[str]
    become: Become
    max_pixels: int

    def look(self, row: int) -> Header | str:
        """Return what a header says, or what is wrong with the picture.

        One whose end does not show that nothing is missing is decoded to find out, unless it has
        too many pixels.
        """
        try:
            with self._opened(row) as image:
                if isinstance(image, Bands):
                    return image.header
                whole, late = end_of(image)
                header = header_of(image, late)
                if not whole and header.pixels <= self.max_pixels:
                    image.load()
                return header
        except UserError:  # what reads it is not installed
            raise
        except Exception as error:  # Pillow raises a dozen kinds on broken files
            return reason(error)

    def read(self, rows: np.ndarray, plan: Plan) -> np.ndarray:
        """Decode rows into one array [b, H, W, C], uint8 or float32.

        Raises:
            UserError: one that cannot be read, or does not become what is planned.
        """
        images = empty(len(rows), plan)
        for image, row in zip(images, rows, strict=True):
            if why := self.decode(int(row), image):
                name = in_line(self.names[row])
                raise UserError(f"{name}: unreadable image ({why}); replace or remove it")
        return images

    def decode(self, row: int, into: np.ndarray) -> str:
        """Decode a row into an array [H, W, C]; return what is wrong with it, or ""."""
        try:
            with self._opened(row) as image:
                decoded = self._decode(image)
        except Exception as error:
            return reason(error)
        # One channel spreads over three.
        decoded = decoded[..., None] if decoded.ndim == 2 else decoded
        fits = decoded.shape[2] in (1, into.shape[2]) and decoded.dtype == into.dtype
        if not fits or decoded.shape[:2] != into.shape[:2]:
            return "not what its header said"
        into[:] = decoded
        return ""

    def shown(self, row: int, side: int = 256) -> np.ndarray | str:
        """Return a picture to look at, uint8 [H, W] or [H, W, 3], or why there is none.

        Its sides have at most so many pixels. Of other channels than 3 the first is shown.
        """
        try:
            with self._opened(row) as image:
                decoded = self._decode(image)
        except Exception as error:
            return reason(error)
        if decoded.dtype == np.float32:
            low, high = float(decoded.min()), float(decoded.max())
            decoded = ((decoded - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
        step = max(1, -(-max(decoded.shape[:2]) // side))
        decoded = decoded[::step, ::step]
        return decoded[..., 0] if decoded.ndim == 3 and decoded.shape[2] != 3 else decoded

    def transparent(self, row: int) -> np.ndarray:
        """Return which pixels of what a picture becomes show nothing, bool [H, W]."""
        from PIL import Image, ImageOps

        with self._opened(row) as image:
            assert not isinstance(image, Bands)  # which tell of no transparency
            image.load()
            alpha = turned(image).convert("RGBA").getchannel("A")
        if self.become.size is not None:
            box = self.become.size[::-1]
            alpha = ImageOps.fit(alpha, box, method=Image.Resampling.NEAREST)
        return np.asarray(alpha) == 0

    def _decode(self, image: "Image.Image | Bands") -> np.ndarray:
        from PIL import Image, ImageOps

        if isinstance(image, Bands):
            height, width = image.shape[:2]
        else:
            width, height = image.size
        if width * height > self.max_pixels:
            raise ValueError(too_large(height, width, self.max_pixels))
        if isinstance(image, Bands):
            become, picture = self.become, image.picture()
            if picture is None:
                return image.decode(become.bits(image.header), become.channels, become.size)
            image = picture
        image.load()
        header = header_of(image)
        plan, bits = self.become.plan(header), self.become.bits(header)
        image = turned(image)
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        if image.mode.startswith("I;"):
            image = image.convert("I")
        if header.depth == 16 and self.become.depth is not None:
            values = np.asarray(image).astype(np.float64)
            if values.min() < 0 or values.max() > 65535:
                raise ValueError("values that are not within 16 bits")
            if bits == 8:
                image = Image.fromarray(np.rint(values * (255 / 65535)).astype(np.uint8))
        raised = bits == 16 and header.depth == 8
        image = image.convert({1: "L", 3: "RGB"}[plan.channels] if raised else plan.mode)
        if self.become.size is not None:
            box = self.become.size[::-1]
            image = ImageOps.fit(image, box, method=Image.Resampling.BICUBIC)
        array = np.asarray(image)
        if raised:
            array = array.astype(np.float32) * (65535 / 255)
        bad = array.size - np.count_nonzero(np.isfinite(array)) if plan.mode == "F" else 0
        if bad:
            raise ValueError(f"{bad} pixels are NaN or infinite")
        return array

    @contextmanager
    def _opened(self, row: int) -> "Iterator[Image.Image | Bands]":
        with _of_any_size(), self.open(row) as image:
            yield image


def too_large(height: int, width: int, most: int) -> str:
    """Say that a picture has too many pixels."""
    return f"{height:,} x {width:,} pixels are more than {most:,}"


def empty(num: int, plan: Plan) -> np.ndarray:
    """Return an array for so many pictures [num, H, W, C], not filled."""
    mode, *shape = plan
    return np.empty((num, *shape), np.float32 if mode == "F" else np.uint8)


_lock = threading.Lock()
_open_now = 0
_limit: int | None = None


@contextmanager
def _of_any_size() -> Iterator[None]:
    """Let Pillow open pictures of any size for a while: it is checked here, in one clear line.

    Pillow's limit is one for all threads: the first takes it away, the last puts it back.
    """
    from PIL import Image

    global _open_now, _limit
    with _lock:
        if not _open_now:
            _limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _open_now += 1
    try:
        yield
    finally:
        with _lock:
            _open_now -= 1
            if not _open_now:
                Image.MAX_IMAGE_PIXELS = _limit


def reason(error: Exception) -> str:
    """Return what is wrong with a picture, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "a link to nothing" if Path(error.filename or "").is_symlink() else "not there"
    if type(error).__name__ == "UnidentifiedImageError":
        return "no picture that Pillow can read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return in_line(str(error).split("\n")[0].strip()) or type(error).__name__
