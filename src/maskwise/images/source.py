"""Where images come from, by index: how a source is split in two, and sources of array files."""

import dataclasses
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import ArrayLike

from maskwise.errors import UserError
from maskwise.textio import OPENERS, encode_labels, readable

_PIECE = 16  # pictures that a thread decodes at a time
_NPZ_KEYS = ("x", "y", "x_test", "y_test")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSource:
    """Images by index, with labels if there are any.

    Args:
        shape: (C, H, W) of every image.
        read: turns row numbers [b] into images [b, H, W, C], uint8 or float32.
        rows: the rows that belong to this source [N]; index i is row ``rows[i]``.
        labels: class numbers [N], int64, or None.
        classes: class names, or None.
        in_memory: False where `read` decodes files, so that loading deserves worker processes.

    >>> source = array_source(np.zeros((5, 4, 6, 1), np.uint8))
    >>> len(source), source.shape, source.get([0, 3]).shape
    (5, (1, 4, 6), torch.Size([2, 1, 4, 6]))
    """

    shape: tuple[int, int, int]
    read: Callable[[np.ndarray], np.ndarray]
    rows: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...] | None
    in_memory: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, indices: ArrayLike) -> torch.Tensor:
        """Return images [b, C, H, W] (stored channels last), uint8 or float32, at `indices`."""
        images = self.read(self.rows[np.asarray(indices, dtype=np.int64)])
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def units(self, indices: ArrayLike) -> None:
        """Every position is hidden for itself."""

    def take(self, indices: np.ndarray) -> "ImageSource":
        """Return the source of these samples only, in this order; nothing is copied or decoded."""
        labels = None if self.labels is None else self.labels[indices]
        return dataclasses.replace(self, rows=self.rows[indices], labels=labels)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSplits:
    """A data set ready for use: `train` to learn from, `test` to evaluate on."""

    train: ImageSource
    test: ImageSource
    name: str


def array_source(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    classes: tuple[str, ...] | None = None,
) -> ImageSource:
    """Return the source of images [N, H, W, C] held in memory."""
    count, height, width, channels = images.shape
    return ImageSource(
        (channels, height, width), images.__getitem__, np.arange(count), labels, classes
    )


def read_ahead(
    source: ImageSource, parts: Sequence[np.ndarray] | Sequence[torch.Tensor]
) -> Iterator[torch.Tensor]:
    """Give the images of each part in turn; files are decoded by all cores, a part ahead.

    >>> source = array_source(np.zeros((5, 4, 6, 1), np.uint8))
    >>> [len(images) for images in read_ahead(source, torch.arange(5).split(2))]
    [2, 2, 1]
    """
    if source.in_memory:
        yield from map(source.get, parts)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: list[list[Future[torch.Tensor]]] = []
        for part in parts:
            pieces = np.array_split(np.asarray(part), -(-len(part) // _PIECE))
            waiting.append([pool.submit(source.get, piece) for piece in pieces])
            if len(waiting) > 1:
                yield torch.cat([piece.result() for piece in waiting.pop(0)])
        for last in waiting:
            yield torch.cat([piece.result() for piece in last])


def hold_out(source: ImageSource, fraction: float) -> tuple[ImageSource, ImageSource]:
    """Split off `fraction` of the samples as a test split, every class in proportion.

    Samples are shuffled, sorted by class, and taken at equal steps: the test split has exactly
    ``round(fraction * N)`` samples (at least one, at most N - 1), of each class its share to
    within one. The split depends on the number of samples and their labels only.

    Raises:
        UserError: fewer than two images, or a fraction outside (0, 1).
    """
    if not 0 < fraction < 1:
        raise UserError(f"holdout={fraction}: must be between 0 and 1")
    total = len(source)
    if total < 2:
        raise UserError(f"{total} image is too few to split into train and test; give two or more")
    order = np.random.default_rng(0).permutation(total)
    if source.labels is not None:
        order = order[np.argsort(source.labels[order], kind="stable")]
    count = min(max(round(fraction * total), 1), total - 1)
    steps = (2 * np.arange(count) + 1) * total // (2 * count)
    held = np.zeros(total, dtype=bool)
    held[order[steps]] = True
    return source.take(np.flatnonzero(~held)), source.take(np.flatnonzero(held))


def first_shuffled(source: ImageSource, limit: int) -> ImageSource:
    """Return the first `limit` samples of a fixed shuffle: a smaller limit gives a prefix."""
    return source.take(np.random.default_rng(0).permutation(len(source))[:limit])


def joined(first: ImageSource, second: ImageSource) -> ImageSource:
    """Return one source with the samples of two of one shape, without labels.

    >>> one = array_source(np.zeros((5, 4, 6, 1), np.uint8))
    >>> len(joined(one, one))
    10
    """

    def read(rows: np.ndarray) -> np.ndarray:
        later = rows >= len(first)
        parts = [first.read(first.rows[rows[~later]])]
        parts.append(second.read(second.rows[rows[later] - len(first)]))
        return np.concatenate(parts)[np.argsort(np.argsort(later, kind="stable"), kind="stable")]

    rows, in_memory = np.arange(len(first) + len(second)), first.in_memory and second.in_memory
    return ImageSource(first.shape, read, rows, None, None, in_memory)


def check_images(x: np.ndarray, where: str) -> np.ndarray:
    """Return images as uint8 or float32 [N, H, W, C].

    uint8 and bool stay as they are, as do other integers within 0..255; all else becomes float32.

    Args:
        x: [N, H, W] or [N, H, W, C].
        where: the file or argument, for messages.

    Raises:
        UserError: not numbers, another number of axes, no images, channels first, NaN or inf.
    """
    if x.dtype.kind not in "biuf":
        raise UserError(f"{where}: images must be numbers, got {x.dtype}")
    if x.ndim not in (3, 4):
        raise UserError(f"{where}: images must be [N, H, W] or [N, H, W, C], got {x.shape}")
    if 0 in x.shape:
        raise UserError(f"{where}: no images in an array of shape {x.shape}")
    x = x[..., None] if x.ndim == 3 else x
    _, height, width, channels = x.shape
    if channels > 4 and channels in (height, width) and {height, width} & {1, 3}:
        raise UserError(
            f"{where}: {x.shape} read as [N, H, W, C] has {channels} channels; channels come "
            "last in files and NumPy arrays and second in torch tensors"
        )
    if x.dtype.kind in "biu" and x.min() >= 0 and x.max() <= 255:
        return x.astype(np.uint8, copy=False)
    with np.errstate(over="ignore"):  # too large for float32 is inf, reported below
        x = x.astype(np.float32, copy=False)
    bad = x.size - np.count_nonzero(np.isfinite(x))
    if bad:
        raise UserError(f"{where}: {bad} of {x.size} values are NaN or infinite; clean them first")
    return x


def check_labels(y: np.ndarray, count: int, where: str) -> np.ndarray:
    """Return labels [N] unchanged if they are integers or strings, one per image."""
    if y.dtype.kind not in "biuU" or y.ndim != 1:
        raise UserError(f"{where}: labels must be integers [N], got {y.dtype} of shape {y.shape}")
    if len(y) != count:
        raise UserError(f"{where}: {len(y)} labels for {count} images")
    return y


def array_sources(
    x: np.ndarray,
    y: np.ndarray | None,
    x_test: np.ndarray | None,
    y_test: np.ndarray | None,
    where: str,
) -> tuple[ImageSource, ImageSource | None]:
    """Return the train source and, where there is `x_test`, the test source, of checked arrays.

    Raises:
        UserError: the splits differ in shape, or only one of them has labels.
    """
    if x_test is None:
        if y_test is not None:
            raise UserError(f"{where}: test labels without test images")
        return (array_source(x, *encode_labels(y)) if y is not None else array_source(x)), None
    if x.shape[1:] != x_test.shape[1:]:
        raise UserError(
            f"{where}: training images are {x.shape[1:]} and test images {x_test.shape[1:]} "
            "(H, W, C); both must be the same"
        )
    dtype = np.result_type(x, x_test)  # float32 where either is
    x, x_test = x.astype(dtype, copy=False), x_test.astype(dtype, copy=False)
    if y is None and y_test is None:
        return array_source(x), array_source(x_test)
    if y is None or y_test is None:
        given, lacking = ("test", "training") if y is None else ("training", "test")
        raise UserError(f"{where}: {given} images have labels and {lacking} images have none")
    codes, classes = encode_labels(np.concatenate([y, y_test]))
    return (
        array_source(x, codes[: len(y)], classes),
        array_source(x_test, codes[len(y) :], classes),
    )


def read_arrays(path: Path) -> tuple[ImageSource, ImageSource | None] | None:
    """Read an `.npz`, `.npy` or `.npy.xz` file, or a folder of arrays or of MNIST files.

    Returns:
        The train source and the test source, if there is one; None if `path` holds no arrays.

    Raises:
        UserError: arrays that cannot be read, or a folder of others than those expected.
    """
    if not path.is_dir():
        if path.suffix == ".npz":
            return _read_npz(path)
        if path.suffix == ".npy" or path.name.endswith(".npy.xz"):
            return array_source(check_images(_read_array(path), str(path))), None
        return None
    if any(path.glob("train-images-idx3-ubyte*")):
        return _read_parts(path, _mnist_files(path))
    if any(path.glob("x_train*.npy*")):
        return _read_parts(path, _array_files(path))
    arrays = sorted(file.name for file in [*path.glob("*.npy*"), *path.glob("*.npz")])
    if arrays:
        raise UserError(
            f"{path}: found {', '.join(arrays[:6])}; a folder of arrays needs x_train*.npy "
            "and optionally y_train*, x_test*, y_test*; or give one .npz file"
        )
    return None


def _read_npz(path: Path) -> tuple[ImageSource, ImageSource | None]:
    """Read `x` and optional `y`, `x_test`, `y_test` from an `.npz` file."""
    with readable(path), path.open("rb") as archive:  # np.load leaves broken files open
        if not zipfile.is_zipfile(path):
            raise ValueError("not an .npz archive")
        file = np.load(archive, allow_pickle=False)
        keys = list(file)
        found = {key: file[key] for key in keys if key in _NPZ_KEYS}
    if "x" not in keys or len(found) < len(keys):
        raise UserError(
            f"{path}: keys found: {', '.join(keys) or 'none'}; expected x [N, H, W] or "
            "[N, H, W, C] and optionally y, x_test, y_test"
        )
    for key in ("x", "x_test"):
        if key in found:
            found[key] = check_images(found[key], f"{path}: {key}")
    for key, images in (("y", "x"), ("y_test", "x_test")):
        if key in found and images in found:
            found[key] = check_labels(found[key], len(found[images]), f"{path}: {key}")
    y, x_test, y_test = map(found.get, _NPZ_KEYS[1:])
    return array_sources(found["x"], y, x_test, y_test, str(path))


def _array_files(folder: Path) -> dict[str, list[Path]]:
    """Find x_train*, y_train*, x_test*, y_test* (`.npy` or `.npy.xz`), parts in order."""
    return {
        key: sorted([*folder.glob(f"{key}*.npy"), *folder.glob(f"{key}*.npy.xz")])
        for key in ("x_train", "y_train", "x_test", "y_test")
    }


def _mnist_files(folder: Path) -> dict[str, list[Path]]:
    """Find the four MNIST files (plain, `.gz` or `.xz`); labels and test files may be missing."""
    names = {
        "x_train": "train-images-idx3-ubyte",
        "y_train": "train-labels-idx1-ubyte",
        "x_test": "t10k-images-idx3-ubyte",
        "y_test": "t10k-labels-idx1-ubyte",
    }
    ends = ("", ".gz", ".xz")
    return {
        key: [folder / (name + end) for end in ends if (folder / (name + end)).exists()][:1]
        for key, name in names.items()
    }


def _read_parts(
    folder: Path, parts: dict[str, list[Path]]
) -> tuple[ImageSource, ImageSource | None]:
    # Decompression leaves Python, so threads read the parts side by side.
    files = [path for paths in parts.values() for path in paths]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        arrays = dict(zip(files, pool.map(_read_array, files), strict=True))
    found: dict[str, np.ndarray | None] = {}
    for split in ("train", "test"):
        images, labels = parts[f"x_{split}"], parts[f"y_{split}"]
        x = _join([(path, check_images(arrays.pop(path), str(path))) for path in images])
        y = _join([(path, arrays[path]) for path in labels])
        if y is not None and x is not None:
            y = check_labels(y, len(x), f"{folder}: y_{split}")
        found |= {f"x_{split}": x, f"y_{split}": y}
    x_train = found.pop("x_train")
    assert x_train is not None  # the caller chose this reader because there is one
    return array_sources(x_train, found["y_train"], found["x_test"], found["y_test"], str(folder))


def _join(parts: Sequence[tuple[Path, np.ndarray]]) -> np.ndarray | None:
    if not parts:
        return None
    path, first = parts[0]
    for other, array in parts[1:]:
        if array.shape[1:] != first.shape[1:]:
            raise UserError(
                f"{other}: shape {array.shape} does not continue {path.name}, {first.shape}"
            )
    return np.concatenate([array for _, array in parts]) if len(parts) > 1 else first


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
