"""Kinds of data: how each is loaded, tokenized, and what is predicted of it."""

from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor

from maskwise.rng import Keys


class Source(Protocol):
    """Samples by index."""

    @property
    def in_memory(self) -> bool:
        """Whether reading is so fast that it needs no processes of its own."""

    def __len__(self) -> int: ...

    def get(self, indices: Any) -> Tensor:
        """Return the samples at `indices`, [b, ...]."""

    def units(self, indices: Any) -> Tensor | None:
        """Return which positions are hidden together, int64 [b, L]; None if each is its own."""


class Modality(Protocol):
    """What a masked model asks of its data."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Positions along each axis; their product is L."""

    @property
    def token_dim(self) -> int:
        """Values in a token."""

    @property
    def log_scale(self) -> float:
        """Log of how much larger a token's volume is in raw units than standardised."""

    def tokenize(self, batch: Tensor) -> Tensor:
        """Return tokens, float32 [B, L, token_dim]."""

    def eligible(self, batch: Tensor, keys: Keys | None = None) -> Tensor | None:
        """Return what may be hidden, bool [B, L], None = all: in a step with `keys`, or ever."""

    def weights(self, batch: Tensor) -> Tensor | None:
        """Return what each position counts in the loss, float32 [B, L]; None = all the same."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Return plain values that `load` reads; write what else it needs."""

    def target_of(self, tokens: Tensor) -> Tensor:
        """Return what is to be predicted at each token, [..., token_dim]."""

    def fill(
        self,
        batch: Tensor,
        prediction: Tensor,
        hidden: Tensor,
        statistics: Literal["visible", "true"],
    ) -> Tensor:
        """Return the batch, in raw units, with hidden positions replaced by predictions."""

    def untokenize(self, tokens: Tensor) -> Tensor:
        """Return the batch, in raw units, that has these tokens."""

    def spread(self, hidden: Tensor) -> Tensor:
        """Return which values of a batch are of hidden positions, to be broadcast against it."""
