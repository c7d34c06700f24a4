"""Pictures: what the header of one says, what it becomes, and decoding it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from maskwise.errors import UserError
from maskwise.textio import in_line

if TYPE_CHECKING:
    from PIL import Image

Opener = Callable[[int], "Image.Image"]
"""gives the picture of a row, which need not be decoded"""
GREY = ("1", "L", "LA", "La")
ORIENTATION = 0x0112  # EXIF tag; 5..8 swap height and width
WIDTH, HEIGHT = 0x0100, 0x0101  # TIFF tags of the picture as it is stored
PARTS = ((273, 279), (324, 325))  # TIFF tags: where its strips or tiles begin, and their lengths
NOTES = {
    "orientation": "have an orientation that means nothing, which is ignored",
    "frames": "have several frames, of which the first is read",
    "alpha": "have transparency, which is left out",
    "deep colours": "have colours of 16 bits, which are read with 8",
}
"""what is told of pictures, by a word for it"""

Size = tuple[int, int] | None
"""(height, width) to resize and crop to, or None to keep"""


class Header(NamedTuple):
    """What the header of a picture says."""

    mode: str
    """of Pillow"""
    height: int
    """in pixels, turned as the orientation says"""
    width: int
    notes: tuple[str, ...]
    """keys of `NOTES`"""

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.height * self.width

    @property
    def depth(self) -> int:
        """Bits of a value that are kept unless it is converted: 8, 16 or, of floats, 32."""
        return 32 if self.mode == "F" else 16 if self.mode.startswith("I") else 8

    @property
    def channels(self) -> int:
        """Channels that are kept unless they are converted."""
        return 1 if self.depth > 8 or self.mode in GREY else 3


class Plan(NamedTuple):
    """What all pictures become: Pillow mode "L", "RGB" or "F" (more than 8 bits), and shape."""

    mode: str
    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class Become:
    """What pictures are to become, as far as settings say.

    Args:
        size: height and width; None: as they are.
        channels: 1 (grey) or 3 (RGB); None: as they are.
        depth: bits of a value, 8; None: as they are.
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
        channels = self.channels or header.channels
        deep = header.depth > (16 if self.depth == 8 else 8)
        return Plan("F" if deep else "L" if channels == 1 else "RGB", height, width, channels)


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
                whole, late = _end(image)
                header = header_of(image, late)
                if not whole and header.pixels <= self.max_pixels:
                    image.load()
                return header
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

        Its sides have at most so many pixels.
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
        return decoded[::step, ::step]

    def transparent(self, row: int) -> np.ndarray:
        """Return which pixels of what a picture becomes show nothing, bool [H, W]."""
        from PIL import Image, ImageOps

        with self._opened(row) as image:
            image.load()
            alpha = _turned(image).convert("RGBA").getchannel("A")
        if self.become.size is not None:
            box = self.become.size[::-1]
            alpha = ImageOps.fit(alpha, box, method=Image.Resampling.NEAREST)
        return np.asarray(alpha) == 0

    def _decode(self, image: "Image.Image") -> np.ndarray:
        from PIL import Image, ImageOps

        width, height = image.size
        if width * height > self.max_pixels:
            raise ValueError(too_large(height, width, self.max_pixels))
        image.load()
        header = header_of(image)
        plan = self.become.plan(header)
        image = _turned(image)
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        if image.mode.startswith("I;"):
            image = image.convert("I")
        if header.depth == 16 and plan.mode != "F":
            values = np.asarray(image).astype(np.float64)
            if values.min() < 0 or values.max() > 65535:
                raise ValueError("values that are not within 16 bits")
            image = Image.fromarray(np.rint(values * (255 / 65535)).astype(np.uint8))
        image = image.convert(plan.mode)
        if self.become.size is not None:
            box = self.become.size[::-1]
            image = ImageOps.fit(image, box, method=Image.Resampling.BICUBIC)
        array = np.asarray(image)
        bad = array.size - np.count_nonzero(np.isfinite(array)) if plan.mode == "F" else 0
        if bad:
            raise ValueError(f"{bad} pixels are NaN or infinite")
        return array

    @contextmanager
    def _opened(self, row: int) -> "Iterator[Image.Image]":
        with _of_any_size(), self.open(row) as image:
            yield image


def too_large(height: int, width: int, most: int) -> str:
    """Say that a picture has too many pixels."""
    return f"{height:,} x {width:,} pixels are more than {most:,}"


def empty(num: int, plan: Plan) -> np.ndarray:
    """Return an array for so many pictures [num, H, W, C], not filled."""
    mode, *shape = plan
    return np.empty((num, *shape), np.float32 if mode == "F" else np.uint8)


def header_of(image: "Image.Image", late: bool = False) -> Header:
    """Return what the header of an open picture says.

    Args:
        image: of Pillow.
        late: whether its orientation may stand behind its pixels.
    """
    notes = []
    tile = getattr(image, "tile", ())  # until it is decoded
    if image.mode in ("RGB", "RGBA", "LA") and tile and ";16" in str(tile[0][3]):
        notes.append("deep colours")
    orientation, odd = _orientation(image, late)
    width, height = image.size
    tags = getattr(image, "tag_v2", {})
    if tile and WIDTH in tags and HEIGHT in tags:
        width, height = tags[WIDTH], tags[HEIGHT]  # some versions of Pillow turn its size
        orientation = tags.get(ORIENTATION)
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    if odd:
        notes.append("orientation")
    if getattr(image, "is_animated", False) and image.format != "MPO":  # those are previews
        notes.append("frames")
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        notes.append("alpha")
    return Header(image.mode, height, width, tuple(notes))


def _orientation(image: "Image.Image", late: bool = False) -> tuple[int | None, bool]:
    """Return the orientation of a picture, if it has one, and whether it means nothing."""
    from PIL import Image

    try:
        # That of PNG decodes the pixels, to find what may stand behind them.
        tags = image.getexif() if late else Image.Image.getexif(image)
        value = tags.get(ORIENTATION)
    except Exception:  # a damaged block
        return None, True
    if isinstance(value, int) and 1 <= value <= 8:
        return value, False
    return None, value is not None


def _turned(image: "Image.Image") -> "Image.Image":
    """Return a decoded picture as its orientation says."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if _orientation(image, late=True)[0] else image


def _end(image: "Image.Image") -> tuple[bool, bool]:
    """Say whether the end of a file is there, and whether an orientation may stand there.

    Of formats whose end says nothing, it is not.
    """
    file = getattr(image, "fp", None)
    if file is None:
        return image.format is None, True  # None: a picture that was made, not read
    place = file.tell()
    try:
        size = file.seek(0, 2)
        if image.format in ("JPEG", "MPO"):
            file.seek(-2, 2)
            return file.read(2) == b"\xff\xd9", False
        if image.format == "WEBP":
            file.seek(4)
            return int.from_bytes(file.read(4), "little") + 8 <= size, False
        if image.format == "GIF":
            file.seek(-2, 2)
            return file.read(2) == b"\0;", False
        if image.format == "PNG":
            names = list(_chunks(file))
            late = names[names.index(b"IDAT") :] if b"IDAT" in names else []
            return names[-1:] == [b"IEND"], bool({b"eXIf", b"iTXt"} & {*late})
        if image.format == "TIFF":
            tags: Any = image.tag_v2  # type: ignore[attr-defined]
            ends = [
                begin + length
                for starts, lengths in PARTS
                for begin, length in zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False)
            ]
            return bool(ends) and max(ends) <= size, False
        return False, False
    finally:
        file.seek(place)


def _chunks(file: Any) -> Iterator[bytes]:
    """Give the names of the chunks of a PNG that are there in whole."""
    size = file.seek(0, 2)
    place = 8
    while place + 12 <= size:
        file.seek(place)
        head = file.read(8)
        place += 12 + int.from_bytes(head[:4], "big")
        if place <= size:
            yield head[4:]


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
