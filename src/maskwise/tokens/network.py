"""Networks over tokens: what is asked of them, blocks with a head, and a transformer."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.layers.transformer import Attention, Norm, attend
from maskwise.masks import Mask
from maskwise.objectives.cross_entropy import logits_of

ROTARY_BASE = 10_000.0
Layers = Sequence[int]
"""0 = the first, -1 = the last"""


Said = tuple[Tensor, tuple[Tensor, ...], list[Tensor]]
"""at n positions, row by row: features [n, D]; logits [n, V] or what makes them (`CrossEntropy`);
and every token after the layers that were asked for, [B, N, D] each"""


class TokenNetwork(nn.Module, ABC):
    """What a language model computes with.

    Below, `ids` are int64 [B, N]; tokens of other `documents`, int64 [B, N], are not seen, 0 =
    padding; None = one document in each row, and no padding.
    """

    @property
    @abstractmethod
    def num_layers(self) -> int:
        """Layers."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Features of a token, D."""

    @abstractmethod
    def outputs(
        self, ids: Tensor, documents: Tensor | None, layers: Layers, wanted: Tensor | None = None
    ) -> list[Tensor]:
        """Return tokens after some layers, [B, N, D] each.

        With `wanted` positions, int64 [B, K], of one layer only, these alone: [B, K, D].
        """

    def predict(self, states: Tensor) -> tuple[Tensor, ...]:
        """Return the prediction from features of the last layer [n, D], as `at` asks for it."""
        raise NotImplementedError

    def features(self, ids: Tensor, documents: Tensor | None = None, layer: int = -1) -> Tensor:
        """Return tokens after a layer, -1 = the last, [B, N, D]."""
        return self.outputs(ids, documents, [layer])[0]

    def at(self, ids: Tensor, documents: Tensor | None, where: Mask, layers: Layers = ()) -> Said:
        """Return what the network says at the hidden positions of `where`."""
        if layers:
            *found, last = self.outputs(ids, documents, [*layers, -1])
            states = last[where.hidden]
        else:  # which need not compute the last layer of every token
            found, valid = [], where.hidden_valid
            [last] = self.outputs(ids, documents, [-1], where.hidden_idx)
            states = last.flatten(0, 1) if valid is None else last[valid]
        return states, self.predict(states), found

    def logits(self, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
        """Return logits [n, V] at the hidden positions of `where`, row by row."""
        return logits_of(self.at(ids, documents, where)[1])


class BlockNetwork(TokenNetwork):
    """Token embedding, blocks, and a head whose output weights are the embedding's.

    Where other tokens are read, `num_inputs` of them, than are predicted, the output weights are
    its own. Blocks are called with tokens, what `context` gives, and `wanted`.
    """

    def __init__(
        self, num_tokens: int, width: int, blocks: Iterable[nn.Module], num_inputs: int | None
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_inputs or num_tokens, width)
        self.embed_norm = Norm(width, eps=1e-5, bias=False)
        self.blocks = nn.ModuleList(blocks)
        self.norm = Norm(width, eps=1e-5, bias=False)
        self.head = nn.Linear(width, width, bias=False)
        self.head_norm = Norm(width, eps=1e-5, bias=False)
        self.bias = nn.Parameter(torch.zeros(num_tokens))
        tied = num_inputs in (None, num_tokens)
        self.unembed = None if tied else nn.Linear(width, num_tokens, bias=False)
        for name, module in self.named_modules():
            if isinstance(module, (nn.Linear, nn.Embedding, nn.Conv2d)):
                into = name.endswith(("project", "out"))
                std = 0.02 / math.sqrt(2 * len(self.blocks)) if into else 0.02
                nn.init.trunc_normal_(module.weight, std=std, a=-3 * std, b=3 * std)

    @property
    def num_layers(self) -> int:
        return len(self.blocks)

    @property
    def width(self) -> int:
        return self.embed.embedding_dim

    @property
    def output(self) -> tuple[Tensor, Tensor]:
        """Weights [V, D] and bias [V] from `activate` to logits."""
        return (self.unembed or self.embed).weight, self.bias

    def context(self, ids: Tensor, documents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return what blocks need besides the tokens."""
        raise NotImplementedError

    def outputs(
        self, ids: Tensor, documents: Tensor | None, layers: Layers, wanted: Tensor | None = None
    ) -> list[Tensor]:
        """Return normalised tokens after some blocks."""
        context = self.context(ids, documents)
        x = self.embed_norm(self.embed(ids))
        indices = [range(len(self.blocks))[layer] for layer in layers]
        found = {}
        for index, block in enumerate(self.blocks[: max(indices) + 1]):
            x = block(x, *context, wanted=wanted if index == max(indices) else None)
            if index in indices:
                found[index] = self.norm(x)
        return [found[index] for index in indices]

    def predict(self, states: Tensor) -> tuple[Tensor, ...]:
        return self.activate(states), *self.output

    def activate(self, x: Tensor) -> Tensor:
        """Return the head's last layer before the output, [..., D], of features [..., D]."""
        return self.head_norm(F.gelu(self.head(x)))


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
        """Return the new tokens, [B, N, D]; only those at `wanted`, int64 [B, K], if given.

        Tokens at `positions` [N] attend to those that are `allowed`, bool [B, N, N]; None = all.
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


def gated_width(width: int, mlp_ratio: float) -> int:
    """Return the hidden width of a gated MLP with as many weights as a plain one.

    Three matrices instead of two, so two thirds of the width, in multiples of 16.

    >>> gated_width(256, 4.0)
    688
    """
    return max(16, 16 * round(width * mlp_ratio * 2 / 3 / 16))


class SequenceNetwork(BlockNetwork):
    """A transformer, whose MLPs have as many weights as plain ones of width `mlp_ratio` x D."""

    def __init__(
        self,
        num_tokens: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        attention: Attention = "auto",
        num_inputs: int | None = None,
    ) -> None:
        mlp = gated_width(width, mlp_ratio)
        blocks = (Block(width, heads, mlp, attention, norm=index > 0) for index in range(depth))
        super().__init__(num_tokens, width, blocks, num_inputs)

    def context(self, ids: Tensor, documents: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return positions and which tokens a token may attend to."""
        allowed = None if documents is None else documents[:, :, None] == documents[:, None, :]
        return torch.arange(ids.shape[1], device=ids.device), allowed
