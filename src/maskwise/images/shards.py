"""Several files of pictures as one source: shards of a folder, with splits by their names."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.images.archives import list_archive
from maskwise.images.arrange import relative
from maskwise.images.bands import Bands
from maskwise.images.beside import as_labels
from maskwise.images.endings import is_archive
from maskwise.images.folders import USUALLY, Listed
from maskwise.images.opening import Reading
from maskwise.images.pictures import Opener
from maskwise.textio import HELD, TRAIN, encode_labels, files_below

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger("maskwise")
BESIDE = ("readme", "license", "licence", "dataset_infos", "checksums", "md5sums", "sha256sums")
"""names of files that lie beside shards and hold no data"""


def archives_in(folder: Path) -> list[Path]:
    """Return the archives of a folder that holds nothing else, in order; or none."""
    found = [path for path in files_below(folder) if path.stem.lower() not in BESIDE]
    return found if all(map(is_archive, found)) else []


def split_of(path: Path, root: Path) -> str | None:
    """Return what the split of a shard is called, by its own name or that of its folder.

    >>> split_of(Path("a/train-00000-of-00005.parquet"), Path("a"))
    'train'
    >>> split_of(Path("a/validation/0.tar"), Path("a"))
    'validation'
    """
    for part in reversed(path.relative_to(root).parts):
        words = re.split(r"[^a-z]+", part.lower())
        if found := [word for word in words if word in (*TRAIN, *HELD)]:
            return found[0]
    return None


def by_split(paths: Sequence[Path], root: Path) -> list[list[Path]]:
    """Return the shards to train on and, if there are any, those to test on.

    Of several splits to test on the first of `HELD` is used; the others are named.

    Raises:
        UserError: some shards are of a split and some of none, or none is to train on.
    """
    splits: dict[str | None, list[Path]] = {}
    for path in paths:
        split = split_of(path, root)
        splits.setdefault("train" if split in TRAIN else split, []).append(path)
    if len(splits) == 1:
        return [list(paths)]
    if None in splits:
        raise UserError(
            f"{root}: {relative(splits[None], root)[0]} beside shards of splits"
            f" ({', '.join(str(each) for each in splits if each)}): move it away"
        )
    if "train" not in splits:
        raise UserError(f"{root}: shards of {', '.join(map(str, splits))} and none to train on")
    held = [name for name in HELD if name in splits]
    if held[1:]:
        log.warning("%s: %s is not used: %s is what is tested on", root, held[1], held[0])
    return [splits["train"], splits[held[0]]]


def list_shards(
    folder: Path,
    paths: Sequence[Path],
    only: Sequence[str] = (),
    reading: Reading = USUALLY,
    label: str | None = None,
) -> Listed:
    """Find the pictures of several archives, see `list_archive`.

    Raises:
        UserError: as there; or only some archives have labels, or both they and their names say
            splits.
    """
    splits = by_split(paths, folder)
    parts = [[list_archive(path, only, reading, label) for path in split] for split in splits]
    every = [each for part in parts for each in part]
    halves = [each for each in every if each.num_test is not None]
    if halves and len(parts) > 1:
        raise UserError(f"{halves[0].where} has splits, and so do the names of archives beside it")
    if len({each.labels is None for each in every}) > 1:
        without = next(each.where for each in every if each.labels is None)
        raise UserError(f"{folder}: {without} has no classes and others have: give all or none")
    tests = [
        np.arange(len(each.names)) >= len(each.names) - (each.num_test or 0) for each in every
    ]
    if len(parts) > 1:
        tests = [np.full(len(each.names), each in parts[1]) for each in every]
    return _joined(folder, every, np.concatenate(tests) if halves or parts[1:] else None)


@dataclass(frozen=True, eq=False)
class Joined:
    """Opens pictures of several sources by row: of which each is, and its row there, [N, 2]."""

    sources: Sequence[Opener]
    places: np.ndarray

    def __call__(self, row: int) -> "Image.Image | Bands":
        source, own = self.places[row].tolist()
        return self.sources[source](own)


def _joined(folder: Path, parts: Sequence[Listed], test: np.ndarray | None) -> Listed:
    """Return the pictures of all parts, those to train on first; `test` says which are not."""
    num = sum(len(part.names) for part in parts)
    order = np.arange(num) if test is None else np.argsort(test, kind="stable")
    places = np.array([(number, row) for number, part in enumerate(parts) for row in _rows(part)])
    names = [
        f"{called}/{name}"
        for called, part in zip(
            relative([_root(each) for each in parts], folder), parts, strict=True
        )
        for name in part.names
    ]
    states = [state for part in parts for state in part.states]
    told: Entries = {"archives": len(parts)}
    for part in parts:
        for key, values in part.told.items():
            told.setdefault(key, []).extend(f"{part.where}: {value}" for value in values)
    labels, classes = _labels(parts)
    return Listed(
        str(folder),
        Joined([part.open for part in parts], places[order]),
        [names[row] for row in order],
        None if test is None else int(test.sum()),
        None if labels is None else labels[order],
        classes,
        root=folder,
        told=told,
        problems=[problem for part in parts for problem in part.problems],
        states=[states[row] for row in order],
        reading=parts[0].reading,
    )


def _rows(part: Listed) -> range:
    return range(len(part.names))


def _root(part: Listed) -> Path:
    assert part.root is not None  # the archive
    return part.root


def _labels(parts: Sequence[Listed]) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Return the classes of all parts under one numbering."""
    values: list[str | int | None] = []
    for part in parts:
        if part.labels is None or part.classes is None:
            return None, None
        values += np.array([*part.classes, None], object)[part.labels].tolist()
    return encode_labels(as_labels(values))
