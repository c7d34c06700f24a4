"""What runs on single cells and on tables have in common."""

from pathlib import Path
from typing import Any

from torch import nn

from maskwise.columns.evaluation import evaluate_tabular
from maskwise.columns.model import TabularModel, TabularModelSettings
from maskwise.columns.networks import ColumnNetwork
from maskwise.columns.noise import fit_feature_noise
from maskwise.columns.samples import write_tabular
from maskwise.columns.tabular import ColumnTokenizer, TabularSplits
from maskwise.errors import UserError
from maskwise.layers.transformer import Attention

PATTERNS = ("scattered", "shared")


def check_pattern(config: Any) -> None:
    """Refuse patterns that mean something in an order of positions only.

    Raises:
        UserError: such a pattern.
    """
    if config.pattern not in PATTERNS:
        raise UserError(
            f"pattern {config.pattern} is not for features, which have no order: take scattered,"
            " or shared (the same features in all samples of a step)"
        )


def settle(model: TabularModel, splits: TabularSplits, config: Any) -> None:
    """Fit the variances of a trained model."""
    fit_feature_noise(model, splits.train, seed=config.seed)


def evaluate(model: TabularModel, splits: TabularSplits, config: Any, untrained: Any) -> Any:
    """Return the entries of result.json."""
    return evaluate_tabular(model, splits, config.evaluate, untrained=untrained)


def samples(folder: Path, model: TabularModel, splits: TabularSplits, config: Any) -> None:
    """Write what the report shows."""
    write_tabular(folder / "samples.json", model, splits, seed=config.evaluate.seed)


def build(
    modality: ColumnTokenizer,
    config: TabularModelSettings,
    attention: Attention,
    network: nn.Module | None,
) -> TabularModel:
    """Return a model with initial weights."""
    assert network is None or isinstance(network, ColumnNetwork)
    return TabularModel(modality, config, attention, network)
