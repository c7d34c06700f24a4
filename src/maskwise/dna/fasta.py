"""Genomes: the letters of FASTA files, any of them at any time, in memory that stays flat."""

import difflib
import hashlib
import logging
import os
import re
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from maskwise.dna.bases import CODES, INVALID, NOTHING, NUM_BASES, REPEAT, UNKNOWN
from maskwise.errors import UserError
from maskwise.files import atomic_folder, cached, read_json, stamp, write_json
from maskwise.textio import OPENERS, READ_ERRORS
from maskwise.tokens.files import files_of

log = logging.getLogger("maskwise")

SUFFIXES = (".fa", ".fasta", ".fna", ".ffn")
TABLE = CODES.tobytes()
BREAKS = b"\r\n"
_LETTERS, _INDEX, _SCAN = "letters.fa", "letters.fai", "scan.json"
_RNA = "is of RNA: convert U to T"
_NO_DNA = "is no letter of DNA (A C G T, N, other IUPAC codes): remove or replace it"
_PART = 1 << 20  # bytes of a line read at once
_CHUNK = 1 << 22  # letters looked at together
_BROKEN = re.compile(r"\s").search

Fetch = Callable[[int, int], bytes]  # so many bytes of a file from an offset on, or to its end


@dataclass(frozen=True, eq=False)
class Genome:
    """Sequences by record and position.

    Base i of a record is in its file at the byte offset + i + i // bases * breaks.
    """

    names: tuple[str, ...]  # of the R records, in the order of the files
    lengths: np.ndarray  # bases of each, int64 [R]
    offsets: np.ndarray  # bytes before its first base
    bases: np.ndarray  # bases in each of its lines, but the last
    breaks: np.ndarray  # bytes between two lines
    name: str  # what to call it
    files: tuple[Fetch, ...]  # what each record is read from
    counts: dict[str, int] = field(default_factory=dict)  # letters of a kind, and empty records
    fingerprint: str = ""  # SHA-256 of names, lengths and letters

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def record(self, name: str) -> int:
        if name in self._places:
            return self._places[name]
        other = name.removeprefix("chr") if name.startswith("chr") else f"chr{name}"
        near = [other] if other in self._places else difflib.get_close_matches(name, self.names, 1)
        known = f"its records are {', '.join(self.names[:3])}, ..."
        hint = f"did you mean {near[0]}?" if near else known
        raise UserError(f"{self.name} has no record named {name}: {hint}")

    def byte(self, records: np.ndarray | int, positions: np.ndarray) -> np.ndarray:
        """Return where bases are in their file, int64 [n]; of a record's end, where that is."""
        lines = positions // self.bases[records]
        return self.offsets[records] + positions + lines * self.breaks[records]

    def read(
        self, records: np.ndarray, starts: np.ndarray, width: int, stops: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the codes of windows, uint8 [n, width]; NOTHING outside of records.

        Windows begin at `starts` [n], from 0; reading ends at `stops` [n], or with the record.
        """
        stops = self.lengths[records] if stops is None else stops
        first = np.minimum(np.maximum(starts, 0), stops)
        last = np.maximum(np.minimum(starts + width, stops), first)
        offset = self.byte(records, first)
        size = self.byte(records, last) - offset
        where = zip(records.tolist(), size.tolist(), offset.tolist(), strict=True)
        data = bytearray().join([self.files[record](num, at) for record, num, at in where])
        codes = np.frombuffer(data.translate(TABLE, BREAKS), dtype=np.uint8)
        if len(codes) == len(records) * width:
            return codes.reshape(-1, width)
        if len(codes) != (last - first).sum():
            raise UserError(f"{self.name} changed while it was read: start again")
        windows = np.full((len(records), width), NOTHING, dtype=np.uint8)
        place = starts[:, None] + np.arange(width)
        windows[(place >= first[:, None]) & (place < last[:, None])] = codes
        return windows


def _open_indexed(path: Path) -> Genome:
    """Open a FASTA file; the first time, look through it, and keep an index in the cache."""
    folder = cached("fasta", stamp(path))
    if not folder.is_dir():
        log.info("%s: indexing (kept in %s)", path, folder)
        with atomic_folder(folder) as work:
            _prepare(path, work)
    copy = folder / _LETTERS
    fetch = _open(copy if copy.exists() else path)
    try:
        genome = _indexed((folder / _INDEX).read_text("utf-8"), fetch, path)
    except (OSError, ValueError, IndexError):
        raise UserError(f"the index in {folder} is damaged: delete that folder") from None
    found = read_json(folder / _SCAN)
    return replace(genome, counts=found["counts"], fingerprint=found["sha256"])


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
    [(name, num)] = Counter(name for name, _ in rows).most_common(1)
    if num > 1:
        raise UserError(f"{path}: two records are named {name}: rename or remove one")
    index = "".join("\t".join(map(str, (name, *numbers))) + "\n" for name, numbers in rows)
    (work / _INDEX).write_text(index, "utf-8")
    found = _look_through(_indexed(index, _open(used), path))
    write_json(work / _SCAN, {"counts": found.counts, "sha256": found.fingerprint})


# A line of an index, as samtools faidx writes it: name; length, offset, bases and bytes of a line.
Row = tuple[str, list[int]]


def _indexed(index: str, fetch: Fetch, path: Path) -> Genome:
    rows = [line.split("\t") for line in index.splitlines()]
    lengths, offsets, bases, line = np.array([row[1:5] for row in rows], dtype=np.int64).T
    places = lengths, offsets, bases.clip(1), line - bases
    return Genome(tuple(row[0] for row in rows), *places, str(path), (fetch,) * len(rows))


def _places(path: Path) -> list[Row] | None:
    """Return where the letters of a plain file are; None if its lines are of unequal length."""
    rows: list[Row] = []
    at, size, end, last, numbers = 0, 0, b"", True, list[int]()
    for _, line in _lines(path):
        at += len(line)
        if not last and line[:size].isalpha() and line[size:] == end:  # as most are
            numbers[0] += size
        elif line.startswith(b">"):
            name, numbers = _name(line), [0, at, 0, 0]
            rows.append((name, numbers))
            size, end, last = -1, b"", not name
        else:
            letters = line.rstrip(BREAKS)
            if last or letters.split() != [letters]:  # white space is no letter
                return None
            if not numbers[0]:
                size, end = len(letters), line[len(letters) :]
                numbers[2:] = [size, len(line)]
            # The last line of a record may be shorter; that of a file need not be broken.
            last = line != letters + end or len(letters) < size
            if len(letters) > size or (last and len(letters) == size and line != letters):
                return None
            numbers[0] += len(letters)
    return rows or None


def _unpack(path: Path, target: Path) -> list[Row]:
    """Write the letters of a FASTA file, decompressed, without names or breaks."""
    rows: list[Row] = []
    with target.open("wb") as out:
        for number, line in _lines(path, most=_PART):
            if line.startswith(b">"):
                if not (name := _name(line)):
                    raise UserError(f"{path}: line {number}: a record without a name: give it one")
                rows.append((name, [0, out.tell()]))
                continue
            letters = line.translate(None, b" \t\r\n")
            if rows:
                out.write(letters)
                rows[-1][1][0] += len(letters)
            elif letters and not letters.startswith(b";"):
                raise UserError(
                    f"{path}: no FASTA file: line {number} comes before any record's name,"
                    " a line that begins with >"
                )
    if not rows:
        raise UserError(f"{path}: no FASTA file: it has no line that begins with >")
    return [(name, [length, offset, length, length]) for name, (length, offset) in rows]


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


def _look_through(genome: Genome) -> Genome:
    """Look at every letter once: refuse those that are no DNA, count the others."""
    digest = hashlib.sha256()
    counts = {"bases": 0, "unknown": 0, "ambiguous": 0, "repeats": 0, "empty_records": 0}
    for record, (name, length) in enumerate(zip(genome.names, genome.lengths, strict=True)):
        digest.update(f">{name} {length} ".encode())
        counts["empty_records"] += not length
        for start in range(0, length, _CHUNK):
            first, last = genome.byte(record, np.array([start, min(start + _CHUNK, length)]))
            letters = genome.files[record](last - first, first).translate(None, BREAKS)
            codes = np.frombuffer(letters.translate(TABLE), dtype=np.uint8)
            if codes.max() == INVALID:
                place = int((codes == INVALID).argmax())
                letter = chr(letters[place])
                raise UserError(
                    f"{genome.name}: record {name}, position {start + place + 1}:"
                    f" {ascii(letter) if letter.isascii() else repr('?')} "
                    + (_RNA if letter in "Uu" else _NO_DNA)
                )
            digest.update(letters)
            unknown = np.frombuffer(letters, dtype=np.uint8) & ~np.uint8(32) == ord("N")
            kinds = {
                "bases": codes & 7 < NUM_BASES,
                "unknown": unknown,
                "ambiguous": (codes & 7 == UNKNOWN) & ~unknown,
                "repeats": codes & (REPEAT + 4) == REPEAT,
            }
            for kind, which in kinds.items():
                counts[kind] += int(np.count_nonzero(which))
    return replace(genome, counts=counts, fingerprint=digest.hexdigest())


def open_genome(source: str | Path) -> Genome:
    """Open a FASTA file (.fa .fasta .fna .ffn, also .gz .bgz .xz) or a folder of such files.

    The first time the letters are looked through, and an index is kept in the cache, with a copy
    of files that are compressed or have lines of unequal length. Empty records are left out.

    Raises:
        UserError: a file that cannot be read, is no FASTA, or holds what is no DNA.
    """
    paths = files_of(source, SUFFIXES, "FASTA files")
    opened = [_open_indexed(path) for path in paths]
    owner: dict[str, Path] = {}
    for path, one in zip(paths, opened, strict=True):
        for name in one.names:
            if owner.setdefault(name, path) != path:
                raise UserError(
                    f"{path}: record {name} is in {owner[name]} too: rename or remove one"
                )
    return _joined(str(source), opened)


def genome_of(sequences: Sequence[str], names: Sequence[str] | None = None) -> Genome:
    """Return sequences in memory as a genome; those without a letter are left out, and counted.

    >>> genome = genome_of(["ACGT", "ttn"], names=["one", "two"])
    >>> genome.read(np.array([0, 1]), np.array([2, -1]), 4).tolist()
    [[2, 3, 5, 5], [5, 11, 11, 12]]

    Raises:
        UserError: what is no DNA, names that are the same, or no letter.
    """
    names = [f"sequence{n}" for n in range(1, len(sequences) + 1)] if names is None else names
    if len(set(names)) < len(names):
        raise UserError("two sequences have the same name: rename or remove one")
    if any(len(name.split()) != 1 for name in names) or any(map(_BROKEN, sequences)):
        raise UserError("a sequence or its name holds spaces or line breaks: remove them")
    data = "".join(sequences).encode("ascii", "replace")
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    # The same as a file with one line for all sequences.
    places = lengths, lengths.cumsum() - lengths, lengths.clip(1), np.zeros_like(lengths)
    files = (lambda size, at: data[at : at + size],) * len(names)
    return _joined("sequences", [_look_through(Genome(tuple(names), *places, "sequences", files))])


def _joined(source: str, opened: Sequence[Genome]) -> Genome:
    """Return the records of several files that are not empty."""
    columns = [
        np.concatenate([getattr(one, column) for one in opened])
        for column in ("lengths", "offsets", "bases", "breaks")
    ]
    keep = np.flatnonzero(columns[0])
    if not len(keep):
        raise UserError(f"{source}: no letters of DNA: all {len(columns[0])} records are empty")
    rows = [row for one in opened for row in zip(one.names, one.files, strict=True)]
    names, files = zip(*(rows[k] for k in keep), strict=True)
    lengths, offsets, bases, breaks = (column[keep] for column in columns)
    counts = {key: sum(one.counts[key] for one in opened) for key in opened[0].counts}
    digest = hashlib.sha256("".join(one.fingerprint for one in opened).encode()).hexdigest()
    told = ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counts.items())
    log.info("%s: %d records, %s", source, len(names), told)
    return Genome(names, lengths, offsets, bases, breaks, source, files, counts, digest)
