"""What is to be said of samples: classes or numbers, from labels of any kind, also of a file."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from maskwise.errors import UserError, option
from maskwise.labels import is_nothing
from maskwise.rows import SUFFIXES, columns, is_missing, rows_of, said_encoding
from maskwise.textio import few, kind_of

log = logging.getLogger("maskwise")

Task = Literal["classes", "numbers"]
MOST_CLASSES = 20  # different whole numbers that are taken for classes
_NAMES, _LABELS = ("name", "id", "sample", "row"), ("label", "class", "target", "value")


class Targets(NamedTuple):
    """What is to be said of samples."""

    y: np.ndarray
    """numbers of classes, int64 [N], -1 = not known; or numbers, float64 [N], NaN = not known"""
    classes: tuple[str, ...] | None
    """what classes are called; None: they are numbers"""

    @property
    def known(self) -> np.ndarray:
        """Of which samples that is known, bool [N]."""
        return np.asarray(self.y >= 0 if self.classes is not None else ~np.isnan(self.y))


def targets(values: Any, task: Task | None = None, what: str = "labels") -> Targets:
    """Return labels as classes or as numbers.

    Texts, bools and up to 20 different whole numbers are classes, in the order of the alphabet or
    of the numbers; all else is numbers. What is None, NaN or an empty text is not known.

    Args:
        values: one for each sample, [N].
        task: "classes" or "numbers", whatever they look like.
        what: what messages call them.

    Raises:
        UserError: they have more than one axis, mix texts and numbers, or are infinite.

    >>> targets(["b", "a", None])
    Targets(y=array([ 1,  0, -1]), classes=('a', 'b'))
    >>> targets([0.5, 2, None])
    Targets(y=array([0.5, 2. , nan]), classes=None)
    """
    given = _one_axis(values, what)
    known = [value for value in given if value is not None]
    texts = [isinstance(value, (str, bool)) for value in known]
    if any(texts) and not all(texts):
        one, other = (next(v for v, t in zip(known, texts, strict=True) if t == s) for s in (1, 0))
        raise UserError(f"{what}: texts and numbers, such as {one!r} and {other!r}: give one")
    if task == "numbers" and any(texts):
        given = [None if value is None else _number(value, what) for value in given]
        texts = []
    whole = all(isinstance(value, (str, bool)) or value == int(value) for value in known)
    different = set(known) if whole else set()
    few_enough = len(different) <= MOST_CLASSES
    if task == "classes" and not whole:
        odd = next(value for value in known if value != int(value))
        raise UserError(f"{what}: {odd} is no class: give whole numbers or texts")
    if task != "numbers" and whole and (task or any(texts) or few_enough):
        order = sorted(different, key=lambda value: (isinstance(value, str), value))
        code = {value: number for number, value in enumerate(order)}
        y = np.array([-1 if value is None else code[value] for value in given], dtype=np.int64)
        return Targets(y, tuple(str(_plain(value)) for value in order))
    return Targets(np.array([np.nan if v is None else v for v in given], dtype=np.float64), None)


def _one_axis(values: Any, what: str) -> list[Any]:
    """Return labels as Python has them, None where there is none."""
    found = np.asarray(values)
    if found.ndim != 1:
        raise UserError(f"{what}: an array of shape {found.shape}: give one for each sample, [N]")
    # Of lists of texts and numbers NumPy makes texts.
    given = list(values) if isinstance(values, (list, tuple)) else found.tolist()
    made: list[Any] = []
    for row, value in enumerate(given, start=1):
        value = value.item() if isinstance(value, np.generic) else value
        if is_nothing(value) or (isinstance(value, str) and not value.strip()):
            made.append(None)
        elif isinstance(value, str):
            made.append(value.strip())
        elif isinstance(value, (bool, int, float)):
            if value in (np.inf, -np.inf):
                raise UserError(f"{what}: that of sample {row} is {value}: leave it empty")
            made.append(value)
        else:
            told = type(value).__name__
            raise UserError(f"{what}: that of sample {row} is {told}, no text, number or bool")
    return made


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def _number(value: Any, what: str) -> float:
    try:
        found = float(value)
    except ValueError:
        raise UserError(f"{what}: {value!r} is no number") from None
    return found


def with_few_left_out(found: Targets, rows: np.ndarray, what: str) -> Targets:
    """Return classes without those of which fewer than two samples are learned from, and say so.

    Args:
        found: classes, or numbers, which stay.
        rows: which samples are learned from, bool [N].
        what: what messages call them.

    Raises:
        UserError: fewer than two classes, or two different numbers, are left.
    """
    y = found.y[rows & found.known]
    if found.classes is None:
        if len(np.unique(y)) < 2:
            raise UserError(f"{what}: {len(y)} numbers to learn from, of which no two differ")
        return found
    num = np.bincount(y, minlength=len(found.classes))
    names = [name for name, each in zip(found.classes, num, strict=True) if each < 2]
    if int((num > 1).sum()) < 2:
        told = ", ".join(f"{n} of '{c}'" for c, n in zip(found.classes[:3], num, strict=False))
        raise UserError(
            f"{what}: {len(y)} samples to learn from ({told or 'none'}): give two classes of two"
            " samples or more each"
        )
    if not names:
        return found
    log.warning(
        "%s: %d classes with fewer than two samples to learn from are left out: %s",
        *(what, len(names), few(names)),
    )
    code = np.append(np.where(num > 1, np.cumsum(num > 1) - 1, -1), -1)
    kept = tuple(name for name, each in zip(found.classes, num, strict=True) if each > 1)
    return Targets(code[found.y], kept)


def read_labels(path: Path, names: Sequence[str] | None, num: int) -> np.ndarray:
    """Return the labels that a file has of samples, objects [num], None where it has none.

    It is a table (.csv, .tsv, .jsonl, .parquet) with a column `label`, `class`, `target` or
    `value`, and one that says which sample is meant, `name`, `id`, `sample` or `row`: its name,
    or its number from 1. Without the latter the rows are the samples in their order.

    Args:
        path: of the file.
        names: of the samples; None: they have numbers only.
        num: how many samples there are.

    Raises:
        UserError: it cannot be read, has other columns, names no sample, or names one twice.
    """
    if kind_of(path) not in SUFFIXES:
        raise UserError(f"{path}: labels are read from {', '.join(SUFFIXES)}")
    encoding = "auto" if kind_of(path) == ".parquet" else said_encoding(path)
    rows = [row for _, row in rows_of(path, encoding) if isinstance(row, dict)]
    known = list(rows[0]) if rows else []
    called = [name for name in known if name in _NAMES]
    [label] = columns(path, known, _LABELS)
    labels = _values([row[label] for row in rows])
    found = np.full(num, None, dtype=object)
    if called:
        wanted = [str(row[called[0]]).strip() for row in rows]
        for place, value in zip(_places(path, wanted, names, num), labels, strict=True):
            if place is not None:
                found[place] = value
    elif len(rows) == num:
        found[:] = labels
    else:
        way_out = f"or say which is which by a column {', '.join(_NAMES)}"
        raise UserError(f"{path}: {len(rows)} labels for {num} samples: give {num}, {way_out}")
    return found


def _places(
    path: Path, wanted: list[str], names: Sequence[str] | None, num: int
) -> list[int | None]:
    """Return which sample is called so, None: none is."""
    every = names if names is not None else [str(row + 1) for row in range(num)]
    places = {name: row for row, name in enumerate(every)}
    twice = [name for name, times in Counter(wanted).items() if times > 1]
    if twice:
        raise UserError(f"{path}: {few(twice)}: these names are there twice: keep one of each")
    strange = [name for name in wanted if name not in places]
    if len(strange) == len(wanted):
        raise UserError(
            f"{path}: none of {len(wanted)} names is that of a sample, such as {few(every)}: the"
            f" file has {few(wanted)}"
        )
    if strange:
        log.warning("%s: %d names are of no sample: %s", path, len(strange), few(strange))
    return [places.get(name) for name in wanted]


def _values(given: Sequence[object]) -> list[object]:
    """Return what a file says: numbers if all are, else texts."""
    known = [value for value in given if not is_missing(value)]
    try:
        numbers = [float(str(value)) for value in known]
    except ValueError:
        return [None if is_missing(value) else value for value in given]
    found = iter(numbers)
    return [None if is_missing(value) else next(found) for value in given]


def of_samples(values: Any, num: int, what: str) -> Any:
    """Return labels given from Python, if they are as many as there are samples.

    Raises:
        UserError: they are not.
    """
    given = np.asarray(values)
    if given.ndim == 1 and len(given) != num:
        raise UserError(f"{what}: {len(given)} labels for {num} samples: give one for each")
    return values


def say(found: Targets, what: str, learned: int) -> None:
    """Tell what is learned, as classes or as numbers, and how to have it otherwise."""
    if found.classes is not None:
        told, other = f"{len(found.classes)} classes ({few(found.classes)})", "numbers"
    else:
        low, high = np.nanmin(found.y), np.nanmax(found.y)
        told, other = f"numbers from {low:g} to {high:g}", "classes"
    log.info(
        "%s: %s, learned from %d samples (else %s)",
        *(what, told, learned, option("task", other)),
    )
