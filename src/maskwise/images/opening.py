"""Opening one picture, or file of any number of channels, by what it is."""

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from maskwise.images.array_files import Layout, open_npy, open_npz
from maskwise.images.bands import Bands
from maskwise.images.tiff import more_than_pillow_reads, open_tiff

if TYPE_CHECKING:
    from PIL import Image

Frames = Literal["first", "channels"]
NPY, NPZ = b"\x93NUMPY", b"PK\x03\x04"
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Reading:
    """How files are read that may hold more than one picture of 8 bits.

    Args:
        layout: where arrays have their channels; None: where only one axis can be them.
        frames: of TIFF files with several pages, the first, or all as channels.
        x: the array of a .npz with several.
        channels: what pictures are converted to, see `Become`.
        deep: whether colours of 16 bits are to be kept.
    """

    layout: Layout = None
    frames: Frames = "first"
    x: str | None = None
    channels: int | None = None
    deep: bool = False

    def open(self, source: str | IO[bytes]) -> "Image.Image | Bands":
        """Open a file, by its path or as it is open.

        Raises:
            UserError: what reads it is not installed.
            Exception: whatever those who read it raise.
        """
        from PIL import Image, UnidentifiedImageError

        if isinstance(source, str) and source.lower().endswith((".npy", ".npz")):
            return self._open_array(source)
        try:
            image = Image.open(source)
        except UnidentifiedImageError:
            start = _start(source)
            if start.startswith((NPY, NPZ)):
                return self._open_array(source)
            if start.startswith(TIFFS):
                return open_tiff(source, pages=self.frames == "channels")
            raise
        if image.format == "TIFF" and more_than_pillow_reads(
            image, self.deep, self.channels in (1, 3), pages=self.frames == "channels"
        ):
            image.close()
            return open_tiff(source, pages=self.frames == "channels")
        return image

    def _open_array(self, source: str | IO[bytes]) -> Bands:
        with ExitStack() as stack:
            file = source
            if isinstance(file, str):
                file = stack.enter_context(Path(file).open("rb"))
            if _start(file).startswith(NPZ):
                found = open_npz(file, self.layout, self.x)
            else:
                found = open_npy(file, self.layout)
            stack.pop_all()  # what is read of it later closes it
            return found


def _start(source: str | IO[bytes]) -> bytes:
    """Return the first bytes of a file, and be at its start again."""
    if isinstance(source, str):
        with suppress(OSError), Path(source).open("rb") as file:
            return file.read(8)
        return b""
    source.seek(0)
    start = source.read(8)
    source.seek(0)
    return start
