"""Regions of a genome, from BED files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwise.dna.fasta import Genome
from maskwise.errors import UserError
from maskwise.textio import read_lines

_SKIPPED = ("#", "track", "browser")


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of a genome in the order of their file.

    Args:
        records: int64 [n], which records.
        starts: int64 [n], first positions, counted from 0.
        stops: int64 [n], the positions after the last.
        names: what each is called.
    """

    records: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    names: tuple[str, ...]


def read_bed(path: str | Path, genome: Genome) -> Regions:
    """Read a BED file (.gz, .xz too): record, start, stop and, if there is one, a name.

    Columns are parted by tabs or spaces; more of them, as in narrowPeak, are not looked at.
    Regions without a name (or with ".") are called RECORD:START-STOP.

    Raises:
        UserError: a region that is not in the genome, saying in which line, or no region.
    """
    path = Path(path).expanduser()
    places: list[tuple[int, int, int]] = []
    names: list[str] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith(_SKIPPED):
            continue
        # Names may hold spaces where tabs part columns.
        columns = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
        try:
            places.append(_region(columns, genome))
        except UserError as error:
            raise UserError(f"{path}: line {number}: {error}") from None
        name = columns[3].strip() if len(columns) > 3 else "."
        names.append(f"{columns[0]}:{columns[1]}-{columns[2]}" if name in ("", ".") else name)
    if not places:
        raise UserError(f"{path}: no regions here: give lines of record, start and stop")
    records, starts, stops = np.array(places, dtype=np.int64).T
    return Regions(records, starts, stops, tuple(names))


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
        raise UserError(
            f"start {start} and stop {stop}: a start is at least 0 and less than its stop"
        )
    if stop > length:
        raise UserError(
            f"stop {stop} is beyond the end of {columns[0]}, which has {length} bases: is this the"
            " genome that the regions are of?"
        )
    return record, start, stop
