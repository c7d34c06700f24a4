"""Made-up samples of every kind, and models of them whose weights are far from zero."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from maskwise.cells.cells import Cells
from maskwise.columns.model import TabularModel, TabularModelSettings
from maskwise.modalities import build
from maskwise.rng import Keys
from maskwise.tables.table import Column, Table

SHAPE = {"width": 8, "depth": 1, "code": 3, "heads": 2}
NUM = 12
KEYS = Keys(0, 0, torch.arange(NUM))
KINDS = ("mlp", "transformer")
CORRUPTIONS = ("indicator", "zero", "permute")
GENES = tuple("abcdef")
PROFILE = (0.3, 0.2, 0.2, 0.15, 0.1, 0.05)


def awake(network: Any, scale: float = 0.3) -> Any:
    """Add noise to all weights: many begin so small that a test could not see them."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def table(sizes: tuple[int, ...]) -> Table:
    """Return columns of numbers, of different scales, and of categories."""
    return Table(
        tuple(
            Column(f"c{i}", "category", categories=tuple("abcd"[:size]))
            if size
            else Column(f"n{i}", "number", 3.0 * i, 0.5 + 2 * i)
            for i, size in enumerate(sizes)
        )
    )


def rows(sizes: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return samples of such a table."""
    rng = torch.Generator().manual_seed(seed)
    columns = [
        torch.randint(size, (NUM,), generator=rng).float()
        if size
        else torch.randn(NUM, generator=rng)
        for size in sizes
    ]
    return torch.stack(columns, dim=1)


def counts(seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    depth = 20 + 100 * torch.rand(NUM, 1, generator=rng)
    return torch.poisson(depth * torch.tensor(PROFILE), generator=rng)


def with_holes(samples: Tensor) -> Tensor:
    """Return samples with values that were not measured; of the last one nothing was."""
    rng = torch.Generator().manual_seed(7)
    holes = torch.rand(samples.shape, generator=rng) < 0.25
    holes[-1] = True
    return samples.masked_fill(holes, torch.nan)


def with_batches(samples: Tensor) -> Tensor:
    return torch.cat([samples, torch.arange(len(samples))[:, None] % 3 - 1], dim=1)


def cells(loss: str = "mse", **changes: Any) -> Cells:
    profile = () if loss == "mse" else PROFILE
    return Cells(GENES, **{"loss": loss, "profile": profile, "target_sum": 70.0, **changes})  # type: ignore[arg-type]


MIXED = (0, 3, 0, 2, 0)
TWO = {"batches": ("one", "two")}
# What samples are like and some of them.
CASES: dict[str, tuple[Any, Tensor]] = {
    "numbers": (table((0,) * 5), rows((0,) * 5)),
    "categories": (table((3, 2, 4)), rows((3, 2, 4))),
    "mixed": (table(MIXED), rows(MIXED)),
    "mixed with holes": (table(MIXED), with_holes(rows(MIXED))),
    "expression": (cells(), counts().log1p()),
    "expression of batches with holes": (
        cells(**TWO),
        with_batches(with_holes(counts().log1p())),
    ),
    "nb": (cells("nb"), counts()),
    "nb of batches": (cells("nb", **TWO), with_batches(counts())),
    "zinb with holes": (cells("zinb"), with_holes(counts())),
}


def make(
    modality: Any, network: nn.Module | None = None, scale: float = 0.3, **changes: Any
) -> TabularModel:
    """Return a model with a likelihood."""
    config = TabularModelSettings(**{**SHAPE, **changes})
    model = build(modality, config, seed=0, encoder=None if network is None else lambda: network)
    awake(model, scale)
    model.log_variance.copy_(torch.linspace(-1, 0.5, model.length))
    model.log_spread.copy_(torch.linspace(0.3, -0.3, model.length))
    return model


def hide(samples: Tensor, length: int, seed: int = 0) -> Tensor:
    """Return hidden positions, also of what was not measured."""
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(len(samples), length, generator=rng) < 0.5


def each_case(*names: str) -> pytest.MarkDecorator:
    """Run a test on some of the samples, by default on all."""
    return pytest.mark.parametrize("case", names or list(CASES))
