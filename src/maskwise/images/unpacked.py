"""What must be unpacked before parts of it can be read in any order: once, into the cache."""

import bz2
import gzip
import lzma
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from maskwise.encodings import READ_ERRORS
from maskwise.errors import UserError
from maskwise.files import atomic_folder, cached, read_json, stamp, write_json

COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\0": lzma.open,
    b"BZh": bz2.open,
}
"""what opens a file, by how that begins"""
ZSTANDARD = b"\x28\xb5\x2f\xfd"
CHUNK, RATIO = 1 << 24, 100
STATE, TAR = "of.json", "plain.tar"


def unpacked(kind: str, sources: Sequence[Path], how: Any, write: Callable[[Path], None]) -> Path:
    """Return a folder of the cache with what `write` made of files; it is made once.

    Args:
        kind: what it is.
        sources: the files. Where one has changed, it is made again.
        how: plain values on which it depends beside the files.
        write: is given an empty folder.

    Raises:
        UserError: the cache cannot be written.
    """
    folder = cached(kind, [[str(path.resolve()) for path in sources], how])
    state = [stamp(path) for path in sources]

    def known() -> bool:
        return (folder / STATE).exists() and read_json(folder / STATE) == state

    if known():
        return folder
    with _alone(folder):
        if not known():  # another process may have made it meanwhile
            with atomic_folder(folder, replace=True) as work:
                write(work)
                write_json(work / STATE, state)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process does the same."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = folder.with_name(f".{folder.name}.lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write {folder.parent}: {error.strerror or error}") from None
    with file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except (ImportError, OSError):
            pass  # what knows no locks makes it twice
        yield


def require_room(num: int, what: object) -> None:
    """Refuse to unpack so many bytes where the cache has no room for them.

    Raises:
        UserError: so it is.
    """
    place = cached("x", 0).parent.parent
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if num > free:
        raise UserError(
            f"{what}: {num / 2**30:.1f} GiB are to be unpacked, and {place} has room for"
            f" {free / 2**30:.1f}: let MASKWISE_CACHE be a folder with more"
        )


def plain_tar(path: Path) -> Path:
    """Return where a .tar is that is not compressed: itself, or unpacked.

    Raises:
        UserError: it cannot be unpacked.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if start.startswith(ZSTANDARD):
        raise UserError(f"{path}: .zst is not unpacked here: zstd -d {path}, and give the .tar")
    opener = next((each for sign, each in COMPRESSED.items() if start.startswith(sign)), None)
    if opener is None:
        return path
    return unpacked("tars", [path], None, lambda work: _unpack(path, opener, work / TAR)) / TAR


def _unpack(path: Path, opener: Callable[..., IO[bytes]], out: Path) -> None:
    most, done = RATIO * path.stat().st_size + CHUNK, 0
    try:
        with opener(path, "rb") as file, out.open("wb") as to:
            while chunk := file.read(CHUNK):
                require_room(len(chunk), path)
                done += to.write(chunk)
                if done > most:
                    raise UserError(f"{path} unpacks to more than {RATIO} times its size: refused")
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: cannot be unpacked ({reason})") from None
