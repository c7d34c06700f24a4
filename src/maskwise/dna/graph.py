"""What an export of a model of DNA computes, on both strands."""

from pathlib import Path

import torch
from torch import Tensor, nn

from maskwise.dna.bases import NOTHING
from maskwise.dna.tokens import DNA, Pieces
from maskwise.errors import UserError
from maskwise.exports.graph import Graph, Input
from maskwise.tokens.graph import TokenFeatures
from maskwise.tokens.model import LanguageModel

CODES = {"A": 0, "C": 1, "G": 2, "T": 3, "N": 4, "": NOTHING}

PREPARE = """
letters = ["ACGTN".ljust({window}), "ACGTNACGTN".ljust({window})]
codes = np.array([["ACGTN ".find(each) for each in row[:{window}]] for row in letters])"""


class Strands(nn.Module):
    """From sequences to features: the mean over the tokens of both strands."""

    def __init__(self, model: LanguageModel[DNA]) -> None:
        super().__init__()
        self.dna, self.tokens = model.tokenizer, TokenFeatures(model)

    def forward(self, codes: Tensor) -> Tensor:
        """Return features [B, D] of codes of bases, int64 [B, W], padding behind them."""
        num = (codes != NOTHING).sum(dim=1, keepdim=True)
        # Behind the other strand, too, and not in front of it.
        back = num - 1 - torch.arange(codes.shape[1], device=codes.device)
        turned = codes.gather(1, back.clamp(min=0))
        other = torch.where(turned < 4, 3 - turned, turned)
        other = torch.where(back >= 0, other, NOTHING)
        # Both in one batch, of as many tokens each.
        ids = self.dna.kind.ids(torch.cat([codes, other]))
        known = self.tokens.alphabet[ids].sum(dim=1, keepdim=True)
        sums = self.tokens(ids, self.dna.documents(ids)) * known
        sums, known = (each.unflatten(0, (2, codes.shape[0])).sum(dim=0) for each in (sums, known))
        return sums / known.clamp(min=1)


def dna_graph(model: LanguageModel[DNA], folder: Path) -> Graph:
    """Return the features of sequences as a graph.

    Raises:
        UserError: tokens that a program without graphs makes.
    """
    dna = model.tokenizer
    if isinstance(dna.kind, Pieces):
        raise UserError(
            f"tokens '{dna.tokens}' are made by a program of their own, which no graph holds:"
            " models of bases and k-mers are exported as graphs"
        )
    codes = torch.arange(2 * dna.window).view(2, -1) % 4
    codes[1, -1] = NOTHING
    what = (
        "bases as A 0, C 1, G 2, T 3, any other 4, and 5 behind the end of shorter sequences; the"
        f" model saw windows of {dna.window}"
    )
    # A graph of tokens of several bases holds for one length; padding makes up for the rest.
    free = {0: "batch"} | ({1: "length"} if dna.tokens == "bases" else {})
    return Graph(
        Strands(model),
        (Input("codes", codes, what, free, {"length": dna.window}),),
        {"codes": CODES, "tokens": dna.tokens},
        PREPARE.format(window=dna.window),
    )
