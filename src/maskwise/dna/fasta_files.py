"""FASTA files made ready for reading any base of them: well-formed, indexed and looked through."""

import logging
import os
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from maskwise.dna.fasta_layout import Fetch, Indexed, Misplaced, parse_index, scan
from maskwise.errors import UserError
from maskwise.files import atomic_folder, cached, read_json, stamp, write_json
from maskwise.textio import OPENERS, READ_ERRORS, kind_of

log = logging.getLogger("maskwise")

SUFFIXES = (".fa", ".fasta", ".fna", ".ffn")
_LETTERS, _INDEX, _SCAN = "letters.fa", "letters.fai", "scan.json"
_LINE = 1 << 12  # bases in a line of a copy
_PART = 1 << 20  # bytes of a line read at once
_ASCII = bytes(range(128)) + b"?" * 128  # pyfaidx wants text; neither is a letter of DNA


def fasta_files(source: str | Path) -> list[Path]:
    """Return the FASTA files that a source names: itself, or those in a folder, sorted.

    Raises:
        UserError: there is none.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.is_file() and kind_of(p) in SUFFIXES)
        if not found:
            raise UserError(f"{path}: no FASTA files here (looked for {', '.join(SUFFIXES)})")
        return found
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder")
    return [path]


def open_indexed(path: Path) -> Indexed:
    """Open a FASTA file; the first time, look through it, and keep an index in the cache.

    A copy is kept there too of a file that is compressed or has lines of unequal length.

    Raises:
        UserError: it cannot be read, is no FASTA or holds what is no DNA.
    """
    folder = cached("fasta", stamp(path))
    if not folder.is_dir():
        log.info("%s: indexing (kept in %s)", path, folder)
        with atomic_folder(folder) as work:
            _prepare(path, work)
    copy = folder / _LETTERS
    try:
        layout = parse_index((folder / _INDEX).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, Misplaced):
        raise UserError(f"the index in {folder} is damaged: delete that folder") from None
    found = read_json(folder / _SCAN)
    return Indexed(
        _open(copy if copy.exists() else path), layout, found["counts"], found["sha256"]
    )


def _open(path: Path) -> Fetch:
    """Open a file. No memory map: what was read would count as this program's memory."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    fetch = partial(os.pread, handle)
    weakref.finalize(fetch, os.close, handle)
    return fetch


def _prepare(path: Path, work: Path) -> None:
    if path.suffix.lower() in OPENERS or not _indexed_in_place(path, work):
        _copy(path, work / _LETTERS)
        try:
            _build_index(work / _LETTERS, work / _INDEX, path)
            _look_through(work / _LETTERS, work, path)
        except Misplaced:
            raise UserError(
                f"{path}: cannot be indexed: rewrite it, for instance by seqkit seq -w 60"
            ) from None


def _indexed_in_place(path: Path, work: Path) -> bool:
    """Index a plain file; return whether its lines allow that."""
    beside = path.with_name(path.name + ".fai")
    try:
        if beside.is_file():
            if beside.stat().st_mtime_ns >= path.stat().st_mtime_ns:
                (work / _INDEX).write_bytes(beside.read_bytes())
                _look_through(path, work, path)
                return True
            log.warning("%s is older than %s: not used, a new index is made", beside, path)
    except (Misplaced, UserError, UnicodeDecodeError):
        log.warning("%s does not fit %s: not used, a new index is made", beside, path)
    (work / _INDEX).unlink(missing_ok=True)
    try:
        _build_index(path, work / _INDEX, path)
        _look_through(path, work, path)
    except Misplaced:
        log.warning("%s has lines of unequal length: a copy is made in the cache", path)
        (work / _INDEX).unlink(missing_ok=True)
        return False
    return True


def _build_index(path: Path, index: Path, shown: Path) -> None:
    try:
        from pyfaidx import Faidx, FastaIndexingError
    except ImportError:
        raise UserError(f'{shown} needs pyfaidx: pip install "maskwise[dna]"') from None
    try:
        Faidx(path, indexname=index).close()
    except (FastaIndexingError, UnicodeDecodeError, RuntimeError):  # the last: blank lines
        raise Misplaced from None
    except ValueError as error:
        name = str(error).split('"')[1]
        raise UserError(f"{shown}: two records are named {name}: rename or remove one") from None


def _look_through(path: Path, work: Path, shown: Path) -> None:
    layout = parse_index((work / _INDEX).read_text("utf-8"))
    found = scan(layout, _open(path), str(shown))
    write_json(work / _SCAN, {"counts": found.counts, "sha256": found.digest})


def _copy(path: Path, target: Path) -> None:
    """Write a FASTA file anew, decompressed, with lines of equal length."""
    room = 0
    with target.open("wb") as out:
        for number, line in _lines(path):
            if line.startswith(b">"):
                name = line[1:].decode("utf-8", "replace").split()
                if not name:
                    raise UserError(f"{path}: line {number}: a record without a name: give it one")
                if out.tell():
                    out.write(b"\n")
                out.write(b">" + name[0].encode() + b"\n")
                room = _LINE
                continue
            letters = line.translate(_ASCII, b" \t\r\n")
            if not out.tell():
                if letters and not letters.startswith(b";"):
                    raise UserError(
                        f"{path}: no FASTA file: line {number} comes before any record's name,"
                        " a line that begins with >"
                    )
                continue
            while len(letters) > room:
                out.write(letters[:room] + b"\n")
                letters, room = letters[room:], _LINE
            out.write(letters)
            room -= len(letters)
        if not out.tell():
            raise UserError(f"{path}: no FASTA file: it has no line that begins with >")
        out.write(b"\n")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give numbered lines, long ones in parts."""
    number = 1
    try:
        with OPENERS.get(path.suffix.lower(), open)(path, "rb") as file:
            while line := file.readline(_PART):
                yield number, line
                number += line.endswith(b"\n")
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}") from None
