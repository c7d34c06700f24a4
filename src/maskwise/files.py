"""Writing files so that a reader never sees half of one."""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

from safetensors import SafetensorError

from maskwise.errors import UserError

Entries: TypeAlias = dict[str, Any]
"""an object of a JSON file"""

LOCK = ".lock"
Stamp = list[str | int]
"""what tells one state of a file from another"""


@contextmanager
def atomic(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path`, on failure it goes.

    What is `durable` is on the disk when this ends, also if the machine loses its power.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; give the name of a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    try:
        yield temporary
        if durable:
            _sync(temporary)
        temporary.replace(path)
        if durable:
            _sync(path.parent)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {path}: {getattr(error, 'strerror', error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder, which becomes `folder` on success; that is new, or empty.

    Raises:
        UserError: it holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty: give a new folder")
    with atomic_folder(folder, replace=True) as work:
        yield work


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `folder`, which it becomes on success; else it goes.

    What is there already stays, or goes if it is to be replaced.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = folder.parent / f".writing-{folder.name}-{os.getpid()}"
        old = work.with_name(f".old-{folder.name}-{os.getpid()}")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from None
    try:
        yield work
        if replace and folder.exists():
            folder.rename(old)
        if not folder.exists():
            work.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes from doing the same in a folder, which is made if need be.

    A file in it says which host and process that is. The system gives it free when the process
    ends, however it ends.

    Raises:
        UserError: another process has it, or the folder cannot be written.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from None
    with file:
        if not _lock(file):
            file.seek(0)
            raise UserError(f"{folder}: {file.read() or 'another process'} {what} already")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(file: IO[str]) -> bool:
    """Take a lock, where the system and the disk know such a thing; return whether it was free."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    # Whoever had it may have taken the file away meanwhile, and others begun a new one.
    try:
        return os.path.samestat(os.fstat(file.fileno()), Path(file.name).stat())
    except FileNotFoundError:
        return False


def cached(kind: str, key: Any) -> Path:
    """Return where what `key` describes is kept, below $MASKWISE_CACHE or ~/.cache/maskwise."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    cache = Path(os.environ.get("MASKWISE_CACHE") or "~/.cache/maskwise").expanduser()
    return cache / kind / digest


def stamp(path: Path) -> Stamp:
    """Return what tells one state of a file from another: where it is, its size and time."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    with atomic(path) as temporary:
        told = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        # Names of files may hold what UTF-8 lacks; with a backslash JSON can say it.
        temporary.write_text(told, "utf-8", errors="backslashreplace")


def write_png(path: Path, figure: Any) -> None:
    """Write a matplotlib figure atomically."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from None


def read_json_lines(path: Path, numbers: Collection[str] = ()) -> list[Entries]:
    """Read a file of one JSON object a line; a last line that was cut off is left out.

    Args:
        path: the file.
        numbers: what is a number in every line.

    Raises:
        UserError: the file cannot be read, or another line is damaged.
    """
    try:
        lines = path.read_text("utf-8", errors="replace").split("\n")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    rows = []
    # What follows the last newline is empty, or a write that was cut short.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        known = isinstance(row, dict)
        if not known or any(not isinstance(row.get(key), (int, float)) for key in numbers):
            raise UserError(f"{path}: line {number} is damaged; remove that line to go on")
        rows.append(row)
    return rows
