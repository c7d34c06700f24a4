"""Networks that read both strands of DNA with the same weights."""

from collections.abc import Sequence

import torch
from torch import Tensor

from maskwise.tokens.network import BlockNetwork, TokenNetwork


class BothStrands(TokenNetwork):
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
        self, network: BlockNetwork, complement: Tensor, input_complement: Tensor
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

    def outputs(
        self,
        ids: Tensor,
        documents: Tensor | None,
        layers: Sequence[int],
        wanted: Tensor | None = None,
    ) -> list[Tensor]:
        """Return the features of both strands after some layers, [B, N, 2 D] each."""
        both = torch.cat([ids, self.input_complement[ids].flip(1)])
        if documents is not None:
            documents = torch.cat([documents, documents.flip(1)])
        at = None if wanted is None else torch.cat([wanted, ids.shape[1] - 1 - wanted])
        found = []
        for features in self.network.outputs(both, documents, layers, at):
            own, other = features.chunk(2)
            found.append(torch.cat([own, other.flip(1) if wanted is None else other], dim=2))
        return found

    def predict(self, states: Tensor) -> tuple[Tensor, ...]:
        """Return what makes the mean of both strands' logits."""
        x = self.network.activate(states.unflatten(1, (2, -1))).flatten(1)
        weight, bias = self.network.output
        other = self.complement
        return x, torch.cat([weight, weight[other]], dim=1) / 2, (bias + bias[other]) / 2
