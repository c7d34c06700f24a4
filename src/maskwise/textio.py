"""Reading files that users give: lines of text, rows of tables, and what goes wrong with them."""

import codecs
import csv
import gzip
import itertools
import json
import logging
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from maskwise.errors import UserError, option, require
from maskwise.labels import encode_labels as encode_labels

if TYPE_CHECKING:  # an extra
    from pyarrow.parquet import ParquetFile

Opener = Callable[..., IO[str]]
OPENERS: dict[str, Opener] = {".gz": gzip.open, ".bgz": gzip.open, ".xz": lzma.open}
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
READ_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error)


def is_data(path: Path) -> bool:
    """Say whether a name is that of data: not hidden, and not what systems leave behind.

    >>> is_data(Path("a/cat.png")), is_data(Path("._cat.png")), is_data(Path("__MACOSX"))
    (True, False, False)
    """
    return not path.name.startswith((".", "~$")) and path.name not in LEFT_BEHIND


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder and of those in it, in order; none that are hidden.

    Raises:
        UserError: a folder that cannot be read.
    """
    return [path for path in entries_below(folder) if path.is_file()]


def entries_below(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Give all that is no folder of a folder and of those in it, in order; nothing hidden.

    Files are among them, and what is called like one: links to nothing, pipes. Links to folders
    are followed, but for those to a folder that they are in (`above`: which those are).

    Raises:
        UserError: a folder that cannot be read.
    """
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror or error}") from None
    here = (status.st_dev, status.st_ino)
    if here in above:
        log.info("%s leads back to a folder that it is in, and is not followed", folder)
        return
    for entry in inside:
        path = folder / entry.name
        if not is_data(path):
            continue
        if path.is_dir() if entry.is_symlink() else entry.is_dir():
            yield from entries_below(path, above | {here})
        else:
            yield path


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


def user_path(text: str | Path) -> Path:
    """Return a path, with ``~`` for a home, unless a file is called so.

    Raises:
        UserError: the home of somebody who is not there.
    """
    path = Path(text)
    if path.exists():
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


def read_lines(path: Path, encoding: str = "utf-8-sig", most: int = -1) -> Iterator[str]:
    """Give the lines of a text file (.gz and .xz too).

    The default encoding leaves out the mark that some editors put in front. Lines with more than
    `most` characters come in parts.

    Raises:
        UserError: the file cannot be read, or is not UTF-8.
    """
    number = 0
    try:
        with OPENERS.get(path.suffix.lower(), open)(path, "rt", encoding=encoding) as file:
            while line := file.readline(most):
                yield line
                number += 1
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 after line {number} (byte {error.object[error.start]:#04x}):"
            " convert it to UTF-8"
        ) from None
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}") from None


def json_rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Give the objects of a .jsonl, each with where it is.

    Raises:
        UserError: a file that cannot be read, or a line that is no JSON object.
    """
    for number, line in enumerate(read_lines(path), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{path}: line {number} is no JSON object: {line.strip()[:40]}")
        yield f"line {number}", row


def table_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Give the rows of a .csv (quoted) or .tsv (not), each with where it is.

    All of them have as many columns as the first; empty lines are left out.

    Raises:
        UserError: a file that cannot be read, or a row that is shorter or longer.
    """
    delimiter, options = csv_format(path)
    return delimited_rows(path, read_lines(path), delimiter, **options)


def csv_format(path: Path) -> tuple[str, dict[str, Any]]:
    """Return what usually separates the columns of a file, and options of the csv module."""
    if kind_of(path) == ".csv":
        return ",", {}
    return "\t", {"quoting": csv.QUOTE_NONE}


def columns(path: Path, names: Sequence[str], *known: Sequence[str]) -> list[str]:
    """Return which of `names` is one of each group of `known` names.

    Raises:
        UserError: a group has none, or several.

    >>> columns(Path("a.csv"), ["id", "class", "text"], ["text", "review"], ["label", "class"])
    ['text', 'class']
    """
    found = [[name for name in names if name in group] for group in known]
    if any(len(each) != 1 for each in found):
        raise UserError(
            f"{path} has the columns {', '.join(names) or 'none'}: give one of"
            f" {' and one of '.join(', '.join(group) for group in known)}"
        )
    return [name for [name] in found]


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


def find_encoding(path: Path, known: Sequence[str] = ("utf-8", "cp1252", "latin-1")) -> str:
    """Return in which encoding a text file (.gz and .xz too) can be read.

    It is UTF-16 if its first bytes say so, or else the first of `known`: UTF-8, Windows-1252 or
    Latin-1, in which every file can be read.

    Raises:
        UserError: the file cannot be read, or in none of them.
    """
    try:
        for encoding in known:
            with OPENERS.get(path.suffix.lower(), open)(path, "rb") as file:
                start = file.read(3)
                if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and len(known) > 1:
                    return "utf-16"
                if _decodes(
                    itertools.chain([start], iter(lambda: file.read(1 << 20), b"")), encoding
                ):
                    return "utf-8-sig" if start == codecs.BOM_UTF8 else encoding
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}") from None
    raise UserError(f"{path}: it is not in the encoding {', '.join(known)}")


def _decodes(parts: Iterable[bytes], encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for part in parts:
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


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
