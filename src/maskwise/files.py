"""Writing files so that a reader never sees half of one."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import SafetensorError

from maskwise.errors import UserError

Entries: TypeAlias = dict[str, Any]
"""an object of a JSON file"""

Stamp = list[str | int]
"""what tells one state of a file from another"""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path`, on failure it goes.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    try:
        yield temporary
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {path}: {getattr(error, 'strerror', error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`, which it becomes on success; else it goes.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from None
    try:
        yield work
        if not folder.exists():
            work.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


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
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


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
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None


def read_json_lines(path: Path) -> list[Entries]:
    """Read a file of one JSON object a line; a last line that was cut off is left out.

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
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{path}: line {number} is damaged; remove that line to go on")
        rows.append(row)
    return rows
