"""Runs on images."""

from collections.abc import Mapping

import numpy as np
import torch

from maskwise import masks
from maskwise.errors import UserError
from maskwise.images import data as image_data
from maskwise.images.augment import crop_and_flip
from maskwise.images.data import ImageDataSettings, Pixels
from maskwise.images.evaluation import chosen, evaluate, extract, write_samples
from maskwise.images.finetuning import check_finetuning
from maskwise.images.images import Images, describe
from maskwise.images.pictures import SUFFIXES
from maskwise.images.recipes import RECIPES, ImageRunSettings, any_images
from maskwise.images.source import ImageSource, ImageSplits
from maskwise.layers.transformer import Transformer
from maskwise.modality import Augment, Features, Modality, Pool
from maskwise.patches.losses import fit_noise, patch_likelihood
from maskwise.patches.model import PatchModel
from maskwise.settings import override
from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

WORDS = Words(
    counted=("samples seen", "encoder tokens"),
    shown="pictures",
    loss=LossWords(
        title="Reconstruction error by ratio",
        name="Reconstruction error",
        axis="error ({} target)",
        head="error",
        table="Error on the {} target",
        what="Mean squared error at hidden positions",
        samples="test images",
        detail="{} target, ",
        form=".4g",
        tabled=False,
        pattern=False,
        differ="data or target",
    ),
    likelihood=LikelihoodWords(
        sample="image",
        kind="density",
        compare="It is a density of raw values, normal for each, so it can be compared between "
        "models of the same images, whatever their patch. ",
        dashed="independent normals with each pixel's mean and deviation in training images, which"
        " look at nothing of the image",
        tested="test images",
    ),
    probes=ProbeWords(labelled=True),
)


def _load(
    data: Pixels | tuple[Pixels, Pixels | None] | None, config: ImageRunSettings
) -> ImageSplits:
    if data is None:
        if config.data.source == "array":
            raise UserError("this run was given arrays: give them again, as data=")
        return image_data.load(config.data)
    if config.data.classes:
        raise UserError("data.classes chooses among folders of images: leave it out for arrays")
    x, y = data if isinstance(data, tuple) else (data, None)
    return image_data.from_arrays(x, y, holdout=config.data.holdout)


def _describe(splits: ImageSplits, config: ImageRunSettings) -> tuple[Images, ImageRunSettings]:
    """Complete the configuration from the data: the patch, and the statistics of the channels."""
    images = describe(splits.train, config.data.patch, config.data.target)
    config = override(config, {"data.patch": images.patch})
    # Refuses what cannot work, before anything is written.
    if config.evaluate.finetune.seeds:
        check_finetuning(chosen(splits, config.evaluate), config.evaluate.finetune)
    masks.draw(config.law, images.grid, sample_ids=torch.arange(1), seed=0, pattern=config.pattern)
    return images, config


def _augment(config: ImageRunSettings) -> Augment | None:
    """Return how training crops and mirrors images, if it does."""
    crop_scale, flip = config.data.crop_scale, config.data.flip
    if crop_scale is None and not flip:
        return None
    return lambda images, keys: crop_and_flip(images, keys, crop_scale, flip)


def _embed(
    model: PatchModel,
    images: Pixels | ImageSource,
    config: ImageRunSettings,
    pool: Pool,
    layer: int,
) -> np.ndarray:
    source = images if isinstance(images, ImageSource) else image_data.as_source(images)
    return extract(model, source, pool, layer)


def _features(
    source: str, changes: Mapping[str, object], target: str | None, classes: bool
) -> Features:
    """Return means of patches, because those are hidden."""
    data = override(ImageDataSettings(source=source), changes)
    if target is not None:
        raise UserError(f"{source}: images have no column '{target}'; leave it out")
    train = image_data.load(data).train
    images = describe(train, data.patch, "raw")
    parts = np.array_split(np.arange(len(train)), -(-len(train) // 256))
    values = [images.tokenize(train.get(part)).mean(-1).numpy() for part in parts]
    (rows, columns), (height, width) = images.grid, images.patch
    what = f"means of the {rows}x{columns} patches of {height}x{width} pixels"
    return Features(np.concatenate(values), None, what, train.labels)


RECORD = Modality(
    name="images",
    title="a model of images",
    settings=ImageRunSettings,
    recipes=RECIPES,
    own=any_images,
    words=WORDS,
    sources="FILE.npz|.npy|.npy.xz, a folder of images or arrays, hf:NAME",
    endings=frozenset(SUFFIXES),
    precedence=2,
    load=_load,
    describe=_describe,
    augment=_augment,
    build=PatchModel,
    settle=lambda model, splits, config: fit_noise(model, splits.train, seed=config.seed),
    evaluate=lambda model, splits, config, untrained: evaluate(
        model, splits, config.evaluate, pattern=config.pattern, untrained=untrained
    ),
    samples=lambda folder, model, splits, config: write_samples(
        *(folder / "samples.npz", model, splits.test),
        pattern=config.pattern,
        seed=config.evaluate.seed,
    ),
    restore=Images.load,
    parts=lambda model: {"own_encoder": not isinstance(model.encoder, Transformer)},
    embed=_embed,
    read=lambda config: image_data.load_all(config.data),
    likelihood=patch_likelihood,
    features=_features,
)
