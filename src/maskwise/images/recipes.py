"""Runs on images: their settings, and recipes.

R²MAE is the default of recipes, the usual fixed ratio has the variants named -fixed. Those of
U-MAE (arXiv 2210.08344), masked autoencoders whose class tokens are kept apart, come twice. The
plain one has the gradient of the equation on any number of devices. That named -paper has the
scale of the public code instead: the mean squared cosine counts every sample against itself, and
on W devices its gradient is 1 / W of the one meant, so that the weight of 0.01 that is published
for 8 devices is one of 0.00125. Neither applies the encoder's last LayerNorm to the class token a
second time, as that code does.
"""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from maskwise.errors import UserError, option
from maskwise.images.data import ImageDataSettings
from maskwise.images.evaluation import ImageEvaluateSettings
from maskwise.images.finetuning import ImageFineTuneSettings
from maskwise.measure.representation import DiagnoseSettings
from maskwise.modality import Scale
from maskwise.objectives.regularise import RegulariseSettings
from maskwise.patches.settings import PatchModelSettings
from maskwise.settings import check_layer, override, settings
from maskwise.train.config import EfficiencySettings, LawText, RunSettings, TrainSettings

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
