"""FASTA files made ready for reading any base of them: indexed, and looked through once."""

import hashlib
import logging
import os
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.dna.bases import CODES, INVALID, NUM_BASES, REPEAT, UNKNOWN
from maskwise.errors import UserError
from maskwise.files import atomic_folder, cached, read_json, stamp, write_json
from maskwise.textio import OPENERS, READ_ERRORS, kind_of

log = logging.getLogger("maskwise")

SUFFIXES = (".fa", ".fasta", ".fna", ".ffn")
TABLE = CODES.tobytes()
BREAKS = b"\r\n"
_LETTERS, _INDEX, _SCAN = "letters.fa", "letters.fai", "scan.json"
_PART = 1 << 20  # bytes of a line read at once
_CHUNK = 1 << 22  # letters looked at together

Fetch = Callable[[int, int], bytes]
"""So many bytes of a file from an offset on, or those up to its end."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where letters are: base i of a record is at offset + i + i // bases * breaks.

    Args:
        names: of the R records, in the order of the file.
        lengths: int64 [R], bases of each.
        offsets: int64 [R], bytes before its first base.
        bases: int64 [R], bases in each of its lines, but the last.
        breaks: int64 [R], bytes between two lines.
    """

    names: tuple[str, ...]
    lengths: np.ndarray
    offsets: np.ndarray
    bases: np.ndarray
    breaks: np.ndarray

    def byte(self, records: Any, positions: Any) -> Any:
        """Return where bases are in their file, int64 [n]; of a record's end, where that is."""
        lines = positions // self.bases[records]
        return self.offsets[records] + positions + lines * self.breaks[records]


@dataclass(frozen=True, eq=False)
class Indexed:
    """A file's bytes, where its records are, how many letters of which kind, and their SHA-256."""

    fetch: Fetch
    layout: Layout
    counts: dict[str, int]
    digest: str


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
    try:
        layout = _layout((folder / _INDEX).read_text("utf-8"))
    except (OSError, ValueError, IndexError):
        raise UserError(f"the index in {folder} is damaged: delete that folder") from None
    copy, found = folder / _LETTERS, read_json(folder / _SCAN)
    fetch = _open(copy if copy.exists() else path)
    return Indexed(fetch, layout, found["counts"], found["sha256"])


def _open(path: Path) -> Fetch:
    """Open a file. No memory map: what was read would count as this program's memory."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    # Reading at an offset moves nothing that processes share after a fork.
    fetch = partial(os.pread, handle)
    weakref.finalize(fetch, os.close, handle)
    return fetch


def _prepare(path: Path, work: Path) -> None:
    used, rows = path, None
    if path.suffix.lower() not in OPENERS and (rows := _places(path)) is None:
        log.warning("%s has lines of unequal length: a copy is made in the cache", path)
    if rows is None:
        used = work / _LETTERS
        rows = _unpack(path, used)
    [(name, num)] = Counter(row[0] for row in rows).most_common(1)
    if num > 1:
        raise UserError(f"{path}: two records are named {name}: rename or remove one")
    index = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    (work / _INDEX).write_text(index, "utf-8")
    found = look_through(_layout(index), _open(used), str(path))
    write_json(work / _SCAN, {"counts": found.counts, "sha256": found.digest})


# A line of an index, as samtools faidx writes it: name, length, offset, bases and bytes of a line.
Row = list[Any]


def _layout(index: str) -> Layout:
    rows = [line.split("\t") for line in index.splitlines()]
    lengths, offsets, bases, line = np.array([row[1:5] for row in rows], dtype=np.int64).T
    return Layout(tuple(row[0] for row in rows), lengths, offsets, bases.clip(1), line - bases)


def _places(path: Path) -> list[Row] | None:
    """Return where the letters of a plain file are; None if its lines are of unequal length."""
    rows: list[Row] = []
    at, size, end, last = 0, 0, b"", True
    for _, line in _lines(path):
        at += len(line)
        if not last and line[:size].isalpha() and line[size:] == end:  # as most are
            rows[-1][1] += size
        elif line.startswith(b">"):
            rows.append([_name(line), 0, at, 0, 0])
            size, end, last = -1, b"", not rows[-1][0]
        else:
            letters = line.rstrip(BREAKS)
            if last or letters.split() != [letters]:  # white space is no letter
                return None
            if not rows[-1][1]:
                size, end = len(letters), line[len(letters) :]
                rows[-1][3:] = [size, len(line)]
            # The last line of a record may be shorter; that of a file need not be broken.
            last = line != letters + end or len(letters) < size
            if len(letters) > size or (last and len(letters) == size and line != letters):
                return None
            rows[-1][1] += len(letters)
    return rows or None


def _unpack(path: Path, target: Path) -> list[Row]:
    """Write the letters of a FASTA file, decompressed, without names or breaks."""
    rows: list[Row] = []
    with target.open("wb") as out:
        for number, line in _lines(path, most=_PART):
            if line.startswith(b">"):
                if not (name := _name(line)):
                    raise UserError(f"{path}: line {number}: a record without a name: give it one")
                rows.append([name, 0, out.tell(), 0, 0])
                continue
            letters = line.translate(None, b" \t\r\n")
            if rows:
                out.write(letters)
                rows[-1][1] += len(letters)
            elif letters and not letters.startswith(b";"):
                raise UserError(
                    f"{path}: no FASTA file: line {number} comes before any record's name,"
                    " a line that begins with >"
                )
    if not rows:
        raise UserError(f"{path}: no FASTA file: it has no line that begins with >")
    return [[name, length, offset, length, length] for name, length, offset, *_ in rows]


def _name(line: bytes) -> str:
    return "".join(line[1:].decode("utf-8", "replace").split()[:1])


def _lines(path: Path, most: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Give numbered lines, those with more than `most` bytes in parts."""
    number = 1
    try:
        with OPENERS.get(path.suffix.lower(), open)(path, "rb") as file:
            if most is None:
                yield from enumerate(file, start=1)
            while line := file.readline(most):
                yield number, line
                number += line.endswith(b"\n")
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}") from None


def look_through(layout: Layout, fetch: Fetch, where: str) -> Indexed:
    """Look at every letter once.

    Args:
        layout: where the letters are.
        fetch: the file's bytes.
        where: the file's name, for messages.

    Raises:
        UserError: a letter that is no DNA.
    """
    digest = hashlib.sha256()
    counts = {"bases": 0, "unknown": 0, "ambiguous": 0, "repeats": 0, "empty_records": 0}
    for record, (name, length) in enumerate(zip(layout.names, layout.lengths, strict=True)):
        digest.update(f">{name} {length} ".encode())
        counts["empty_records"] += not length
        for start in range(0, length, _CHUNK):
            first, last = layout.byte(record, np.array([start, min(start + _CHUNK, length)]))
            letters = fetch(last - first, first).translate(None, BREAKS)
            codes = np.frombuffer(letters.translate(TABLE), dtype=np.uint8)
            if codes.max() == INVALID:
                place = int((codes == INVALID).argmax())
                _refuse(letters[place], f"{where}: record {name}, position {start + place + 1}")
            digest.update(letters)
            known, others = _num(codes & 7 < NUM_BASES), _num(codes & 7 == UNKNOWN)
            unknown = _num(np.frombuffer(letters, dtype=np.uint8) & ~np.uint8(32) == ord("N"))
            counts["bases"] += known
            counts["unknown"] += unknown
            counts["ambiguous"] += others - unknown
            counts["repeats"] += _num(codes & (REPEAT + 4) == REPEAT)
    return Indexed(fetch, layout, counts, digest.hexdigest())


def _num(which: np.ndarray) -> int:
    return int(np.count_nonzero(which))


def _refuse(letter: int, where: str) -> None:
    shown = ascii(chr(letter)) if letter < 128 else "'?'"
    if letter in b"Uu":
        raise UserError(f"{where}: {shown} is of RNA: convert U to T")
    raise UserError(
        f"{where}: {shown} is no letter of DNA (A C G T, N, other IUPAC codes): remove or replace"
        " it"
    )
