"""Kinds of data: how each is loaded, tokenized, and what is predicted of it."""

from typing import Literal, Protocol

from torch import Tensor


class Modality(Protocol):
    """What a masked model asks of its data."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Positions along each axis; their product is L."""

    @property
    def token_dim(self) -> int:
        """Values in a token."""

    def tokenize(self, batch: Tensor) -> Tensor:
        """Return tokens, float32 [B, L, token_dim]."""

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
