"""Image files in folders and rows of Hugging Face data sets: which split, which class."""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwise.errors import UserError
from maskwise.images.decode import Pictures, picture_sources
from maskwise.images.source import ImageSource
from maskwise.measure.features import encode_labels

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
IMAGENET100 = "imagenet100"
_TEST, _HUB_TEST = ("test", "val"), ("test", "validation", "valid", "val")


def read_image_folder(
    root: Path,
    size: tuple[int, int] | None,
    channels: int | None,
    only: Sequence[str] = (),
) -> tuple[ImageSource, ImageSource | None, Pictures]:
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
    # No lambdas: what processes that read ahead are sent must pickle.
    pictures = Pictures(partial(_open, paths), partial(_name, paths), size, channels)
    return picture_sources(pictures, num_train, len(paths) - num_train, labels, classes)


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


def class_names(classes: Sequence[str]) -> frozenset[str]:
    """Return the names that a setting stands for.

    Args:
        classes: names of class folders; or one word, `imagenet100` or a text file of a name in
            each line, where lines that start with # say nothing.

    Raises:
        UserError: a text file without names.

    >>> len(class_names(["imagenet100"])), sorted(class_names(["dog", "cat"]))
    (100, ['cat', 'dog'])
    """
    if list(classes) == [IMAGENET100]:
        return _names_in(files("maskwise.images").joinpath("imagenet100.txt").read_text("utf-8"))
    if len(classes) != 1 or not Path(classes[0]).expanduser().is_file():
        return frozenset(classes)
    names = _names_in(Path(classes[0]).expanduser().read_text("utf-8", errors="replace"))
    if not names:
        raise UserError(f"data.classes: {classes[0]} names no classes; give one in each line")
    return names


def require_folders(names: frozenset[str], found: Sequence[Path], root: Path) -> None:
    """Refuse names that no class folder has.

    Raises:
        UserError: how many there are, and the first few.
    """
    missing = sorted(names - {path.name for path in found})
    if missing:
        few = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
        raise UserError(
            f"{root}: {len(missing)} of the {len(names)} classes of data.classes have no folder"
            f" here: {few}"
        )


def _names_in(text: str) -> frozenset[str]:
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


def read_hub(
    name: str, size: tuple[int, int] | None, channels: int | None
) -> tuple[ImageSource, ImageSource | None, Pictures]:
    """Return the train source, the test source if there is one, and the pictures behind them.

    The image column and the `ClassLabel` column are found by their type.

    Raises:
        UserError: `datasets` is missing, the name cannot be loaded, or it has no train split,
            no image column, or labels outside the named classes.
    """
    try:
        import datasets
    except ImportError:
        raise UserError(f'hf:{name} needs datasets: pip install "maskwise[data]"') from None
    try:
        splits = datasets.load_dataset(name)
    except Exception as error:  # whatever hub, network, cache and file formats raise
        reason = str(error).split("\n")[0]
        raise UserError(f"hf:{name}: cannot be loaded ({reason})") from error
    if "train" not in splits:
        raise UserError(f"hf:{name}: no split named train; found {', '.join(splits)}")
    features = splits["train"].features
    image, label = _column(features, "Image"), _column(features, "ClassLabel")
    if image is None:
        raise UserError(f"hf:{name}: no image column; found {', '.join(features)}")
    if not len(splits["train"]):
        raise UserError(f"hf:{name}: the train split is empty")
    parts = {"train": splits["train"]}
    parts |= {key: splits[key] for key in [key for key in _HUB_TEST if key in splits][:1]}
    labels = classes = None
    if label is not None:
        labels = np.concatenate([np.asarray(part[label][:], np.int64) for part in parts.values()])
        classes = tuple(str(value) for value in features[label].names)
        if labels.min() < 0 or labels.max() >= len(classes):
            raise UserError(
                f"hf:{name}: column {label} has labels outside its {len(classes)} classes in "
                f"{' or '.join(parts)}"
            )
    # Only the image column, so that reading a row decodes nothing else.
    columns = {key: part.select_columns([image]) for key, part in parts.items()}
    num_train, *num_test = map(len, parts.values())
    pictures = Pictures(
        partial(_open_row, columns, image), partial(_name_row, name, columns), size, channels
    )
    return picture_sources(pictures, num_train, sum(num_test), labels, classes)


def _column(features: Mapping[str, object], kind: str) -> str | None:
    return next((key for key, value in features.items() if type(value).__name__ == kind), None)


def _locate(columns: dict[str, Any], row: int) -> tuple[str, int]:
    """Rows count through train, then on through the test split."""
    for key, part in columns.items():
        if row < len(part):
            return key, int(row)
        row -= len(part)
    raise IndexError(row)


def _open_row(columns: dict[str, Any], image: str, row: int) -> "Image.Image":
    key, index = _locate(columns, row)
    return columns[key][index][image]


def _name_row(name: str, columns: dict[str, Any], row: int) -> str:
    key, index = _locate(columns, row)
    return f"hf:{name} {key}[{index}]"
