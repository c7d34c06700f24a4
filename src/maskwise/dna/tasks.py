"""Tasks to probe or fine-tune a model of DNA on: sequences with labels, and how they are split."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskwise.dna.bases import INVALID, UNKNOWN, encode, reverse_complement
from maskwise.dna.fasta import SUFFIXES as FASTA
from maskwise.errors import UserError
from maskwise.measure.features import random_groups
from maskwise.measure.probes import Fold, Labels, grouped_folds
from maskwise.textio import encode_labels, kind_of, read_lines, user_path
from maskwise.tokens.files import labelled_rows

_SEQUENCES = ("sequence", "seq", "dna")
_LABELS = ("label", "class", "target")
TABLES = (".csv", ".tsv", ".jsonl")


class Labelled(NamedTuple):
    """A sequence, as codes of bases, its label, and its group ("" = none)."""

    codes: np.ndarray
    label: str
    group: str


def read_sequences(paths: Sequence[Path]) -> list[Labelled]:
    """Read labelled sequences; .gz and .xz too.

    - one .csv (quoted), .tsv (not) or .jsonl with a column `sequence`, `seq` or `dna`, a column
      `label`, `class` or `target`, and, if sequences belong together, a column `group`;
    - FASTA files (.fa, .fasta, .fna, .ffn), each of one class, named like the file.

    Lower case is accepted. IUPAC codes of several bases become unknown bases.
    """
    kinds = {kind_of(path) for path in paths}
    if len(paths) == 1 and kinds <= set(TABLES):
        found = _from_table(paths[0], _LABELS)
    elif kinds <= set(FASTA):
        names = [class_of(path) for path in paths]
        if len(set(names)) < len(names):
            raise UserError(f"two FASTA files have one name ({', '.join(names)}): rename one")
        found = [row for path in paths for row in _from_fasta(path)]
    else:
        raise UserError(
            f"{' + '.join(map(str, paths))}: give one table ({', '.join(TABLES)}) or FASTA files"
            f" ({', '.join(FASTA)}) of one class each"
        )
    if not found:
        raise UserError(f"{' + '.join(map(str, paths))}: no sequences")
    return found


def read_column(path: Path, column: str) -> list[Labelled]:
    """Read sequences of a table, as `read_sequences` does, with the labels in a column."""
    if kind_of(path) not in TABLES:
        raise UserError(f"{path} has no column '{column}': give a table ({', '.join(TABLES)})")
    return _from_table(path, (column.strip(), column.strip().lower()))


def _from_table(path: Path, labels: Sequence[str]) -> list[Labelled]:
    return [
        _labelled(path, where, [(where, "".join(sequence.split()))], label, name)
        for where, sequence, label, name in labelled_rows(path, _SEQUENCES, labels)
    ]


def class_of(path: Path) -> str:
    """Return a file's name without its endings and without a "train" or "test" at the end.

    >>> class_of(Path("ctcf_train.fa.gz"))
    'ctcf'
    """
    known = "|".join(kind[1:] for kind in (*TABLES, *FASTA))
    stem = re.sub(rf"(?:\.(?:{known}))?(?:\.(?:gz|bgz|xz))?$", "", path.name, flags=re.IGNORECASE)
    return re.sub(r"[._-]*(?:train(?:ing)?|test)$", "", stem) or path.absolute().parent.name


def _from_fasta(path: Path) -> Iterator[Labelled]:
    records: list[tuple[str, list[tuple[str, str]]]] = []
    for number, line in enumerate(read_lines(path), start=1):
        text = line.strip()
        if text.startswith(">"):
            records.append((f"line {number} ({text[:40]})", []))
        elif text and not records:
            raise UserError(f"{path} is no FASTA: line {number} comes before any '>'")
        elif text:
            records[-1][1].append((f"line {number}", text))
    for name, parts in records:
        yield _labelled(path, name, parts, class_of(path), "")


def _labelled(
    path: Path, where: str, parts: Sequence[tuple[str, str]], label: str, group: str
) -> Labelled:
    """Return a sequence in parts, each with where it is; it must have a known base."""
    if not label.strip():
        raise UserError(f"{path}: {where} has no label")
    for place, letters in parts:
        if (wrong := encode(letters) == INVALID).any():
            what = f"has the letter '{letters[int(wrong.argmax())]}', which is no DNA"
            raise UserError(f"{path}: {place} {what}: give A, C, G, T or IUPAC codes")
    codes = encode("".join(letters for _, letters in parts))
    if not (codes & 7 < UNKNOWN).any():
        raise UserError(f"{path}: {where} has no known base: leave it out")
    return Labelled(codes, label.strip(), group.strip())


class DnaFiles(NamedTuple):
    """What a task is called, and where it is; without a test part it is cross-validated."""

    name: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class SequenceTask(Labels):
    """Sequences with classes; in cross-validation no group is in both parts of a fold."""

    name: str
    sequences: list[np.ndarray]  # uint8 codes of bases of each, [N]
    classes: tuple[str, ...]  # their names


def parse_dna_task(text: str) -> DnaFiles:
    """Read TRAIN:TEST, or one part that is cross-validated, with NAME= in front or not.

    >>> parse_dna_task("ctcf.fa.gz+pu1.fa.gz").name, parse_dna_task("a=x.csv:y.csv").test
    ('ctcf+pu1', (PosixPath('y.csv'),))
    """
    name, equals, files = text.rpartition("=")
    parts = [part.split("+") for part in files.split(":")]
    if len(parts) > 2 or not all(map(all, parts)) or (equals and not name):
        raise UserError(
            f"task '{text}' cannot be read: give TRAIN:TEST or one part that is cross-validated,"
            " each a table or FASTA files joined by +; NAME= may come first"
        )
    train, test = (tuple(user_path(file) for file in part) for part in (parts * 2)[:2])
    name = name or "+".join(map(class_of, train))
    return DnaFiles(name, train, test if len(parts) == 2 else ())


def check_dna_files(tasks: Iterable[str]) -> None:
    """Refuse files that are not there, before anything is trained."""
    for task in map(parse_dna_task, tasks):
        for path in (*task.train, *task.test):
            if not path.is_file():
                raise UserError(f"{path}, which evaluation needs, does not exist")


def read_dna_task(text: str, num_train: int, num_test: int, seed: int) -> SequenceTask:
    """Read labelled sequences and split them; where there are more, choose whole groups.

    Sequences that are equal, that are each other's reverse complement, or that share a group of
    the file, form a group. One part becomes 5 folds with about equal shares of the classes, each
    group in one of them, and has as many sequences as `num_train` and `num_test` both allow.
    """
    files = parse_dna_task(text)
    wanted = [(files.train, min(num_train, num_test))]
    if files.test:
        wanted = [(files.train, num_train), (files.test, num_test)]
    parts = [_some(read_sequences(paths), num, seed) for paths, num in wanted]
    rows = [row for part in parts for row in part]
    sequences = [row.codes for row in rows]
    y, classes = encode_labels(np.array([row.label for row in rows]))
    same, groups = group(sequences, [row.group for row in rows])
    train, test = np.split(np.arange(len(y)), [len(parts[0])])
    for (paths, _), index in zip(wanted, (train, test), strict=False):
        if len(np.unique(y[index])) < 2:
            told = f"{' + '.join(map(str, paths))} has the single class '{classes[y[index[0]]]}'"
            more = "give two or more (FASTA files of one class each are joined by +)"
            raise UserError(f"{told}: {more}")
    if files.test:
        folds: tuple[Fold, ...] = (Fold(train, test),)
        num = int(np.isin(same[test], same[train]).sum())
        notes = [f"{num} of {len(test)} test sequences are also in train"] if num else []
    else:
        folds = grouped_folds(files.name, y, groups, seed)
        notes = [f"{len(folds)}-fold cross-validation"]
        if num := len(y) - len(np.unique(same)):
            notes.append(f"{num} of {len(y)} sequences repeat others, and share their fold")
    if num := sum(int((codes & 7 == UNKNOWN).sum()) for codes in sequences):
        notes.append(f"{num} unknown bases")
    note = "; ".join(notes)
    return SequenceTask(
        y, folds, groups, note, name=files.name, sequences=sequences, classes=classes
    )


def group(sequences: Sequence[np.ndarray], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return which sequences are the same on either strand, and which belong together.

    Both are numberings, int64 [N]; `names` are of groups ("" = none).

    >>> from maskwise.dna.bases import encode
    >>> same, groups = group([encode(s) for s in ("AAC", "GTt", "CC", "T")], ["", "x", "x", ""])
    >>> same.tolist(), groups.tolist()
    ([0, 0, 1, 2], [0, 0, 0, 1])
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    plain = [codes & 7 for codes in sequences]
    either = [min(codes.tobytes(), reverse_complement(codes).tobytes()) for codes in plain]
    same = _numbered(either)
    # A sequence without a name is alone in a group of its own.
    named = _numbered([name or place for place, name in enumerate(names)])
    edges = (np.ones(len(same)), (same, named + len(same)))
    _, parts = connected_components(coo_matrix(edges, shape=(2 * len(same),) * 2))
    return same, _numbered(parts[same].tolist())


def _numbered(keys: Sequence[object]) -> np.ndarray:
    """Number keys by their first appearance, int64."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _some(found: list[Labelled], num: int, seed: int) -> list[Labelled]:
    """Return whole groups with `num` sequences at most, at random, but at least one group."""
    if len(found) <= num:
        return found
    _, groups = group([each.codes for each in found], [each.group for each in found])
    kept = np.isin(groups, random_groups(np.bincount(groups), num, seed))
    return [found[place] for place in np.flatnonzero(kept)]
