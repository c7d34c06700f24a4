"""The shape of a masked model of DNA."""

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt

from maskwise.dna.conv import ConvNetwork
from maskwise.dna.dna import DNA
from maskwise.dna.strands import BothStrands
from maskwise.layers.transformer import Attention
from maskwise.objectives.corruption import Shares, check_shares
from maskwise.settings import settings
from maskwise.tokens.network import BlockNetwork, SequenceNetwork, TokenNetwork

NEVER = -1e4  # a logit


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

    def __post_init__(self) -> None:
        check_shares(self.corruption)

    def network(self, modality: DNA, attention: Attention) -> TokenNetwork:
        """Return the network that these settings describe."""
        network: BlockNetwork
        if self.kind == "conv":
            network = ConvNetwork(
                modality.num_tokens,
                self.width,
                self.depth,
                self.mlp_ratio,
                self.kernel,
                modality.num_inputs,
            )
        else:
            network = SequenceNetwork(
                modality.num_tokens,
                self.width,
                self.depth,
                self.heads,
                self.mlp_ratio,
                attention,
                modality.num_inputs,
            )
        # What no sequence holds has no probability, from the first step on; nor a gradient.
        with torch.no_grad():
            network.bias[~modality.alphabet] = NEVER
        if not self.equivariant:
            return network
        return BothStrands(network, modality.complement, modality.input_complement)
