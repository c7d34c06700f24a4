"""What the header of a picture says, and whether its end is there."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

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


class Header(NamedTuple):
    """What the header of a picture says."""

    mode: str
    """of Pillow; of files of other channels the type of their values"""
    height: int
    """in pixels, turned as the orientation says"""
    width: int
    notes: tuple[str, ...]
    """keys of `NOTES`"""
    bands: int = 0
    """channels of a file that is no picture of Pillow; 0: it is one, and its mode says"""

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.height * self.width

    @property
    def depth(self) -> int:
        """Bits of a value that are kept unless it is converted: 8, 16 or, of floats, 32."""
        if self.bands:
            return {"uint8": 8, "uint16": 16, "int16": 16}.get(self.mode, 32)
        return 32 if self.mode == "F" else 16 if self.mode.startswith("I") else 8

    @property
    def channels(self) -> int:
        """Channels that are kept unless they are converted."""
        return self.bands or (1 if self.depth > 8 or self.mode in GREY else 3)

    @property
    def told(self) -> str:
        """Its mode as it is told.

        >>> Header("uint16", 64, 64, (), 13).told
        'uint16 x 13'
        """
        return f"{self.mode} x {self.bands}" if self.bands else self.mode


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


def turned(image: "Image.Image") -> "Image.Image":
    """Return a decoded picture as its orientation says."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if _orientation(image, late=True)[0] else image


def end_of(image: "Image.Image") -> tuple[bool, bool]:
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
