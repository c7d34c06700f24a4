"""What training and evaluation read images from: a `ImageSource`, and how one is split in two."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from maskwise.errors import UserError

_PIECE = 16  # pictures that a thread decodes at a time


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

    def get(self, indices: Sequence[int] | np.ndarray | torch.Tensor) -> torch.Tensor:
        """Return images [b, C, H, W] (stored channels last), uint8 or float32, at `indices`."""
        images = self.read(self.rows[np.asarray(indices, dtype=np.int64)])
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def units(self, indices: Sequence[int] | np.ndarray | torch.Tensor) -> None:
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
    return (
        source.take(np.flatnonzero(~held)),
        source.take(np.flatnonzero(held)),
    )


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
        parts = [first.read(first.rows[rows[rows < len(first)]])]
        parts.append(second.read(second.rows[rows[rows >= len(first)] - len(first)]))
        order = np.argsort(np.argsort(rows >= len(first), kind="stable"), kind="stable")
        return np.concatenate(parts)[order]

    return ImageSource(
        first.shape,
        read,
        np.arange(len(first) + len(second)),
        None,
        None,
        first.in_memory and second.in_memory,
    )
