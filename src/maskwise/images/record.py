"""What is special about images: the record of this kind of data."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from maskwise import masks
from maskwise.errors import UserError
from maskwise.exports.formats import graph_formats
from maskwise.images import data as image_data
from maskwise.images import partial
from maskwise.images.augment import crop_and_flip
from maskwise.images.data import ImageDataSettings
from maskwise.images.dry_look import inspect
from maskwise.images.endings import USUAL
from maskwise.images.evaluation import (
    chosen,
    evaluate,
    write_samples,
)
from maskwise.images.finetuning import finetuning_problems
from maskwise.images.given import example, takes
from maskwise.images.graph import image_graph
from maskwise.images.images import Images, ImageSource, ImageSplits, describe
from maskwise.images.init import KEYS, load_into, settings_for
from maskwise.images.packed import holds_pictures
from maskwise.images.recipes import RECIPES, SCALE, ImageRunSettings, any_images
from maskwise.images.sizes import of_size, resized, suited
from maskwise.images.streams import load_stream
from maskwise.images.timm_encoder import images_model, patch_of, to_timm
from maskwise.images.vit_export import to_hf_vit, to_hf_vitmae
from maskwise.inspection import Problem
from maskwise.layers.transformer import Transformer
from maskwise.modality import Augment, Features, Init, Modality, Pool
from maskwise.outputs import spread
from maskwise.patches.arrays import embed
from maskwise.patches.losses import fit_noise, patch_likelihood
from maskwise.patches.model import PatchModel
from maskwise.settings import override
from maskwise.textio import few
from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

log = logging.getLogger("maskwise")


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


def _describe(splits: ImageSplits, config: ImageRunSettings) -> tuple[Images, ImageRunSettings]:
    """Complete the configuration from the data: the patch, and the statistics of the channels."""
    data, channels = config.data, splits.train.shape[0]
    patch, statistics = data.patch, (data.mean, data.std)
    if patch is None and config.model.encoder is not None:
        patch = patch_of(config.model.encoder)
    if config.model.init is not None and channels > 1 and len(data.mean) not in (1, channels):
        statistics = (), ()  # images of other channels than those that the weights know
    images = describe(splits.train, patch, data.target, *statistics)
    for problem in _problems(splits, images, config):  # before anything is written
        raise UserError(problem.text)
    return images, override(config, {"data.patch": images.patch})


def _problems(splits: ImageSplits, images: Images, config: ImageRunSettings) -> list[Problem]:
    """Return what keeps images from being masked, or fine-tuned on, as settings ask."""
    found = []
    if config.evaluate.finetune.seeds:
        some = chosen(splits, config.evaluate)
        found += finetuning_problems(some, config.evaluate.finetune)
        try:
            of_size(images, config.evaluate.finetune.size or (images.height, images.width))
        except UserError as error:
            found.append(Problem(f"evaluate.finetune.size: {error}"))
    one = torch.arange(1)
    try:
        masks.draw(config.law, images.grid, sample_ids=one, seed=0, pattern=config.pattern)
    except UserError as error:
        found.append(Problem(str(error)))
    return found


def _augment(config: ImageRunSettings) -> Augment | None:
    """Return how training crops and mirrors images, if it does."""
    crop_scale, flip = config.data.crop_scale, config.data.flip
    if crop_scale is None and not flip:
        return None
    return lambda images, keys: crop_and_flip(images, keys, crop_scale, flip)


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


def _embed(
    model: PatchModel, images: Any, config: ImageRunSettings, pool: Pool, layer: int
) -> np.ndarray:
    """Return features of images, at a size of their own if they have one.

    Those of images that cannot be read are NaN.
    """
    assert isinstance(model.tokenizer, Images)
    if isinstance(images, ImageSource):
        return embed(resized(model, images.shape), images, pool, layer)
    found = image_data.read_all(suited(model.tokenizer, images, config.data), images)
    if found.broken:
        log.warning(
            "%d images have no features: %s",
            len(found.broken),
            few([f"{row + 1} ({why})" for row, why in found.broken.items()]),
        )
    source: ImageSource = found.given
    features = embed(resized(model, source.shape), source, pool, layer)
    return spread(features, None, found.broken).features


def _suited(
    model: PatchModel, images: Any, config: ImageRunSettings
) -> tuple[PatchModel, ImageRunSettings]:
    """Images tell their size themselves."""
    assert isinstance(model.tokenizer, Images)
    return model, replace(config, data=suited(model.tokenizer, images, config.data))


RECORD = Modality(
    name="images",
    title="a model of images",
    settings=ImageRunSettings,
    recipes=RECIPES,
    own=any_images,
    scale=SCALE,
    words=WORDS,
    sources="FILE.npz|.npy|.npy.xz|.zip|.tar|.parquet, a folder of images or arrays, hf:NAME",
    endings=frozenset(USUAL),
    holds=holds_pictures,
    precedence=2,
    of_memory=takes,
    of_items=lambda items, config: items,
    of_stream=lambda stream, config: load_stream(stream, config.data),
    inspect=lambda given, config: inspect(
        given, config.data, lambda splits, images: _problems(splits, images, config)
    ),
    load=lambda data, config: image_data.load(config.data, data),
    describe=_describe,
    augment=_augment,
    build=images_model,
    init=Init(settings_for, load_into, KEYS),
    settle=lambda model, splits, config: fit_noise(model, splits.train, seed=config.seed),
    evaluate=lambda model, splits, config, untrained: evaluate(
        model, splits, config.evaluate, pattern=config.pattern, untrained=untrained
    ),
    samples=lambda folder, model, splits, config: write_samples(
        *(folder / "samples.npz", model, splits.test),
        pattern=config.pattern,
        seed=config.evaluate.seed,
    ),
    example=example,
    restore=Images.load,
    parts=lambda model: {
        "own_encoder": model.config.encoder is None and not isinstance(model.encoder, Transformer)
    },
    suited=_suited,
    resized=resized,
    embed=_embed,
    read=lambda config: image_data.read_all(config.data),
    incomplete=partial.incomplete,
    labelled=partial.labelled,
    likelihood=patch_likelihood,
    features=_features,
    exports={
        "timm": to_timm,
        "hf-vit": to_hf_vit,
        "hf-vitmae": to_hf_vitmae,
        **graph_formats(image_graph),
    },
)
