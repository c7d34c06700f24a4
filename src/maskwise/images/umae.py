"""Recipes of U-MAE: masked autoencoders whose class tokens are kept apart (arXiv 2210.08344).

Each comes twice. The plain one has the gradient of the equation on any number of devices. That
named -paper has the scale of the public code instead: the mean squared cosine counts every sample
against itself, and on W devices its gradient is 1 / W of the one meant, so that the weight of 0.01
that is published for 8 devices is one of 0.00125. Neither applies the encoder's last LayerNorm to
the class token a second time, as that code does.
"""

from maskwise.images.data import ImageData
from maskwise.images.evaluation import Evaluate
from maskwise.images.finetuning import ImageFineTune
from maskwise.measure.representation import Diagnose
from maskwise.objectives.regularise import Regularise
from maskwise.objectives.regularisers import Scale
from maskwise.patches.model import Model
from maskwise.train.config import Efficiency, ImageConfig, Train

LAW = "fixed:0.75"
BATCH, EPOCHS = 1024, 200


def _uniform(scale: Scale) -> Regularise:
    return Regularise(uniformity="0.01", pool="class", scale=scale)


def cifar10_umae(scale: Scale = "exact") -> ImageConfig:
    """CIFAR-10, ViT-Tiny, 200 epochs; `--data.source` names its arrays (default: the hub)."""
    return ImageConfig(
        data=ImageData(
            source="hf:uoft-cs/cifar10", patch=(4, 4), crop_scale=(0.2, 1.0), flip=True
        ),
        model=Model(width=192, depth=12, heads=3, decoder_width=128, decoder_depth=2),
        law=LAW,
        regularise=_uniform(scale),
        train=Train(steps=39_000, batch_size=256, lr=1.5e-3, checkpoint_every=1000),
        diagnose=Diagnose(pool="class", every=1000),
        evaluate=Evaluate(
            num_train=50_000, finetune=ImageFineTune(crop_scale=(0.2, 1.0), flip=True)
        ),
    )


def imagenet100_umae(scale: Scale = "exact") -> ImageConfig:
    """100 classes of ImageNet, ViT-B/16, 200 epochs; `--data.source` names ImageNet's folder."""
    return _imagenet(("imagenet100",), 126_689, scale)


def imagenet1k_umae(scale: Scale = "exact") -> ImageConfig:
    """ImageNet, ViT-B/16, 200 epochs; `--data.source` names a folder with train/ and val/."""
    return _imagenet((), 1_281_167, scale)


def _imagenet(classes: tuple[str, ...], num_train: int, scale: Scale) -> ImageConfig:
    return ImageConfig(
        data=ImageData(
            source="imagenet",
            classes=classes,
            size=(224, 224),
            channels=3,
            patch=(16, 16),
            crop_scale=(0.2, 1.0),
            flip=True,
        ),
        model=Model(
            width=768,
            depth=12,
            heads=12,
            decoder_width=512,
            decoder_depth=8,
            decoder_heads=16,
        ),
        law=LAW,
        regularise=_uniform(scale),
        train=Train(
            steps=EPOCHS * (num_train // BATCH),
            batch_size=BATCH,
            lr=1.5e-4 * BATCH / 256,
            warmup=40 / EPOCHS,
            clip=None,
            checkpoint_every=1000,
        ),
        diagnose=Diagnose(pool="class", num_samples=8192, every=10 * (num_train // BATCH)),
        evaluate=Evaluate(
            pools=("class",),
            protocols=("mae", "knn"),
            num_train=num_train,
            num_test=50_000,
            baselines=False,
            finetune=ImageFineTune(
                batch_size=1024,
                lr=5e-4,
                layer_decay=0.65,
                crop_scale=(0.08, 1.0),
                flip=True,
                precision="bf16",
            ),
        ),
        efficiency=Efficiency(precision="bf16"),
    )
