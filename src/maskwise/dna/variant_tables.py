"""Files of variants: their scores, written as a table a part at a time, and their effects."""

import gzip
import io
import itertools
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np

from maskwise.dna.fasta import Genome
from maskwise.dna.places import Row, open_variants
from maskwise.dna.variant_effects import baselines, variant_effects
from maskwise.dna.variant_scores import DISAGREES, check_references, judge, score_judged
from maskwise.errors import UserError
from maskwise.files import atomic
from maskwise.tokens.model import LanguageModel

log = logging.getLogger("maskwise")
T = TypeVar("T")

COLUMNS = ("chrom", "pos", "id", "ref", "alt", "score", "score_forward", "score_reverse", "status")
SUFFIXES = (".tsv", ".tsv.gz")
MISSING = "NA"
_PART = 1 << 14  # variants held at once


class Scored(NamedTuple):
    """What became of a file of variants."""

    counts: dict[str, int]
    """variants by status, the most frequent first"""
    scores: np.ndarray
    """those that there are, in nats, float64 [n]"""


def score_file(model: LanguageModel, genome: Genome, path: Path, out: Path) -> Scored:
    """Score the variants of a VCF or a table, and write them with their scores.

    The file is read twice: all of it is checked before anything is scored. Memory holds some
    thousand variants, and of the others their scores.

    Args:
        model: of DNA; its device is used, and its training mode is restored.
        genome: the reference.
        path: see `open_variants`.
        out: a table with `COLUMNS` and those that are carried along, .tsv or .tsv.gz; NA where
            there is no score. See `score_variants`.

    Raises:
        UserError: see `open_variants`, `VariantFile.rows` and `check_references`; or a column
            with the name of one that is written.
    """
    if not out.name.endswith(SUFFIXES):
        raise UserError(f"{out}: scores are written as {' or '.join(SUFFIXES)}")
    file = open_variants(path)
    for name in set(COLUMNS) & set(file.carried):
        raise UserError(f"{path} has a column {name} already: rename it")
    dna = model.tokenizer
    parts = _parts(row.variant for row in file.rows(genome))
    check_references(
        pair for part in parts for pair in zip(part, judge(dna, genome, part), strict=True)
    )
    counts: Counter[str] = Counter()
    scores: list[np.ndarray] = []
    with atomic(out) as temporary, _table(temporary, out.suffix == ".gz") as table:
        _write(table, [(*COLUMNS, *file.carried)])
        for rows in _parts(file.rows(genome)):
            part = [row.variant for row in rows]
            found = score_judged(model, genome, part, judge(dna, genome, part))
            values = np.stack([found.score, found.forward, found.reverse], axis=1)
            _write(table, map(_cells, rows, values, found.status))
            scores.append(found.score[~np.isnan(found.score)])
            counts.update(
                "reference disagrees" if status.startswith(DISAGREES) else status
                for status in found.status
            )
    return Scored(dict(counts.most_common()), np.concatenate(scores))


def _parts(items: Iterator[T]) -> Iterator[list[T]]:
    while part := list(itertools.islice(items, _PART)):
        yield part


@contextmanager
def _table(path: Path, compressed: bool) -> Iterator[IO[str]]:
    with path.open("wb") as raw:
        # Neither a time nor a name in the file: equal scores make equal files.
        opened: Any = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if compressed else raw
        with io.TextIOWrapper(opened, "utf-8", newline="\n") as text:
            yield text


def _write(table: IO[str], rows: Iterable[Iterable[str]]) -> None:
    table.writelines("\t".join(row) + "\n" for row in rows)


def _cells(row: Row, values: np.ndarray, status: str) -> list[str]:
    chrom, pos, ref, alt = row.variant
    written = [MISSING if math.isnan(value) else f"{value:.6g}" for value in values]
    return [chrom, str(pos), row.id, ref, alt, *written, status, *row.carried]


def check_columns(path: Path, *names: str | None) -> None:
    """Check that a file of variants carries columns along; None asks for nothing.

    Raises:
        UserError: it lacks one.
    """
    carried = open_variants(path).carried
    for name in names:
        if name is not None and name not in carried:
            known = ", ".join(carried) or "none"
            raise UserError(f"{path} has no column {name}; beside the variants it has {known}")


def effects_of_file(
    path: Path, genome: Genome, window: int, effect: str, group: str | None = None
) -> list[dict[str, Any]]:
    """Compare the scores of a file with measured effects; see `variant_effects`.

    Args:
        path: what `score_file` wrote.
        genome: the reference.
        window: bases around a variant whose GC content is a baseline.
        effect: the column of measured effects; what is no number in it is left out, and counted.
        group: the column of groups, such as elements.

    Raises:
        UserError: a column that is not there, or too few measured effects.
    """
    check_columns(path, effect, group)
    file = open_variants(path)
    columns = {name: place for place, name in enumerate(file.carried)}
    found: dict[str, list[np.ndarray]] = {}
    effects, places, groups, num_left_out = [], [], [], 0
    for rows in _parts(file.rows(genome)):
        kept = [row for row in rows if row.carried[columns["score"]] != MISSING]
        measured = [_number(row.carried[columns[effect]]) for row in kept]
        num_left_out += sum(map(math.isnan, measured))
        variants = [row.variant for row in kept]
        scores = np.array([float(row.carried[columns["score"]]) for row in kept])
        for name, values in {"score": scores, **baselines(genome, variants, window)}.items():
            found.setdefault(name, []).append(values)
        effects += measured
        places += [genome.record(each.chrom) << 40 | each.pos for each in variants]
        groups += [row.carried[columns[group]] for row in kept] if group else []
    if num_left_out:
        log.warning("%s scored variants have no number as %s", f"{num_left_out:,}", effect)
    predictors = {name: np.concatenate(values) for name, values in found.items()}
    return variant_effects(
        predictors, np.array(effects), np.array(places), groups if group else None
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
