"""Tables and cells made up for tests, and a model that knows how they were made."""

import numpy as np
import torch
from torch import Tensor, nn

from maskwise.cells.cells import Cells
from maskwise.columns.model import TabularModel, TabularModelSettings
from maskwise.columns.tabular import TabularRows, TabularSplits
from maskwise.likelihood import PPCA
from maskwise.tables.table import Column, Table

SMALL = {"width": 16, "depth": 1, "code": 6}


def table_of(sizes: tuple[int, ...]) -> Table:
    """Return columns that are numbers (0) or categories."""
    columns = [
        Column(f"c{i}", "category", categories=tuple("abcdefg"[:size]))
        if size
        else Column(f"n{i}", "number", 0.0, 1.0)
        for i, size in enumerate(sizes)
    ]
    return Table(tuple(columns))


def rows_of(
    samples: Tensor, labels: np.ndarray | None = None, batches: np.ndarray | None = None
) -> TabularRows:
    return TabularRows(
        lambda index: samples[torch.from_numpy(index)], np.arange(len(samples)), labels, batches
    )


def splits_of(
    samples: Tensor, labels: np.ndarray | None = None, num_test: int = 20
) -> TabularSplits:
    """Return the last samples as test samples."""
    num = len(samples) - num_test
    index = np.arange(len(samples))
    whole = rows_of(samples, labels)
    parts = whole.some(index[:num]), whole.some(index[num:])
    names = None if labels is None else tuple("abcdefg"[: labels.max() + 1])
    return TabularSplits(*parts, "made up", names, None, {}, Table(()))


def make_model(modality: Table | Cells, **changes: object) -> TabularModel:
    """Build a tiny model without touching the global generator."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return TabularModel(modality, TabularModelSettings(**(SMALL | changes)))


class Knowing(nn.Module):
    """Predicts the conditional mean of samples of a PPCA, exactly."""

    def __init__(self, truth: PPCA) -> None:
        super().__init__()
        self.truth = truth
        self.tokenizer = table_of((0,) * len(truth.mean))
        self.length = len(truth.mean)
        self.nothing = nn.Parameter(torch.zeros(1))

    def eligible(self, samples: Tensor) -> Tensor:
        return self.tokenizer.eligible(samples)

    def predict(self, samples: Tensor, hidden: Tensor) -> Tensor:
        blank = hidden | samples.isnan()
        return self.truth.conditional_moments(samples.nan_to_num(0.0), blank)[0].float()

    def losses(self, samples: Tensor, hidden: Tensor) -> Tensor:
        costs = (self.predict(samples, hidden) - samples).square() / 2
        return torch.where(hidden, costs, 0.0)


def ppca(num: int = 12) -> PPCA:
    """Three components, of different sizes."""
    rng = np.random.default_rng(0)
    return PPCA(rng.normal(size=(num, 3)) * [2.0, 1.0, 0.5], 0.5)


def cells_of(
    num: int, num_genes: int, seed: int = 0, loss: str = "nb"
) -> tuple[Cells, Tensor, np.ndarray]:
    """Return two types of cells: counts (of expression with loss "mse"), and their types."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 2
    rates = rng.gamma(1.0, 1.0, (2, num_genes))[labels] * rng.uniform(0.5, 2, (num, 1))
    counts = rng.poisson(rates).astype(np.float32)
    profile = tuple(
        float(each) for each in (counts.mean(0) + 0.01) / (counts.mean(0) + 0.01).sum()
    )
    total = float(np.median(counts.sum(1)))
    genes = tuple(f"g{i}" for i in range(num_genes))
    if loss == "mse":
        counts = np.log1p(counts / counts.sum(1, keepdims=True) * total)
        return Cells(genes, target_sum=total), torch.from_numpy(counts), labels
    return Cells(genes, loss, profile=profile, target_sum=total), torch.from_numpy(counts), labels
