"""What an export of a model of cells computes, from the expression of its genes."""

from pathlib import Path

import torch
from torch import Tensor, nn

from maskwise.cells.cells import Cells
from maskwise.columns.graph import encoder_of
from maskwise.columns.model import TabularModel
from maskwise.exports.graph import Graph, Input

COUNTS = "counts of the genes in the list, float32; NaN of those that were not measured"


class Profiles(nn.Module):
    """From expression profiles to features."""

    def __init__(self, model: TabularModel) -> None:
        super().__init__()
        self.model = encoder_of(model)
        self.batched = bool(model.tokenizer.num_batches)

    def forward(self, expression: Tensor) -> Tensor:
        """Return features [B, D] of cells, float32 [B, G]; of which batch they are not asked."""
        if self.batched:
            unknown = torch.full_like(expression[:, :1], -1)
            expression = torch.cat([expression, unknown], dim=1)
        return self.model.encode(expression)


def cell_graph(model: TabularModel, folder: Path) -> Graph:
    """Return the features of cells as a graph."""
    cells = model.tokenizer
    assert isinstance(cells, Cells)
    what = COUNTS
    if cells.loss == "mse":
        what = "log(1 + x) of the genes in the list, float32, where x is expression normalised"
        what += f" to {cells.target_sum:g} in a cell" if cells.counts else " as in training"
        what += ", over all genes that were measured; NaN of those that were not"
    examples = torch.arange(2 * model.length, dtype=torch.float32).view(2, -1) % 3
    examples[1, 0] = torch.nan
    told = {"genes": list(cells.genes), "target_sum": cells.target_sum}
    return Graph(Profiles(model), (Input("expression", examples, what),), told)
