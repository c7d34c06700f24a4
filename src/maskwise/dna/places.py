"""Where things are in a genome: regions from BED files, and variants from a VCF or a table."""

import csv
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskwise.dna.fasta import Genome
from maskwise.dna.formats import check_whole, refuse_others, what_is
from maskwise.errors import UserError
from maskwise.textio import few, find_encoding, kind_of, read_lines, user_path

log = logging.getLogger("maskwise")

KINDS = (".vcf", ".tsv", ".csv")
NEEDED = ("chrom", "pos", "ref", "alt")
# Genotypes follow, of thousands of people at times.
VCF_COLUMNS = 8
NO_POSITION = "no position"
COLUMNS_DIFFER = "another number of columns"
_SKIPPED = ("#", "track", "browser")
_WHOLE = re.compile(r"(\d{1,18})(?:\.0+)?", re.ASCII)


@dataclass(frozen=True, eq=False)
class Parts:
    """Intervals of a genome: records, and positions from 0, int64 [n] each."""

    records: np.ndarray
    starts: np.ndarray
    stops: np.ndarray  # the positions after the last

    def __getitem__(self, some: np.ndarray) -> "Parts":
        return Parts(self.records[some], self.starts[some], self.stops[some])


class Regions(NamedTuple):
    """The N regions of a file, in its order."""

    parts: Parts
    """where those are that could be placed"""
    names: list[str]
    """of all, CONTIG:START-STOP as they are written"""
    lines: list[int]
    """of all, counted from 1"""
    broken: dict[int, str]
    """numbers, from 0, of those that could not be placed, and why"""

    @property
    def told(self) -> dict[str, str]:
        """What is wrong, by line."""
        return {f"line {self.lines[row]}": why for row, why in self.broken.items()}

    def require_some(self, where: object) -> None:
        """Refuse regions of which none could be placed.

        Raises:
            UserError: such regions, with why.
        """
        if not len(self.parts.records):
            told = few([f"{line} ({why})" for line, why in self.told.items()])
            raise UserError(f"{where}: none of {len(self.names)} regions can be read: {told}")


def read_bed(path: str | Path, genome: Genome) -> Regions:
    """Read the regions of a BED file (.gz, .xz too), which counts from 0 and leaves out its stop.

    Comments, lines of a browser and names of columns are left out. Contigs are matched by other
    names, too (see `Genome.find`).

    Raises:
        UserError: it cannot be read, or has no regions.
    """
    path = user_path(path)
    check_whole(path)
    places: list[tuple[int, int, int]] = []
    names, lines, broken = list[str](), list[int](), dict[int, str]()
    for number, line in enumerate(read_lines(path, find_encoding(path)), start=1):
        if not line.strip() or line.startswith(_SKIPPED):
            continue
        # Names of records may hold spaces where tabs part columns.
        columns = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
        if not names and _names_columns(columns):
            log.info("%s: line %d has names of columns and is left out", path, number)
            continue
        if not names and len(columns) != 3:
            refuse_others(path, "BED file", ("BED",))
        try:
            places.append(_region(columns, genome))
        except UserError as error:
            broken[len(names)] = str(error)
        whole = len(columns) >= 3
        names.append("{}:{}-{}".format(*columns) if whole else " ".join(columns))
        lines.append(number)
    if not names:
        refuse_others(path, "BED file", ("BED",))
        raise UserError(f"{path}: no regions here: give lines of record, start and stop")
    genome.tell_renamed(path)
    parts = Parts(*np.array(places, dtype=np.int64).reshape(-1, 3).T)
    return Regions(parts, names, lines, broken)


def _names_columns(columns: list[str]) -> bool:
    """Say whether a line names columns, and no place."""
    return len(columns) > 2 and columns[1].isidentifier() and columns[2].isidentifier()


def _region(columns: list[str], genome: Genome) -> tuple[int, int, int]:
    if len(columns) < 3:
        raise UserError(f"{len(columns)} columns, not record, start and stop")
    try:
        start, stop = int(columns[1]), int(columns[2])
    except ValueError:
        raise UserError(f"{columns[1]!r} and {columns[2]!r} are no positions") from None
    record = genome.record(columns[0])
    length = int(genome.lengths[record])
    if not 0 <= start < stop:
        what = "a start is at least 0 and less than its stop"
        raise UserError(f"start {start} and stop {stop}: {what}")
    if stop > length:
        raise UserError(
            f"stop {stop} is beyond the end of {columns[0]}, which has {length} bases: is this the"
            " genome that the regions are of?"
        )
    return record, start, stop


class Variant(NamedTuple):
    """What a sequence holds in some place, and what else it may hold there."""

    chrom: str  # name of the record
    pos: int  # the first base of `ref` in its record, from 1
    ref: str
    alt: str


class Row(NamedTuple):
    """A variant in its file; several alternatives of one line are several rows."""

    variant: Variant
    id: str
    carried: list[str]  # cells of the other columns
    problem: str = ""  # why the line cannot be read
    written: str = ""  # its position, where that is no number


@dataclass(frozen=True)
class VariantFile:
    """A file of variants whose columns are known."""

    path: Path
    columns: tuple[str, ...]  # their names, as they are written
    delimiter: str = "\t"
    encoding: str = "utf-8"

    @property
    def carried(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns if _plain(name) not in (*NEEDED, "id"))

    def rows(self) -> Iterator[Row]:
        """Give the variants in the order of the file, also those whose line cannot be read."""
        names = [_plain(name) for name in self.columns]
        chrom, pos, ref, alt = (names.index(name) for name in NEEDED)
        id_place = names.index("id") if "id" in names else None
        others = [place for place, name in enumerate(names) if name not in (*NEEDED, "id")]
        lines = _cells(self.path, self.delimiter, self.encoding)
        next(lines)
        num = 0
        for num, (_, cells) in enumerate(lines, start=1):  # noqa: B007
            problem = COLUMNS_DIFFER if len(cells) != len(names) else ""
            cells += [""] * (len(names) - len(cells))
            place = _WHOLE.fullmatch(cells[pos].strip())
            if not place:
                problem = problem or NO_POSITION
            name = "." if id_place is None else cells[id_place]
            carried = [cells[other] for other in others]
            number = int(place[1]) if place else 0
            written = "" if place else cells[pos]
            for each in cells[alt].split(","):
                variant = Variant(cells[chrom].strip(), number, cells[ref].strip(), each.strip())
                yield Row(variant, name, carried, problem, written)
        if not num:
            raise UserError(f"{self.path} holds no variants, only names of columns")


def open_variants(path: Path) -> VariantFile:
    """Read the names of the columns of a VCF or a table (.tsv, .csv); .gz and .xz too.

    There must be `chrom`, `pos` (from 1), `ref` and `alt` in any case, with or without a # in
    front; `id` may be. The other columns are carried along, but of a VCF the genotypes are not.
    Columns are parted by tabs, or what else gives these names: commas, semicolons or spaces.
    """
    if kind_of(path) not in KINDS:
        what = what_is(path)
        told = f"; this is {what}" if what else ""
        raise UserError(f"{path}: variants are read from {', '.join(KINDS)}, also with .gz{told}")
    check_whole(path)
    encoding = find_encoding(path)
    usual = "," if kind_of(path) == ".csv" else "\t"
    first: tuple[int, list[str]] = (0, [])
    for delimiter in (usual, *(sign for sign in "\t,; " if sign != usual)):
        line, cells = next(_cells(path, delimiter, encoding), (0, []))
        if not line:
            raise UserError(f"{path} is empty: give variants with chrom, pos, ref and alt")
        first = first if first[0] else (line, cells)
        names = [_plain(name) for name in cells]
        if all(names.count(name) == 1 for name in NEEDED) and names.count("id") < 2:
            if delimiter != usual:
                shown = "spaces" if delimiter == " " else repr(delimiter)
                log.info("%s: columns are parted by %s", path, shown)
            return VariantFile(path, tuple(cells), delimiter, encoding)
    refuse_others(path, "file of variants", ("VCF",))
    line, cells = first
    more = "; in a VCF they stand behind #CHROM" if kind_of(path) == ".vcf" else ""
    raise UserError(
        f"{path}: line {line} names the columns {', '.join(cells):.80}: give chrom, pos, ref"
        f" and alt, each once{more}"
    )


def _cells(path: Path, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Give line numbers and cells; empty lines and comments (##) are left out."""
    kind = kind_of(path)
    if kind == ".csv" and delimiter != " ":
        found = _quoted(path, delimiter, encoding)
    else:
        most = VCF_COLUMNS if kind == ".vcf" else None
        sign = None if delimiter == " " else delimiter
        lines = enumerate(read_lines(path, encoding), start=1)
        found = ((number, line.rstrip("\r\n").split(sign)[:most]) for number, line in lines)
        if sign != "\t":  # what is written between tabs must hold none
            found = ((number, [" ".join(cell.split()) for cell in row]) for number, row in found)
    for number, cells in found:
        if any(cells) and not cells[0].startswith("##"):
            yield number, cells


def _quoted(path: Path, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(read_lines(path, encoding), delimiter=delimiter)
    try:
        for cells in reader:
            # What is written between tabs must hold neither tabs nor lines.
            yield reader.line_num, [" ".join(cell.split()) for cell in cells]
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num} is no table: {error}") from None


def _plain(name: str) -> str:
    return name.strip().lstrip("#").lower()
