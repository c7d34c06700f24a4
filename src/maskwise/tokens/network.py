"""What networks over tokens have in common: what is asked of them, and blocks with a head."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.layers.transformer import Norm
from maskwise.masks import Mask
from maskwise.objectives.cross_entropy import logits_of


class Said(NamedTuple):
    """What a network says at some positions of its rows, n in all."""

    states: Tensor
    """features, row by row, [n, D]"""
    prediction: tuple[Tensor, ...]
    """logits [n, V], or what makes them: see `CrossEntropy`"""
    features: list[Tensor]
    """of every token after the layers that were asked for, [B, N, D] each"""


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
        self,
        ids: Tensor,
        documents: Tensor | None,
        layers: Sequence[int],
        wanted: Tensor | None = None,
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

    def at(
        self, ids: Tensor, documents: Tensor | None, where: Mask, layers: Sequence[int] = ()
    ) -> Said:
        """Return what the network says at the hidden positions of `where`."""
        if layers:
            *found, last = self.outputs(ids, documents, [*layers, -1])
            states = last[where.hidden]
        else:  # which need not compute the last layer of every token
            found, valid = [], where.hidden_valid
            [last] = self.outputs(ids, documents, [-1], where.hidden_idx)
            states = last.flatten(0, 1) if valid is None else last[valid]
        return Said(states, self.predict(states), found)

    def logits(self, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
        """Return logits [n, V] at the hidden positions of `where`, row by row."""
        return logits_of(self.at(ids, documents, where).prediction)


class BlockNetwork(TokenNetwork):
    """Token embedding, blocks, and a head whose output weights are the embedding's.

    Where the network reads other tokens than it predicts, the output weights are its own.

    Args:
        num_tokens: vocabulary size V.
        width: D.
        blocks: called with tokens, what `context` gives, and `wanted`.
        num_inputs: tokens that are read, if not those that are predicted.
    """

    def __init__(
        self,
        num_tokens: int,
        width: int,
        blocks: Iterable[nn.Module],
        num_inputs: int | None = None,
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
        """Blocks."""
        return len(self.blocks)

    @property
    def width(self) -> int:
        """Width of the tokens."""
        return self.embed.embedding_dim

    @property
    def output(self) -> tuple[Tensor, Tensor]:
        """Weights [V, D] and bias [V] from `activate` to logits."""
        return (self.unembed or self.embed).weight, self.bias

    def context(self, ids: Tensor, documents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return what blocks need besides the tokens."""
        raise NotImplementedError

    def outputs(
        self,
        ids: Tensor,
        documents: Tensor | None,
        layers: Sequence[int],
        wanted: Tensor | None = None,
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
        """Return what makes logits."""
        return self.activate(states), *self.output

    def activate(self, x: Tensor) -> Tensor:
        """Return the head's last layer before the output, [..., D], of features [..., D]."""
        return self.head_norm(F.gelu(self.head(x)))
