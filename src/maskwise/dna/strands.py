"""Networks that read both strands of DNA with the same weights."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.layers.cross_entropy import token_losses
from maskwise.masks import Mask
from maskwise.tokens.network import TokenNetwork, at_hidden


class BothStrands(nn.Module):
    """A network over a sequence and over its other strand, so that neither is the first.

    The features of a token are those from its own strand and those from the other, side by side;
    of the reverse complement they are the same, in the other order, both of positions and of
    halves. The logits are the mean of both strands', those of the other with complementary
    tokens.

    Args:
        network: read twice.
        complement: int64 [V], the token of the other strand; its own inverse.
        input_complement: int64 [num_inputs], the same for tokens that are read.

    Source: Zhou, Shrikumar & Kundaje, MLCB 2021; Mallet & Vert, NeurIPS 2021; the network as a
    whole is that of Caduceus-PS (Schiff et al., arXiv 2403.03234), with two halves of channels
    that share all weights, but they do not mix before the head.

    >>> from maskwise.dna.conv import ConvNetwork
    >>> other = torch.tensor([3, 2, 1, 0])
    >>> network = BothStrands(ConvNetwork(4, width=8, depth=1), other, other)
    >>> network.features(torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 16])
    """

    complement: Tensor
    input_complement: Tensor

    def __init__(
        self, network: TokenNetwork, complement: Tensor, input_complement: Tensor
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("complement", complement, persistent=False)
        self.register_buffer("input_complement", input_complement, persistent=False)

    @property
    def num_layers(self) -> int:
        """Blocks."""
        return self.network.num_layers

    @property
    def width(self) -> int:
        """Features of a token, of both strands: 2 D."""
        return 2 * self.network.width

    def features(
        self,
        ids: Tensor,
        documents: Tensor | None = None,
        layer: int = -1,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Return the features of both strands, [B, N, 2 D], or at `wanted`, [B, K, 2 D].

        Args:
            ids: int64 [B, N].
            documents: int64 [B, N], or None.
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
        """Return what `features` does of some layers; `wanted` is for one only."""
        both = torch.cat([ids, self.input_complement[ids].flip(1)])
        if documents is not None:
            documents = torch.cat([documents, documents.flip(1)])
        at = None if wanted is None else torch.cat([wanted, ids.shape[1] - 1 - wanted])
        found = []
        for features in self.network.outputs(both, documents, layers, at):
            own, other = features.chunk(2)
            found.append(torch.cat([own, other.flip(1) if wanted is None else other], dim=2))
        return found

    def logits(self, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
        """Return logits [n, V] at the hidden positions of `where`, row by row."""
        return F.linear(*self._head(at_hidden(self, ids, documents, where)))

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
        return token_losses(*self._head(at_hidden(self, ids, documents, where)), targets)

    def losses_and_features(
        self,
        ids: Tensor,
        documents: Tensor | None,
        where: Mask,
        targets: Tensor,
        layers: Sequence[int],
    ) -> tuple[Tensor, list[Tensor]]:
        """Return `losses`, and the features of every token after some layers, [B, N, 2 D] each."""
        *found, last = self.outputs(ids, documents, [*layers, -1])
        return token_losses(*self._head(last[where.hidden]), targets), found

    def _head(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what goes into the output, [n, 2 D], and its weights, [V, 2 D] and [V]."""
        x = self.network.activate(x.unflatten(1, (2, -1))).flatten(1)
        weight, bias = self.network.output
        other = self.complement
        return x, torch.cat([weight, weight[other]], dim=1) / 2, (bias + bias[other]) / 2
