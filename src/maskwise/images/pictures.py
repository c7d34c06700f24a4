"""Image files in folders and rows of Hugging Face data sets: which are read, and decoding them."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from maskwise.errors import UserError, require
from maskwise.images.source import ImageSource, array_source
from maskwise.textio import encode_labels

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
IMAGENET100 = "imagenet100"
_TEST, _HUB_TEST = ("test", "val"), ("test", "validation", "valid", "val")
MEMORY_BYTES = 4 << 30  # decoded images up to this size are kept in memory
_BATCH = 64  # pictures a thread decodes at a time
_GREY = ("1", "L", "LA", "La")
_ORIENTATION = 0x0112  # EXIF tag; 5..8 swap height and width


@dataclass(frozen=True)
class Pictures:
    """Encoded images by row, and what they are decoded to.

    Args:
        open: row -> Pillow image, not necessarily decoded yet.
        name: row -> name for messages.
        size: (height, width) to resize and crop to, or None to keep.
        channels: 1 (grey), 3 (RGB), or None to keep.
    """

    open: Callable[[int], "Image.Image"]
    name: Callable[[int], str]
    size: tuple[int, int] | None
    channels: int | None


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
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise UserError('image files need Pillow: pip install "maskwise[images]"') from None
    wanted = class_names(only)
    folders = {path.name: path for path in _subfolders(root)}
    split = "train" in folders and not set(folders) - {"train", *_TEST}
    paths, names = _list_split(folders["train"] if split else root, wanted)
    num_train = len(paths)
    test = next((folders[name] for name in _TEST if split and name in folders), None)
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
        subfolders = [path for path in subfolders if path.name in wanted]
        if missing := sorted(wanted - {path.name for path in subfolders}):
            few = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
            raise UserError(
                f"{folder}: {len(missing)} of the {len(wanted)} classes of data.classes have no"
                f" folder here: {few}"
            )
    classes = {
        folder: sorted(path for path in folder.rglob("*") if _is_image(path))
        for folder in subfolders
    }
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


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _open(paths: list[Path], row: int) -> "Image.Image":
    from PIL import Image

    return Image.open(paths[row])


def _name(paths: list[Path], row: int) -> str:
    return str(paths[row])


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
    datasets = require("datasets", f"hf:{name}", "data")
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


class _Rows(Protocol):
    """A column of a data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> "Mapping[str, Image.Image]": ...


def _locate(columns: Mapping[str, _Rows], row: int) -> tuple[str, int]:
    """Rows count through train, then on through the test split."""
    for key, part in columns.items():
        if row < len(part):
            return key, int(row)
        row -= len(part)
    raise IndexError(row)


def _open_row(columns: Mapping[str, _Rows], image: str, row: int) -> "Image.Image":
    key, index = _locate(columns, row)
    return columns[key][index][image]


def _name_row(name: str, columns: Mapping[str, _Rows], row: int) -> str:
    key, index = _locate(columns, row)
    return f"hf:{name} {key}[{index}]"


@dataclass(frozen=True)
class _Plan:
    """What a picture becomes: Pillow mode "L", "RGB" or "F" (more than 8 bits), and shape."""

    mode: str
    height: int
    width: int
    channels: int


def picture_sources(
    pictures: Pictures,
    num_train: int,
    num_test: int,
    labels: np.ndarray | None,
    classes: tuple[str, ...] | None,
) -> tuple[ImageSource, ImageSource | None, Pictures]:
    """Return sources that decode on demand: the first rows, then the others, if there are any.

    Every picture must become what the first does.
    """
    plan = _plan(pictures, 0)
    shape = (plan.channels, plan.height, plan.width)
    rows = np.arange(num_train + num_test)
    both = ImageSource(
        shape, partial(_read, pictures, plan), rows, labels, classes, in_memory=False
    )
    train, test = (both.take(part) for part in np.split(rows, [num_train]))
    return train, test if num_test else None, pictures


def keep_in_memory(sources: list[ImageSource], pictures: Pictures) -> list[ImageSource]:
    """Decode every source once, on all cores, if all fit `MEMORY_BYTES`; else check headers.

    Raises:
        UserError: a picture that is broken, or differs in size or channels from the first.
    """
    first = sources[0].read(sources[0].rows[:1])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if first.nbytes * sum(len(source) for source in sources) <= MEMORY_BYTES:
            return [_read_all(source, first, pool) for source in sources]
        if pictures.size is None or pictures.channels is None:
            plan = _plan(pictures, 0)
            for source in sources:
                for row, other in zip(
                    source.rows, pool.map(partial(_plan, pictures), source.rows), strict=True
                ):
                    _require_same(pictures, plan, other, row)
    return sources


def _read_all(source: ImageSource, first: np.ndarray, pool: ThreadPoolExecutor) -> ImageSource:
    images = np.empty((len(source), *first.shape[1:]), first.dtype)
    starts = range(0, len(source), _BATCH)
    batches = [source.rows[start : start + _BATCH] for start in starts]
    for start, batch in zip(starts, pool.map(source.read, batches), strict=True):
        images[start : start + len(batch)] = batch
    return array_source(images, source.labels, source.classes)


def _read(pictures: Pictures, plan: _Plan, rows: np.ndarray) -> np.ndarray:
    """Decode rows into one array [b, H, W, C]."""
    dtype = np.float32 if plan.mode == "F" else np.uint8
    images = np.empty((len(rows), plan.height, plan.width, plan.channels), dtype)
    for image, row in zip(images, rows, strict=True):
        image[:] = _decode(pictures, plan, row)
    return images


def _decode(pictures: Pictures, plan: _Plan, row: int) -> np.ndarray:
    """Decode one picture [H, W, C], which must become what the plan says."""
    from PIL import Image, ImageOps

    with _named_errors(pictures, row), pictures.open(int(row)) as image:
        _require_same(pictures, plan, _plan_of(image, pictures), row)
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        if image.mode.startswith("I;"):
            image = image.convert("I")
        image = image.convert(plan.mode)
        if pictures.size is not None:
            box = (plan.width, plan.height)
            image = ImageOps.fit(image, box, method=Image.Resampling.BICUBIC)
        array = np.asarray(image)
    bad = array.size - np.count_nonzero(np.isfinite(array)) if plan.mode == "F" else 0
    if bad:
        raise UserError(f"{pictures.name(row)}: {bad} pixels are NaN or infinite")
    return array[..., None] if array.ndim == 2 else array  # one channel spreads over three


def _plan(pictures: Pictures, row: int) -> _Plan:
    """Say from the header what a picture becomes."""
    with _named_errors(pictures, row), pictures.open(int(row)) as image:
        return _plan_of(image, pictures)


def _plan_of(image: "Image.Image", pictures: Pictures) -> _Plan:
    width, height = image.size
    if image.getexif().get(_ORIENTATION, 1) >= 5:
        width, height = height, width
    if pictures.size is not None:
        height, width = pictures.size
    if image.mode == "F" or image.mode.startswith("I"):
        return _Plan("F", height, width, pictures.channels or 1)
    channels = pictures.channels or (1 if image.mode in _GREY else 3)
    return _Plan("L" if channels == 1 else "RGB", height, width, channels)


def _require_same(pictures: Pictures, first: _Plan, plan: _Plan, row: int) -> None:
    if plan == first:
        return
    names = pictures.name(0), pictures.name(row)
    if (plan.height, plan.width) != (first.height, first.width):
        raise UserError(
            f"images differ in size: {names[0]} is {first.height}x{first.width}, {names[1]} is "
            f"{plan.height}x{plan.width} (height x width); give one with --data.size "
            f"{first.height},{first.width} or, for a square, --data.size "
            f"{min(first.height, first.width)}"
        )
    if plan.channels != first.channels:
        raise UserError(
            f"images differ in channels: {names[0]} has {first.channels}, {names[1]} has "
            f"{plan.channels}; give --data.channels 3 (or 1) to convert"
        )
    raise UserError(
        f"images differ in depth: {names[0]} and {names[1]} are not both 8-bit or both deeper; "
        "convert one kind to the other"
    )


@contextmanager
def _named_errors(pictures: Pictures, row: int) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds on broken files
        reason = str(error).split("\n")[0] or type(error).__name__
        name = pictures.name(row)
        raise UserError(f"{name}: unreadable image ({reason}); replace or remove it") from error
