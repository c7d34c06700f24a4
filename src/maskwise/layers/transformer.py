"""The parts of a transformer: attention, block, positions."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.errors import UserError

Attention = Literal["auto", "sdpa", "plain"]


def attend(q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None, attention: Attention) -> Tensor:
    """Return softmax(q k' / sqrt(d)) v.

    Args:
        q: [B, heads, Q, d].
        k: [B, heads, K, d].
        v: [B, heads, K, d].
        valid: the keys that count, bool [B, K], or [B, Q, K] for each query; None = all.
        attention: "sdpa" is torch's fused kernel, "plain" the equation written out, which is 3 to
            7 times faster in bf16 on a CPU; "auto" takes plain on a CPU and sdpa elsewhere.
    """
    if attention == "auto":
        attention = "plain" if q.device.type == "cpu" else "sdpa"
    if valid is not None and valid.ndim == 2:
        valid = valid[:, None]
    allowed = None if valid is None else valid[:, None]
    if attention == "sdpa":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1) @ v


class Norm(nn.LayerNorm):
    """LayerNorm in front of a matrix product.

    In bf16 on a CPU the input is rounded before the norm instead of the output after it, which
    the product would do anyway: half the bytes to pass over. On a GPU autocast would undo it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised input."""
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        return super().forward(x)


class Block(nn.Module):
    """Pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, attention: Attention, eps: float = 1e-6
    ) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"width {width} is not a multiple of {heads} heads")
        self.heads, self.attention = heads, attention
        self.norm1 = Norm(width, eps=eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = Norm(width, eps=eps)
        self.mlp = nn.Sequential(
            nn.Linear(width, int(width * mlp_ratio)),
            nn.GELU(),
            nn.Linear(int(width * mlp_ratio), width),
        )

    def forward(
        self, x: Tensor, valid: Tensor | None = None, num_last: int | None = None
    ) -> Tensor:
        """Return the new tokens, [B, N, D]; only the last `num_last` of them if given.

        All of the tokens that are `valid`, bool [B, N], are attended to; None = all.
        """
        batch, num, width = x.shape
        first = 0 if num_last is None else num - num_last
        qkv = self.qkv(self.norm1(x)).view(batch, num, 3, self.heads, width // self.heads)
        # One copy here saves one for each of the three in the products.
        q, k, v = qkv.permute(2, 0, 3, 1, 4).contiguous()
        mixed = attend(q[:, :, first:], k, v, valid, self.attention)
        x = x[:, first:] + self.project(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A stack of pre-norm blocks with a final LayerNorm."""

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        attention: Attention,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio, attention, eps) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(
        self, x: Tensor, valid: Tensor | None = None, num_last: int | None = None
    ) -> Tensor:
        """Return normalised tokens after the last block, [B, N, D] or the last `num_last`."""
        return self.outputs(x, [-1], valid, num_last)[0]

    def outputs(
        self,
        x: Tensor,
        layers: Sequence[int],
        valid: Tensor | None = None,
        num_last: int | None = None,
    ) -> list[Tensor]:
        """Return normalised tokens after each of some blocks; `num_last` is of the highest."""
        wanted = [range(len(self.blocks))[layer] for layer in layers]
        found = {}
        for index, block in enumerate(self.blocks[: max(wanted) + 1]):
            x = block(x, valid, num_last if index == max(wanted) else None)
            if index in wanted:
                found[index] = self.norm(x)
        return [found[index] for index in wanted]


def gather(tokens: Tensor, index: Tensor) -> Tensor:
    """Pick positions [B, K] out of tokens [B, L, D]."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def mean_over(tokens: Tensor, counted: Tensor) -> Tensor:
    """Return the mean [B, D] of the tokens [B, N, D] that count, bool [B, N]; 0 if none does."""
    weights = counted.to(tokens.dtype)[..., None]
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


def sincos_positions(
    grid: tuple[int, ...], width: int, over: Sequence[float] | None = None
) -> Tensor:
    """Return fixed sine-cosine positions of a grid in row-major order, float32 [L, width].

    Each axis gets width / axes channels: sin(x w_i) and cos(x w_i) with w_i = 10000^(-i / n), at
    x = 0, 1, ...; or where the cells are of a grid `over` which this one is laid, side by side:
    x = (k + 1/2) old / new - 1/2.

    >>> sincos_positions((2, 3), 8).shape
    torch.Size([6, 8])
    """
    if width % (2 * len(grid)):
        raise UserError(
            f"width {width} is not a multiple of {2 * len(grid)}, which sine-cosine positions on"
            f" {len(grid)} axes need: choose another width or learned positions"
        )
    num = width // (2 * len(grid))
    frequency = torch.exp(torch.arange(num) * (-math.log(10000.0) / num))
    places = [torch.arange(side) for side in grid]
    if over is not None:
        if len(over) != len(grid):
            raise UserError(f"positions over {len(over)} axes do not fit a grid of {len(grid)}")
        steps = zip(places, over, grid, strict=True)
        places = [(each + 0.5) * (old / side) - 0.5 for each, old, side in steps]
    axes = torch.meshgrid(*places, indexing="ij")
    angles = [axis.flatten()[:, None] * frequency for axis in axes]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
