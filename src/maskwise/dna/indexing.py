"""Where the letters of FASTA and FASTQ files are: plain files as they lie, or a copy of others."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from maskwise.dna.formats import refuse_others
from maskwise.errors import UserError
from maskwise.textio import OPENERS, READ_ERRORS

BREAKS = b"\r\n"
_PART = 1 << 20  # bytes of a line read at once
_MARK = b"\xef\xbb\xbf"  # that some editors put in front

# A line of an index, as samtools faidx writes it: name; length, offset, bases and bytes of a line.
Row = tuple[str, list[int]]


def places(path: Path) -> list[Row] | None:
    """Return where the letters of a plain file are; None if its lines are of unequal length."""
    rows: list[Row] = []
    at, size, end, last, numbers = 0, 0, b"", True, list[int]()
    for _, line in _lines(path):
        at += len(line)
        if not last and line[:size].isalpha() and line[size:] == end:  # as most are
            numbers[0] += size
        elif line.startswith(b">"):
            if b"\r" in line[:-2]:
                return None
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


def unpack(path: Path, target: Path) -> list[Row]:
    """Write the letters of a FASTA file, decompressed, without names or breaks."""
    rows: list[Row] = []
    lines = _of_fastq(path) if _is_fastq(path) else _lines(path, most=_PART)
    with target.open("wb") as out:
        for number, each in lines:
            line = each.removeprefix(_MARK) if number == 1 else each
            if line.startswith(b">"):
                if b"\r" in line.rstrip(BREAKS):
                    raise UserError(
                        f"{path} has the line ends of old Macs, carriage returns alone: convert"
                        " them, as tr '\\r' '\\n' does"
                    )
                if not (name := _name(line)):
                    raise UserError(f"{path}: line {number}: a record without a name: give it one")
                rows.append((name, [0, out.tell()]))
                continue
            letters = line.translate(None, b" \t\r\n")
            if rows:
                out.write(letters)
                rows[-1][1][0] += len(letters)
            elif letters and not letters.startswith(b";"):
                refuse_others(path, "FASTA file", ("FASTA", "FASTQ"))
                raise UserError(
                    f"{path}: no FASTA file: line {number} comes before any record's name,"
                    " a line that begins with >"
                )
    if not rows:
        raise UserError(f"{path}: no FASTA file: it has no line that begins with >")
    return [(name, [length, offset, length, length]) for name, (length, offset) in rows]


def _name(line: bytes) -> str:
    try:
        text = line[1:].decode("utf-8")
    except UnicodeDecodeError:
        text = line[1:].decode("latin-1")
    return "".join(text.split()[:1])


def _is_fastq(path: Path) -> bool:
    first = next((line for _, line in _lines(path, most=_PART) if line.strip()), b"")
    return first.removeprefix(_MARK).startswith(b"@")


def _of_fastq(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give the lines of a FASTQ file as those of FASTA: names and letters, without qualities."""
    rows = ((number, line) for number, line in _lines(path) if line.strip())
    for number, line in rows:
        name = line.removeprefix(_MARK) if number == 1 else line
        more = [each for _, each in itertools.islice(rows, 3)]
        whole = len(more) == 3 and more[1].startswith(b"+")
        if not (whole and name.startswith(b"@") and len(more[0].strip()) == len(more[2].strip())):
            refuse_others(path, "FASTA or FASTQ file", ("FASTA", "FASTQ"))
            raise UserError(
                f"{path}: no FASTQ file: the record at line {number} has no four lines of a name"
                " behind @, letters, a + and as many qualities: it is cut off, or broken in lines"
            )
        yield number, b">" + name[1:]
        yield number + 1, more[0]


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
