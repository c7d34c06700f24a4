"""What a model of images is worth: errors by ratio, probes of features, pictures to see."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from maskwise.files import atomic
from maskwise.images.finetuning import ImageFineTuneSettings, image_finetune_table
from maskwise.images.images import ImageSource, ImageSplits
from maskwise.measure.features import (
    Ratio,
    data_entry,
    frozen,
    in_batches,
    models_of,
    pca,
    random_subset,
)
from maskwise.measure.losses import fixed_mask
from maskwise.measure.probes import given_split, probe_row
from maskwise.measure.protocols import PROBES, Name
from maskwise.modality import Entries, Pool
from maskwise.patches.arrays import embed, read_ahead
from maskwise.patches.curve import partial_curve
from maskwise.patches.losses import reconstruction
from maskwise.patches.model import PatchModel, Statistics
from maskwise.predict.curve import MOST_TEST, MOST_TRAIN
from maskwise.predict.parts import VisibleSettings
from maskwise.progress import track
from maskwise.settings import settings

SHOWN_RATIOS = (0.25, 0.5, 0.75, 0.9)


@settings
class ImageEvaluateSettings(VisibleSettings):
    """How a model is evaluated."""

    axes: ClassVar[int] = 2

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
    """Return the entries of result.json: data, reconstruction, probes, parts and fine-tuning.

    Nothing depends on the training seed or law, so results of different runs are comparable.
    `untrained` is the same model before training, probed as a baseline.
    """
    test, seed = splits.test, config.seed
    models, few = models_of(model, untrained, baselines=config.baselines), chosen(splits, config)
    index = random_subset(len(test), config.num_test, seed)
    return {
        "data": data_entry(splits, test.shape, test.classes),
        "probes": probe_table(models, few, config),
        "partial": partial_table(model, splits, config),
        "finetuning": image_finetune_table(models, few, config.finetune),
        "reconstruction": reconstruction(model, test, index, config.ratios, pattern, seed),
    }


def chosen(splits: ImageSplits, config: ImageEvaluateSettings) -> ImageSplits:
    """Return the samples that probes and fine-tuning use; nothing is copied or decoded.

    Where there are labels, those without one are left out.
    """

    def some(source: ImageSource, num: int) -> ImageSource:
        known = np.arange(len(source))
        if source.labels is not None:
            known = np.flatnonzero(source.labels >= 0)
        return source.take(known[random_subset(len(known), num, config.seed)])

    train, test = some(splits.train, config.num_train), some(splits.test, config.num_test)
    return ImageSplits(train, test, splits.name)


def partial_table(
    model: PatchModel, splits: ImageSplits, config: ImageEvaluateSettings
) -> list[Entries]:
    """Return the "partial" entry of result.json: how right answers are by what is visible."""
    sizes = min(config.num_train, MOST_TRAIN), min(config.num_test, MOST_TEST)
    few = chosen(splits, replace(config, num_train=sizes[0], num_test=sizes[1]))
    train, test = few.train, few.test
    return partial_curve(
        *(model, (train, train.labels), (test, test.labels), test.rows, config),
        pool="mean" if "mean" in config.pools or not model.has_class_token else "class",
        layer=config.layer,
        baselines=config.baselines,
        seed=config.seed,
    )


def probe_table(
    models: dict[str, PatchModel], splits: ImageSplits, config: ImageEvaluateSettings
) -> list[Entries]:
    """Return the "probes" entry of result.json: every kind of features under every protocol.

    Empty without labels or with fewer than two classes to train on. A test sample whose class is
    not among the training samples counts as wrong, and "note" says so.
    """
    train_y, test_y = splits.train.labels, splits.test.labels
    if train_y is None or test_y is None or len(np.unique(train_y)) < 2:
        return []
    labels, rows = given_split(train_y, test_y), []
    # Where no pool remains, `encode` says what is missing.
    has_class = models["encoder"].has_class_token
    pools = [pool for pool in config.pools if pool == "mean" or has_class]
    pools = pools or list(config.pools)
    num = len(models) * len(pools) + 2 * config.baselines
    for name, parts in track(_feature_sets(models, pools, splits, config), "probes", num):
        x = np.concatenate(parts)
        for each in track(config.protocols, name):
            row = probe_row(name, x, labels, PROBES[each], config.seed, accuracy_only=True)
            rows.append(row)
    return rows


def _feature_sets(
    models: dict[str, PatchModel],
    pools: Sequence[Pool],
    splits: ImageSplits,
    config: ImageEvaluateSettings,
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Give (name, [train [N, D], test [M, D]]) one kind at a time, so one is in memory."""
    parts = (splits.train, splits.test)
    block = "" if config.layer == -1 else f" block {config.layer}"
    for title, encoder in models.items():
        for pool in pools:
            x = [embed(encoder, source, pool, config.layer) for source in parts]
            yield f"{title}{block}, {pool}", x
    if not config.baselines:
        return
    x = [raw(source) for source in parts]
    size = raw_size(splits.train.shape)
    small = "" if size == splits.train.shape[1:] else f", averaged to {size[0]} x {size[1]}"
    yield f"raw pixels{small}", x
    x = pca(x, config.seed)
    yield f"PCA ({x[0].shape[1]})", x


def raw(source: ImageSource, max_values: int = 1024, batch_size: int = 512) -> np.ndarray:
    """Flatten raw values, averaged down to `raw_size` where there are many, float32 [N, D]."""
    size = raw_size(source.shape, max_values)
    read = read_ahead(source, in_batches(np.arange(len(source)), batch_size))
    parts = [F.adaptive_avg_pool2d(images.float(), size).flatten(1).numpy() for images in read]
    return np.concatenate(parts)


def raw_size(shape: tuple[int, int, int], max_values: int = 1024) -> tuple[int, int]:
    """Return height and width over the smallest whole number that leaves `max_values` at most.

    >>> raw_size((1, 28, 28)), raw_size((3, 32, 32))  # MNIST, CIFAR-10
    ((28, 28), (16, 16))
    """
    # On all 3072 values of 10,000 CIFAR-10 images, logistic regression takes a minute, does not
    # converge and is 7 points worse than on 16 x 16: a slow and weak baseline.
    channels, height, width = shape
    for factor in range(1, max(height, width) + 1):
        size = math.ceil(height / factor), math.ceil(width / factor)
        if channels * math.prod(size) <= max_values:
            break
    return size


def write_samples(
    path: Path,
    model: PatchModel,
    source: ImageSource,
    *,
    pattern: str,
    seed: int,
    num: int = 8,
) -> None:
    """Write a few test images, hidden at several ratios and filled in, for the report.

    Arrays, with n images and R ratios: images [n, H, W, C] in [0, 1], ratios [R], hidden
    [R, n, H, W] in pixels, filled_visible and filled_true [R, n, H, W, C] with hidden patches
    replaced by predictions. A normalised prediction needs a mean and a deviation to become pixels:
    filled_visible takes those of the visible neighbours, filled_true the true ones, which leak.
    `path` is complete or absent.
    """
    index = random_subset(len(source), num, seed)
    images = source.get(index)
    is_bytes = images.dtype == torch.uint8
    low, high = (0.0, 255.0) if is_bytes else (float(images.min()), float(images.max()))

    def shown(images: Tensor) -> np.ndarray:
        scaled = (images.float() - low) / max(high - low, 1e-12)
        return scaled.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()

    arrays: Entries = {"images": shown(images), "ratios": np.array(SHOWN_RATIOS)}
    tokenizer = model.tokenizer
    with frozen(model) as device:
        asked = index, pattern, seed, device
        masks = [fixed_mask(tokenizer.grid, ratio, *asked).hidden for ratio in SHOWN_RATIOS]
        arrays["hidden"] = np.stack([tokenizer.spread(each)[:, 0].cpu().numpy() for each in masks])
        for statistics in get_args(Statistics):
            filled = [model.reconstruct(images.to(device), each, statistics) for each in masks]
            arrays[f"filled_{statistics}"] = np.stack([shown(each) for each in filled])
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
