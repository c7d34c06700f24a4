"""What a pretrained model is worth: reconstruction error by ratio, and probes beside baselines."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from maskwise.images.features import extract, raw, raw_size
from maskwise.images.finetuning import ImageFineTuneSettings, image_finetune_table
from maskwise.images.source import ImageSplits
from maskwise.measure.features import Ratio, data_entry, models_of, pca, random_subset
from maskwise.measure.probes import given_split, probe_row
from maskwise.measure.protocols import PROBES, Name
from maskwise.modality import Entries, Pool
from maskwise.patches.losses import reconstruction
from maskwise.patches.model import PatchModel
from maskwise.settings import settings


@settings
class ImageEvaluateSettings:
    """How a model is evaluated."""

    pools: tuple[Pool, ...] = ("mean", "class")
    """Features to probe; those that need a class token are left out where there is none."""
    layer: int = -1
    """Encoder block whose output is probed; -1 is the last."""
    protocols: tuple[Name, ...] = ("logistic", "mae", "knn")
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
    finetune: ImageFineTuneSettings = ImageFineTuneSettings()
    """Fine-tuning of the encoder, on the samples that probes use."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of samples, the masks, the probes and the bootstrap."""


def evaluate(
    model: PatchModel,
    splits: ImageSplits,
    config: ImageEvaluateSettings,
    *,
    pattern: str,
    untrained: PatchModel | None = None,
) -> Entries:
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
    test, seed = splits.test, config.seed
    models = models_of(model, untrained, baselines=config.baselines)
    index = random_subset(len(test), config.num_test, seed)
    return {
        "data": data_entry(splits, test.shape, test.classes),
        "probes": probe_table(model, splits, config, untrained),
        "finetuning": image_finetune_table(models, chosen(splits, config), config.finetune),
        "reconstruction": reconstruction(model, test, index, config.ratios, pattern, seed),
    }


def chosen(splits: ImageSplits, config: ImageEvaluateSettings) -> ImageSplits:
    """Return the samples that probes and fine-tuning use; nothing is copied or decoded."""
    parts = ((splits.train, config.num_train), (splits.test, config.num_test))
    train, test = (
        source.take(random_subset(len(source), num, config.seed)) for source, num in parts
    )
    return ImageSplits(train, test, splits.name)


def probe_table(
    model: PatchModel,
    splits: ImageSplits,
    config: ImageEvaluateSettings,
    untrained: PatchModel | None = None,
) -> list[Entries]:
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
    labels = given_split(train_y, test_y)
    models = models_of(model, untrained, baselines=config.baselines)
    return [
        probe_row(name, np.concatenate(x), labels, PROBES[each], config.seed, accuracy_only=True)
        for name, x in _feature_sets(models, splits, config)
        for each in config.protocols
    ]


def _feature_sets(
    models: dict[str, PatchModel], splits: ImageSplits, config: ImageEvaluateSettings
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Give (name, [train [N, D], test [M, D]]) one kind at a time, so one is in memory."""
    parts = (splits.train, splits.test)
    # Where no pool remains, `encode` says what is missing.
    with_class = models["encoder"].has_class_token
    pools = [pool for pool in config.pools if pool == "mean" or with_class]
    block = "" if config.layer == -1 else f" block {config.layer}"
    for title, encoder in models.items():
        for pool in pools or config.pools:
            x = [extract(encoder, source, pool, config.layer) for source in parts]
            yield f"{title}{block}, {pool}", x
    if not config.baselines:
        return
    x = [raw(source) for source in parts]
    size = raw_size(splits.train.shape)
    small = "" if size == splits.train.shape[1:] else f", averaged to {size[0]} x {size[1]}"
    yield f"raw pixels{small}", x
    x = pca(x, config.seed)
    yield f"PCA ({x[0].shape[1]})", x
