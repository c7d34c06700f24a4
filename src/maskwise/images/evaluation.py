"""What a pretrained model is worth: reconstruction error by ratio, and probes beside baselines."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from maskwise.images.finetuning import ImageFineTune, image_finetune_table
from maskwise.images.source import ImageSplits
from maskwise.measure import features
from maskwise.measure.features import Pool, subset
from maskwise.measure.protocols import Protocol, probe_rows
from maskwise.measure.reconstruction import reconstruction
from maskwise.patches.model import MaskedModel
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
    """Also probe raw pixels, their principal components and the untrained encoder, and fine-tune
    the latter."""
    finetune: ImageFineTune = ImageFineTune()
    """Fine-tuning of the encoder, on the samples that probes use."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of samples, the masks, the probes and the bootstrap."""


def evaluate(
    model: MaskedModel,
    splits: ImageSplits,
    config: Evaluate,
    *,
    pattern: str,
    untrained: MaskedModel | None = None,
) -> dict[str, Any]:
    """Return the entries of result.json: data, reconstruction, probes and fine-tuning.

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
        "finetuning": image_finetune_table(
            _encoders(model, config, untrained), chosen(splits, config), config.finetune
        ),
        "reconstruction": reconstruction(model, test, index, config.ratios, pattern, config.seed),
    }


def chosen(splits: ImageSplits, config: Evaluate) -> ImageSplits:
    """Return the samples that probes and fine-tuning use; nothing is copied or decoded."""
    parts = ((splits.train, config.num_train), (splits.test, config.num_test))
    train, test = (source.take(subset(len(source), num, config.seed)) for source, num in parts)
    return ImageSplits(train, test, splits.name)


def probe_table(
    model: MaskedModel, splits: ImageSplits, config: Evaluate, untrained: MaskedModel | None = None
) -> list[dict[str, Any]]:
    """Return the "probes" entry of result.json: every kind of features under every protocol.

    Empty without labels or with fewer than two classes. A test sample whose class is not among
    the training samples counts as wrong, and "note" says so.

    Raises:
        UserError: a layer or a pool that the model does not have.
    """
    splits = chosen(splits, config)
    train_y, test_y = splits.train.labels, splits.test.labels
    if train_y is None or test_y is None or len(np.unique(train_y)) < 2:
        return []
    table = []
    for name, train_x, test_x in _feature_sets(model, untrained, splits, config):
        train, test = (train_x, train_y), (test_x, test_y)
        table += probe_rows(name, train, test, config.protocols, config.seed)
    return table


def _feature_sets(
    model: MaskedModel,
    untrained: MaskedModel | None,
    splits: ImageSplits,
    config: Evaluate,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Give (name, train [N, D], test [M, D]) one kind at a time, so one is in memory."""
    parts = (splits.train, splits.test)
    # Where no pool remains, `encode` says what is missing.
    pools = [pool for pool in config.pools if pool == "mean" or model.has_class_token]
    block = "" if config.layer == -1 else f" block {config.layer}"
    for title, encoder in _encoders(model, config, untrained).items():
        for pool in pools or config.pools:
            train, test = (
                features.extract(encoder, source, pool, config.layer) for source in parts
            )
            yield f"{title}{block}, {pool}", train, test
    if not config.baselines:
        return
    train, test = map(features.raw, parts)
    size = features.raw_size(splits.train.shape)
    small = "" if size == splits.train.shape[1:] else f", averaged to {size[0]} x {size[1]}"
    yield f"raw pixels{small}", train, test
    train, test = features.pca(train, test, config.seed)
    yield f"PCA ({train.shape[1]})", train, test


def _encoders(
    model: MaskedModel, config: Evaluate, untrained: MaskedModel | None
) -> dict[str, MaskedModel]:
    """Return what is probed and fine-tuned, by name."""
    if not config.baselines or untrained is None:
        return {"encoder": model}
    return {"encoder": model, "untrained encoder": untrained}
