"""What an export of a language model computes: the mean over the tokens of each row."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from maskwise.exports.graph import Graph, Input, without
from maskwise.layers.transformer import mean_over
from maskwise.tokens.model import LanguageModel, SymbolTokenizer
from maskwise.tokens.network import BlockNetwork

Symbols = TypeVar("Symbols", bound=SymbolTokenizer)
EXAMPLE = 9
"""tokens in a row of an example, where a model takes so many"""
HEAD = ("head", "head_norm", "unembed")


class TokenFeatures(nn.Module):
    """From token ids, and which of them are no padding, to the mean of the tokens that count."""

    def __init__(self, model: LanguageModel[Symbols]) -> None:
        super().__init__()
        network = model.network
        self.network = without(network, HEAD) if isinstance(network, BlockNetwork) else network
        self.inputs = model.tokenizer.inputs
        self.alphabet = nn.Buffer(model.tokenizer.alphabet, persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return features [B, D] of rows of tokens, int64 [B, L] each."""
        features = self.network.features(self.inputs(input_ids), attention_mask)
        return mean_over(features, self.alphabet[input_ids] & (attention_mask > 0))


def token_graph(
    model: LanguageModel[Symbols], most: int | None, what: str, prepare: str = ""
) -> Graph:
    """Return features of rows of up to `most` tokens, None = any number, as a graph."""
    tokens, length = model.tokenizer, min(EXAMPLE, most or EXAMPLE)
    free, limits = {0: "batch", 1: "length"}, {} if most is None else {"length": most}
    known = tokens.alphabet.nonzero()[:, 0]
    ids = known[torch.arange(2 * length) % len(known)].view(2, length)
    ids[:, : len(tokens.start)] = torch.tensor(tokens.start, dtype=torch.int64)
    attention = torch.ones_like(ids)
    attention[1, -2:] = 0
    masked = "1 for tokens of the row, 0 for padding behind them"
    return Graph(
        TokenFeatures(model),
        (
            Input("input_ids", ids, what, free, limits),
            Input("attention_mask", attention, masked, free, limits),
        ),
        prepare=prepare,
    )
