"""Classes in files beside pictures, as in shards of WebDataset: 000001.jpg with 000001.cls."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskwise.images.trees import Tree
from maskwise.inspection import Problem

LABELS = ("label", "labels", "cls", "class", "target", "y")
"""what a class is called"""
_TRIED = 20  # files that are looked into before it is said that they tell no class
Label = str | int | None


@dataclass(frozen=True)
class Split:
    """Pictures of a split, their classes (or none), other files, and what is wrong.

    Args:
        paths: of pictures.
        classes: of each; or none at all.
        others: files that are none.
        problems: what stands in the way.
        beside: whether classes are those of files beside pictures, not of folders.
    """

    paths: list[Path]
    classes: list[Label]
    others: list[Path]
    problems: list[Problem]
    beside: bool = False


def labelled(tree: Tree, split: Split, label: str | None = None) -> Split:
    """Return a split with the classes that files beside its pictures say, if they say any.

    Those of a .cls go before those of folders; those of a .json are asked where there are none.
    What else belongs to the same sample, as 000001.seg.png beside 000001.jpg, is no picture.

    Args:
        tree: in which the files lie.
        split: with classes of folders, if there are any.
        label: the key of the class in a .json; None: one of `LABELS`.
    """
    classes = {path.with_suffix(""): path for path in split.others if _ends(path, ".cls")}
    found = {path: place for path in split.paths if (place := _beside(path, classes))}
    if found:
        whole = {path.with_suffix("") for path in split.paths}
        parts = {
            path
            for path in split.paths
            if path.with_suffix("") not in classes
            and _first(path) != path.with_suffix("")
            and _first(path) in whole
        }
        paths = [path for path in split.paths if path not in parts]
        values = [tree.text(found[path]).strip() if path in found else None for path in paths]
        used = set(found.values())
        others = [path for path in split.others if path not in used] + sorted(parts)
        return Split(paths, [*values], others, [], True)
    if split.classes:
        return split
    return _of_json(tree, split, label)


def _ends(path: Path, suffix: str) -> bool:
    return path.suffix.lower() == suffix


def _beside(path: Path, known: dict[Path, Path]) -> Path | None:
    """Return the file beside a picture: called so up to its last dot, or up to its first."""
    return known.get(path.with_suffix("")) or known.get(_first(path))


def _first(path: Path) -> Path:
    return path.with_name(path.name.split(".")[0] or path.name)


def _of_json(tree: Tree, split: Split, label: str | None) -> Split:
    known = {path.with_suffix(""): path for path in split.others if _ends(path, ".json")}
    found = {path: place for path in split.paths if (place := _beside(path, known))}
    values: list[Label] = []
    for number, path in enumerate(split.paths):
        values.append(_class_in(tree.text(found[path]), label) if path in found else None)
        if number == _TRIED and not any(value is not None for value in values):
            return split
    if all(value is None for value in values):
        return split
    others = [path for path in split.others if path not in set(found.values())]
    return replace(split, classes=values, others=others, beside=True)


def _class_in(text: str, label: str | None) -> Label:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entries, dict):
        return None
    found = (entries.get(key) for key in ([label] if label else LABELS))
    return next((each for each in found if type(each) in (int, str)), None)


def as_labels(values: list[Label]) -> np.ndarray:
    """Return classes as an array: numbers where all that are known are such.

    >>> as_labels(["7", "10", ""]).tolist(), as_labels(["cat", "dog"]).tolist()
    ([7, 10, None], ['cat', 'dog'])
    """
    known = [value for value in values if value not in (None, "")]
    kind = int if all(map(_is_number, known)) else str
    return np.array([None if each in (None, "") else kind(each) for each in values], object)


def _is_number(value: Label) -> bool:
    return isinstance(value, int) or (value or "").removeprefix("-").isdecimal()
