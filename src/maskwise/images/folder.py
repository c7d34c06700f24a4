"""A folder of images: which files, which split, which class."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskwise.errors import UserError
from maskwise.images.classes import class_names, require_folders
from maskwise.images.decode import Pictures, picture_source
from maskwise.images.source import Source, encode_labels

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_TEST = ("test", "val")


def read_image_folder(
    root: Path,
    size: tuple[int, int] | None,
    channels: int | None,
    only: Sequence[str] = (),
) -> tuple[Source, Source | None, Pictures]:
    """Return the train source, the test source if there is one, and the pictures behind them.

    ``train/`` with ``test/`` or ``val/`` are splits if they are the only folders at the top.
    Sub-folders of a split are classes; without any, there are no labels. `only` leaves out the
    folders of all others, see `class_names`.

    Raises:
        UserError: Pillow is missing, no images, an empty class, images beside class folders,
            an unreadable first image, a split with classes beside one without, or a class that
            has no folder in a split.
    """
    _require_pillow()
    wanted = class_names(only)
    folders = {path.name: path for path in _subfolders(root)}
    if "train" not in folders or set(folders) - {"train", *_TEST}:
        paths, names = _list_split(root, wanted)
        num_train = len(paths)
    else:
        paths, names = _list_split(folders["train"], wanted)
        num_train = len(paths)
        test = next((folders[name] for name in _TEST if name in folders), None)
        if test is not None:
            more_paths, more_names = _list_split(test, wanted)
            if bool(names) != bool(more_names):
                raise UserError(
                    f"{root}: only one of train/ and {test.name}/ has class folders; give both "
                    "classes or none"
                )
            paths, names = paths + more_paths, names + more_names
    labels, classes = encode_labels(np.array(names)) if names else (None, None)
    pictures = Pictures(partial(_open, paths), partial(_name, paths), size, channels)
    both = picture_source(pictures, len(paths), labels, classes)
    rows = np.arange(len(paths))
    train = both.take(rows[:num_train])
    return train, both.take(rows[num_train:]) if num_train < len(paths) else None, pictures


def _list_split(folder: Path, wanted: frozenset[str]) -> tuple[list[Path], list[str]]:
    """Return image files, and the class name of each (or no names); of all classes if none."""
    direct = sorted(path for path in folder.iterdir() if _is_image(path))
    subfolders = _subfolders(folder)
    if wanted:
        require_folders(wanted, subfolders, folder)
        subfolders = [path for path in subfolders if path.name in wanted]
    classes = {path: _images_below(path) for path in subfolders}
    if direct:
        if any(classes.values()):
            beside = next(path.name for path, images in classes.items() if images)
            raise UserError(
                f"{folder}: images both here ({direct[0].name}) and in sub-folders ({beside}/); "
                "use one or the other"
            )
        return direct, []
    if not any(classes.values()):
        raise UserError(f"{folder}: no images here (looked for {', '.join(SUFFIXES)})")
    for path, images in classes.items():
        if not images:
            raise UserError(f"{path}: this class folder has no images; add some or remove it")
    pairs = [(image, path.name) for path, images in classes.items() for image in images]
    return [image for image, _ in pairs], [name for _, name in pairs]


def _images_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_image(path))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _open(paths: list[Path], row: int) -> "Image.Image":
    from PIL import Image

    return Image.open(paths[row])


def _name(paths: list[Path], row: int) -> str:
    return str(paths[row])


def _require_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise UserError('image files need Pillow: pip install "maskwise[images]"') from None
