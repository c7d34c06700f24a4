"""Folders of pictures: which files are read, which classes they are of, what is left out."""

import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskwise.errors import UserError, require
from maskwise.files import Entries
from maskwise.images.pictures import Opener
from maskwise.inspection import Problem
from maskwise.textio import encode_labels, few, files_below, is_data, splits_among, user_path

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger("maskwise")
USUAL = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".avif"),
    *(".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".pcx"),
    *(".sgi", ".qoi"),
)
"""endings that say that a folder holds pictures"""
RARE = (
    *(".avifs", ".blp", ".bw", ".cur", ".dcx", ".dds", ".fit", ".fits", ".flc", ".fli", ".ftc"),
    *(".ftu", ".gbr", ".icb", ".icns", ".ico", ".im", ".j2c", ".jpc", ".jpf", ".jpx", ".mpo"),
    *(".msp", ".pcd", ".pfm", ".psd", ".pxr", ".ras", ".rgb", ".rgba", ".vda", ".vst", ".xbm"),
    ".xpm",
)
"""other endings that Pillow reads; elsewhere they mean other things"""
FOREIGN = (
    *(".heic", ".heif", ".jxl", ".exr", ".svg", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf"),
    *(".raf", ".rw2"),
)
"""pictures that Pillow does not read, or of which it reads a small preview"""
PICTURES = frozenset((*USUAL, *RARE, *FOREIGN))
IMAGENET100 = "imagenet100"


@dataclass(frozen=True, eq=False)
class Listed:
    """Pictures by row, before any of them is looked at: those to train on, then those to test on.

    Args:
        where: what messages call the source.
        open: gives a picture.
        names: of pictures.
        num_test: how many of the last are a test split; None: there is none.
        labels: class numbers [N], -1 = none; or None.
        classes: class names, or None.
        files: paths, where pictures are files.
        root: the folder of these.
        told: what was found so far.
        problems: what stands in the way.
    """

    where: str
    open: Opener
    names: Sequence[str]
    num_test: int | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    files: Sequence[Path] = ()
    root: Path | None = None
    told: Entries = field(default_factory=dict)
    problems: Sequence[Problem] = ()


def list_folder(root: Path, only: Sequence[str] = ()) -> Listed:
    """Find the pictures to train and, if there are any, to test on, of a folder.

    ``train/`` with ``test/`` or ``val/``, or whatever else splits are called, are splits.
    Sub-folders of a split are classes; without any, there are no labels. `only` leaves out the
    folders of all others, see `class_names`.

    Raises:
        UserError: folders that can be read in several ways, or no pictures.
    """
    require("PIL.Image", root, "images")
    wanted, folders = class_names(only), {path.name: path for path in _subfolders(root)}
    splits = [folders[name] for name in splits_among(folders, root)] or [root]
    parts = [_list_split(folder, wanted) for folder in splits]
    others = [path for part in parts for path in part.others]
    if splits != [root]:
        others += itertools.filterfalse(_is_image, _files_in(root))
    if len({bool(part.classes) for part in parts}) > 1:
        raise UserError(
            f"{root}: only one of {splits[0].name}/ and {splits[1].name}/ has class folders; give"
            " both classes or none"
        )
    paths = [path for part in parts for path in part.paths]
    every = [name for part in parts for name in part.classes]
    told: Entries = {"left out": _relative(others, root)} if others else {}
    if others:
        log.info(
            "%s: %d files that are no pictures are left out (%s)",
            root,
            len(others),
            few([path.name for path in others]),
        )
    depths = {len(path.parts) for path in paths}
    if every and len(depths) > 1:
        told["depths"] = (
            f"differ by up to {max(depths) - min(depths)} folders; classes are the first"
        )
        log.info("%s: depths of pictures %s", root, told["depths"])
    labels, classes = encode_labels(np.array(every)) if every else (None, None)
    return Listed(
        str(root),
        partial(_open_file, [str(path) for path in paths]),
        _relative(paths, root),
        len(parts[1].paths) if len(parts) > 1 else None,
        labels,
        classes,
        paths,
        root,
        told,
        [problem for part in parts for problem in part.problems],
    )


def _open_file(names: Sequence[str], row: int) -> "Image.Image":
    from PIL import Image

    return Image.open(names[row])


def _relative(paths: Iterable[Path], root: Path) -> list[str]:
    start = str(root / "x")[:-1]
    return [str(path).removeprefix(start) for path in paths]


def unreadable_ending(path: Path) -> str:
    """Return what is wrong with a file that Pillow cannot read by its ending, or ""."""
    suffix = path.suffix.lower()
    if suffix not in FOREIGN:
        return ""
    from PIL import Image

    known = suffix in Image.registered_extensions()  # by a plugin
    return "" if known else f"{suffix} is not read: convert it"


@dataclass
class _Split:
    """Pictures of a split, their class names (or none), other files, and what is wrong."""

    paths: list[Path]
    classes: list[str]
    others: list[Path]
    problems: list[Problem]


def _list_split(folder: Path, wanted: frozenset[str]) -> _Split:
    """Find the pictures of a split. Classes are those that are wanted, or all."""
    here = _files_in(folder)
    direct, others = list(filter(_is_image, here)), list(itertools.filterfalse(_is_image, here))
    subfolders = [path for path in _subfolders(folder) if not wanted or path.name in wanted]
    if missing := sorted(wanted - {path.name for path in subfolders}):
        raise UserError(
            f"{folder}: {len(missing)} of the {len(wanted)} classes of data.classes have no"
            f" folder here: {few(missing)}"
        )
    classes: dict[Path, list[Path]] = {path: [] for path in subfolders}
    for path, images in classes.items():
        lost: list[Path] = []
        for file in sorted(files_below(path, lost=lost) + lost):
            (images if _is_image(file) else others).append(file)
    beside = next((path.name for path, images in classes.items() if images), None)
    if direct and beside:
        raise UserError(
            f"{folder}: images both here ({direct[0].name}) and in sub-folders ({beside}/); "
            "use one or the other"
        )
    if direct:
        return _Split(direct, [], others, [])
    if not beside:
        raise UserError(f"{folder}: no images here (looked for {', '.join(USUAL)} and others)")
    empty = [path.name for path, images in classes.items() if not images]
    problems = []
    if empty:
        told = f"{folder}: {len(empty)} class folders have no images: {few(empty, 20)}"
        problems = [Problem(f"{told}: add some or remove them")]
    names = [path.name for path, images in classes.items() for _ in images]
    return _Split(
        [image for images in classes.values() for image in images], names, others, problems
    )


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in _inside(folder) if path.is_dir()]


def _files_in(folder: Path) -> list[Path]:
    return [path for path in _inside(folder) if not path.is_dir()]


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if is_data(path))
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror or error}") from None


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


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
