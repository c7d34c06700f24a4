"""Image files in folders and rows of Hugging Face data sets: which are read, and decoding them."""

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from maskwise.errors import UserError
from maskwise.images.images import ImageSource, array_source
from maskwise.progress import track
from maskwise.rows import open_hub
from maskwise.textio import HELD, encode_labels, files_below, is_data, splits_among, user_path

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger("maskwise")
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".avif"),
    *(".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".pcx"),
    *(".sgi", ".qoi"),
)
IMAGENET100 = "imagenet100"
MEMORY_BYTES = 4 << 30  # decoded images up to this size are kept in memory
_PIECE = 16  # pictures that a thread decodes at a time
_GREY = ("1", "L", "LA", "La")
_ORIENTATION = 0x0112  # EXIF tag; 5..8 swap height and width

Size = tuple[int, int] | None
"""(height, width) to resize and crop to, or None to keep"""


class _Plan(NamedTuple):
    """What a picture becomes: Pillow mode "L", "RGB" or "F" (more than 8 bits), and shape."""

    mode: str
    height: int
    width: int
    channels: int


@dataclass(frozen=True, eq=False)
class Pictures:
    """Encoded images by row; every one must become what the first does.

    Args:
        open: returns a Pillow image, not necessarily decoded yet.
        name: returns what messages call a picture.
        size: of what the pictures become.
        channels: 1 (grey), 3 (RGB), or None to keep.
    """

    open: "Callable[[int], Image.Image]"
    name: Callable[[int], str]
    size: Size
    channels: int | None

    @cached_property
    def plan(self) -> _Plan:
        """What the first picture becomes, by its header."""
        with self._opened(0) as image:
            return self._plan_of(image)

    def check(self, row: int) -> None:
        """Refuse a picture whose header says that it becomes something else than the first."""
        with self._opened(row) as image:
            self._require_same(image, row)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Decode rows into one array [b, H, W, C], uint8 or float32."""
        mode, *shape = self.plan
        images = np.empty((len(rows), *shape), np.float32 if mode == "F" else np.uint8)
        for image, row in zip(images, rows, strict=True):
            decoded = self._decode(int(row), mode)
            # One channel spreads over three.
            image[:] = decoded[..., None] if decoded.ndim == 2 else decoded
        return images

    def _decode(self, row: int, mode: str) -> np.ndarray:
        from PIL import Image, ImageOps

        with self._opened(row) as image:
            self._require_same(image, row)
            image.load()
            image = ImageOps.exif_transpose(image)
            if image.mode == "P" and "transparency" in image.info:
                image = image.convert("RGBA")
            if image.mode.startswith("I;"):
                image = image.convert("I")
            image = image.convert(mode)
            if self.size is not None:
                box = self.size[::-1]
                image = ImageOps.fit(image, box, method=Image.Resampling.BICUBIC)
            array = np.asarray(image)
        bad = array.size - np.count_nonzero(np.isfinite(array)) if mode == "F" else 0
        if bad:
            raise UserError(f"{self.name(row)}: {bad} pixels are NaN or infinite")
        return array

    def _plan_of(self, image: "Image.Image") -> _Plan:
        turned = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)  # other values mean nothing
        if turned and image.format == "TIFF":
            image.load()  # Pillow turns these itself, some versions when they are opened
        width, height = image.size
        if turned and image.format != "TIFF":
            width, height = height, width
        height, width = self.size or (height, width)
        if image.mode == "F" or image.mode.startswith("I"):
            return _Plan("F", height, width, self.channels or 1)
        channels = self.channels or (1 if image.mode in _GREY else 3)
        return _Plan("L" if channels == 1 else "RGB", height, width, channels)

    def _require_same(self, image: "Image.Image", row: int) -> None:
        first, other = self.plan, self._plan_of(image)
        if other == first:
            return
        names = self.name(0), self.name(row)
        if other[1:3] != first[1:3]:
            raise UserError(
                f"images differ in size: {names[0]} is {first.height}x{first.width}, {names[1]} is"
                f" {other.height}x{other.width} (height x width); give one with --data.size"
                f" {first.height},{first.width} or, for a square, --data.size {min(first[1:3])}"
            )
        if other.channels != first.channels:
            raise UserError(
                f"images differ in channels: {names[0]} has {first.channels}, {names[1]} has "
                f"{other.channels}; give --data.channels 3 (or 1) to convert"
            )
        raise UserError(
            f"images differ in depth: {names[0]} and {names[1]} are not both 8-bit or both deeper;"
            " convert one kind to the other"
        )

    @contextmanager
    def _opened(self, row: int) -> "Iterator[Image.Image]":
        try:
            with self.open(row) as image:
                yield image
        except UserError:
            raise
        except Exception as error:  # Pillow raises a dozen kinds on broken files
            reason = str(error).split("\n")[0] or type(error).__name__
            name = self.name(row)
            raise UserError(
                f"{name}: unreadable image ({reason}); replace or remove it"
            ) from error

    def sources(
        self, lengths: Sequence[int], labels: np.ndarray | None, classes: tuple[str, ...] | None
    ) -> list[ImageSource]:
        """Return sources that decode on demand, of so many rows each; none of no rows."""
        _, height, width, channels = self.plan
        rows, shape = np.arange(sum(lengths)), (channels, height, width)
        every = ImageSource(shape, self.read, rows, labels, classes, self)
        return [every.take(part) for part in np.split(rows, lengths[:1]) if len(part)]


def keep_in_memory(sources: list[ImageSource]) -> list[ImageSource]:
    """Decode every source once, on all cores, if all fit `MEMORY_BYTES`; else check headers."""
    pictures = sources[0].pictures
    assert pictures is not None
    first = sources[0].read(sources[0].rows[:1])
    if first.nbytes * sum(map(len, sources)) <= MEMORY_BYTES:
        return [_decoded(source, first) for source in sources]
    if pictures.size is None or pictures.channels is None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for source in sources:
                list(pool.map(pictures.check, source.rows.tolist()))
    return sources


def _decoded(source: ImageSource, first: np.ndarray) -> ImageSource:
    images = np.empty((len(source), *first.shape[1:]), first.dtype)

    def decode(part: np.ndarray) -> None:
        images[part] = source.read(source.rows[part])

    parts = np.array_split(np.arange(len(source)), -(-len(source) // _PIECE))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(track(pool.map(decode, parts), "decoding", len(parts)))
    return array_source(images, source.labels, source.classes)


def _open_file(names: list[str], row: int) -> "Image.Image":
    from PIL import Image

    return Image.open(names[row])


def read_image_folder(
    root: Path, size: Size, channels: int | None, only: Sequence[str] = ()
) -> list[ImageSource]:
    """Return the sources to train and, if there are any, to test on, of a folder of image files.

    ``train/`` with ``test/`` or ``val/``, or whatever else splits are called, are splits.
    Sub-folders of a split are classes; without any, there are no labels. `only` leaves out the
    folders of all others, see `class_names`.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise UserError('image files need Pillow: pip install "maskwise[images]"') from None
    wanted, folders = class_names(only), {path.name: path for path in _subfolders(root)}
    splits = [folders[name] for name in splits_among(folders, root)] or [root]
    listed = [_list_split(folder, wanted) for folder in splits]
    left_out = [path for *_, others in listed for path in others]
    if splits != [root]:
        left_out += itertools.filterfalse(_is_image, _files_in(root))
    if left_out:
        few = ", ".join(path.name for path in left_out[:3]) + ", ..." * (len(left_out) > 3)
        log.info("%s: %d files that are no pictures are left out (%s)", root, len(left_out), few)
    if len({bool(names) for _, names, _ in listed}) > 1:
        raise UserError(
            f"{root}: only one of {splits[0].name}/ and {splits[1].name}/ has class folders; give"
            " both classes or none"
        )
    names = [str(path) for paths, *_ in listed for path in paths]
    pictures = Pictures(partial(_open_file, names), names.__getitem__, size, channels)
    every = [name for _, names, _ in listed for name in names]
    labels, classes = encode_labels(np.array(every)) if every else (None, None)
    return pictures.sources([len(paths) for paths, *_ in listed], labels, classes)


def _list_split(folder: Path, wanted: frozenset[str]) -> tuple[list[Path], list[str], list[Path]]:
    """Return image files, the class name of each (or no names), and other files.

    Classes are those that are wanted, or all.
    """
    here = _files_in(folder)
    direct, others = list(filter(_is_image, here)), list(itertools.filterfalse(_is_image, here))
    subfolders = [path for path in _subfolders(folder) if not wanted or path.name in wanted]
    if missing := sorted(wanted - {path.name for path in subfolders}):
        few = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
        raise UserError(
            f"{folder}: {len(missing)} of the {len(wanted)} classes of data.classes have no"
            f" folder here: {few}"
        )
    classes: dict[Path, list[Path]] = {path: [] for path in subfolders}
    for path, images in classes.items():
        for file in files_below(path):
            (images if _is_image(file) else others).append(file)
    beside = next((path.name for path, images in classes.items() if images), None)
    if direct and beside:
        raise UserError(
            f"{folder}: images both here ({direct[0].name}) and in sub-folders ({beside}/); "
            "use one or the other"
        )
    if direct:
        return direct, [], others
    if not beside:
        raise UserError(f"{folder}: no images here (looked for {', '.join(SUFFIXES)})")
    for path, images in classes.items():
        if not images:
            raise UserError(f"{path}: this class folder has no images; add some or remove it")
    names = [path.name for path, images in classes.items() for _ in images]
    return [image for images in classes.values() for image in images], names, others


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_data(path))


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_data(path) and path.is_file())


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


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


def _open_row(parts: Mapping[str, Any], column: str, row: int) -> "Image.Image":
    key, row = _locate(parts, row)
    return parts[key][row][column]


def _row_name(source: str, parts: Mapping[str, Any], row: int) -> str:
    return "{} {}[{}]".format(source, *_locate(parts, row))


def _locate(parts: Mapping[str, Any], row: int) -> tuple[str, int]:
    """Return the split of a row, and its number there."""
    for key, part in parts.items():
        if row < len(part):
            return key, row
        row -= len(part)
    raise IndexError(row)


def read_hub(source: str, size: Size, channels: int | None) -> list[ImageSource]:
    """Return the same of a Hugging Face data set, hf:NAME; columns are found by their types."""
    splits = open_hub(source)
    if "train" not in splits:
        raise UserError(f"{source}: no split named train; found {', '.join(splits)}")
    parts = {key: splits[key] for key in ["train", *[key for key in HELD if key in splits][:1]]}
    features = splits["train"].features
    columns = {type(kind).__name__: name for name, kind in reversed(features.items())}
    image, label = columns.get("Image"), columns.get("ClassLabel")
    if image is None:
        raise UserError(f"{source}: no image column; found {', '.join(features)}")
    if not len(splits["train"]):
        raise UserError(f"{source}: the train split is empty")
    labels = classes = None
    if label is not None:
        labels = np.concatenate([np.asarray(part[label][:], np.int64) for part in parts.values()])
        classes = tuple(str(value) for value in features[label].names)
        if labels.min() < 0 or labels.max() >= len(classes):
            raise UserError(
                f"{source}: column {label} has labels outside its {len(classes)} classes in "
                f"{' or '.join(parts)}"
            )
    # Only the image column, so that reading a row decodes nothing else.
    rows = {key: part.select_columns([image]) for key, part in parts.items()}
    opened, name = partial(_open_row, rows, image), partial(_row_name, source, rows)
    pictures = Pictures(opened, name, size, channels)
    return pictures.sources([len(part) for part in rows.values()], labels, classes)
