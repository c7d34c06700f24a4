"""Reading files that users give: lines of text, rows of tables, and what goes wrong with them."""

import csv
import itertools
import logging
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from maskwise.encodings import OPENERS as OPENERS
from maskwise.encodings import READ_ERRORS as READ_ERRORS
from maskwise.encodings import find_encoding as find_encoding
from maskwise.encodings import say_encoding
from maskwise.errors import UserError, option, require
from maskwise.labels import encode_labels as encode_labels

if TYPE_CHECKING:  # an extra
    from pyarrow.parquet import ParquetFile

LEFT_BEHIND = frozenset(
    {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
    | {"Thumbs.db", "desktop.ini"}
)
"""names of what operating systems put beside data"""
Broken = Literal["stop", "skip"]
"""what is done about samples that cannot be read"""
TRAIN = ("train", "training")
HELD = ("test", "testing", "val", "valid", "validation", "dev")
log = logging.getLogger("maskwise")


def is_data(path: Path) -> bool:
    """Say whether a name is that of data: not hidden, and not what systems leave behind.

    >>> is_data(Path("a/cat.png")), is_data(Path("._cat.png")), is_data(Path("__MACOSX"))
    (True, False, False)
    """
    return not path.name.startswith((".", "~$")) and path.name not in LEFT_BEHIND


def files_below(folder: Path, *, deep: bool = True, lost: list[Path] | None = None) -> list[Path]:
    """Return the files of a folder, and of those in it if `deep`, in order; none that are hidden.

    Links are followed, but no folder is entered twice, nor one that holds the folder: loops end.
    What is no file, a link to what is not there or a pipe, is added to `lost`.

    Raises:
        UserError: a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read the folder {error.filename}: {error.strerror or error}")

    found: list[Path] = []
    entered = {_identity(parent) for parent in folder.resolve().parents}
    waiting = [folder]
    while waiting:  # links, when all that lies here has been found under its own name
        for place, folders, files in os.walk(waiting.pop(0), onerror=refuse):
            here = _identity(Path(place))
            inner = [name for name in folders if deep and is_data(Path(name))]
            folders[:] = [] if here in entered else inner
            if here in entered:
                continue
            entered.add(here)
            within = [Path(place, name) for name in sorted(inner)]
            waiting += [path for path in within if path.is_symlink()]
            paths = [Path(place, name) for name in files if is_data(Path(name))]
            found += [path for path in paths if path.is_file()]
            if lost is not None:
                lost += [path for path in paths if not path.is_file()]
    return sorted(found)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def splits_among(names: Iterable[str], where: object) -> list[str]:
    """Return which names are those of splits: one to train on, then one to test on; or none.

    Splits are called as they usually are, in any case. Of several to test on, a test split has
    precedence, and the others are named and not used.

    Raises:
        UserError: other names beside those of splits.

    >>> splits_among(["Valid", "training"], "images"), splits_among(["train", "car"], "images")
    (['training', 'Valid'], [])
    """
    known = {name.lower(): name for name in names}
    train = [known[name] for name in TRAIN if name in known]
    held = [known[name] for name in HELD if name in known]
    others = sorted(name for key, name in known.items() if key not in (*TRAIN, *HELD))
    if len(train) != 1 or (not held and others):
        return []
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise UserError(
            f"{where}: {others[0]}{more} beside the splits {', '.join([*train, *held])}: move it"
            " away, or give the folder of one split"
        )
    if held[1:]:
        log.warning("%s: %s is not used: %s is what is tested on", where, held[1], held[0])
    return [*train, *held[:1]]


def few(names: Sequence[object], most: int = 3) -> str:
    """Return the first of some names.

    >>> few(["a", "b", "c", "d"]), few(["a"])
    ('a, b, c, ...', 'a')
    """
    return ", ".join([*map(in_line, names[:most]), *["..."] * (len(names) > most)])


def in_line(name: object) -> str:
    """Return a name as it can stand in a line: what is no letter of a line is spelled out."""
    text = str(name)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def leave_out(where: object, broken: Mapping[str, str], policy: Broken) -> None:
    """Stop for samples that cannot be read, with the names of all, or count those left out.

    Args:
        where: the source.
        broken: what is wrong with each, by its name.
        policy: the setting `data.broken`.

    Raises:
        UserError: there are some, and the policy is to stop.
    """
    if not broken:
        return
    told = [f"{name} ({why})" for name, why in broken.items()]
    if policy == "skip":
        log.warning("%s: %d that cannot be read left out: %s", where, len(told), few(told))
        return
    raise UserError(
        f"{where}: {len(told)} cannot be read: {few(told, 100)}: mend or remove them, or leave"
        f" them out by {option('data.broken', 'skip')}"
    )


def is_there(path: Path) -> bool:
    """Say whether there is a file or folder, also of names that none can have.

    >>> is_there(Path("a" * 5000)), is_there(Path())
    (False, True)
    """
    try:
        return path.exists()
    except OSError:  # the name is too long
        return False


def user_path(text: str | Path) -> Path:
    """Return a path, with ``~`` for a home, unless a file is called so.

    Raises:
        UserError: the home of somebody who is not there.
    """
    path = Path(text)
    if is_there(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError:
        raise UserError(f"{path}: there is no such home: give the path in full") from None


def kind_of(path: Path) -> str:
    """Return the suffix that says what a file holds, without .gz or .xz.

    >>> kind_of(Path("corpus.TXT.gz"))
    '.txt'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in OPENERS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read_lines(path: Path, encoding: str = "auto", most: int = -1) -> Iterator[str]:
    """Give the lines of a text file (.gz and .xz too), without a mark of its encoding in front.

    Lines with more than `most` characters come in parts. "auto" finds the encoding, and says one
    that is not UTF-8.

    Raises:
        UserError: the file cannot be read, is no text, or is in another encoding.
    """
    if encoding == "auto":
        encoding = find_encoding(path)
        say_encoding(path, encoding)
    number = 0
    try:
        with OPENERS.get(path.suffix.lower(), open)(path, "rt", encoding=encoding) as file:
            while line := file.readline(most):
                yield line
                number += line.endswith("\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: line {number + 1} or one soon after it is not {encoding} (byte"
            f" {error.object[error.start]:#04x})"
        ) from None
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}") from None


def csv_format(path: Path) -> tuple[str, dict[str, Any]]:
    """Return what usually separates the columns of a file, and options of the csv module."""
    if kind_of(path) == ".csv":
        return ",", {}
    return "\t", {"quoting": csv.QUOTE_NONE}


@contextmanager
def open_parquet(path: Path) -> "Iterator[ParquetFile]":
    """Open a .parquet; what goes wrong while it is read is told in one line.

    Raises:
        UserError: it cannot be read, or pyarrow is not installed.
    """
    with arrow_errors(path):
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            yield file


def names_in_parquet(path: Path) -> list[str]:
    """Return the names of the columns in a .parquet.

    Raises:
        UserError: it cannot be read.
    """
    with open_parquet(path) as file:
        return list(file.schema_arrow.names)


@contextmanager
def arrow_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong while pyarrow reads a file into a `UserError`."""
    pyarrow = require("pyarrow", path, "data")
    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"cannot read {path}: {str(error).splitlines()[0]}") from None


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file of arrays is read into a `UserError`."""
    try:
        yield
    except (*READ_ERRORS, ValueError, MemoryError, zipfile.BadZipFile) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"{path}: cannot be read as an array ({reason})") from error


def find_delimiter(lines: Iterable[str], usual: str = ",", **options: Any) -> str:
    """Return what stands between the fields of a table, by its first 100 lines.

    It is what gives all rows as many fields, two or more; of several, what leaves most numbers,
    and then the usual one. If none does, it is what parts the first line most.

    >>> find_delimiter(["a;b", "1,5;x", "2,5;y"])
    ';'
    """
    some = list(itertools.islice(lines, 100))

    def quality(sign: str) -> tuple[bool, float]:
        try:
            rows = [row for row in csv.reader(some, delimiter=sign, **options) if row]
        except csv.Error:
            return False, 0
        rows = rows[:-1] if len(some) == 100 else rows  # the last may go on
        widths = {len(row) for row in rows}
        if len(widths) == 1 and widths != {1}:
            fields = [field for row in rows for field in row]
            return True, sum(map(_is_like_a_number, fields)) / len(fields)
        return False, len(rows[0]) if rows else 0

    return max((usual, *(sign for sign in ",;\t|" if sign != usual)), key=quality)


def _is_like_a_number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?[\d.]*,?\d+([eE][-+]?\d+)?\s*", text) is not None


def delimited_rows(
    path: Path, lines: Iterable[str], delimiter: str, **options: Any
) -> Iterator[tuple[str, list[str]]]:
    """Give the rows of a table whose lines are known, each with where it is; no empty lines.

    Raises:
        UserError: a row that is shorter or longer than the first, or no table.
    """
    width = 0
    try:
        for number, row in enumerate(csv.reader(lines, delimiter=delimiter, **options), start=1):
            width = width or len(row)
            if row and len(row) != width:
                raise UserError(f"{path}: row {number} has {len(row)} columns, not {width}")
            if row:
                yield f"row {number}", row
    except csv.Error as error:
        raise UserError(f"{path} is no table: {error}") from None
