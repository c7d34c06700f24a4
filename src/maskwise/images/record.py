"""Runs on images: settings, recipes, and what is special about this kind of data.

R²MAE is the default of recipes, the usual fixed ratio has the variants named -fixed. Those of
U-MAE (arXiv 2210.08344), masked autoencoders whose class tokens are kept apart, come twice. The
plain one has the gradient of the equation on any number of devices. That named -paper has the
scale of the public code instead: the mean squared cosine counts every sample against itself, and
on W devices its gradient is 1 / W of the one meant, so that the weight of 0.01 that is published
for 8 devices is one of 0.00125. Neither applies the encoder's last LayerNorm to the class token a
second time, as that code does.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from maskwise import masks
from maskwise.errors import UserError, option
from maskwise.images import data as image_data
from maskwise.images import partial
from maskwise.images.augment import crop_and_flip
from maskwise.images.data import ImageDataSettings
from maskwise.images.dry_look import inspect
from maskwise.images.evaluation import (
    ImageEvaluateSettings,
    chosen,
    evaluate,
    write_samples,
)
from maskwise.images.finetuning import ImageFineTuneSettings, finetuning_problems
from maskwise.images.folders import USUAL
from maskwise.images.given import example, takes
from maskwise.images.images import Images, ImageSource, ImageSplits, describe
from maskwise.images.sizes import of_size, resized, suited
from maskwise.images.timm_encoder import images_model, patch_of
from maskwise.inspection import Problem
from maskwise.layers.transformer import Transformer
from maskwise.measure.representation import DiagnoseSettings
from maskwise.modality import Augment, Features, Modality, Pool, Scale
from maskwise.objectives.regularise import RegulariseSettings
from maskwise.outputs import spread
from maskwise.patches.arrays import embed
from maskwise.patches.losses import fit_noise, patch_likelihood
from maskwise.patches.model import PatchModel, PatchModelSettings
from maskwise.settings import check_layer, override, settings
from maskwise.textio import few
from maskwise.train.config import EfficiencySettings, LawText, RunSettings, TrainSettings
from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

log = logging.getLogger("maskwise")
VIT_TINY = PatchModelSettings(width=192, depth=12, heads=3, decoder_width=128, decoder_depth=2)
VIT_BASE = PatchModelSettings(
    width=768, depth=12, heads=12, decoder_width=512, decoder_depth=8, decoder_heads=16
)
UMAE_LAW, UMAE = "fixed:0.75", RegulariseSettings(uniformity="0.01", pool="class")
BATCH, EPOCHS = 1024, 200
IMAGENET = 1_281_167  # images to train on
IMAGENET100 = 126_689, ("imagenet100",)  # of them in these classes


@settings
class ImageRunSettings(RunSettings):
    """Everything that decides what a run on images does."""

    modality: Literal["images"] = "images"
    """kind of data"""
    data: ImageDataSettings = Field(default_factory=ImageDataSettings)
    model: PatchModelSettings = Field(default_factory=PatchModelSettings)
    evaluate: ImageEvaluateSettings = Field(default_factory=ImageEvaluateSettings)
    law: LawText = "uniform:0.4,0.9"
    """the law of the mask ratio"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer("evaluate.layer", self.evaluate.layer, self.model.depth)
        if not (self.model.class_token or "mean" in self.evaluate.pools):
            way_out = option("model.class_token", "true")
            raise UserError(f"evaluate.pools without 'mean' need {way_out}")
        tuning = self.evaluate.finetune
        if tuning.seeds and tuning.warmup >= tuning.epochs:
            raise UserError(
                f"evaluate.finetune.warmup {tuning.warmup} leaves nothing of {tuning.epochs}"
                " epochs: lower it"
            )


def digits(law: str = "uniform:0.4,0.9") -> ImageRunSettings:
    """Scikit-learn's 1,797 handwritten digits of 8 x 8, built in; a minute on two cores.

    Raw targets: a normalised patch of four pixels has lost most of what a stroke looks like.
    """
    return ImageRunSettings(
        data=ImageDataSettings(source="digits", patch=(2, 2), target="raw"),
        model=PatchModelSettings(width=64, depth=4, heads=4, decoder_width=48, decoder_depth=1),
        law=law,
        train=TrainSettings(steps=2000, batch_size=128, lr=2e-3),
    )


def mnist(law: str = "uniform:0.6,0.9") -> ImageRunSettings:
    """MNIST, 28 x 28 grey; `--data.source` names a folder with its files (default: the hub)."""
    return ImageRunSettings(
        data=ImageDataSettings(source="hf:ylecun/mnist", patch=(4, 4)),
        model=PatchModelSettings(width=96, depth=6, heads=3, decoder_width=64, decoder_depth=1),
        law=law,
        train=TrainSettings(steps=5000, batch_size=256, lr=1.5e-3),
    )


def cifar10(law: str = "uniform:0.6,0.9") -> ImageRunSettings:
    """CIFAR-10, 32 x 32 RGB, ViT-Tiny; `--data.source` names its arrays (default: the hub)."""
    return ImageRunSettings(
        data=ImageDataSettings(
            source="hf:uoft-cs/cifar10", patch=(4, 4), crop_scale=(0.2, 1.0), flip=True
        ),
        model=VIT_TINY,
        law=law,
        train=TrainSettings(steps=40_000, batch_size=256, lr=1.5e-3, checkpoint_every=1000),
    )


def any_images(source: str) -> ImageRunSettings:
    """Images of your own: ViT-Tiny, a patch that gives at most 200 positions, R²MAE."""
    return ImageRunSettings(
        data=ImageDataSettings(source=source),
        model=VIT_TINY,
        law="uniform:0.6,0.9",
        train=TrainSettings(budget="10m", steps=10_000, batch_size=64, lr=1e-3),
    )


# Epochs as masked autoencoders are trained; models as narrow as the digits' recipe.
SCALE = Scale(
    epochs=400,
    smaller=[
        {
            "model.width": width,
            "model.depth": depth,
            "model.heads": 4,
            "model.decoder_width": decoder_width,
            "model.decoder_depth": 1,
            "model.encoder": None,  # a network of timm has a size of its own
        }
        for width, depth, decoder_width in ((128, 6, 64), (64, 4, 48))
    ],
)


def cifar10_umae() -> ImageRunSettings:
    """CIFAR-10, ViT-Tiny, 200 epochs; `--data.source` names its arrays (default: the hub)."""
    return replace(
        cifar10(UMAE_LAW),
        regularise=UMAE,
        train=TrainSettings(steps=39_000, batch_size=256, lr=1.5e-3, checkpoint_every=1000),
        diagnose=DiagnoseSettings(pool="class", every=1000),
        evaluate=ImageEvaluateSettings(
            num_train=50_000, finetune=ImageFineTuneSettings(crop_scale=(0.2, 1.0), flip=True)
        ),
    )


def imagenet_umae(num_train: int, classes: tuple[str, ...] = ()) -> ImageRunSettings:
    """ImageNet, ViT-B/16, 200 epochs; `--data.source` names a folder with train/ and val/."""
    return ImageRunSettings(
        data=ImageDataSettings(
            source="imagenet",
            classes=classes,
            size=(224, 224),
            channels=3,
            patch=(16, 16),
            crop_scale=(0.2, 1.0),
            flip=True,
        ),
        model=VIT_BASE,
        law=UMAE_LAW,
        regularise=UMAE,
        train=TrainSettings(
            steps=EPOCHS * (num_train // BATCH),
            batch_size=BATCH,
            lr=1.5e-4 * BATCH / 256,
            warmup=40 / EPOCHS,
            clip=None,
            checkpoint_every=1000,
        ),
        diagnose=DiagnoseSettings(pool="class", num_samples=8192, every=10 * (num_train // BATCH)),
        evaluate=ImageEvaluateSettings(
            pools=("class",),
            protocols=("mae", "knn"),
            num_train=num_train,
            num_test=50_000,
            baselines=False,
            finetune=ImageFineTuneSettings(
                batch_size=1024,
                lr=5e-4,
                layer_decay=0.65,
                crop_scale=(0.08, 1.0),
                flip=True,
                precision="bf16",
            ),
        ),
        efficiency=EfficiencySettings(precision="bf16"),
    )


def _paper(config: ImageRunSettings) -> ImageRunSettings:
    """Return the settings of U-MAE with the scale of the public code."""
    return override(config, {"regularise.scale": "public"})


RECIPES = {
    "digits": digits,
    "digits-fixed": lambda: digits(law="fixed:0.65"),
    "mnist": mnist,
    "mnist-fixed": lambda: mnist(law="fixed:0.75"),
    "cifar10": cifar10,
    "cifar10-fixed": lambda: cifar10(law="fixed:0.75"),
    "cifar10-umae": cifar10_umae,
    "cifar10-umae-paper": lambda: _paper(cifar10_umae()),
    "imagenet100-umae": lambda: imagenet_umae(*IMAGENET100),
    "imagenet100-umae-paper": lambda: _paper(imagenet_umae(*IMAGENET100)),
    "imagenet1k-umae": lambda: imagenet_umae(IMAGENET),
    "imagenet1k-umae-paper": lambda: _paper(imagenet_umae(IMAGENET)),
}

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
    patch = config.data.patch
    if patch is None and config.model.encoder is not None:
        patch = patch_of(config.model.encoder)
    images = describe(splits.train, patch, config.data.target)
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


def _suited(model: PatchModel, images: Any, config: ImageRunSettings) -> ImageRunSettings:
    assert isinstance(model.tokenizer, Images)
    return replace(config, data=suited(model.tokenizer, images, config.data))


RECORD = Modality(
    name="images",
    title="a model of images",
    settings=ImageRunSettings,
    recipes=RECIPES,
    own=any_images,
    scale=SCALE,
    words=WORDS,
    sources="FILE.npz|.npy|.npy.xz, a folder of images or arrays, hf:NAME",
    endings=frozenset(USUAL),
    precedence=2,
    of_memory=takes,
    inspect=lambda given, config: inspect(
        given, config.data, lambda splits, images: _problems(splits, images, config)
    ),
    load=lambda data, config: image_data.load(config.data, data),
    describe=_describe,
    augment=_augment,
    build=images_model,
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
)
