"""Dilated convolutions over token sequences (the design of GPN)."""

import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.layers.transformer import Norm
from maskwise.tokens.network import BlockNetwork

# Distances between the weights of a convolution, block by block, and again from the first.
DILATIONS = (1, 2, 4, 8, 16, 32)


class Block(nn.Module):
    """x + gelu(convolution(norm(x))), then x + mlp(norm(x)); no biases."""

    def __init__(self, width: int, mlp: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm1 = Norm(width, eps=1e-5, bias=False)
        # Over images of height 1, which keep the channels last in memory: up to twice as fast on
        # a CPU as over sequences.
        self.conv = nn.Conv2d(
            width, width, (1, kernel), dilation=(1, dilation), padding="same", bias=False
        )
        self.norm2 = Norm(width, eps=1e-5, bias=False)
        self.mlp = nn.Linear(width, mlp, bias=False)
        self.out = nn.Linear(mlp, width, bias=False)

    def forward(self, x: Tensor, padding: Tensor | None, wanted: Tensor | None = None) -> Tensor:
        """Return the new tokens, [B, N, D]; only those at `wanted` [B, K] if given.

        Args:
            x: [B, N, D].
            padding: bool [B, N, 1], tokens that count as if they were beyond the end.
            wanted: int64 [B, K].
        """
        seen = self.norm1(x)
        if padding is not None:
            seen = seen.masked_fill(padding, 0)
        x = x + F.gelu(self.conv(seen.transpose(1, 2)[:, :, None])[:, :, 0].transpose(1, 2))
        if wanted is not None:
            x = x.gather(1, wanted[..., None].expand(-1, -1, x.shape[-1]))
        return x + self.out(F.gelu(self.mlp(self.norm2(x))))


class ConvNetwork(BlockNetwork):
    """Blocks of dilated convolutions; dilations are 1, 2, 4, 8, 16, 32, 1, 2, ...

    Args:
        num_tokens: vocabulary size V.
        width: D.
        depth: blocks.
        mlp_ratio: size of a block's MLP over its width.
        kernel: weights of a convolution, an odd number.
        num_inputs: tokens that are read, if not those that are predicted.

    Raises:
        UserError: an even kernel, or one below 3.

    Source: Benegas, Batra & Song, PNAS 120 (2023) e2311219120, who use 25 blocks.

    >>> ConvNetwork(7, width=8, depth=2).receptive_field
    25
    """

    def __init__(
        self,
        num_tokens: int,
        width: int,
        depth: int,
        mlp_ratio: float = 4.0,
        kernel: int = 9,
        num_inputs: int | None = None,
    ) -> None:
        if kernel < 3 or kernel % 2 == 0:
            raise UserError(f"the kernel of a convolution must be 3, 5, 7, ..., not {kernel}")
        mlp = max(1, round(width * mlp_ratio))
        dilations = [DILATIONS[index % len(DILATIONS)] for index in range(depth)]
        blocks = (Block(width, mlp, kernel, dilation) for dilation in dilations)
        super().__init__(num_tokens, width, blocks, num_inputs)
        self.receptive_field = 1 + (kernel - 1) * sum(dilations)
        """tokens on which the features of one depend"""

    def context(self, ids: Tensor, documents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return which tokens are padding.

        Raises:
            UserError: a row of several documents, which a convolution would read as one.
        """
        if documents is None:
            return (None,)
        if bool((documents > 1).any()):
            raise UserError("convolutions read one sequence in each row: do not pack them")
        return ((documents == 0)[..., None],)
