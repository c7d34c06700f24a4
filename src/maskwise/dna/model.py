"""Masked models of DNA: dilated convolutions (as GPN) or a transformer, on one strand or both."""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from maskwise.dna.tokens import DNA, Pieces
from maskwise.errors import UserError
from maskwise.layers.transformer import Attention, Norm, gather
from maskwise.objectives.cross_entropy import Shares, check_shares
from maskwise.settings import settings
from maskwise.tokens.network import BlockNetwork, Layers, SequenceNetwork, TokenNetwork
from maskwise.tokens.own import OwnNetwork
from maskwise.train.rows import Slots

NEVER = -1e4  # a logit
SHAPE = ("kind", "width", "depth", "kernel", "heads", "mlp_ratio", "equivariant")
"""settings that weights decide"""
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
        """Return new tokens, [B, N, D], or those `wanted` [B, K]; `padding` is beyond the end."""
        seen = self.norm1(x)
        if padding is not None:
            seen = seen.masked_fill(padding, 0)
        x = x + F.gelu(self.conv(seen.transpose(1, 2)[:, :, None])[:, :, 0].transpose(1, 2))
        x = x if wanted is None else gather(x, wanted)
        return x + self.out(F.gelu(self.mlp(self.norm2(x))))


class ConvNetwork(BlockNetwork):
    """Blocks of dilated convolutions; dilations are 1, 2, 4, 8, 16, 32, 1, 2, ...

    The features of a token depend on 1 + (kernel - 1) x their sum, itself in the middle.

    Source: Benegas, Batra & Song, PNAS 120 (2023) e2311219120, who use 25 blocks.
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

    def context(self, ids: Tensor, documents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return which tokens are padding."""
        if documents is None:
            return (None,)
        if not torch.compiler.is_exporting() and bool((documents > 1).any()):
            raise UserError("convolutions read one sequence in each row: do not pack them")
        return ((documents == 0)[..., None],)


class BothStrands(TokenNetwork):
    """A network over a sequence and over its other strand, so that neither is the first.

    The features of a token are those from its own strand and those from the other, side by side;
    of the reverse complement they are the same, in the other order, both of positions and of
    halves. The logits are the mean of both strands', those of the other with complementary
    tokens, int64 [V].

    Source: Zhou, Shrikumar & Kundaje, MLCB 2021; Mallet & Vert, NeurIPS 2021; the network as a
    whole is that of Caduceus-PS (Schiff et al., arXiv 2403.03234), with two halves of channels
    that share all weights, but they do not mix before the head.

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
        return self.network.num_layers

    @property
    def width(self) -> int:
        """Features of a token, of both strands: 2 D."""
        return 2 * self.network.width

    def outputs(
        self, ids: Tensor, documents: Tensor | None, layers: Layers, wanted: Tensor | None = None
    ) -> list[Tensor]:
        """Return the features of both strands after some layers, [B, N, 2 D] each."""
        both = torch.cat([ids, self.input_complement[ids].flip(1)])
        if documents is not None:
            documents = torch.cat([documents, documents.flip(1)])
        at = None if wanted is None else torch.cat([wanted, ids.shape[1] - 1 - wanted])
        found = []
        for features in self.network.outputs(both, documents, layers, at):
            own, other = features[: ids.shape[0]], features[ids.shape[0] :]
            found.append(torch.cat([own, other.flip(1) if wanted is None else other], dim=2))
        return found

    def predict(self, states: Tensor) -> tuple[Tensor, ...]:
        x = self.network.activate(states.unflatten(1, (2, -1))).flatten(1)
        weight, bias = self.network.output
        other = self.complement
        return x, torch.cat([weight, weight[other]], dim=1) / 2, (bias + bias[other]) / 2


@settings
class DNAModelSettings:
    """The shape of a masked model of DNA."""

    kind: Literal["conv", "transformer"] = "conv"
    """dilated convolutions (as GPN) or a transformer with rotary positions"""
    width: PositiveInt = 128
    """width of the tokens; of each strand's if equivariant"""
    depth: PositiveInt = 8
    """blocks"""
    kernel: PositiveInt = 9
    """bases that a convolution sees, before dilation (conv)"""
    heads: PositiveInt = 4
    """attention heads (transformer)"""
    mlp_ratio: Annotated[float, Field(gt=0)] = 2.0
    """width of the MLPs over that of the tokens"""
    equivariant: bool = False
    """read both strands with the same weights, so that features and predictions turn with the
    strand"""
    corruption: Shares = (1.0, 0.0, 0.0)
    """shares of the hidden tokens that become the mask token, become a random base or k-mer and
    stay (GPN: 0.8,0.1,0.1)"""
    predict_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """share of the hidden tokens that training predicts"""
    init: str | None = None
    """a run to start from, or its model's folder, whose shape the model then has"""

    def __post_init__(self) -> None:
        check_shares(self.corruption)

    def network(
        self, tokenizer: DNA, attention: Attention, own: nn.Module | None = None
    ) -> TokenNetwork:
        kind = tokenizer.kind
        size, ratio = (len(kind.alphabet), self.width, self.depth), self.mlp_ratio
        network: BlockNetwork
        if own is not None:
            length = tokenizer.grid[0]
            network = OwnNetwork(size[0], own, self.width, length, kind.num_inputs)
        elif self.kind == "conv":
            network = ConvNetwork(*size, ratio, self.kernel, kind.num_inputs)
        else:
            network = SequenceNetwork(*size, self.heads, ratio, attention, kind.num_inputs)
        # What no sequence holds has no probability, from the first step on; nor a gradient.
        with torch.no_grad():
            network.bias[~kind.alphabet] = NEVER
        if not self.equivariant:
            return network
        return BothStrands(network, kind.complement, kind.input_complement)


def token_slots(tokenizer: DNA, config: DNAModelSettings) -> Slots:
    """Return which rows of a model's weights belong to which token.

    Pieces that were learned from other windows are other tokens, all of them.
    """
    kind = tokenizer.kind
    learned = kind.tokenizer.to_str() if isinstance(kind, Pieces) else ""
    network = "network.network" if config.equivariant else "network"
    read, said = (
        [(f"{tokenizer.tokens}, {number + 1}", learned, part) for number in range(num)]
        for part, num in (("read", kind.num_inputs), ("predicted", len(kind.alphabet)))
    )
    return {
        f"{network}.embed.weight": {0: read},
        f"{network}.unembed.weight": {0: said},
        f"{network}.bias": {0: said},
    }
