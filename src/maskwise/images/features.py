"""Frozen features of images: of an encoder, and raw pixels."""

import math

import numpy as np
from torch.nn import functional as F

from maskwise.images.source import ImageSource, read_ahead
from maskwise.measure.features import frozen, in_batches
from maskwise.modality import Pool
from maskwise.patches.model import PatchModel


def extract(
    model: PatchModel,
    source: ImageSource,
    pool: Pool = "mean",
    layer: int = -1,
    batch_size: int = 512,
) -> np.ndarray:
    """Encode samples with nothing hidden.

    Args:
        model: its device is used, and its training mode is restored.
        source: where samples come from.
        pool: "mean" of the positions, "class" token, or "both" side by side.
        layer: block whose output is taken; -1 is the last.
        batch_size: samples encoded at once.

    Returns:
        Features, float32 [N, D] ([N, 2D] for "both").
    """
    parts = []
    with frozen(model) as device:
        for images in read_ahead(source, in_batches(np.arange(len(source)), batch_size)):
            encoded = model.encode(images.to(device), pool=pool, layer=layer)
            parts.append(encoded.float().cpu().numpy())
    return np.concatenate(parts)


def raw(
    source: ImageSource,
    max_values: int = 1024,
    batch_size: int = 512,
) -> np.ndarray:
    """Flatten the raw values of samples, averaged down to `raw_size` where there are many.

    Args:
        source: where samples come from.
        max_values: values of a sample at most.
        batch_size: samples read at once.

    Returns:
        Features, float32 [N, D].
    """
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
