"""Folders of pictures, and pictures of any source before one of them is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskwise.errors import require
from maskwise.files import Entries
from maskwise.images.arrange import arrange, relative
from maskwise.images.bands import Bands
from maskwise.images.opening import Reading
from maskwise.images.pictures import Opener
from maskwise.images.trees import Disk
from maskwise.inspection import Problem

if TYPE_CHECKING:
    from PIL import Image

USUALLY = Reading()


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
        root: the folder of these, or the file that holds all; None: pictures have no names of
            their own.
        told: what was found so far.
        problems: what stands in the way.
        states: where pictures are parts of a file, what tells one state of each from another, or
            what is wrong with it before it is opened.
        reading: how files are read that may hold more than a picture.
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
    states: Sequence[list[int] | str] = ()
    reading: Reading = USUALLY


def list_folder(
    root: Path, only: Sequence[str] = (), reading: Reading = USUALLY, label: str | None = None
) -> Listed:
    """Find the pictures to train and, if there are any, to test on, of a folder.

    Args:
        root: the folder, see `arrange`.
        only: the classes that are wanted, see `class_names`; none: all.
        reading: how files are read that may hold more than a picture.
        label: what is called so in a .json beside a picture is its class.

    Raises:
        UserError: folders that can be read in several ways, or no pictures.
    """
    require("PIL.Image", root, "images")
    found = arrange(Disk(), root, only, label)
    return Listed(
        str(root),
        Files([str(path) for path in found.paths], reading),
        relative(found.paths, root),
        found.num_test,
        found.labels,
        found.classes,
        found.paths,
        root,
        found.told,
        found.problems,
        reading=reading,
    )


@dataclass(frozen=True)
class Files:
    """Opens files by row."""

    paths: Sequence[str]
    reading: Reading

    def __call__(self, row: int) -> "Image.Image | Bands":
        return self.reading.open(self.paths[row])
