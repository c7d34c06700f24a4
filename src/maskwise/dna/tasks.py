"""Tasks to probe or fine-tune a model of DNA on: sequences with labels, and how they are split."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskwise.dna.bases import UNKNOWN, reverse_complement
from maskwise.dna.labels import LabelledSequences, class_of, read_sequences
from maskwise.errors import UserError
from maskwise.measure.features import encode_labels, random_groups
from maskwise.measure.probes import Fold, grouped_folds


class DnaFiles(NamedTuple):
    """What a task is called, and where it is; without a test part it is cross-validated."""

    name: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class SequenceTask:
    """Sequences, as codes of bases, with classes, int64 from 0.

    Args:
        name: what it is called.
        sequences: uint8 codes of each, [N].
        y: classes, [N].
        classes: their names.
        groups: int64 [N], equal for sequences that belong together.
        folds: one of a given split, or those of cross-validation; no group is in both parts of
            a fold of cross-validation.
        note: what to know about the split.
    """

    name: str
    sequences: list[np.ndarray]
    y: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray
    folds: tuple[Fold, ...]
    note: str


def parse_dna_task(text: str) -> DnaFiles:
    """Read TRAIN:TEST, or one part that is cross-validated, with NAME= in front or not.

    A part is a table, or FASTA files of one class each joined by +.

    Raises:
        UserError: it is none of these.

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
    train, test = (tuple(Path(file).expanduser() for file in part) for part in (parts * 2)[:2])
    name = name or "+".join(map(class_of, train))
    return DnaFiles(name, train, test if len(parts) == 2 else ())


def check_dna_files(tasks: Iterable[str]) -> None:
    """Refuse files that are not there, before anything is trained.

    Raises:
        UserError: a task that cannot be read, or a file that does not exist.
    """
    for task in map(parse_dna_task, tasks):
        for path in (*task.train, *task.test):
            if not path.is_file():
                raise UserError(f"{path}, which evaluation needs, does not exist")


def read_dna_task(text: str, num_train: int, num_test: int, seed: int) -> SequenceTask:
    """Read labelled sequences and split them; where there are more, choose whole groups.

    Sequences that are equal, that are each other's reverse complement, or that share a group of
    the file, form a group. One part becomes 5 folds with about equal shares of the classes, each
    group in one of them, and has as many sequences as `num_train` and `num_test` both allow.

    Args:
        text: see `parse_dna_task`; the files, see `read_sequences`.
        num_train: sequences to train on at most, but one group at least.
        num_test: sequences to test on at most, but one group at least.
        seed: of the choice and the folds.

    Raises:
        UserError: a file that cannot be used, a single class, or too few groups for folds.
    """
    files = parse_dna_task(text)
    if files.test:
        parts = [
            _some(read_sequences(paths), num, seed)
            for paths, num in ((files.train, num_train), (files.test, num_test))
        ]
    else:
        parts = [_some(read_sequences(files.train), min(num_train, num_test), seed)]
    sequences = [codes for part in parts for codes in part.sequences]
    y, classes = encode_labels(np.array([label for part in parts for label in part.labels]))
    same, groups = group(sequences, [name for part in parts for name in part.groups])
    if files.test:
        train, test = np.split(np.arange(len(y)), [len(parts[0])])
        for paths, index in ((files.train, train), (files.test, test)):
            _check_classes(paths, classes, y[index])
        folds: tuple[Fold, ...] = (Fold(train, test),)
        num = int(np.isin(same[test], same[train]).sum())
        notes = [f"{num} of {len(test)} test sequences are also in train" if num else ""]
    else:
        _check_classes(files.train, classes, y)
        folds = grouped_folds(files.name, y, groups, seed)
        num = len(y) - len(np.unique(same))
        notes = [
            f"{len(folds)}-fold cross-validation",
            f"{num} of {len(y)} sequences repeat others, and share their fold" if num else "",
        ]
    num = sum(int((codes & 7 == UNKNOWN).sum()) for codes in sequences)
    notes.append(f"{num} unknown bases" if num else "")
    note = "; ".join(filter(None, notes))
    return SequenceTask(files.name, sequences, y, classes, groups, folds, note)


def group(sequences: Sequence[np.ndarray], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return which sequences are the same on either strand, and which belong together.

    Args:
        sequences: codes of each, [N].
        names: groups of the file, "" = none, [N].

    Returns:
        Two numberings, int64 [N]: equal for sequences that are equal or each other's reverse
        complement; and equal for those that these, or names, connect.

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


def _some(found: LabelledSequences, num: int, seed: int) -> LabelledSequences:
    """Return whole groups with `num` sequences at most, at random, but at least one group."""
    if len(found) <= num:
        return found
    _, groups = group(found.sequences, found.groups)
    index = np.isin(groups, random_groups(np.bincount(groups), num, seed)).nonzero()[0]
    return LabelledSequences(
        [found.sequences[place] for place in index],
        [found.labels[place] for place in index],
        [found.groups[place] for place in index],
    )


def _check_classes(paths: Sequence[Path], classes: Sequence[str], y: np.ndarray) -> None:
    if len(np.unique(y)) < 2:
        raise UserError(
            f"{' + '.join(map(str, paths))} has the single class '{classes[y[0]]}': give two or"
            " more (FASTA files of one class each are joined by +)"
        )
