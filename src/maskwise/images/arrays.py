"""Images in arrays: of files, of folders of such, and as they are given from Python."""

import os
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from maskwise.errors import UserError, option
from maskwise.images.array_files import Layout, why_not_one_each
from maskwise.images.endings import is_picture
from maskwise.images.images import ImageSource, array_source
from maskwise.textio import OPENERS, encode_labels, few, is_data, readable

_KEYS = ("x", "y", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class Arrays:
    """Images of a source that are in memory: to train on and, if there are any, to test on.

    Args:
        where: what messages call the source.
        parts: one or two sources, with all images.
        broken: by number from 0, what is wrong with images; those of the second part come after
            those of the first.
    """

    where: str
    parts: Sequence[ImageSource]
    broken: Mapping[int, str]


def read_file(path: Path, layout: Layout) -> Arrays:
    """Read the images of a .npz, .npy or .npy.xz.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    if path.suffix == ".npz":
        return _read_npz(path, layout)
    return of_arrays(_check_images(_read_array(path), str(path), layout), where=str(path))


def is_array(path: Path) -> bool:
    """Say whether a file is one of arrays by its name."""
    return path.suffix in (".npz", ".npy") or path.name.endswith(".npy.xz")


def of_values(x: Any, y: Any = None, layout: Layout = None) -> Arrays:
    """Return images in memory, NumPy [N, H, W] or [N, H, W, C] or torch [N, H, W] or [N, C, H, W].

    Labels are [N], or None. `layout` says where arrays have their channels.

    Raises:
        UserError: something else.
    """
    # Those of tensors are second, and last when they have become an array.
    layout = "NHWC" if isinstance(x, torch.Tensor) else layout
    images = _check_images(_to_numpy(x), "array: x", layout)
    return of_arrays(images, None if y is None else _to_numpy(y), where="array")


def _to_numpy(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        array = (values.float() if values.is_floating_point() else values).numpy()
        return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array  # channels are second
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        return np.ma.filled(values.astype(np.float32), np.nan)  # NaN is what is not there
    try:
        return np.asarray(values)
    except ValueError:  # rows of different lengths
        raise UserError("array: images must all have one shape: make them alike first") from None


def labels_of(y: Any, num: int) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Return labels of so many images as numbers, and the classes; None without labels.

    Raises:
        UserError: they are no classes, or more or fewer.
    """
    if y is None:
        return None, None
    if len(y) != num:
        raise UserError(f"array: y: {len(y)} labels for {num} images")
    return encode_labels(_to_numpy(y), "array: y")


def _read_npz(path: Path, layout: Layout) -> Arrays:
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
    return of_arrays(**found, where=str(path))


def read_folder(folder: Path, layout: Layout) -> Arrays | None:
    """Read x_train*, y_train*, x_test*, y_test* in parts, or the four files of MNIST.

    Returns:
        The images, or None of a folder without arrays.

    Raises:
        UserError: files of arrays that cannot be read, or are called otherwise.
    """
    parts = _files_of_arrays(folder)
    if not parts["x"]:
        files = sorted([*folder.glob("*.npy*"), *folder.glob("*.npz")])
        others = [file for file in files if is_data(file)]
        if not others:
            return None
        pictures = [file.name for file in folder.iterdir() if is_data(file) and is_picture(file)]
        why = f"{min(pictures)} is a picture" if pictures else why_not_one_each(others, layout)
        if not why:
            return None  # each is one sample
        raise UserError(
            f"{folder}: found {few([file.name for file in others], 6)}; a folder of arrays needs"
            " x_train*.npy and optionally y_train*, x_test*, y_test*; or give one .npz file, or"
            f" files of one sample each ({why})"
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
    return of_arrays(**found, where=str(folder), labels="y_train")


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


def of_arrays(
    x: np.ndarray,
    y: np.ndarray | None = None,
    x_test: np.ndarray | None = None,
    y_test: np.ndarray | None = None,
    *,
    where: str,
    labels: str = "y",
) -> Arrays:
    """Return checked images to train and, if there are any, to test on.

    `where` and `labels` are what messages call the arrays and the labels to train on.

    Raises:
        UserError: arrays that do not fit each other.
    """
    codes, classes = _encoded(y, y_test, where, labels)
    for array, of, name in ((y, x, labels), (y_test, x_test, "y_test")):
        if array is not None and of is not None and len(array) != len(of):
            raise UserError(f"{where}: {name}: {len(array)} labels for {len(of)} images")
    if x_test is None:
        if y_test is not None:
            raise UserError(f"{where}: test labels without test images")
        return Arrays(where, [array_source(x, codes, classes)], not_finite(x))
    if x.shape[1:] != x_test.shape[1:]:
        raise UserError(
            f"{where}: training images are {x.shape[1:]} and test images {x_test.shape[1:]} "
            "(H, W, C); both must be the same"
        )
    dtype = np.result_type(x, x_test)  # float32 where either is
    x, x_test = x.astype(dtype, copy=False), x_test.astype(dtype, copy=False)
    if (y is None) != (y_test is None):
        given, lacking = ("test", "training") if y is None else ("training", "test")
        raise UserError(f"{where}: {given} images have labels and {lacking} images have none")
    both = [None, None] if codes is None else np.split(codes, [len(x)])
    parts = [array_source(each, of, classes) for each, of in zip((x, x_test), both, strict=True)]
    later = {len(x) + number: why for number, why in not_finite(x_test).items()}
    return Arrays(where, parts, not_finite(x) | later)


def _encoded(
    y: np.ndarray | None, y_test: np.ndarray | None, where: str, name: str
) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Return the labels of all images as numbers, and the classes; None without labels."""
    if y is None:
        return None, None
    encode_labels(y, f"{where}: {name}")  # says which of the two cannot be used
    if y_test is None:
        return encode_labels(y, f"{where}: {name}")
    encode_labels(y_test, f"{where}: y_test")
    return encode_labels(np.concatenate([y, y_test]), f"{where}: {name} and y_test")


def not_finite(x: np.ndarray) -> dict[int, str]:
    """Return which images [N, H, W, C] have values that are NaN or infinite, and how many."""
    if x.dtype.kind != "f":
        return {}
    bad = (~np.isfinite(x)).reshape(len(x), -1).sum(axis=1)
    size = x[0].size
    return {
        int(row): f"{bad[row]} of {size} values are NaN or infinite" for row in np.flatnonzero(bad)
    }


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
    elif (layout or layout_of(x.shape, where)) == "NCHW":
        x = x.transpose(0, 2, 3, 1)
    if x.dtype.kind in "biu" and x.min() >= 0 and x.max() <= 255:
        return x.astype(np.uint8, copy=False)
    with np.errstate(over="ignore"):  # too large for float32 is inf, which is told of
        return x.astype(np.float32, copy=False)


def layout_of(shape: tuple[int, ...], where: str) -> Layout:
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
        f" give {option('data.layout', 'NHWC')} or NCHW"
    )
