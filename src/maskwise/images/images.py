"""Images: by index, as training and evaluation ask for them; and as tokens, for models."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskwise.errors import UserError, option
from maskwise.images.channels import given_channels
from maskwise.modality import Entries
from maskwise.patches.model import Statistics
from maskwise.rng import Keys
from maskwise.settings import from_dict, settings, to_dict
from maskwise.train.stream import StreamSource

Target = Literal["normalised", "raw"]

_EPSILON = 1e-6
WHITE = 255.0
"""the largest value of 8 bits"""


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSource:
    """Images by index, with labels if there are any.

    Args:
        shape: (C, H, W) of every image.
        read: turns row numbers [b] into images [b, H, W, C], uint8 or float32.
        rows: the rows that belong to this source [N]; index i is row ``rows[i]``.
        labels: class numbers [N], int64, -1 = no label; or None.
        classes: class names, or None.
        in_memory: whether there is nothing to decode; else loading deserves worker processes.

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

    def get(self, indices: ArrayLike) -> Tensor:
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
    """A data set ready for use: `train` to learn from, `test` to evaluate on.

    Of a stream they are its first images, and `stream` is what is learned from.
    """

    train: ImageSource
    test: ImageSource
    name: str
    stream: StreamSource | None = None


def array_source(
    images: np.ndarray, labels: np.ndarray | None = None, classes: tuple[str, ...] | None = None
) -> ImageSource:
    """Return the source of images [N, H, W, C] held in memory."""
    count, height, width, channels = images.shape
    return ImageSource(
        (channels, height, width), images.__getitem__, np.arange(count), labels, classes
    )


def hold_out(source: ImageSource, fraction: float) -> tuple[ImageSource, ImageSource]:
    """Split off `fraction` of the samples as a test split, see `held_out`."""
    held = held_out(len(source), source.labels, fraction)
    return source.take(np.flatnonzero(~held)), source.take(np.flatnonzero(held))


def held_out(total: int, labels: np.ndarray | None, fraction: float) -> np.ndarray:
    """Return which samples are held out for testing, every class in proportion, bool [N].

    Samples are shuffled, sorted by class, and taken at equal steps: there are exactly
    ``round(fraction * N)`` (at least one, at most N - 1), of each class its share to within one.
    A class of two or more that would have none there, or none to train on, gets one, in exchange
    for one of the class that is furthest above its share, if any can spare one. All this depends
    on the number of samples and their labels only.

    Raises:
        UserError: fewer than two samples.
    """
    if total < 2:
        raise UserError(f"{total} image is too few to split into train and test; give two or more")
    order = np.random.default_rng(0).permutation(total)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    count = min(max(round(fraction * total), 1), total - 1)
    steps = (2 * np.arange(count) + 1) * total // (2 * count)
    held = np.zeros(total, dtype=bool)
    held[order[steps]] = True
    if labels is not None:
        _let_all_be_there(held, labels, order, fraction)
    return held


def _let_all_be_there(
    held: np.ndarray, labels: np.ndarray, order: np.ndarray, fraction: float
) -> None:
    """Change which samples are held out so that classes of two or more are on both sides."""
    known = order[labels[order] >= 0]  # sorted by class
    _, starts, sizes = np.unique(labels[known], return_index=True, return_counts=True)
    members = np.split(known, starts[1:])
    for side in (True, False):  # in the test part, and to train on
        there = np.array([int((held[rows] == side).sum()) for rows in members])
        above = there - (fraction if side else 1 - fraction) * sizes
        for number in np.flatnonzero((there == 0) & (sizes > 1)):
            held[members[number][0]] = side
            giver = int(np.argmax(np.where(there > 1, above, -np.inf)))
            if there[giver] > 1:
                rows = members[giver]
                held[rows[held[rows] == side][-1]] = not side
                there[giver] -= 1
                above[giver] -= 1


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

    rows = np.arange(len(first) + len(second))
    return ImageSource(first.shape, read, rows, None, None, first.in_memory)


@settings
class Images:
    """How images of one shape become tokens; any channels, height, width and patch that divide.

    >>> images = Images(patch=(2, 4), channels=1, height=4, width=8, mean=(0.0,), std=(1.0,))
    >>> images.grid, images.tokenize(torch.zeros(5, 1, 4, 8)).shape
    ((2, 2), torch.Size([5, 4, 8]))
    """

    modality: ClassVar[str] = "images"

    patch: tuple[int, int]
    """patch height and width in pixels"""
    channels: int
    """channels of an image"""
    height: int
    """image height in pixels"""
    width: int
    """image width in pixels"""
    mean: tuple[float, ...]
    """mean of each channel over the training data, in raw units"""
    std: tuple[float, ...]
    """standard deviation of each channel over the training data, in raw units"""
    target: Target = "normalised"
    """what is predicted: each patch standardised by its own mean and variance, or raw pixels"""
    white: float = WHITE
    """the value of white in raw units: 255 of 8 bits a value, 1 of floats"""

    def __post_init__(self) -> None:
        size, patch = (self.height, self.width), self.patch
        if min(patch) < 1 or size[0] % patch[0] or size[1] % patch[1]:
            raise UserError(
                f"patch {patch[0]}x{patch[1]} does not divide images of {size[0]}x{size[1]}"
                f" (height x width): choose another {option('data.patch')} or"
                f" {option('data.size')}"
            )
        if self.target == "normalised" and self.token_dim == 1:
            way_out = option("data.target", "raw")
            raise UserError(f"a patch of one value has no variance: use {way_out}")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along height and width."""
        return self.height // self.patch[0], self.width // self.patch[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    @property
    def token_dim(self) -> int:
        """Values in a token: channels x patch height x patch width."""
        return self.channels * self.patch[0] * self.patch[1]

    @property
    def log_scale(self) -> float:
        """Sum over the values of a token of log std: raw density = density / exp(log_scale)."""
        return self.token_dim / self.channels * sum(map(math.log, self.std))

    def tokenize(self, images: Tensor) -> Tensor:
        """Return patches, standardised per channel, row by row, float32 [B, L, token_dim]."""
        expected = (self.channels, self.height, self.width)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise UserError(
                f"images have shape {tuple(images.shape)}; this model takes"
                f" [B, {self.channels}, {self.height}, {self.width}]"
            )
        mean, std = self._statistics(images)
        (rows, columns), (height, width) = self.grid, self.patch
        values = (images.to(torch.float32) - mean) / std
        patches = values.reshape(-1, self.channels, rows, height, columns, width)
        return patches.permute(0, 2, 4, 1, 3, 5).reshape(-1, rows * columns, self.token_dim)

    def target_of(self, tokens: Tensor) -> Tensor:
        """Return what is to be predicted at each token, [..., token_dim].

        Normalised: (t - mean(t)) / sqrt(var(t) + 1e-6) over the values of a patch, with the
        unbiased variance (MAE, arXiv 2111.06377, section 4.1).
        """
        if self.target == "raw":
            return tokens
        var, mean = torch.var_mean(tokens, dim=-1, keepdim=True)
        return (tokens - mean) / (var + _EPSILON).sqrt()

    def fill(
        self, images: Tensor, prediction: Tensor, hidden: Tensor, statistics: Statistics
    ) -> Tensor:
        """Return images whose hidden patches are the predictions, float32 [B, C, H, W], raw units.

        A normalised prediction [B, L, token_dim] lacks the mean and variance of its patch.
        "visible" takes them from the visible patches nearby; "true" takes the hidden patch's own,
        which leaks what was to be predicted and is for display only.
        """
        tokens = self.tokenize(images)
        if self.target == "normalised":
            var, mean = torch.var_mean(tokens, dim=-1, keepdim=True)
            std = (var + _EPSILON).sqrt()
            if statistics == "visible":
                mean, std = (_from_visible(value, hidden, self.grid) for value in (mean, std))
            prediction = prediction * std + mean
        return self.untokenize(torch.where(hidden[..., None], prediction, tokens))

    def eligible(self, images: Tensor, keys: Keys | None = None) -> None:
        """Every position may be hidden."""

    def weights(self, images: Tensor) -> None:
        """Every position counts the same in the loss."""

    def picture(self, tokens: Tensor) -> Tensor:
        """Return the standardised images of standardised patches, float32 [B, C, H, W]."""
        (rows, columns), (height, width) = self.grid, self.patch
        patches = tokens.reshape(-1, rows, columns, self.channels, height, width)
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(-1, *self.shape)

    def untokenize(self, tokens: Tensor) -> Tensor:
        """Return the images of standardised patches, float32 [B, C, H, W], in raw units."""
        images = self.picture(tokens)
        mean, std = self._statistics(images)
        return images * std + mean

    def spread(self, hidden: Tensor) -> Tensor:
        """Return which pixels lie in hidden patches, bool [B, 1, H, W] from [B, L]."""
        pixels = hidden.reshape(-1, 1, *self.grid)
        return pixels.repeat_interleave(self.patch[0], 2).repeat_interleave(self.patch[1], 3)

    def save(self, folder: Path) -> Entries:
        """Return plain values; there is no file to write."""
        return to_dict(self)

    @classmethod
    def load(cls, folder: Path, values: Entries) -> Self:
        """Read what `save` gave."""
        return from_dict(cls, values)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(value, device=like.device) for value in (self.mean, self.std))
        return mean.view(-1, 1, 1), std.view(-1, 1, 1)


def describe(
    source: ImageSource,
    patch: tuple[int, int] | None,
    target: Target,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> Images:
    """Return how images of a source become tokens.

    Args:
        source: images to train on, of which at most 10,000, evenly spread, are read.
        patch: height and width in pixels; None: the smallest square, of at least 2, that divides
            the images and cuts them into at most 200.
        target: what is predicted.
        mean: what is taken off channels, as shares of white, one for each or for all; none: their
            means. Three become their mean for images of one channel.
        std: what they are divided by, likewise; none: their standard deviations.

    Raises:
        UserError: another number of them, or those of values of another size.
    """
    channels, height, width = source.shape
    indices = torch.linspace(0, len(source) - 1, min(len(source), 10_000)).long()
    white = WHITE if source.get(indices[:1]).dtype == torch.uint8 else 1.0
    sums = torch.zeros(2, channels, dtype=torch.float64)
    for part in indices.split(500):
        values = source.get(part).to(torch.float64)
        sums += torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))]) * len(part)
    found, square = sums / len(indices)
    # A constant channel has no scale of its own; what is left of it is rounding.
    spread = (square - found.square()).clamp(min=0).sqrt()
    spread = torch.where(spread > 1e-7 * found.abs(), spread, 1.0)
    if mean and std:
        found, spread = given_channels(mean, std, white, found, spread)
    return Images(
        patch=patch or choose_patch(height, width),
        channels=channels,
        height=height,
        width=width,
        mean=tuple(found.tolist()),
        std=tuple(spread.tolist()),
        target=target,
        white=white,
    )


def choose_patch(height: int, width: int) -> tuple[int, int]:
    """Return the smallest square patch, of at least 2, that cuts an image into at most 200.

    Raises:
        UserError: there is none.
    """
    for side in range(2, min(height, width) // 2 + 1):
        if not height % side and not width % side and height * width // side**2 <= 200:
            return side, side
    raise UserError(
        f"no square patch cuts images of {height}x{width} into 4 to 200: give"
        f" {option('data.patch')}, height and width"
    )


def _from_visible(values: Tensor, hidden: Tensor, grid: tuple[int, int]) -> Tensor:
    """Replace the values [B, L, 1] of hidden patches by a mean over visible ones nearby.

    Weights fall off as exp(-distance² / 2) in patches; the global mean of the visible patches
    enters with a tiny weight, so that a patch far from every visible one still gets a value.
    """
    rows, columns = (torch.arange(side, device=values.device) for side in grid)
    places = torch.cartesian_prod(rows, columns).to(torch.float32)
    weights = torch.exp(-torch.cdist(places, places).square() / 2) + 1e-6
    visible = (~hidden).to(values.dtype)[..., None]
    seen = torch.where(hidden[..., None], 0, values)  # hidden ones may be unknown, NaN
    near = (weights @ seen) / (weights @ visible).clamp(min=1e-12)
    return torch.where(hidden[..., None], near, values)
