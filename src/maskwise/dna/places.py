"""Where things are in a genome: regions from BED files, and variants from a VCF or a table."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskwise.dna.fasta import Genome
from maskwise.errors import UserError
from maskwise.textio import kind_of, read_lines, user_path

KINDS = (".vcf", ".tsv", ".csv")
NEEDED = ("chrom", "pos", "ref", "alt")
# Genotypes follow, of thousands of people at times.
VCF_COLUMNS = 8
_SKIPPED = ("#", "track", "browser")


@dataclass(frozen=True, eq=False)
class Parts:
    """Intervals of a genome: records, and positions from 0, int64 [n] each."""

    records: np.ndarray
    starts: np.ndarray
    stops: np.ndarray  # the positions after the last

    def __getitem__(self, some: np.ndarray) -> "Parts":
        return Parts(self.records[some], self.starts[some], self.stops[some])


def read_bed(path: str | Path, genome: Genome) -> Parts:
    """Read record, start and stop of the regions of a BED file (.gz, .xz too), in its order."""
    path = user_path(path)
    places: list[tuple[int, int, int]] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith(_SKIPPED):
            continue
        # Names of records may hold spaces where tabs part columns.
        columns = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
        try:
            places.append(_region(columns, genome))
        except UserError as error:
            raise UserError(f"{path}: line {number}: {error}") from None
    if not places:
        raise UserError(f"{path}: no regions here: give lines of record, start and stop")
    return Parts(*np.array(places, dtype=np.int64).T)


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


@dataclass(frozen=True)
class VariantFile:
    """A file of variants whose columns are known."""

    path: Path
    columns: tuple[str, ...]  # their names, as they are written

    @property
    def carried(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns if _plain(name) not in (*NEEDED, "id"))

    def rows(self, genome: Genome) -> Iterator[Row]:
        """Give the variants in the order of the file."""
        names = [_plain(name) for name in self.columns]
        chrom, pos, ref, alt = (names.index(name) for name in NEEDED)
        id_place = names.index("id") if "id" in names else None
        others = [place for place, name in enumerate(names) if name not in (*NEEDED, "id")]
        lines = _cells(self.path)
        next(lines)
        line = 0
        for line, cells in lines:
            where = f"{self.path}: line {line}"
            if len(cells) != len(names):
                raise UserError(f"{where} has {len(cells)} columns, not {len(names)}")
            if not cells[pos].isdecimal():
                raise UserError(f"{where}: pos '{cells[pos]}' is no whole number")
            name = "." if id_place is None else cells[id_place]
            carried = [cells[other] for other in others]
            for each in cells[alt].split(","):
                variant = Variant(cells[chrom], int(cells[pos]), cells[ref], each)
                try:
                    locate(variant, genome)
                except UserError as error:
                    raise UserError(f"{where}: {error}") from None
                yield Row(variant, name, carried)
        if not line:
            raise UserError(f"{self.path} holds no variants, only names of columns")


def open_variants(path: Path) -> VariantFile:
    """Read the names of the columns of a VCF or a table (.tsv, .csv); .gz and .xz too.

    There must be `chrom`, `pos` (from 1), `ref` and `alt` in any case, with or without a # in
    front; `id` may be. The other columns are carried along, but of a VCF the genotypes are not.
    """
    if kind_of(path) not in KINDS:
        raise UserError(f"{path}: variants are read from {', '.join(KINDS)}, also with .gz")
    line, cells = next(_cells(path), (0, []))
    if not line:
        raise UserError(f"{path} is empty: give variants with chrom, pos, ref and alt")
    names = [_plain(name) for name in cells]
    if any(names.count(name) != 1 for name in NEEDED) or names.count("id") > 1:
        raise UserError(
            f"{path}: line {line} names the columns {', '.join(cells):.80}: give chrom, pos, ref"
            " and alt, each once"
        )
    return VariantFile(path, tuple(cells))


def locate(variant: Variant, genome: Genome) -> int:
    """Return which record of a genome a variant is in."""
    record = genome.record(variant.chrom)
    length = int(genome.lengths[record])
    if not 1 <= variant.pos <= length + 1 - len(variant.ref):
        raise UserError(
            f"{variant.chrom}:{variant.pos} {variant.ref:.20} is not inside its record, which has"
            f" the bases 1 to {length:,}: give the assembly of the variants"
        )
    return record


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give line numbers and cells; empty lines and comments (##) are left out."""
    kind = kind_of(path)
    if kind == ".csv":
        found = _comma_separated(path)
    else:
        most = VCF_COLUMNS if kind == ".vcf" else None
        lines = enumerate(read_lines(path), start=1)
        found = ((number, line.rstrip("\r\n").split("\t")[:most]) for number, line in lines)
    for number, cells in found:
        if any(cells) and not cells[0].startswith("##"):
            yield number, cells


def _comma_separated(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(read_lines(path))
    try:
        for cells in reader:
            # What is written between tabs must hold neither tabs nor lines.
            yield reader.line_num, [" ".join(cell.split()) for cell in cells]
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num} is no table: {error}") from None


def _plain(name: str) -> str:
    return name.strip().lstrip("#").lower()
