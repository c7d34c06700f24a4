"""Images as tokens: standardise, cut into patches, make targets, and put patches back."""

import math
from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.images.source import ImageSource
from maskwise.modality import Entries
from maskwise.patches.model import Statistics
from maskwise.rng import Keys
from maskwise.settings import from_dict, settings, to_dict

Target = Literal["normalised", "raw"]

_EPSILON = 1e-6


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

    def __post_init__(self) -> None:
        size, patch = (self.height, self.width), self.patch
        if min(patch) < 1 or size[0] % patch[0] or size[1] % patch[1]:
            raise UserError(
                f"patch {patch[0]}x{patch[1]} does not divide images of {size[0]}x{size[1]}"
                " (height x width): choose another --data.patch or --data.size"
            )
        if self.target == "normalised" and self.token_dim == 1:
            raise UserError("a patch of one value has no variance: use --data.target raw")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along height and width."""
        return self.height // self.patch[0], self.width // self.patch[1]

    @property
    def token_dim(self) -> int:
        """Values in a token: channels x patch height x patch width."""
        return self.channels * self.patch[0] * self.patch[1]

    @property
    def log_scale(self) -> float:
        """Sum over the values of a token of log std: raw density = density / exp(log_scale)."""
        return self.token_dim / self.channels * sum(map(math.log, self.std))

    def standardise(self, images: Tensor) -> Tensor:
        """Return (images - mean) / std per channel, float32 [B, C, H, W]."""
        expected = (self.channels, self.height, self.width)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise UserError(
                f"images have shape {tuple(images.shape)}; this model takes"
                f" [B, {self.channels}, {self.height}, {self.width}]"
            )
        mean, std = self._statistics(images)
        return (images.to(torch.float32) - mean) / std

    def tokenize(self, images: Tensor) -> Tensor:
        """Return standardised patches in row-major order, float32 [B, L, token_dim]."""
        (rows, columns), (height, width) = self.grid, self.patch
        patches = self.standardise(images).reshape(-1, self.channels, rows, height, columns, width)
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

        A normalised prediction lacks the mean and variance of its patch. "visible" takes them
        from the visible patches nearby; "true" takes the hidden patch's own, which leaks what was
        to be predicted and is for display only.

        Args:
            images: [B, C, H, W].
            prediction: [B, L, token_dim], read at hidden positions.
            hidden: bool [B, L].
            statistics: see above.
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

    def untokenize(self, tokens: Tensor) -> Tensor:
        """Return the images of standardised patches, float32 [B, C, H, W], in raw units."""
        (rows, columns), (height, width) = self.grid, self.patch
        patches = tokens.reshape(-1, rows, columns, self.channels, height, width)
        images = patches.permute(0, 3, 1, 4, 2, 5).reshape(
            -1, self.channels, self.height, self.width
        )
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


def describe(source: ImageSource, patch: tuple[int, int] | None, target: Target) -> Images:
    """Return how images of a source become tokens, with the statistics of its channels.

    Args:
        source: the training images; at most 10,000, evenly spread, are read.
        patch: height and width in pixels; None takes the smallest square, of at least 2, that
            divides the images and cuts them into at most 200.
        target: what is predicted.
    """
    channels, height, width = source.shape
    indices = torch.linspace(0, len(source) - 1, min(len(source), 10_000)).long()
    sums = torch.zeros(2, channels, dtype=torch.float64)
    for part in indices.split(500):
        values = source.get(part).to(torch.float64)
        sums += torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))]) * len(part)
    mean, square = sums / len(indices)
    # A constant channel has no scale of its own; what is left of it is rounding.
    std = (square - mean.square()).clamp(min=0).sqrt()
    std = torch.where(std > 1e-7 * mean.abs(), std, 1.0)
    return Images(
        patch=patch or _choose_patch(height, width),
        channels=channels,
        height=height,
        width=width,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        target=target,
    )


def _choose_patch(height: int, width: int) -> tuple[int, int]:
    for side in range(2, min(height, width) // 2 + 1):
        if not height % side and not width % side and height * width // side**2 <= 200:
            return side, side
    raise UserError(
        f"no square patch cuts images of {height}x{width} into 4 to 200: give --data.patch H,W"
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
