"""Where images come from: settings, and `load`, which turns them into train and test sources."""

import difflib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field, PositiveInt

from maskwise.errors import UserError
from maskwise.images.augment import CropScale
from maskwise.images.images import Target
from maskwise.images.pictures import (
    SUFFIXES,
    Pictures,
    keep_in_memory,
    read_hub,
    read_image_folder,
)
from maskwise.images.source import (
    ImageSource,
    ImageSplits,
    array_source,
    array_sources,
    check_images,
    check_labels,
    first_shuffled,
    hold_out,
    joined,
    read_arrays,
)
from maskwise.settings import settings

Pixels = np.ndarray | torch.Tensor


def _square(value: object) -> object:
    """Read one number, or a list of one, as both sides of a square."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        [value] = value
    return (value, value) if isinstance(value, int) else value


@settings
class ImageDataSettings:
    """Which images to use and how to read them."""

    source: str = "digits"
    """`digits` (built in), a `.npz`, `.npy` or `.npy.xz` file, a folder of images, of arrays or
    of MNIST files, or `hf:NAME`."""
    size: Annotated[tuple[PositiveInt, PositiveInt] | None, BeforeValidator(_square)] = None
    """Height and width in pixels (one number for a square): image files are resized to cover it
    and cropped at the centre, before anything else is cropped."""
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
    patch: Annotated[tuple[PositiveInt, PositiveInt] | None, BeforeValidator(_square)] = None
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
    train, test, pictures = _open_source(data)
    if test is None:
        train, test = hold_out(train, data.holdout)
    if data.limit is not None:
        train = first_shuffled(train, data.limit)
    if pictures is not None:
        train, test = keep_in_memory([train, test], pictures)
    return ImageSplits(train, test, _name(data.source))


def from_arrays(
    x: Pixels,
    y: Pixels | None = None,
    name: str = "array",
    holdout: float = 0.2,
) -> ImageSplits:
    """Split images in memory into train and test sources.

    Args:
        x: images: NumPy [N, H, W] or [N, H, W, C], torch [N, H, W] or [N, C, H, W].
        y: integer labels [N].
        name: what reports call the data.
        holdout: share of the images held out as test split.

    Raises:
        UserError: as for files: wrong shape or type, NaN, or labels that do not match.

    >>> from_arrays(np.zeros((10, 4, 6), np.uint8)).train.shape
    (1, 4, 6)
    """
    images = check_images(_to_numpy(x, channels_second=True), f"{name}: x")
    labels = None
    if y is not None:
        labels = check_labels(_to_numpy(y), len(images), f"{name}: y")
    source, _ = array_sources(images, labels, None, None, name)
    return ImageSplits(*hold_out(source, holdout), name)


def as_source(x: Pixels, name: str = "array") -> ImageSource:
    """Return images in memory as one source, not split; arguments as for `from_arrays`.

    >>> len(as_source(np.zeros((10, 4, 6), np.uint8)))
    10
    """
    images = check_images(_to_numpy(x, channels_second=True), f"{name}: x")
    return array_source(images, None, None)


def load_all(data: ImageDataSettings) -> ImageSource:
    """Read every image that `data` describes as one source: the training part, then any test part.

    Raises:
        UserError: as for `load`.
    """
    train, test, pictures = _open_source(data)
    parts = [train] if test is None else [train, test]
    if pictures is not None:
        parts = keep_in_memory(parts, pictures)
    return parts[0] if test is None else joined(*parts)


def _open_source(
    data: ImageDataSettings,
) -> tuple[ImageSource, ImageSource | None, Pictures | None]:
    """Choose the reader; pictures are returned where there is decoding to do."""
    if data.source.startswith("hf:"):
        _refuse_classes(data)
        return read_hub(data.source.removeprefix("hf:"), data.size, data.channels)
    if data.source == "digits":
        train, test = _digits(), None
    else:
        path = Path(data.source).expanduser()
        if not path.exists():
            raise UserError(_not_found(data.source, path))
        found = read_arrays(path)
        if found is None and path.is_dir():
            return read_image_folder(path, data.size, data.channels, data.classes)
        if found is None:
            hint = "give its folder" if path.suffix.lower() in SUFFIXES else "expected a folder"
            raise UserError(f"{path}: not a set of images; {hint}, .npz, .npy, .npy.xz or hf:NAME")
        train, test = found
    _refuse_classes(data)
    channels, height, width = train.shape
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
    return train, test, None


def _digits() -> ImageSource:
    """Return scikit-learn's 1,797 handwritten digits, 8 x 8, with grey levels 0..16 as 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return array_source(images, digits.target.astype(np.int64), tuple(map(str, range(10))))


def _refuse_classes(data: ImageDataSettings) -> None:
    if data.classes:
        raise UserError(
            f"classes={','.join(data.classes)}: {data.source} is no folder of images, which alone"
            " has class folders to choose from: leave classes out"
        )


def _not_found(source: str, path: Path) -> str:
    beside = [str(path.parent / p.name) for p in path.parent.glob("*")]  # none if no parent
    match = difflib.get_close_matches(str(path), ["digits", *beside], n=1, cutoff=0.6)
    hint = f"did you mean '{match[0]}'?" if match else "built-in data: digits"
    return (
        f"no file or folder '{source}'; {hint} (a recipe's images are named by --data.source;"
        " Hugging Face data sets are written hf:NAME)"
    )


def _name(source: str) -> str:
    if source.startswith("hf:"):
        return source.removeprefix("hf:")
    name = Path(source).expanduser().resolve().name
    for suffix in (".npy.xz", ".npy", ".npz"):
        name = name.removesuffix(suffix)
    return name


def _to_numpy(values: Pixels, channels_second: bool = False) -> np.ndarray:
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    array = (values.float() if values.is_floating_point() else values).numpy()
    return array.transpose(0, 2, 3, 1) if channels_second and array.ndim == 4 else array
