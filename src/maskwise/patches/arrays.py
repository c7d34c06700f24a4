"""Arrays in memory whose last axis is a token: what a new kind of data on a grid starts from.

And what a model makes of samples, be they in memory or read ahead.
"""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskwise.measure.features import frozen, in_batches
from maskwise.modality import Entries, Pool, Source
from maskwise.patches.model import PatchModel, Statistics
from maskwise.progress import track
from maskwise.rng import Keys

_PIECE = 16  # files that a thread reads at a time


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Samples in memory, with a class each where that is known.

    Args:
        samples: float32 [N, L1, ..., P], whose last axis holds the values of a token.
        labels: int64 [N], -1 = not known.
    """

    samples: Tensor
    labels: np.ndarray
    in_memory: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.samples)

    def get(self, indices: ArrayLike | Tensor) -> Tensor:
        """Return the samples at `indices`, [b, L1, ..., P]."""
        return self.samples[torch.as_tensor(np.asarray(indices))]

    def units(self, indices: ArrayLike | Tensor) -> None:
        """Every position is hidden for itself."""


@dataclass(frozen=True, eq=False)
class ArraySplits:
    """Samples to learn from and to evaluate on."""

    train: ArraySource
    test: ArraySource
    name: str


@dataclass(frozen=True)
class ArrayTokenizer:
    """How arrays become tokens: they are their last axis, standardised.

    >>> tokens = standardised("sounds", torch.randn(9, 24, 16))
    >>> tokens.grid, tokens.token_dim, tokens.tokenize(torch.randn(2, 24, 16)).shape
    ((24,), 16, torch.Size([2, 24, 16]))
    """

    modality: str
    grid: tuple[int, ...]
    token_dim: int
    mean: float
    std: float

    @property
    def log_scale(self) -> float:
        """Log of how much larger a token's volume is in raw units than standardised."""
        return self.token_dim * math.log(self.std)

    def tokenize(self, batch: Tensor) -> Tensor:
        """Return (x - mean) / std, float32 [B, L, token_dim]."""
        return ((batch - self.mean) / self.std).flatten(1, -2)

    def untokenize(self, tokens: Tensor) -> Tensor:
        """Return the batch that has these tokens, [B, L1, ..., P]."""
        return (tokens * self.std + self.mean).unflatten(1, self.grid)

    def target_of(self, tokens: Tensor) -> Tensor:
        """Return the tokens themselves."""
        return tokens

    def fill(
        self, batch: Tensor, prediction: Tensor, hidden: Tensor, statistics: Statistics
    ) -> Tensor:
        """Return the batch with hidden positions replaced by predictions."""
        return torch.where(self.spread(hidden), self.untokenize(prediction), batch)

    def spread(self, hidden: Tensor) -> Tensor:
        """Return which values are of hidden positions, bool [B, L1, ..., 1]."""
        return hidden.unflatten(1, self.grid)[..., None]

    def eligible(self, batch: Tensor, keys: Keys | None = None) -> None:
        """Every position may be hidden."""

    def weights(self, batch: Tensor) -> None:
        """Every position counts the same."""

    def save(self, folder: Path) -> Entries:
        """Return the plain values that `restore` reads."""
        return asdict(self)

    @classmethod
    def restore(cls, folder: Path, values: Entries) -> "ArrayTokenizer":
        """Return the tokenizer that `save` told of."""
        return cls(**values | {"grid": tuple(values["grid"])})


def standardised(modality: str, samples: Tensor) -> ArrayTokenizer:
    """Return how samples to train on [N, L1, ..., P] become tokens of a kind of data.

    Mean and deviation are over all values.
    """
    _, *grid, values = samples.shape
    mean, std = float(samples.mean()), float(samples.std())
    return ArrayTokenizer(modality, tuple(grid), values, mean, std)


def unlabelled(samples: Tensor) -> ArraySource:
    """Return samples whose classes are not known, as a source."""
    return ArraySource(samples, np.full(len(samples), -1))


def read_ahead(source: Source, parts: Sequence[np.ndarray] | Sequence[Tensor]) -> Iterator[Tensor]:
    """Give the samples of each part in turn; those of files are read by all cores, a part ahead.

    >>> source = unlabelled(torch.zeros(5, 3, 2))
    >>> [len(samples) for samples in read_ahead(source, torch.arange(5).split(2))]
    [2, 2, 1]
    """
    if source.in_memory:
        yield from map(source.get, parts)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: list[list[Future[Tensor]]] = []
        for part in parts:
            pieces = np.array_split(np.asarray(part), -(-len(part) // _PIECE))
            waiting.append([pool.submit(source.get, piece) for piece in pieces])
            if len(waiting) > 1:
                yield torch.cat([piece.result() for piece in waiting.pop(0)])
        for last in waiting:
            yield torch.cat([piece.result() for piece in last])


def embed(
    model: PatchModel,
    source: Source,
    pool: Pool = "mean",
    layer: int = -1,
    batch_size: int = 512,
) -> np.ndarray:
    """Return features of samples, float32 [N, D], or [N, 2D] for "both"; nothing is hidden."""
    batches, parts = in_batches(np.arange(len(source)), batch_size), []
    with frozen(model) as device:
        for samples in track(read_ahead(source, batches), "features", len(batches)):
            encoded = model.encode(samples.to(device), pool, layer)
            parts.append(encoded.float().cpu().numpy())
    return np.concatenate(parts)
