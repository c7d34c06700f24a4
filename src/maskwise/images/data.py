"""Where images come from: settings, and `load`, which turns them into train and test sources."""

import difflib
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Annotated, Literal

import numpy as np
import torch
from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt

from maskwise.errors import UserError
from maskwise.images.images import (
    ImageSource,
    ImageSplits,
    Target,
    array_source,
    first_shuffled,
    hold_out,
    joined,
)
from maskwise.images.pictures import SUFFIXES, keep_in_memory, read_hub, read_image_folder
from maskwise.settings import settings
from maskwise.textio import OPENERS, encode_labels, readable, user_path

Pixels = np.ndarray | torch.Tensor
_KEYS = ("x", "y", "x_test", "y_test")


def _square(value: object) -> object:
    """Read one number, or a list of one, as both sides of a square."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        [value] = value
    return (value, value) if isinstance(value, int) else value


def _ordered(value: tuple[float, float] | None) -> tuple[float, float] | None:
    if value is not None and not 0 < value[0] <= value[1] <= 1:
        raise ValueError("must be two shares of the area, 0 < low <= high <= 1")
    return value


Sides = Annotated[tuple[PositiveInt, PositiveInt] | None, BeforeValidator(_square)]
"""Height and width in pixels, one number for a square"""
CropScale = Annotated[tuple[float, float] | None, AfterValidator(_ordered)]
"""Smallest and largest share of the area that a random crop keeps; None crops nothing."""


Layout = Literal["NHWC", "NCHW"] | None


@settings
class ImageDataSettings:
    """Which images to use and how to read them."""

    source: str = "digits"
    """`digits` (built in), a `.npz`, `.npy` or `.npy.xz` file, a folder of images, of arrays or
    of MNIST files, or `hf:NAME`."""
    size: Sides = None
    """Height and width in pixels (one number for a square): image files are resized to cover it
    and cropped at the centre, before anything else is cropped."""
    layout: Layout = None
    """Where arrays have their channels: `NHWC` (last) or `NCHW`; none: where only one axis can be
    them."""
    channels: Literal[1, 3] | None = None
    """Convert image files to grey (1) or RGB (3)."""
    classes: tuple[str, ...] = ()
    """Use only these class folders of a folder of images: names, or `imagenet100`, or a text file
    with a name in each line."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the images held out as test split where the source has none."""
    limit: PositiveInt | None = None
    """Use only this many training images, the first of a fixed shuffle."""
    crop_scale: CropScale = None
    """Training crops a random part with this share of the area, from low to high, and resizes
    it back."""
    flip: bool = False
    """Training mirrors images left to right at random."""
    patch: Sides = None
    """Patch height and width in pixels (one number for a square); none: the smallest that cuts an
    image into at most 200."""
    target: Target = "normalised"
    """What is predicted: each patch standardised by its own mean and variance, or raw pixels."""


def load(data: ImageDataSettings) -> ImageSplits:
    """Read the images that `data` describes.

    Where the source has no test split, `holdout` of the images become one. Image files are decoded
    once if they fit 4 GiB, else whenever asked for.

    Raises:
        UserError: a source that does not exist or cannot be used, saying which and why.

    >>> digits = load(ImageDataSettings(source="digits"))
    >>> len(digits.train), len(digits.test), digits.train.shape
    (1438, 359, (1, 8, 8))
    """
    found = _open_source(data)
    train, test = found if len(found) == 2 else hold_out(found[0], data.holdout)
    if data.limit is not None:
        train = first_shuffled(train, data.limit)
    if not train.in_memory:
        train, test = keep_in_memory([train, test])
    name = data.source.removeprefix("hf:")
    if name == data.source:
        name = user_path(name).resolve().name
        for suffix in (".npy.xz", ".npy", ".npz"):
            name = name.removesuffix(suffix)
    return ImageSplits(train, test, name)


def load_all(data: ImageDataSettings) -> ImageSource:
    """Read all that `data` describes as one source: the training part, then any test part."""
    found = _open_source(data)
    if not found[0].in_memory:
        found = keep_in_memory(found)
    return joined(*found) if len(found) == 2 else found[0]


def as_source(
    x: Pixels | ImageSource, y: Pixels | None = None, layout: Layout = None
) -> ImageSource:
    """Return images in memory as one source; a source as it is.

    Images are NumPy [N, H, W] or [N, H, W, C] or torch [N, H, W] or [N, C, H, W]; labels integers
    [N]. `layout` says where arrays have their channels. What cannot be used is refused as in
    files.

    >>> as_source(np.zeros((10, 4, 6), np.uint8)).shape
    (1, 4, 6)
    """
    if isinstance(x, ImageSource):
        return x
    # Those of tensors are second, and last when they have become an array.
    images = _check_images(
        _to_numpy(x), "array: x", "NHWC" if isinstance(x, torch.Tensor) else layout
    )
    [source] = _array_sources(images, None if y is None else _to_numpy(y), where="array")
    return source


def _to_numpy(values: Pixels) -> np.ndarray:
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    array = (values.float() if values.is_floating_point() else values).numpy()
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array  # channels are second


def _open_source(data: ImageDataSettings) -> list[ImageSource]:
    """Return the source to train on and, if there is one, that to test on."""
    path, found, hub = user_path(data.source), [], data.source.startswith("hf:")
    if not hub:
        found = [_digits()] if data.source == "digits" else _read_arrays(path, data)
    if not (found or hub):
        return read_image_folder(path, data.size, data.channels, data.classes)
    if data.classes:
        raise UserError(
            f"classes={','.join(data.classes)}: {data.source} is no folder of images, which alone"
            " has class folders to choose from: leave classes out"
        )
    if hub:
        return read_hub(data.source, data.size, data.channels)
    channels, height, width = found[0].shape
    if data.size not in (None, (height, width)):
        raise UserError(
            f"size={data.size}: {data.source} is an array of {height}x{width} images; size is "
            "for image files, so resize the array or leave size out"
        )
    if data.channels not in (None, channels):
        raise UserError(
            f"channels={data.channels}: {data.source} is an array with {channels} channels; "
            "channels is for image files, so convert the array or leave channels out"
        )
    return found


def _digits() -> ImageSource:
    """Return scikit-learn's 1,797 handwritten digits, 8 x 8, with grey levels 0..16 as 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return array_source(images, digits.target.astype(np.int64), tuple(map(str, range(10))))


def _read_arrays(path: Path, data: ImageDataSettings) -> list[ImageSource]:
    """Read arrays of a file, or of a folder, if it has any."""
    if not path.exists():
        beside = [str(path.parent / p.name) for p in path.parent.glob("*")]  # none if no parent
        match = difflib.get_close_matches(str(path), ["digits", *beside], n=1, cutoff=0.6)
        hint = f"did you mean '{match[0]}'?" if match else "built-in data: digits"
        raise UserError(
            f"no file or folder '{data.source}'; {hint} (a recipe's images are named by"
            " --data.source; Hugging Face data sets are written hf:NAME)"
        )
    if path.is_dir():
        return _read_folder(path, data.layout)
    if path.suffix == ".npz":
        return _read_npz(path, data.layout)
    if path.suffix == ".npy" or path.name.endswith(".npy.xz"):
        return [array_source(_check_images(_read_array(path), str(path), data.layout))]
    hint = "give its folder" if path.suffix.lower() in SUFFIXES else "expected a folder"
    raise UserError(f"{path}: not a set of images; {hint}, .npz, .npy, .npy.xz or hf:NAME")


def _read_npz(path: Path, layout: Layout) -> list[ImageSource]:
    with readable(path), path.open("rb") as archive:  # np.load leaves broken files open
        if not zipfile.is_zipfile(path):
            raise ValueError("not an .npz archive")
        file = np.load(archive, allow_pickle=False)
        keys = list(file)
        found = {key: file[key] for key in keys if key in _KEYS}
    if "x" not in keys or len(found) < len(keys):
        raise UserError(
            f"{path}: keys found: {', '.join(keys) or 'none'}; expected x [N, H, W] or "
            "[N, H, W, C] and optionally y, x_test, y_test"
        )
    for key in ("x", "x_test"):
        if key in found:
            found[key] = _check_images(found[key], f"{path}: {key}", layout)
    return _array_sources(**found, where=str(path))


def _read_folder(folder: Path, layout: Layout) -> list[ImageSource]:
    """Read x_train*, y_train*, x_test*, y_test* in parts, or the four files of MNIST."""
    parts = _files_of_arrays(folder)
    if not parts["x"]:
        others = sorted(file.name for file in [*folder.glob("*.npy*"), *folder.glob("*.npz")])
        if not others:
            return []
        raise UserError(
            f"{folder}: found {', '.join(others[:6])}; a folder of arrays needs x_train*.npy "
            "and optionally y_train*, x_test*, y_test*; or give one .npz file"
        )
    # Decompression leaves Python, so threads read the parts side by side.
    files = [path for paths in parts.values() for path in paths]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        arrays = dict(zip(files, pool.map(_read_array, files), strict=True))
    found = {}
    for key, paths in parts.items():
        pieces = [arrays.pop(path) for path in paths]
        if key in ("x", "x_test"):
            pieces = [
                _check_images(piece, str(path), layout)
                for piece, path in zip(pieces, paths, strict=True)
            ]
        for path, piece in zip(paths, pieces, strict=True):
            first, shape = pieces[0].shape, piece.shape
            if shape[1:] != first[1:]:
                raise UserError(
                    f"{path}: shape {shape} does not continue {paths[0].name}, {first}"
                )
        if pieces:
            found[key] = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
    return _array_sources(**found, where=str(folder), labels="y_train")


def _files_of_arrays(folder: Path) -> dict[str, list[Path]]:
    """Find the files of each array: parts in order (.npy, .npy.xz), or one (plain, .gz, .xz)."""
    if any(folder.glob("train-images-idx3-ubyte*")):
        stems = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
        every = [[folder / f"{stem}-ubyte{end}" for end in ("", ".gz", ".xz")] for stem in stems]
        found = [[path for path in paths if path.exists()][:1] for paths in every]
    else:
        stems = ("x_train", "y_train", "x_test", "y_test")
        found = [
            sorted(p for end in (".npy", ".npy.xz") for p in folder.glob(f"{stem}*{end}"))
            for stem in stems
        ]
    return dict(zip(_KEYS, found, strict=True))


def _read_array(path: Path) -> np.ndarray:
    opener = OPENERS.get(path.suffix, open)
    with readable(path), opener(path, "rb") as file:
        if ".npy" in path.suffixes:
            return np.lib.format.read_array(file, allow_pickle=False)
        return _read_idx(file)


def _read_idx(file: IO[bytes]) -> np.ndarray:
    """Read the idx format: two zero bytes, type, number of axes, sizes, values."""
    start = file.read(4)
    if len(start) < 4 or start[:3] != b"\0\0\x08":
        raise ValueError("not an idx file of unsigned bytes")
    shape = [int.from_bytes(file.read(4), "big") for _ in range(start[3])]
    values = np.frombuffer(file.read(), np.uint8)
    if values.size != np.prod(shape):
        raise ValueError(f"{values.size} values for shape {shape}")
    return values.reshape(shape)


def _array_sources(
    x: np.ndarray,
    y: np.ndarray | None = None,
    x_test: np.ndarray | None = None,
    y_test: np.ndarray | None = None,
    *,
    where: str,
    labels: str = "y",
) -> list[ImageSource]:
    """Return sources of checked images to train and, if there are any, to test on.

    `where` and `labels` are what messages call the arrays and the labels to train on.
    """
    for array, of, name in ((y, x, labels), (y_test, x_test, "y_test")):
        if array is None or of is None:
            continue
        if array.dtype.kind not in "biuU" or array.ndim != 1:
            raise UserError(
                f"{where}: {name}: labels must be integers [N], got {array.dtype} of shape"
                f" {array.shape}"
            )
        if len(array) != len(of):
            raise UserError(f"{where}: {name}: {len(array)} labels for {len(of)} images")
    if x_test is None:
        if y_test is not None:
            raise UserError(f"{where}: test labels without test images")
        return [array_source(x) if y is None else array_source(x, *encode_labels(y))]
    if x.shape[1:] != x_test.shape[1:]:
        raise UserError(
            f"{where}: training images are {x.shape[1:]} and test images {x_test.shape[1:]} "
            "(H, W, C); both must be the same"
        )
    dtype = np.result_type(x, x_test)  # float32 where either is
    x, x_test = x.astype(dtype, copy=False), x_test.astype(dtype, copy=False)
    if y is None and y_test is None:
        return [array_source(x), array_source(x_test)]
    if y is None or y_test is None:
        given, lacking = ("test", "training") if y is None else ("training", "test")
        raise UserError(f"{where}: {given} images have labels and {lacking} images have none")
    codes, classes = encode_labels(np.concatenate([y, y_test]))
    of_train, of_test = np.split(codes, [len(y)])
    return [array_source(x, of_train, classes), array_source(x_test, of_test, classes)]


def _check_images(x: np.ndarray, where: str, layout: Layout = None) -> np.ndarray:
    """Return images [N, H, W] or [N, H, W, C] as uint8 or float32 [N, H, W, C].

    uint8 and bool stay as they are, as do other integers within 0..255; all else becomes float32.
    """
    if x.dtype.kind not in "biuf":
        raise UserError(f"{where}: images must be numbers, got {x.dtype}")
    if x.ndim not in (3, 4):
        raise UserError(f"{where}: images must be [N, H, W] or [N, H, W, C], got {x.shape}")
    if 0 in x.shape:
        raise UserError(f"{where}: no images in an array of shape {x.shape}")
    if x.ndim == 3:
        x = x[..., None]
    elif (layout or _layout_of(x.shape, where)) == "NCHW":
        x = x.transpose(0, 2, 3, 1)
    if x.dtype.kind in "biu" and x.min() >= 0 and x.max() <= 255:
        return x.astype(np.uint8, copy=False)
    with np.errstate(over="ignore"):  # too large for float32 is inf, reported below
        x = x.astype(np.float32, copy=False)
    bad = x.size - np.count_nonzero(np.isfinite(x))
    if bad:
        raise UserError(f"{where}: {bad} of {x.size} values are NaN or infinite; clean them first")
    return x


def _layout_of(shape: tuple[int, ...], where: str) -> Layout:
    """Say which axis of images, the second or the last, has the channels.

    Raises:
        UserError: either could.
    """
    _, second, third, last = shape
    first_can = second in (1, 3)
    last_can = last <= 4 or (last < min(second, third) and not first_can)
    if first_can != last_can:
        return "NCHW" if first_can else "NHWC"
    raise UserError(
        f"{where}: {shape} may be [N, H, W, C] with {last} channels or [N, C, H, W] with {second}:"
        " give data.layout, NHWC or NCHW"
    )
