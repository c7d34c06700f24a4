"""What an export of a model of tables computes, from the numbers of a table as they are."""

from pathlib import Path

import torch
from torch import Tensor, nn

from maskwise.columns.graph import encoder_of
from maskwise.columns.model import TabularModel
from maskwise.exports.graph import Graph, Input
from maskwise.files import Entries
from maskwise.tables.column import Column
from maskwise.tables.table import Table

WHAT = (
    "a row of the table, float64: numbers in their own units, dates as days since 1970, of a"
    " category the place (0, 1, ...) of its name in the list; NaN where nothing is known"
)


class Standardised(nn.Module):
    """From values of columns to samples: standard or normal scores, and codes of categories."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        super().__init__()
        num = max((len(each.knots) for each in columns), default=0)
        self.size = _buffer([len(each.categories) for each in columns])
        self.mean = _buffer([each.mean for each in columns])
        self.std = _buffer([each.std for each in columns])
        self.scored = nn.Buffer(torch.tensor([bool(each.knots) for each in columns]))
        if num:
            # Behind the last knot of a column stands no other.
            knots, scores = (
                [(*each, *[end] * (num - len(each))) for each in every]
                for every, end in (
                    ([each.knots for each in columns], torch.inf),
                    ([each.scores for each in columns], 0.0),
                )
            )
            self.knots, self.scores = _buffer(knots), _buffer(scores)
            last = [max(len(each.knots) - 1, 1) for each in columns]
            self.last = nn.Buffer(torch.tensor(last))

    def forward(self, rows: Tensor) -> Tensor:
        """Return samples, float32 [B, F], of rows, float64 [B, F]."""
        known = (rows >= 0) & (rows < self.size)
        codes = torch.where(known, rows, torch.nan)
        numbers = (rows - self.mean) / self.std
        if hasattr(self, "knots"):
            numbers = torch.where(self.scored, self._score(rows), numbers)
        return torch.where(self.size > 0, codes, numbers).to(torch.float32)

    def _score(self, rows: Tensor) -> Tensor:
        """Return normal scores, between those of the knots on both sides of a value."""
        above = (rows[:, :, None] >= self.knots).sum(dim=2)
        high = torch.minimum(above.clamp(min=1), self.last)
        knots, scores = (each.expand(rows.shape[0], -1, -1) for each in (self.knots, self.scores))
        (left, low_score), (right, high_score) = (
            [each.gather(2, at[:, :, None])[:, :, 0] for each in (knots, scores)]
            for at in (high - 1, high)
        )
        inside = torch.minimum(torch.maximum(rows, left), right)
        return low_score + (inside - left) * ((high_score - low_score) / (right - left))


def _buffer(values: object) -> nn.Buffer:
    return nn.Buffer(torch.tensor(values, dtype=torch.float64))


class Rows(nn.Module):
    """From rows of a table to features; NaN of a row of which nothing is known."""

    def __init__(self, model: TabularModel, columns: tuple[Column, ...]) -> None:
        super().__init__()
        self.standardised = Standardised(columns)
        self.model = encoder_of(model)

    def forward(self, rows: Tensor) -> Tensor:
        """Return features [B, D] of rows, float64 [B, F]."""
        samples = self.standardised(rows)
        empty = samples.isnan().all(dim=1, keepdim=True)
        return torch.where(empty, torch.nan, self.model.encode(samples))


def table_graph(model: TabularModel, folder: Path) -> Graph:
    """Return the features of rows of a table as a graph."""
    table = model.tokenizer
    assert isinstance(table, Table)
    columns = table.features
    first = [
        0.0 if each.categories else each.knots[0] if each.knots else each.mean for each in columns
    ]
    rows = torch.tensor([first, first], dtype=torch.float64)
    rows[1, ::2] = torch.nan
    told: list[Entries] = []
    for name, column in zip(table.names, columns, strict=True):
        about: Entries = {"name": name, "kind": "date" if column.date else column.kind}
        told.append(about | ({"categories": list(column.categories)} if column.categories else {}))
    return Graph(Rows(model, columns), (Input("rows", rows, WHAT),), {"columns": told})
