"""Pictures packed into other files: archives and Parquet, one or a folder of them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from maskwise.errors import UserError
from maskwise.images.archives import list_archive
from maskwise.images.endings import is_archive
from maskwise.images.folders import USUALLY, Listed
from maskwise.images.opening import Reading
from maskwise.images.parquet import has_pictures, list_parquet
from maskwise.images.shards import archives_in, list_shards
from maskwise.textio import files_below

PARQUET = ".parquet"


def holds_pictures(path: Path) -> bool:
    """Say whether a file or folder is one of packed pictures.

    Every archive is one, until it is opened; Parquet is, if a column of it begins with a picture,
    and one that cannot be read is a table, whose readers say why.
    """
    parquet = _parquet_in(path) if path.is_dir() else [path] if _is_parquet(path) else []
    if parquet:
        with suppress(UserError):
            return has_pictures(parquet[0])
        return False
    return bool(archives_in(path)) if path.is_dir() else is_archive(path)


def list_packed(
    path: Path,
    only: Sequence[str] = (),
    reading: Reading = USUALLY,
    image: str | None = None,
    label: str | None = None,
) -> Listed | None:
    """Find the pictures that are packed into a file or the files of a folder.

    Args:
        path: the file or folder.
        only: the classes that are wanted, of archives; none: all.
        reading: how files are read that may hold more than a picture.
        image: the column of pictures of Parquet.
        label: that of classes, also the key of a .json beside a picture.

    Returns:
        The pictures; None of what is not packed.

    Raises:
        UserError: it cannot be read, or has no pictures.
    """
    if not path.is_dir() and is_archive(path):
        return list_archive(path, only, reading, label)
    parquet = _parquet_in(path) if path.is_dir() else [path] if _is_parquet(path) else []
    if parquet:
        if only:
            raise UserError(
                f"data.classes chooses among class folders, and {path} has none: leave it out"
            )
        return list_parquet(path, parquet, image, label, reading)
    if path.is_dir() and (archives := archives_in(path)):
        return list_shards(path, archives, only, reading, label)
    return None


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == PARQUET


def _parquet_in(folder: Path) -> list[Path]:
    return [path for path in files_below(folder) if _is_parquet(path)]
