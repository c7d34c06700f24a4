"""What networks over tokens have in common: an embedding, blocks, and a head."""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.layers.cross_entropy import token_losses
from maskwise.layers.transformer import Norm
from maskwise.masks import Mask


class TokenNetwork(nn.Module):
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
        self.width = width
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
    def output(self) -> tuple[Tensor, Tensor]:
        """Weights [V, D] and bias [V] from `activate` to logits."""
        return (self.unembed or self.embed).weight, self.bias

    def context(self, ids: Tensor, documents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return what blocks need besides the tokens."""
        raise NotImplementedError

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
            documents: int64 [B, N], tokens of other numbers are not seen, 0 = padding; None = one
                document in each row, and no padding.
            layer: which block, -1 = the last.
            wanted: int64 [B, K], positions.
        """
        return self.outputs(ids, documents, [layer], wanted)[0]

    def outputs(
        self,
        ids: Tensor,
        documents: Tensor | None,
        layers: Sequence[int],
        wanted: Tensor | None = None,
    ) -> list[Tensor]:
        """Return what `features` does of some layers; `wanted` is of the highest."""
        context = self.context(ids, documents)
        x = self.embed_norm(self.embed(ids))
        indices = [range(len(self.blocks))[layer] for layer in layers]
        found = {}
        for index, block in enumerate(self.blocks[: max(indices) + 1]):
            x = block(x, *context, wanted=wanted if index == max(indices) else None)
            if index in indices:
                found[index] = self.norm(x)
        return [found[index] for index in indices]

    def activate(self, x: Tensor) -> Tensor:
        """Return the head's last layer before the output, [..., D], of features [..., D]."""
        return self.head_norm(F.gelu(self.head(x)))

    def logits(self, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
        """Return logits [n, V] at the hidden positions of `where`, row by row."""
        x = self.activate(at_hidden(self, ids, documents, where))
        return F.linear(x, *self.output)

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
        x = self.activate(at_hidden(self, ids, documents, where))
        return token_losses(x, *self.output, targets)

    def losses_and_features(
        self,
        ids: Tensor,
        documents: Tensor | None,
        where: Mask,
        targets: Tensor,
        layers: Sequence[int],
    ) -> tuple[Tensor, list[Tensor]]:
        """Return `losses`, and the features of every token after some layers, [B, N, D] each."""
        *found, last = self.outputs(ids, documents, [*layers, -1])
        return token_losses(self.activate(last[where.hidden]), *self.output, targets), found


def at_hidden(network: nn.Module, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
    """Return a network's features at the hidden positions of `where`, row by row, [n, D]."""
    x: Tensor = network.features(ids, documents, wanted=where.hidden_idx)  # type: ignore[operator]
    valid = where.hidden_valid
    return x.flatten(0, 1) if valid is None else x[valid]
