"""What runs on single cells and on tables have in common, and what their reports show."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from pydantic import Field
from torch import nn

from maskwise.columns.evaluation import TabularEvaluateSettings, evaluate_tabular
from maskwise.columns.features import column_means, embed_rows, filled, numbers
from maskwise.columns.losses import fit_feature_noise
from maskwise.columns.model import TabularModel, TabularModelSettings
from maskwise.columns.networks import ColumnNetwork
from maskwise.columns.tabular import ColumnTokenizer, TabularRows, TabularSplits
from maskwise.errors import UserError
from maskwise.files import write_json
from maskwise.layers.transformer import Attention
from maskwise.measure.features import frozen, random_subset
from maskwise.measure.losses import fixed_mask
from maskwise.modality import Entries, check_layer
from maskwise.settings import settings
from maskwise.ties import descending
from maskwise.train.config import RunSettings
from maskwise.words import LossWords

PATTERNS = ("scattered", "shared")
D = TypeVar("D")
S = TypeVar("S")
T = TypeVar("T")
# What the report shows: points, rows, features of these, and how much of them is hidden.
NUM_POINTS, NUM_ROWS, NUM_FEATURES, RATIO = 1000, 8, 12, 0.5


@settings
class TabularRunSettings(RunSettings):
    """Everything that decides what a run on samples by features does."""

    model: TabularModelSettings = Field(default_factory=TabularModelSettings)
    evaluate: TabularEvaluateSettings = Field(default_factory=TabularEvaluateSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer("evaluate.layer", self.evaluate.layer, self.model.num_layers)


def loss_words(what: str, samples: str, between: tuple[str, ...], differ: str) -> LossWords:
    """Return what reports say of the loss, which is `what` of hidden values."""
    return LossWords(
        axis="nats per hidden value",
        what=f"Mean loss of hidden values ({what})",
        samples=samples,
        form=".4f",
        between=between,
        differ=differ,
        known={
            "marginal": "each feature predicted by what it is in the training data, whatever is"
            " visible"
        },
    )


def load(
    data: object,
    config: RunSettings,
    read: Callable[[D], S],
    take: Callable[[T, D], S],
    what: str,
) -> S:
    """Return the splits of data in memory, which `take` takes, or else those that `read` reads.

    Raises:
        UserError: data is lacking, or a pattern means something in an order of positions only.
    """
    if config.pattern not in PATTERNS:
        raise UserError(
            f"pattern {config.pattern} is not for features, which have no order: take scattered,"
            " or shared (the same features in all samples of a step)"
        )
    if data is not None:
        return take(cast(T, data), config.data)
    if config.data.source == "array":
        raise UserError(f"this run was given {what}: give it again, as data=")
    return read(config.data)


def build(
    tokenizer: ColumnTokenizer,
    config: TabularModelSettings,
    attention: Attention,
    network: nn.Module | None,
) -> TabularModel:
    """Return a model with initial weights."""
    assert network is None or isinstance(network, ColumnNetwork)
    return TabularModel(tokenizer, config, attention, network)


def settle(model: TabularModel, splits: TabularSplits, config: RunSettings) -> None:
    """Fit the variances of a trained model."""
    fit_feature_noise(model, splits.train, seed=config.seed)


def evaluate(
    model: TabularModel,
    splits: TabularSplits,
    config: TabularRunSettings,
    untrained: TabularModel | None,
) -> Entries:
    """Return the entries of result.json."""
    return evaluate_tabular(model, splits, config.evaluate, untrained=untrained)


def samples(
    folder: Path, model: TabularModel, splits: TabularSplits, config: TabularRunSettings
) -> None:
    """Write what the report shows of held-out samples to samples.json.

    "points", the first two principal components of samples by kind of features, the shares of the
    variance that they have ("explained"), the samples' "labels" and "classes"; and "rows", a few
    samples with the values of some features (None = not measured), whether they are "hidden" and
    what is "predicted", in the space of the model, counts as their log1p.
    """
    seed = config.evaluate.seed
    source = splits.test
    index = random_subset(len(source), NUM_POINTS, seed)
    raw = numbers(model.tokenizer, source, index)
    kinds = {
        "encoder": embed_rows(model, source, index),
        "raw values": filled(raw, column_means(raw)),
    }
    planes = {name: plane(values) for name, values in kinds.items()}
    labels = None if source.labels is None else source.labels[index].tolist()
    write_json(
        folder / "samples.json",
        {
            "points": {name: places.round(4).tolist() for name, (places, _) in planes.items()},
            "explained": {name: shares.tolist() for name, (_, shares) in planes.items()},
            "labels": labels,
            "classes": None if splits.classes is None else list(splits.classes),
            "rows": _rows(model, source, index, seed),
        },
    )


def plane(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components of samples, and their shares of the variance.

    >>> places, shares = plane(np.array([[0.0, 0.0], [3.0, 4.0]]))
    >>> abs(places).round(6).tolist(), shares.round(6).tolist()
    ([[2.5, 0.0], [2.5, 0.0]], [1.0, 0.0])
    """
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    # Samples are fewer than genes: their products are a smaller matrix than a covariance.
    variances, vectors = np.linalg.eigh(centred @ centred.T)
    variances, vectors = variances[::-1].clip(min=0), vectors[:, ::-1]
    places = np.zeros((len(values), 2))
    num = min(2, len(values))
    places[:, :num] = vectors[:, :num] * np.sqrt(variances[:num])
    signs = np.where(places[-1] < 0, -1, 1)  # which way an axis points is arbitrary
    shares = np.zeros(2)
    shares[:num] = variances[:num] / max(variances.sum(), 1e-300)
    return places * signs, shares


def _rows(
    model: TabularModel,
    source: TabularRows,
    index: np.ndarray,
    seed: int,
) -> Entries:
    """Return a few samples, what of them is hidden, and what the model says of it."""
    modality = model.tokenizer
    chosen = index[random_subset(len(index), NUM_ROWS, seed)]
    if source.labels is not None:
        chosen = chosen[np.argsort(source.labels[chosen], kind="stable")]
    batch = source.get(chosen)
    values = batch[:, : model.length]
    shown = np.arange(min(NUM_FEATURES, model.length))
    if modality.sparse:  # of most features little is seen in a few samples
        spread = values.double().nan_to_num(0.0).log1p().var(dim=0, correction=0).numpy()
        shown = np.sort(descending(spread)[:NUM_FEATURES])
    with frozen(model) as device:
        cpu = torch.device("cpu")
        hidden = fixed_mask(
            modality.grid, RATIO, chosen, "scattered", seed, cpu, modality.eligible(batch)
        ).hidden
        predicted = model.predict(batch.to(device), hidden.to(device)).cpu()
    if modality.loss != "mse":
        values, predicted = values.log1p(), predicted.log1p()
    return {
        "ratio": RATIO,
        "num_features": model.length,
        "names": [modality.names[place] for place in shown],
        "true": [
            [None if v != v else round(v, 4) for v in row] for row in values[:, shown].tolist()
        ],
        "hidden": hidden[:, shown].tolist(),
        "predicted": predicted[:, shown].double().numpy().round(4).tolist(),
    }
