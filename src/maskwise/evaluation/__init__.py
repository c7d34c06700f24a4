"""What a pretrained model is worth: reconstruction error by ratio, and probes beside baselines."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from maskwise.evaluation import features
from maskwise.evaluation.features import Pool, subset
from maskwise.evaluation.protocols import Protocol, probe_rows
from maskwise.evaluation.reconstruction import reconstruction
from maskwise.modalities.image_source import Splits
from maskwise.models.masked import MaskedModel
from maskwise.settings import settings

Ratio = Annotated[float, Field(gt=0, lt=1)]


@settings
class Evaluate:
    """How a model is evaluated."""

    pools: tuple[Pool, ...] = ("mean", "class")
    """Features to probe; those that need a class token are left out where there is none."""
    layer: int = -1
    """Encoder block whose output is probed; -1 is the last."""
    protocols: tuple[Protocol, ...] = ("logistic", "mae", "knn")
    """Probes to run on every kind of features."""
    ratios: tuple[Ratio, ...] = tuple(n / 10 for n in range(1, 10))
    """Hidden fractions at which the reconstruction error is measured."""
    num_train: Annotated[int, Field(ge=2)] = 10_000
    """Labelled training samples at most, chosen at random."""
    num_test: Annotated[int, Field(ge=1)] = 10_000
    """Test samples at most, chosen at random."""
    baselines: bool = True
    """Also probe raw pixels, their principal components and the untrained encoder."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of samples, the masks, the probes and the bootstrap."""


def evaluate(
    model: MaskedModel,
    splits: Splits,
    config: Evaluate,
    *,
    pattern: str,
    untrained: MaskedModel | None = None,
) -> dict[str, Any]:
    """Return the "data", "reconstruction" and "probes" entries of result.json.

    Nothing depends on the training seed or law, so results of different runs are comparable.

    Args:
        model: a pretrained model.
        splits: probes are fitted on the training part; everything is measured on the test part.
        config: what is measured.
        pattern: how hidden positions lie when the reconstruction error is measured.
        untrained: the same model before training, probed as a baseline.

    Raises:
        UserError: a layer or a pool that the model does not have.
    """
    train, test = splits.train, splits.test
    index = subset(len(test), config.num_test, config.seed)
    return {
        "data": {
            "name": splits.name,
            "num_train": len(train),
            "num_test": len(test),
            "shape": list(test.shape),
            "classes": None if test.classes is None else list(test.classes),
        },
        "probes": probe_table(model, splits, config, untrained),
        "reconstruction": reconstruction(model, test, index, config.ratios, pattern, config.seed),
    }


def probe_table(
    model: MaskedModel, splits: Splits, config: Evaluate, untrained: MaskedModel | None = None
) -> list[dict[str, Any]]:
    """Return the "probes" entry of result.json: every kind of features under every protocol.

    Empty without labels or with fewer than two classes. A test sample whose class is not among
    the training samples counts as wrong, and "note" says so.

    Raises:
        UserError: a layer or a pool that the model does not have.
    """
    train_index = subset(len(splits.train), config.num_train, config.seed)
    test_index = subset(len(splits.test), config.num_test, config.seed)
    if splits.train.labels is None or splits.test.labels is None:
        return []
    train_y, test_y = splits.train.labels[train_index], splits.test.labels[test_index]
    if len(np.unique(train_y)) < 2:
        return []
    table = []
    for name, train_x, test_x in _feature_sets(
        model, untrained, splits, config, train_index, test_index
    ):
        train, test = (train_x, train_y), (test_x, test_y)
        table += probe_rows(name, train, test, config.protocols, config.seed)
    return table


def _feature_sets(
    model: MaskedModel,
    untrained: MaskedModel | None,
    splits: Splits,
    config: Evaluate,
    train_index: np.ndarray,
    test_index: np.ndarray,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Give (name, train [N, D], test [M, D]) one kind at a time, so one is in memory."""
    parts = ((splits.train, train_index), (splits.test, test_index))
    # Where no pool remains, `encode` says what is missing.
    pools = [pool for pool in config.pools if pool == "mean" or model.has_class_token]
    block = "" if config.layer == -1 else f" block {config.layer}"
    encoders = {"encoder": model}
    if config.baselines and untrained is not None:
        encoders["untrained encoder"] = untrained
    for title, encoder in encoders.items():
        for pool in pools or config.pools:
            train, test = (
                features.extract(encoder, source, pool, config.layer, index)
                for source, index in parts
            )
            yield f"{title}{block}, {pool}", train, test
    if not config.baselines:
        return
    train, test = (features.raw(source, index) for source, index in parts)
    size = features.raw_size(splits.train.shape)
    small = "" if size == splits.train.shape[1:] else f", averaged to {size[0]} x {size[1]}"
    yield f"raw pixels{small}", train, test
    train, test = features.pca(train, test, config.seed)
    yield f"PCA ({train.shape[1]})", train, test
