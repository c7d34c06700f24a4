"""Recipes for images: R²MAE by default, the usual fixed ratio in the variants named -fixed."""

from maskwise.images.data import ImageData
from maskwise.patches.model import Model
from maskwise.train.config import ImageConfig, Train


def digits(law: str = "uniform:0.4,0.9") -> ImageConfig:
    """Scikit-learn's 1,797 handwritten digits of 8 x 8, built in; a minute on two cores.

    Raw targets: a normalised patch of four pixels has lost most of what a stroke looks like.
    """
    return ImageConfig(
        data=ImageData(source="digits", patch=(2, 2), target="raw"),
        model=Model(width=64, depth=4, heads=4, decoder_width=48, decoder_depth=1),
        law=law,
        train=Train(steps=2000, batch_size=128, lr=2e-3),
    )


def mnist(law: str = "uniform:0.6,0.9") -> ImageConfig:
    """MNIST, 28 x 28 grey; `--data.source` names a folder with its files (default: the hub)."""
    return ImageConfig(
        data=ImageData(source="hf:ylecun/mnist", patch=(4, 4)),
        model=Model(width=96, depth=6, heads=3, decoder_width=64, decoder_depth=1),
        law=law,
        train=Train(steps=5000, batch_size=256, lr=1.5e-3),
    )


def cifar10(law: str = "uniform:0.6,0.9") -> ImageConfig:
    """CIFAR-10, 32 x 32 RGB, ViT-Tiny; `--data.source` names its arrays (default: the hub)."""
    return ImageConfig(
        data=ImageData(
            source="hf:uoft-cs/cifar10", patch=(4, 4), crop_scale=(0.2, 1.0), flip=True
        ),
        model=Model(width=192, depth=12, heads=3, decoder_width=128, decoder_depth=2),
        law=law,
        train=Train(steps=40_000, batch_size=256, lr=1.5e-3, checkpoint_every=1000),
    )


def any_images(source: str) -> ImageConfig:
    """Images of your own: ViT-Tiny, a patch that gives at most 200 positions, R²MAE."""
    return ImageConfig(
        data=ImageData(source=source),
        model=Model(width=192, depth=12, heads=3, decoder_width=128, decoder_depth=2),
        law="uniform:0.6,0.9",
        train=Train(steps=10_000, batch_size=64, lr=1e-3),
    )
