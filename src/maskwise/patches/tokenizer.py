"""What cuts samples into patches: the protocols that models of patches ask for."""

from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from maskwise.modality import Tokenizer

Statistics = Literal["visible", "true"]
"""where the mean and variance of a hidden patch come from"""


class PatchTokenizer(Tokenizer, Protocol):
    """Samples on a grid that are cut into patches, each a vector of values."""

    @property
    def token_dim(self) -> int:
        """Values in a token."""

    @property
    def log_scale(self) -> float:
        """Log of how much larger a token's volume is in raw units than standardised."""

    def tokenize(self, batch: Tensor) -> Tensor:
        """Return tokens, float32 [B, L, token_dim]."""

    def target_of(self, tokens: Tensor) -> Tensor:
        """Return what is to be predicted at each token, [..., token_dim]."""

    def fill(
        self, batch: Tensor, prediction: Tensor, hidden: Tensor, statistics: Statistics
    ) -> Tensor:
        """Return the batch, in raw units, with hidden positions replaced by predictions."""

    def untokenize(self, tokens: Tensor) -> Tensor:
        """Return the batch, in raw units, that has these tokens."""

    def spread(self, hidden: Tensor) -> Tensor:
        """Return which values of a batch are of hidden positions, to be broadcast against it."""


@runtime_checkable
class PictureTokenizer(PatchTokenizer, Protocol):
    """Samples that are pictures, as networks of pictures read them."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a picture."""

    def picture(self, tokens: Tensor) -> Tensor:
        """Return the standardised pictures that have these tokens, float32 [B, C, H, W]."""
