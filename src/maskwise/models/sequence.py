"""A transformer over token sequences with rotary positions, and its head (ModernBERT's design)."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.models.cross_entropy import token_losses
from maskwise.models.layers import Attention, Norm, attend

ROTARY_BASE = 10_000.0


class _Rotate(torch.autograd.Function):
    """Turn the pairs (i, i + d/2) of the last axis by angles: two passes over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(grads[0], cos, -sin), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    turned = x * torch.cat([cos, cos], dim=-1)
    turned[..., :half].addcmul_(x[..., half:], sin, value=-1)
    turned[..., half:].addcmul_(x[..., :half], sin)
    return turned


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    """Return queries or keys turned by their positions, so that products depend on distances.

    The pair (x_i, x_{i + d/2}) is turned by the angle t 10000^(-2i/d) at position t.

    Args:
        x: [B, heads, N, d].
        positions: int64 [N], or [B, N].

    Source: Su et al., RoFormer (arXiv 2104.09864).

    >>> x = torch.ones(1, 1, 2, 2)
    >>> rotate(x, torch.arange(2))[0, 0, 0].tolist()
    [1.0, 1.0]
    """
    half = x.shape[-1] // 2
    rates = ROTARY_BASE ** (-torch.arange(half, device=x.device) / half)
    angles = positions[..., None] * rates
    if positions.ndim == 2:
        angles = angles[:, None]
    turned = _Rotate.apply(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype))
    assert isinstance(turned, Tensor)
    return turned


class Block(nn.Module):
    """x + attention(norm(x)), then x + W (gelu(a) b) with (a, b) = V norm(x); no biases."""

    def __init__(self, width: int, heads: int, mlp: int, attention: Attention, norm: bool) -> None:
        super().__init__()
        if width % heads or width // heads % 2:
            raise UserError(
                f"width {width} over {heads} heads must be an even whole number for each head"
            )
        self.heads, self.attention = heads, attention
        self.norm1 = Norm(width, eps=1e-5, bias=False) if norm else nn.Identity()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.norm2 = Norm(width, eps=1e-5, bias=False)
        self.gated = nn.Linear(width, 2 * mlp, bias=False)
        self.out = nn.Linear(mlp, width, bias=False)

    def forward(
        self, x: Tensor, positions: Tensor, allowed: Tensor | None, wanted: Tensor | None = None
    ) -> Tensor:
        """Return the new tokens, [B, N, D]; only those at `wanted` [B, K] if given.

        Args:
            x: [B, N, D].
            positions: int64 [N].
            allowed: bool [B, N, N], which tokens a token may attend to; None = all.
            wanted: int64 [B, K], the tokens to compute, which still attend to every token.
        """
        normed = self.norm1(x)
        width = x.shape[-1]
        if wanted is None:
            q, k, v = self._heads(self.qkv(normed), 3)
            at = positions
        else:
            index = wanted[..., None].expand(-1, -1, width)
            k, v = self._heads(F.linear(normed, self.qkv.weight[width:]), 2)
            [q] = self._heads(F.linear(normed.gather(1, index), self.qkv.weight[:width]), 1)
            x, at = x.gather(1, index), positions[wanted]
            if allowed is not None:
                allowed = allowed.gather(1, wanted[..., None].expand(-1, -1, allowed.shape[-1]))
        mixed = attend(rotate(q, at), rotate(k, positions), v, allowed, self.attention)
        x = x + self.project(mixed.transpose(1, 2).flatten(2))
        activated, gate = self.gated(self.norm2(x)).chunk(2, dim=-1)
        return x + self.out(F.gelu(activated) * gate)

    def _heads(self, x: Tensor, num: int) -> tuple[Tensor, ...]:
        batch, length, width = x.shape
        each = width // num // self.heads
        parts = x.view(batch, length, num, self.heads, each).permute(2, 0, 3, 1, 4)
        # One copy here saves one for each part in the products.
        return parts.contiguous().unbind(0)


class SequenceNetwork(nn.Module):
    """Token embedding, blocks, and a head whose output weights are the embedding's.

    Args:
        num_tokens: vocabulary size V.
        width: D.
        depth: blocks.
        heads: attention heads.
        mlp_ratio: weights of a block's MLP over those of a plain one of this ratio.
        attention: see `attend`.
    """

    def __init__(
        self,
        num_tokens: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        attention: Attention = "auto",
    ) -> None:
        super().__init__()
        # Three matrices instead of two, so two thirds of the width, in multiples of 16.
        mlp = max(16, 16 * round(width * mlp_ratio * 2 / 3 / 16))
        self.width = width
        self.embed = nn.Embedding(num_tokens, width)
        self.embed_norm = Norm(width, eps=1e-5, bias=False)
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp, attention, norm=index > 0) for index in range(depth)
        )
        self.norm = Norm(width, eps=1e-5, bias=False)
        self.head = nn.Linear(width, width, bias=False)
        self.head_norm = Norm(width, eps=1e-5, bias=False)
        self.bias = nn.Parameter(torch.zeros(num_tokens))
        for name, module in self.named_modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                into = name.endswith(("project", "out"))
                std = 0.02 / math.sqrt(2 * depth) if into else 0.02
                nn.init.trunc_normal_(module.weight, std=std, a=-3 * std, b=3 * std)

    @property
    def num_layers(self) -> int:
        """Blocks."""
        return len(self.blocks)

    def features(
        self,
        ids: Tensor,
        documents: Tensor | None = None,
        layer: int = -1,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Return normalised tokens after block `layer`, [B, N, D], or at `wanted`, [B, K, D].

        Args:
            ids: int64 [B, N].
            documents: int64 [B, N], tokens of other numbers are not attended to; None = one
                document in each row, and no padding.
            layer: which block, -1 = the last.
            wanted: int64 [B, K], positions.
        """
        allowed = None if documents is None else documents[:, :, None] == documents[:, None, :]
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.embed_norm(self.embed(ids))
        last = range(len(self.blocks))[layer]
        for index, block in enumerate(self.blocks[: last + 1]):
            x = block(x, positions, allowed, wanted if index == last else None)
        return self.norm(x)

    def logits(self, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
        """Return logits [n, V] at the hidden positions of `where`, row by row."""
        return F.linear(self._head(ids, documents, where), self.embed.weight, self.bias)

    def losses(
        self, ids: Tensor, documents: Tensor | None, where: Mask, targets: Tensor
    ) -> Tensor:
        """Return the cross-entropy at the hidden positions of `where`, float32 [n].

        Args:
            ids: int64 [B, N].
            documents: int64 [B, N], or None.
            where: which positions.
            targets: int64 [n], their tokens.
        """
        x = self._head(ids, documents, where)
        return token_losses(x, self.embed.weight, self.bias, targets)

    def _head(self, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
        x = self.features(ids, documents, wanted=where.hidden_idx)
        valid = where.hidden_valid
        x = x.flatten(0, 1) if valid is None else x[valid]
        return self.head_norm(F.gelu(self.head(x)))
