"""Files inside another file: where the bytes of each are, to be read in any order."""

import io
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from maskwise.files import Stamp, stamp
from maskwise.images.bands import Bands
from maskwise.images.opening import Reading

if TYPE_CHECKING:
    from PIL import Image

HEAD = 30  # bytes of the header before a member of a .zip, without its name
LARGEST = 2 << 30  # bytes of one file
OPEN_FILES = 64
_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class Inside:
    """Files inside another, by row.

    Nothing of it is open: it goes to other threads and processes as it is.

    Args:
        path: of the file that holds them.
        state: of this file, when the places were found.
        places: where each begins, how many bytes it takes, how many it has, int64 [N, 3].
        checks: of members of a .zip, how each is packed, 0 or 8, and its checksum, int64 [N, 2];
            None: they are as they are, and so can be read in part.
    """

    path: str
    state: Stamp
    places: np.ndarray
    checks: np.ndarray | None = None

    def take(self, rows: Sequence[int]) -> "Inside":
        """Return some of the files, in this order."""
        chosen = np.asarray(rows, np.int64)
        checks = None if self.checks is None else self.checks[chosen]
        return Inside(self.path, self.state, self.places[chosen], checks)

    def read(self, row: int) -> bytes:
        """Return the content of a file.

        Raises:
            ValueError: it is damaged, or what holds it has changed.
        """
        begin, packed, size = self.places[row].tolist()
        file = _opened(self.path, *self.state)
        if self.checks is None:
            return file.read(begin, size)
        head = file.read(begin, HEAD)
        if head[:4] != b"PK\3\4":
            raise ValueError("damaged: it does not begin where the archive says")
        content = file.read(begin + HEAD + sum(struct.unpack("<HH", head[26:])), packed)
        method, checksum = self.checks[row].tolist()
        if method:
            with suppress(zlib.error):  # then the checksum differs
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
        if len(content) != size or zlib.crc32(content) != checksum:
            raise ValueError("damaged: its checksum differs")
        return content

    def open(self, row: int) -> IO[bytes]:
        """Open a file; of those that can be read in part, only that is read."""
        if self.checks is not None:
            return io.BytesIO(self.read(row))
        begin, _, size = self.places[row].tolist()
        return io.BufferedReader(_Part(_opened(self.path, *self.state), begin, size), 1 << 15)


@dataclass(frozen=True, eq=False)
class Opened:
    """Opens pictures inside a file by row."""

    files: Inside
    reading: Reading

    def __call__(self, row: int) -> "Image.Image | Bands":
        return self.reading.open(self.files.open(row))


class _File:
    """An open file that several threads, and processes that fork, read by place."""

    number = -1  # until it is open

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def read(self, begin: int, size: int) -> bytes:
        parts, left = [], size
        while left > 0:
            part = _read(self.number, min(left, 1 << 30), begin + size - left)
            if not part:
                raise ValueError("cut off")
            parts.append(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)


def _read(number: int, size: int, place: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(number, size, place)
    with _lock:  # a system without it does not fork either
        os.lseek(number, place, os.SEEK_SET)
        return os.read(number, size)


@lru_cache(maxsize=OPEN_FILES)
def _opened(*state: str | int) -> _File:
    """Open a file that is in a state; it closes when nobody reads it any more.

    Raises:
        ValueError: it is in another.
    """
    path, *known = state
    if stamp(Path(str(path))) != known:
        raise ValueError(f"{path} has changed since it was looked at: start again")
    return _File(str(path))


class _Part(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: _File, begin: int, size: int) -> None:
        self.file, self.begin, self.size, self.place = file, begin, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        self.place = max(0, place + {0: 0, 1: self.place, 2: self.size}[whence])
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        num = max(0, min(len(into), self.size - self.place))
        into[:num] = self.file.read(self.begin + self.place, num) if num else b""
        self.place += num
        return num
