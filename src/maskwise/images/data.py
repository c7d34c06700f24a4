"""Where images come from: settings, and `load`, which turns them into train and test sources."""

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt

from maskwise.errors import UserError, option
from maskwise.files import stamp
from maskwise.given import Items, ItemSettings
from maskwise.images.arrange import NoPicturesError
from maskwise.images.array_files import Layout
from maskwise.images.arrays import Arrays, is_array, of_arrays, read_file, read_folder
from maskwise.images.census import problems
from maskwise.images.endings import PICTURES, TARS, ZIP
from maskwise.images.folders import Listed, list_folder
from maskwise.images.given import open_given
from maskwise.images.given_items import How
from maskwise.images.hub import list_hub
from maskwise.images.images import (
    ImageSource,
    ImageSplits,
    Target,
    first_shuffled,
    hold_out,
    joined,
)
from maskwise.images.looked import Looked, decoded, look, readable
from maskwise.images.opening import Frames, Reading
from maskwise.images.packed import list_packed
from maskwise.images.pictures import Become
from maskwise.inspection import Problem
from maskwise.modality import Samples
from maskwise.settings import settings
from maskwise.textio import Broken, few, leave_out, user_path


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


@settings
class ImageDataSettings(ItemSettings):
    """Which images to use and how to read them."""

    source: str = "digits"
    """`digits` (built in), a `.npz`, `.npy` or `.npy.xz` file, a folder of images, of arrays or
    of MNIST files, images in a `.zip`, `.tar` or `.parquet` or a folder of such, or `hf:NAME`."""
    x: str | None = None
    """The column of images, or of data from Python their key, where there may be several (of
    `.parquet`, dicts, and the array of a `.npz` with one sample)."""
    y: str | None = None
    """The column of classes of `.parquet`, their key in a `.json` beside each image or in dicts
    from Python; none: one with a usual name, as `label`."""
    size: Sides = None
    """Height and width in pixels (one number for a square): image files are resized to cover it
    and cropped at the centre, before anything else is cropped."""
    layout: Layout = None
    """Where arrays have their channels: `NHWC` (last) or `NCHW`; none: where only one axis can be
    them. In a folder of `.npy` without class folders it also says that each is one sample."""
    channels: PositiveInt | None = None
    """Convert image files to grey (1) or RGB (3). Files of other channels are as they are, and
    must have so many."""
    depth: Literal[8, 16] | None = None
    """Bring image files of 8 and 16 bits a value to the scale of 8, or of 16 as floats."""
    frames: Frames = "first"
    """What is read of TIFF files with several pages: the `first`, or all as `channels`."""
    broken: Broken = "stop"
    """What is done about images that cannot be read: `stop`, with the names of all, or `skip`,
    which counts them."""
    max_pixels: PositiveInt = 178_956_970
    """Pixels of an image file at most; a larger one counts as one that cannot be read."""
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
    mean: tuple[float, ...] = ()
    """What is taken off the channels, one number for each or for all, as a share of 255 where
    values have 8 bits; none: their means in the training images."""
    std: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """What the channels are divided by, likewise; none: their standard deviations."""

    def __post_init__(self) -> None:
        if bool(self.mean) != bool(self.std):
            raise UserError("data.mean and data.std go together: give both or none")


def load(data: ImageDataSettings, given: Any = None) -> ImageSplits:
    """Read the images that `data` describes, or those that are given from Python.

    Where the source has no test split, `holdout` of the images become one. Image files are decoded
    once if they fit 4 GiB, else whenever asked for.

    Raises:
        UserError: a source that does not exist or cannot be used, saying which and why.

    >>> digits = load(ImageDataSettings(source="digits"))
    >>> len(digits.train), len(digits.test), digits.train.shape
    (1438, 359, (1, 8, 8))
    """
    found = opened(data, given)
    if isinstance(found, Listed):
        looked = looked_at(found, data)
        refuse(looked.where, in_the_way(looked, data))
        train, test = decoded(looked, data.broken, data.holdout, data.limit)
    else:
        leave_out(found.where, numbered(found.broken), data.broken)
        train, test = array_splits(found, data)
    return ImageSplits(train, test, name_of(data) if given is None else "array")


def name_of(data: ImageDataSettings) -> str:
    """Return what a source is called."""
    name = data.source.removeprefix("hf:")
    if name == data.source:
        name = user_path(name).resolve().name
        for suffix in (".npy.xz", ".npy", ".npz", ".parquet", ZIP, *TARS):
            name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def read_all(data: ImageDataSettings, given: Any = None) -> Samples:
    """Read all images, those to train on first; what cannot be read is told of, and no error.

    Raises:
        UserError: a source that cannot be used, or none of its images.
    """
    found = opened(data, given)
    if isinstance(found, Listed):
        source, broken = readable(looked_at(found, data))
        return Samples(source, found.names if found.root else None, broken)
    if len(found.broken) == sum(map(len, found.parts)):
        raise UserError(f"{found.where}: none of the images can be read: {found.broken[0]}")
    parts = _without(found)
    return Samples(parts[0] if len(parts) == 1 else joined(*parts), None, found.broken)


def in_the_way(looked: Looked, data: ImageDataSettings) -> list[Problem]:
    """Return all that keeps pictures from being used together."""
    found = list(looked.listed.problems)
    if data.broken == "stop":
        others = looked.named({k: v for k, v in looked.broken.items() if k not in looked.large})
        found += _broken(others, {"data.broken": "skip"}, "cannot be read", "mend or remove them")
        most = max((looked.census.read[row].pixels for row in looked.large), default=0)
        large = looked.named(looked.large)
        found += _broken(large, {"data.max_pixels": str(most)}, "are too large", "resize them")
    if not len(looked.kept):
        if not found:
            found.append(Problem(f"none of {len(looked.listed.names)} pictures can be read"))
        return found

    names, become = looked.listed.names, looked.pictures.become
    return found + problems(
        looked.headers, names, become, lambda usual: proposed_side(usual, data.patch)
    )


def proposed_side(usual: int, patch: tuple[int, int] | None) -> int:
    """Return a side of squares that a patch, or one that is found, divides; about the usual.

    >>> proposed_side(50, None), proposed_side(50, (7, 7)), proposed_side(5, None)
    (48, 49, 8)
    """
    unit = 8 if patch is None else math.lcm(*patch)
    return max(usual // unit * unit, unit if patch is None else 2 * unit)


def _broken(
    broken: Mapping[str, str], mended: Mapping[str, str], what: str, way_out: str
) -> list[Problem]:
    if not broken:
        return []
    names = few([f"{name} ({why})" for name, why in broken.items()], 100)
    return [Problem(f"{len(broken)} {what}: {names}: {way_out}", mended)]


def refuse(where: str, found: Sequence[Problem]) -> None:
    """Refuse data with what stands in the way, and the settings that mend it.

    Raises:
        UserError: something does.
    """
    if found:
        told = []
        for each in found:
            ways = " and ".join(option(key, value) for key, value in each.settings.items())
            told.append(each.text + (f", or give {ways}" if ways else ""))
        raise UserError(f"{where}: {'; '.join(told)}")


def looked_at(listed: Listed, data: ImageDataSettings) -> Looked:
    """Look at the headers of pictures."""
    return look(listed, Become(data.size, data.channels, data.depth), data.max_pixels)


def array_splits(found: Arrays, data: ImageDataSettings) -> list[ImageSource]:
    """Return images to train and to test on, without those that cannot be read.

    Raises:
        UserError: too few.
    """
    parts = _without(found)
    train, test = parts if len(parts) == 2 else hold_out(parts[0], data.holdout)
    return [train if data.limit is None else first_shuffled(train, data.limit), test]


def _without(found: Arrays) -> list[ImageSource]:
    """Return the parts without images that cannot be read."""
    if not found.broken:
        return list(found.parts)
    parts, start = [], 0
    for part in found.parts:
        numbers = np.arange(start, start + len(part))
        parts.append(part.take(np.flatnonzero(~np.isin(numbers, list(found.broken)))))
        start += len(part)
    return parts


def numbered(broken: Mapping[int, str]) -> dict[str, str]:
    """Return what is wrong with images by their numbers, which begin with 1."""
    return {f"image {number + 1}": why for number, why in broken.items()}


_kept: list[tuple[Any, Any, Arrays | Listed]] = []  # what a dry look has read, for the load


def opened(data: ImageDataSettings, given: Any = None, *, keep: bool = False) -> Arrays | Listed:
    """Return the images of a source, or pictures of which none is looked at yet.

    What a dry look reads is kept for the load that follows, unless it has changed.

    Raises:
        UserError: it does not exist, or cannot be used.
    """
    key = _key(data, given)
    # Pictures that are listed are so for any size.
    known = _kept and (_kept[0][1] == key or (given is not None and _kept[0][1] == []))
    if known and key is not None and _kept[0][0] is _inner(given):
        found = _kept[0][2]
    else:
        found = _open_source(data) if given is None else open_given(given, how_of(data))
    _kept.clear()
    if keep and key is not None:
        listed = given is not None and isinstance(found, Listed)
        _kept.append((_inner(given), [] if listed else key, found))
    _check_settings(found, data, given is not None)
    return found


def _key(data: ImageDataSettings, given: Any) -> list[Any] | None:
    """Return what tells whether a source has changed; None where it is not worth to keep it."""
    if given is not None:
        # What a program can change in place is looked at anew.
        given = _inner(given)
        return None if hasattr(given, "ndim") or isinstance(given, (tuple, list)) else [data.size]
    path, stamps = user_path(data.source), []
    if path.is_file():
        stamps = [stamp(path)]
    elif path.is_dir():
        arrays = sorted(file for file in path.iterdir() if is_array(file) and file.is_file())
        if not arrays:
            return None
        stamps = [stamp(file) for file in arrays]
    settings = (data.layout, data.classes, data.x, data.y, data.frames, data.channels, data.depth)
    return [data.source, settings, stamps]


def _inner(given: Any) -> Any:
    return given.data if isinstance(given, Items) else given


def how_of(data: ImageDataSettings) -> How:
    """Return how single pictures become images."""
    return How(Become(data.size, data.channels, data.depth), data.layout, data.max_pixels)


def _open_source(data: ImageDataSettings) -> Arrays | Listed:
    if data.source == "array":
        raise UserError("this run was given arrays: give them again, as data=")
    if data.source == "digits":
        return _digits()
    if data.source.startswith("hf:"):
        if data.classes:
            raise _no_classes(data)
        return list_hub(data.source)
    path = user_path(data.source)
    if not path.exists():
        beside = [str(path.parent / p.name) for p in path.parent.glob("*")]  # none if no parent
        match = difflib.get_close_matches(str(path), ["digits", *beside], n=1, cutoff=0.6)
        hint = f"did you mean '{match[0]}'?" if match else "built-in data: digits"
        raise UserError(
            f"no file or folder '{data.source}'; {hint} (a recipe's images are named by"
            f" {option('data.source')}; Hugging Face data sets are written hf:NAME)"
        )
    if path.is_dir():
        return read_folder(path, data.layout) or _in_folder(path, data)
    if is_array(path):
        return read_file(path, data.layout)
    if (packed := _packed(path, data)) is not None:
        return packed
    hint = "give its folder" if path.suffix.lower() in PICTURES else "expected a folder"
    raise UserError(
        f"{path}: not a set of images; {hint}, .npz, .npy, .npy.xz,"
        " .zip, .tar, .parquet or hf:NAME"
    )


def _in_folder(path: Path, data: ImageDataSettings) -> Listed:
    try:
        return list_folder(path, data.classes, _reading(data), data.y)
    except NoPicturesError:
        if (packed := _packed(path, data)) is not None:
            return packed
        raise


def _packed(path: Path, data: ImageDataSettings) -> Listed | None:
    return list_packed(path, data.classes, _reading(data), data.x, data.y)


def _reading(data: ImageDataSettings) -> Reading:
    return Reading(data.layout, data.frames, data.x, data.channels, data.depth == 16)


def _no_classes(data: ImageDataSettings) -> UserError:
    return UserError(
        f"classes={','.join(data.classes)}: {data.source} is no folder of images, which alone"
        " has class folders to choose from: leave classes out"
    )


def _check_settings(found: Arrays | Listed, data: ImageDataSettings, given: bool) -> None:
    """Refuse settings that are for other sources."""
    if given and data.classes:
        raise UserError("data.classes chooses among folders of images: leave it out for arrays")
    if isinstance(found, Listed):
        return
    if data.classes:
        raise _no_classes(data)
    where = "data" if given else data.source
    channels, height, width = found.parts[0].shape
    if data.size not in (None, (height, width)):
        raise UserError(
            f"size={data.size}: {where} is an array of {height}x{width} images; size is "
            "for image files, so resize the array or leave size out"
        )
    if data.channels not in (None, channels):
        raise UserError(
            f"channels={data.channels}: {where} is an array with {channels} channels; "
            "channels is for image files, so convert the array or leave channels out"
        )


def _digits() -> Arrays:
    """Return scikit-learn's 1,797 handwritten digits, 8 x 8, with grey levels 0..16 as 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return of_arrays(images, digits.target, where="digits")
