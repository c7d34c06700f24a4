"""Genomes: the letters of FASTA files, any of them at any time, in memory that stays flat."""

import difflib
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from maskwise.dna.bases import NOTHING
from maskwise.dna.fasta_files import (
    BREAKS,
    TABLE,
    Fetch,
    Indexed,
    Layout,
    fasta_files,
    look_through,
    open_indexed,
)
from maskwise.errors import UserError

log = logging.getLogger("maskwise")

_BROKEN = re.compile(r"\s").search


@dataclass(frozen=True, eq=False)
class Genome:
    """Sequences by record and position.

    Args:
        name: what to call it.
        layout: where the letters of its R records are.
        files: what each record is read from.
        counts: how many letters are bases (A C G T), unknown (N), ambiguous (other IUPAC codes)
            and repeats (bases in lower case), and how many records were left out as empty.
        fingerprint: SHA-256 of names, lengths and letters.
    """

    name: str
    layout: Layout
    files: tuple[Fetch, ...]
    counts: dict[str, int]
    fingerprint: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the records."""
        return self.layout.names

    @property
    def lengths(self) -> np.ndarray:
        """Bases of each record, int64 [R]."""
        return self.layout.lengths

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def record(self, name: str) -> int:
        """Return the number of a record.

        Raises:
            UserError: there is none of that name.
        """
        if name in self._places:
            return self._places[name]
        other = name.removeprefix("chr") if name.startswith("chr") else f"chr{name}"
        near = [other] if other in self._places else difflib.get_close_matches(name, self.names, 1)
        hint = near[0] if near else f"{', '.join(self.names[:3])}, ..."
        raise UserError(
            f"{self.name} has no record named {name}"
            + (f": did you mean {hint}?" if near else f": its records are {hint}")
        )

    def read(
        self,
        records: np.ndarray,
        starts: np.ndarray,
        width: int,
        stops: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the codes of windows, uint8 [n, width]; NOTHING outside of records.

        Args:
            records: int64 [n], which records.
            starts: int64 [n], the first position of each window, counted from 0.
            width: bases in a window.
            stops: int64 [n], where reading ends; default: with the record.
        """
        stops = self.lengths[records] if stops is None else stops
        first = np.minimum(np.maximum(starts, 0), stops)
        last = np.maximum(np.minimum(starts + width, stops), first)
        offset = self.layout.byte(records, first)
        size = self.layout.byte(records, last) - offset
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


def open_genome(source: str | Path) -> Genome:
    """Open a FASTA file (.fa .fasta .fna .ffn, also .gz .bgz .xz) or a folder of such files.

    The first time the letters are looked through, and an index is kept in the cache (see
    `maskwise.files.cached`), with a copy of files that are compressed or have lines of unequal
    length. Nothing is written beside the files. Empty records are left out, and counted.

    Raises:
        UserError: a file that cannot be read, is no FASTA, or holds what is no DNA.
    """
    paths = fasta_files(source)
    opened = [open_indexed(path) for path in paths]
    owner: dict[str, Path] = {}
    for path, one in zip(paths, opened, strict=True):
        for name in one.layout.names:
            if owner.setdefault(name, path) != path:
                raise UserError(
                    f"{path}: record {name} is in {owner[name]} too: rename or remove one"
                )
    return _genome(str(source), opened)


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
    bases, breaks = lengths.clip(1), np.zeros_like(lengths)
    layout = Layout(tuple(names), lengths, lengths.cumsum() - lengths, bases, breaks)
    return _genome(
        "sequences",
        [look_through(layout, lambda size, offset: data[offset : offset + size], "sequences")],
    )


def _genome(source: str, opened: Sequence[Indexed]) -> Genome:
    layouts = [one.layout for one in opened]
    lengths, offsets, bases, breaks = (
        np.concatenate([getattr(layout, column) for layout in layouts])
        for column in ("lengths", "offsets", "bases", "breaks")
    )
    keep = np.flatnonzero(lengths)
    if not len(keep):
        raise UserError(f"{source}: no letters of DNA: all {len(lengths)} records are empty")
    names = [name for layout in layouts for name in layout.names]
    files = [one.fetch for one in opened for _ in one.layout.names]
    some = [column[keep] for column in (lengths, offsets, bases, breaks)]
    genome = Genome(
        source,
        Layout(tuple(names[k] for k in keep), *some),
        tuple(files[k] for k in keep),
        {key: sum(one.counts[key] for one in opened) for key in opened[0].counts},
        hashlib.sha256("".join(one.digest for one in opened).encode()).hexdigest(),
    )
    counts = ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in genome.counts.items())
    log.info("%s: %d records, %s", source, len(genome.names), counts)
    return genome
