"""Where the letters of each record are in a FASTA file, and what they are."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwise.dna.bases import CODES, INVALID, NUM_BASES, REPEAT, UNKNOWN
from maskwise.errors import UserError

TABLE = CODES.tobytes()
BREAKS = b"\r\n"
_CHUNK = 1 << 22  # letters looked at together

Fetch = Callable[[int, int], bytes]
"""So many bytes of a file from an offset on, or those up to its end."""


class Misplaced(Exception):
    """Letters are not where an index says."""


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


def parse_index(text: str) -> Layout:
    """Read an index of the kind that samtools faidx writes: five columns, a line for a record.

    Raises:
        Misplaced: it is none.
    """
    rows = [line.split("\t") for line in text.splitlines()]
    try:
        numbers = np.array([row[1:5] for row in rows], dtype=np.int64).reshape(len(rows), 4)
    except ValueError:
        raise Misplaced from None
    lengths, offsets, bases, line = numbers.T
    if (numbers < 0).any() or (bases[lengths > 0] < 1).any() or (line < bases).any():
        raise Misplaced
    return Layout(tuple(row[0] for row in rows), lengths, offsets, bases.clip(1), line - bases)


def scan(layout: Layout, fetch: Fetch, where: str) -> Indexed:
    """Look at every letter once.

    Args:
        layout: where the letters are.
        fetch: the file's bytes.
        where: the file's name, for messages.

    Raises:
        Misplaced: they are not there.
        UserError: a letter that is no DNA.
    """
    digest = hashlib.sha256()
    counts = {"bases": 0, "unknown": 0, "ambiguous": 0, "repeats": 0, "empty_records": 0}
    ends = [0, *layout.byte(slice(None), layout.lengths).tolist()]
    for record, name in enumerate(layout.names):
        end = ends[record]
        _check_header(fetch(max(int(layout.offsets[record]) - end, 0), end), name)
        length = int(layout.lengths[record])
        digest.update(f">{name} {length} ".encode())
        counts["empty_records"] += not length
        for start, letters in _chunks(layout, fetch, record):
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
    if fetch(16, ends[-1]).strip():
        raise Misplaced
    return Indexed(fetch, layout, counts, digest.hexdigest())


def _num(which: np.ndarray) -> int:
    return int(np.count_nonzero(which))


def _check_header(header: bytes, name: str) -> None:
    """Check that between two records there is one line, with the second one's name."""
    line = header.strip()
    if line[:1] != b">" or b"\n" in line or header[-1:] != b"\n":
        raise Misplaced
    if line[1:].decode("utf-8", "replace").split()[:1] != [name]:
        raise Misplaced


def _chunks(layout: Layout, fetch: Fetch, record: int) -> Iterator[tuple[int, bytes]]:
    length, bases = int(layout.lengths[record]), int(layout.bases[record])
    breaks = int(layout.breaks[record])
    step = max(1, _CHUNK // bases) * bases if bases < _CHUNK else _CHUNK
    for start in range(0, length, step):
        stop = min(start + step, length)
        first, last = (int(layout.byte(record, place)) for place in (start, stop))
        data = fetch(last - first, first)
        letters = data.translate(None, BREAKS)
        between = (data[bases - start % bases + k :: bases + breaks] for k in range(breaks))
        if len(letters) != stop - start or any(each.strip(BREAKS) for each in between):
            raise Misplaced
        if b" " in letters or b"\t" in letters:
            raise Misplaced
        yield start, letters


def _refuse(letter: int, where: str) -> None:
    shown = ascii(chr(letter))
    if letter in b"Uu":
        raise UserError(f"{where}: {shown} is of RNA: convert U to T")
    raise UserError(
        f"{where}: {shown} is no letter of DNA (A C G T, N, other IUPAC codes): remove or replace"
        " it"
    )
