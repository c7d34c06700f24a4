"""Genomes: the letters of FASTA files, any of them at any time, in memory that stays flat."""

import difflib
import hashlib
import logging
import os
import re
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from maskwise.dna.bases import CODES, INVALID, NOTHING, NUM_BASES, REPEAT, UNKNOWN
from maskwise.dna.formats import check_whole
from maskwise.dna.indexing import BREAKS, places, unpack
from maskwise.errors import UserError
from maskwise.files import atomic_folder, cached, read_json, stamp, write_json
from maskwise.textio import OPENERS, Broken, few, leave_out
from maskwise.tokens.files import files_of

log = logging.getLogger("maskwise")
slow = logging.getLogger("maskwise.slow")

SUFFIXES = (".fa", ".fasta", ".fna", ".ffn", ".fas")
READS = (".fastq", ".fq")
TABLE = CODES.tobytes()
_LETTERS, _INDEX, _SCAN = "letters.fa", "letters.fai", "scan.json"
_NO_DNA = "is no letter of DNA (A C G T, N, other IUPAC codes): remove or replace it"
_PROTEIN = "is no letter of DNA but of a protein: give the sequences of DNA that code for it"
_GAP = "is no letter of DNA but a gap of an alignment: remove the gaps"
_OF_PROTEINS = frozenset(b"EFILPQZJOefilpqzjo*")
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
    broken: dict[int, str] = field(default_factory=dict)  # which records are no DNA, and why
    left_out: dict[str, str] = field(default_factory=dict)  # records that were no DNA, and why
    renamed: dict[str, str] = field(default_factory=dict)  # names that were matched with others

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def _others(self) -> dict[str, int]:
        """Records by what their names have in common; -1 where that is not one record's alone."""
        found: dict[str, int] = {}
        for place, name in enumerate(self.names):
            key = common_name(name)
            found[key] = -1 if key in found else place
        return found

    def find(self, name: str) -> int | None:
        """Return the number of a record, by its name or as others call it; None: there is none.

        `chr1` is `1`, and `chrM`, `MT` and `M` are one, where only one record is called so; which
        names were matched so is in `renamed`.
        """
        if name in self._places:
            return self._places[name]
        place = self._others.get(common_name(name), -1)
        if place < 0:
            return None
        self.renamed[name] = self.names[place]
        return place

    def record(self, name: str) -> int:
        """Return what `find` does.

        Raises:
            UserError: there is no such record.
        """
        place = self.find(name)
        if place is not None:
            return place
        near = difflib.get_close_matches(name, self.names, 1)
        known = f"its records are {few(self.names)}"
        hint = f"did you mean {near[0]}?" if near else known
        raise UserError(f"{self.name} has no record named {name}: {hint}")

    def tell_renamed(self, where: object) -> None:
        """Say which names of contigs were matched with others, and forget it."""
        if self.renamed:
            told = [f"{name} is {other}" for name, other in self.renamed.items()]
            log.info("%s: %d contigs are matched by other names: %s", where, len(told), few(told))
        self.renamed.clear()

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
            return codes.reshape(len(records), width)
        if len(codes) != (last - first).sum():
            raise UserError(f"{self.name} changed while it was read: start again")
        windows = np.full((len(records), width), NOTHING, dtype=np.uint8)
        place = starts[:, None] + np.arange(width)
        windows[(place >= first[:, None]) & (place < last[:, None])] = codes
        return windows


def _open_indexed(path: Path) -> Genome:
    """Open a FASTA file; the first time, look through it, and keep an index in the cache."""
    folder = cached("fasta", [2, *stamp(path)])
    if not folder.is_dir():
        check_whole(path)
        slow.info("%s: indexing (kept in %s)", path, folder)
        with atomic_folder(folder) as work:
            _prepare(path, work)
    copy = folder / _LETTERS
    fetch = _open(copy if copy.exists() else path)
    try:
        genome = _indexed((folder / _INDEX).read_text("utf-8"), fetch, path)
    except (OSError, ValueError, IndexError):
        raise UserError(f"the index in {folder} is damaged: delete that folder") from None
    found = read_json(folder / _SCAN)
    return replace(
        genome,
        counts=found["counts"],
        fingerprint=found["sha256"],
        broken=dict(found["broken"]),
    )


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
    if path.suffix.lower() not in OPENERS and (rows := places(path)) is None:
        slow.warning("%s has lines of unequal length: a copy is made in the cache", path)
    if rows is None:
        used = work / _LETTERS
        rows = unpack(path, used)
    index = "".join("\t".join(map(str, (name, *numbers))) + "\n" for name, numbers in rows)
    (work / _INDEX).write_text(index, "utf-8")
    found = _look_through(_indexed(index, _open(used), path))
    told = {"counts": found.counts, "sha256": found.fingerprint}
    write_json(work / _SCAN, {**told, "broken": list(found.broken.items())})


def _indexed(index: str, fetch: Fetch, path: Path) -> Genome:
    rows = [line.split("\t") for line in index.splitlines()]
    lengths, offsets, bases, line = np.array([row[1:5] for row in rows], dtype=np.int64).T
    places = lengths, offsets, bases.clip(1), line - bases
    return Genome(tuple(row[0] for row in rows), *places, str(path), (fetch,) * len(rows))


def _look_through(genome: Genome) -> Genome:
    """Look at every letter once: count them, and say what of a record is no DNA."""
    digest = hashlib.sha256()
    counts = dict.fromkeys(("bases", "unknown", "ambiguous", "repeats", "uracil"), 0)
    counts["empty_records"], broken = 0, {}
    for record, (name, length) in enumerate(zip(genome.names, genome.lengths, strict=True)):
        digest.update(f">{name} {length} ".encode())
        counts["empty_records"] += not length
        found = dict.fromkeys(counts, 0)
        for start in range(0, length, _CHUNK):
            first, last = genome.byte(record, np.array([start, min(start + _CHUNK, length)]))
            letters = genome.files[record](last - first, first).translate(None, BREAKS)
            digest.update(letters)
            codes = np.frombuffer(letters.translate(TABLE), dtype=np.uint8)
            if codes.max() == INVALID:
                place = int((codes == INVALID).argmax())
                broken[record] = f"position {start + place + 1}: {wrong_letter(letters[place])}"
                break
            for kind, num in _kinds(letters, codes).items():
                found[kind] += num
        else:
            counts = {kind: num + found[kind] for kind, num in counts.items()}
    return replace(genome, counts=counts, fingerprint=digest.hexdigest(), broken=broken)


def wrong_letter(letter: int) -> str:
    """Say what a byte is that is no letter of DNA, and what to do."""
    shown = ascii(chr(letter)) if letter < 128 else "'?'"
    if letter in b"-.~":
        return f"{shown} {_GAP}"
    return f"{shown} {_PROTEIN if letter in _OF_PROTEINS else _NO_DNA}"


def _kinds(letters: bytes, codes: np.ndarray) -> dict[str, int]:
    """Return how many letters there are of each kind."""
    upper = np.frombuffer(letters, dtype=np.uint8) & ~np.uint8(32)
    unknown = upper == ord("N")
    kinds = {
        "bases": codes & 7 < NUM_BASES,
        "unknown": unknown,
        "ambiguous": (codes & 7 == UNKNOWN) & ~unknown,
        "repeats": codes & (REPEAT + 4) == REPEAT,
        "uracil": upper == ord("U"),
    }
    return {kind: int(np.count_nonzero(which)) for kind, which in kinds.items()}


def common_name(name: str) -> str:
    """Return what the names of a contig have in common.

    >>> common_name("chr7"), common_name("Chr7"), common_name("7")
    ('7', '7', '7')
    >>> common_name("chrM"), common_name("MT"), common_name("chrMT")
    ('m', 'm', 'm')
    """
    short = name.lower().removeprefix("chr")
    return "m" if short in ("m", "mt", "mito") else short


def open_genome(source: str | Path, broken: Broken = "stop", *, every: bool = False) -> Genome:
    """Open a FASTA file (.fa .fasta .fna .ffn .fas, also .gz .bgz .xz) or a folder of such files.

    The first time the letters are looked through, and an index is kept in the cache, with a copy
    of files that are compressed or have lines of unequal length. U is read as T. Files of reads
    (FASTQ) become such a copy, too. Empty records are left out.

    Args:
        source: the file or folder.
        broken: what is done about records that are no DNA.
        every: keep all records, also those that are empty, no DNA (see `Genome.broken`) or have
            the name of another.

    Raises:
        UserError: a file that cannot be read, is no FASTA, or holds what is no DNA.
    """
    paths = files_of(source, SUFFIXES, "FASTA files")
    opened = [_open_indexed(path) for path in paths]
    if not every:
        _check_names(paths, opened)
    return _joined(str(source), opened, broken, every)


def genome_of(
    sequences: Sequence[str], names: Sequence[str] | None = None, broken: Broken = "stop"
) -> Genome:
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
    where = lengths, lengths.cumsum() - lengths, lengths.clip(1), np.zeros_like(lengths)
    files = (lambda size, at: data[at : at + size],) * len(names)
    made = _look_through(Genome(tuple(names), *where, "sequences", files))
    return _joined("sequences", [made], broken)


def _check_names(paths: Sequence[Path], opened: Sequence[Genome]) -> None:
    owner: dict[str, Path] = {}
    for path, one in zip(paths, opened, strict=True):
        twice: list[str] = []
        for name in one.names:
            other = owner.setdefault(name, path)
            if other != path:
                raise UserError(f"{path}: record {name} is in {other} too: rename or remove one")
        if len(set(one.names)) < len(one.names):
            seen: set[str] = set()
            twice = [name for name in one.names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
        if len(twice) == 1:
            raise UserError(f"{path}: two records are named {twice[0]}: rename or remove one")
        if twice:
            raise UserError(
                f"{path}: {len(twice)} records have names of others ({few(twice)}): rename or"
                " remove them"
            )


def _joined(source: str, opened: Sequence[Genome], policy: Broken, every: bool = False) -> Genome:
    """Return the records of several files that are not empty and are DNA, or every one."""
    columns = [
        np.concatenate([getattr(one, column) for one in opened])
        for column in ("lengths", "offsets", "bases", "breaks")
    ]
    firsts = np.cumsum([0, *(len(one.names) for one in opened)]).tolist()
    broken = {
        first + place: why
        for first, one in zip(firsts, opened, strict=False)
        for place, why in one.broken.items()
    }
    rows = [row for one in opened for row in zip(one.names, one.files, strict=True)]
    keep, left_out = np.arange(len(rows)), dict[str, str]()
    if not every:
        left_out = {f"record {rows[k][0]}": why for k, why in broken.items()}
        keep = np.setdiff1d(np.flatnonzero(columns[0]), list(broken))
        if broken and not len(keep):
            told = few([f"{name} ({why})" for name, why in left_out.items()])
            raise UserError(f"{source}: none of {len(rows)} records is DNA: {told}")
        leave_out(source, left_out, policy)
    if not len(keep):
        raise UserError(f"{source}: no letters of DNA: all {len(rows)} records are empty")
    names, files = zip(*(rows[k] for k in keep), strict=True)
    lengths, offsets, bases, breaks = (column[keep] for column in columns)
    counts = {key: sum(one.counts[key] for one in opened) for key in opened[0].counts}
    digest = hashlib.sha256("".join(one.fingerprint for one in opened).encode()).hexdigest()
    told = ", ".join(
        f"{value} {'U read as T' if key == 'uracil' else key.replace('_', ' ')}"
        for key, value in counts.items()
        if value or key != "uracil"
    )
    log.info("%s: %d records, %s", source, len(names), told)
    where = lengths, offsets, bases, breaks
    broken = broken if every else {}
    return Genome(names, *where, source, files, counts, digest, broken, left_out)
