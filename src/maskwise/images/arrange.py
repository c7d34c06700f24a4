"""How pictures lie in folders: which are read, which classes they are of, what is left out."""

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.images.array_files import ENDINGS
from maskwise.images.beside import Split, as_labels, labelled
from maskwise.images.endings import PACKED, USUAL, is_picture
from maskwise.images.trees import Tree
from maskwise.inspection import Problem
from maskwise.textio import encode_labels, few, splits_among, user_path

log = logging.getLogger("maskwise")
IMAGENET100 = "imagenet100"


class NoPicturesError(UserError):
    """A folder has no pictures, nor other samples."""


@dataclass(frozen=True, eq=False)
class Arranged:
    """Pictures in order, those to train on first.

    Args:
        paths: of pictures.
        num_test: how many of the last are a test split; None: there is none.
        labels: class numbers [N], -1 = none; or None.
        classes: class names, or None.
        told: what was found beside them.
        problems: what stands in the way.
    """

    paths: list[Path]
    num_test: int | None
    labels: np.ndarray | None
    classes: tuple[str, ...] | None
    told: Entries
    problems: list[Problem]


def arrange(
    tree: Tree, root: Path, only: Sequence[str] = (), label: str | None = None
) -> Arranged:
    """Find the pictures to train and, if there are any, to test on, below a folder.

    ``train/`` with ``test/`` or ``val/``, or whatever else splits are called, are splits.
    Sub-folders of a split are classes, unless files beside pictures say those; without either,
    there are no labels. Where there is no picture, files of arrays are samples.

    Args:
        tree: in which the folder lies.
        root: the folder.
        only: leaves out the folders of all other classes, see `class_names`.
        label: what is called so in a .json beside a picture is its class; None: the usual names.

    Raises:
        UserError: folders that can be read in several ways, or no pictures.
    """
    try:
        return _arranged(tree, root, only, label, is_picture)
    except NoPicturesError:
        if not any(map(_is_array, tree.below(root))):
            raise
        return _arranged(tree, root, only, label, _is_array)


def _is_array(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS


def _arranged(
    tree: Tree,
    root: Path,
    only: Sequence[str],
    label: str | None,
    is_sample: Callable[[Path], bool],
) -> Arranged:
    top, loose = tree.inside(root)
    wanted, folders = class_names(only), {path.name: path for path in top}
    splits = [folders[name] for name in splits_among(folders, root)] or [root]
    parts = [
        labelled(tree, _list_split(tree, folder, wanted, is_sample), label) for folder in splits
    ]
    others = [path for part in parts for path in part.others]
    if splits != [root]:
        others += itertools.filterfalse(is_sample, loose)
    if len({bool(part.classes) for part in parts}) > 1:
        raise UserError(
            f"{root}: only one of {splits[0].name}/ and {splits[1].name}/ has class folders; give"
            " both classes or none"
        )
    paths = [path for part in parts for path in part.paths]
    every = [name for part in parts for name in part.classes]
    told: Entries = {"left out": relative(others, root)} if others else {}
    if others:
        log.info(
            "%s: %d files that are no pictures are left out (%s)",
            root,
            len(others),
            few([path.name for path in others]),
        )
    in_files = any(part.beside for part in parts)
    depths = {len(path.parts) for path in paths}
    if every and len(depths) > 1 and not in_files:
        told["depths"] = (
            f"differ by up to {max(depths) - min(depths)} folders; classes are the first"
        )
        log.info("%s: depths of pictures %s", root, told["depths"])
    values = as_labels(every) if in_files else np.array(every)
    labels, classes = encode_labels(values) if every else (None, None)
    return Arranged(
        paths,
        len(parts[1].paths) if len(parts) > 1 else None,
        labels,
        classes,
        told,
        [problem for part in parts for problem in part.problems],
    )


def relative(paths: Iterable[Path], root: Path) -> list[str]:
    """Return paths as they are called below a folder."""
    start = str(root / "x")[:-1]
    return [str(path).removeprefix(start) for path in paths]


def _list_split(
    tree: Tree, folder: Path, wanted: frozenset[str], is_sample: Callable[[Path], bool]
) -> Split:
    """Find the pictures of a split. Classes are those that are wanted, or all."""
    folders, here = tree.inside(folder)
    direct, others = list(filter(is_sample, here)), list(itertools.filterfalse(is_sample, here))
    subfolders = [path for path in folders if not wanted or path.name in wanted]
    missing = sorted(wanted - {path.name for path in subfolders})
    if missing and folders:
        raise UserError(
            f"{folder}: {len(missing)} of the {len(wanted)} classes of data.classes have no"
            f" folder here: {few(missing)}"
        )
    classes: dict[Path, list[Path]] = {path: [] for path in subfolders}
    for path, images in classes.items():
        for file in tree.below(path):
            (images if is_sample(file) else others).append(file)
    deep = next((path.name for path, images in classes.items() if images), None)
    if direct and deep:
        raise UserError(
            f"{folder}: images both here ({direct[0].name}) and in sub-folders ({deep}/); "
            "use one or the other"
        )
    if direct:
        return Split(direct, [], others, [])
    if not deep:
        packed = [path.name for path in others if path.suffix.lower() in PACKED]
        hint = f"; {few(packed)} may hold some: give that file, or unpack it" if packed else ""
        raise NoPicturesError(
            f"{folder}: no images here (looked for {', '.join(USUAL)} and others){hint}"
        )
    empty = [path.name for path, images in classes.items() if not images]
    problems = []
    if empty:
        told = f"{folder}: {len(empty)} class folders have no images: {few(empty, 20)}"
        problems = [Problem(f"{told}: add some or remove them")]
    names = [path.name for path, images in classes.items() for _ in images]
    images = [image for images in classes.values() for image in images]
    return Split(images, [*names], others, problems)


def class_names(classes: Sequence[str]) -> frozenset[str]:
    """Return the names that a setting stands for.

    It has names of class folders; or one word, `imagenet100` or a text file of a name in each
    line, where lines that start with # say nothing.

    >>> len(class_names(["imagenet100"])), sorted(class_names(["dog", "cat"]))
    (100, ['cat', 'dog'])
    """
    if list(classes) == [IMAGENET100]:
        text = files("maskwise.images").joinpath("imagenet100.txt").read_text("utf-8")
    elif len(classes) == 1 and user_path(classes[0]).is_file():
        text = user_path(classes[0]).read_text("utf-8", errors="replace")
    else:
        return frozenset(classes)
    lines = (line.strip() for line in text.splitlines())
    names = frozenset(line for line in lines if line and not line.startswith("#"))
    if not names:
        raise UserError(f"data.classes: {classes[0]} names no classes; give one in each line")
    return names
