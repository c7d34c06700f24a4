"""Frozen features of a data source: of an encoder, raw pixels, principal components."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from maskwise.errors import UserError
from maskwise.images.source import ImageSource, read_ahead
from maskwise.patches.model import MaskedModel

Pool = Literal["mean", "class", "both"]


@contextmanager
def frozen(model: nn.Module) -> Iterator[torch.device]:
    """Put `model` in evaluation mode without gradients for a while; give its device.

    >>> model = nn.Linear(1, 1)
    >>> with frozen(model) as device:
    ...     model.training, torch.is_grad_enabled()
    (False, False)
    >>> model.training, torch.is_grad_enabled()
    (True, True)
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next(model.parameters()).device
    finally:
        model.train(training)


def extract(
    model: MaskedModel,
    source: ImageSource,
    pool: Pool = "mean",
    layer: int = -1,
    indices: np.ndarray | None = None,
    batch_size: int = 512,
) -> np.ndarray:
    """Encode samples with nothing hidden.

    Args:
        model: its device is used, and its training mode is restored.
        source: where samples come from.
        pool: "mean" of the positions, "class" token, or "both" side by side.
        layer: block whose output is taken; -1 is the last.
        indices: samples to take, all of them by default, [N].
        batch_size: samples encoded at once.

    Returns:
        Features, float32 [N, D] ([N, 2D] for "both").
    """
    parts = []
    with frozen(model) as device:
        for images in read_ahead(source, _batches(source, indices, batch_size)):
            encoded = model.encode(images.to(device), pool=pool, layer=layer)
            parts.append(encoded.float().cpu().numpy())
    return np.concatenate(parts)


def raw(
    source: ImageSource,
    indices: np.ndarray | None = None,
    max_values: int = 1024,
    batch_size: int = 512,
) -> np.ndarray:
    """Flatten the raw values of samples, averaged down to `raw_size` where there are many.

    Args:
        source: where samples come from.
        indices: samples to take, all of them by default, [N].
        max_values: values of a sample at most.
        batch_size: samples read at once.

    Returns:
        Features, float32 [N, D].
    """
    size = raw_size(source.shape, max_values)
    read = read_ahead(source, _batches(source, indices, batch_size))
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


def pca(train: np.ndarray, test: np.ndarray, seed: int, num: int = 64) -> list[np.ndarray]:
    """Project on the first principal components of the training features.

    Args:
        train: training features, [N, D]; the only ones the components are fitted on.
        test: test features, [M, D].
        seed: of the randomised solver, used on large matrices.
        num: components, at most N and D.

    Returns:
        Training features [N, num] and test features [M, num].
    """
    from sklearn.decomposition import PCA

    model = PCA(min(num, *train.shape), random_state=seed).fit(train)
    return [model.transform(part).astype(np.float32) for part in (train, test)]


def subset(length: int, num: int, seed: int) -> np.ndarray:
    """Choose `num` of `length` samples at random, or all of them, in order.

    >>> subset(3, 8, seed=0)
    array([0, 1, 2])
    """
    chosen = np.random.default_rng(seed).choice(length, min(num, length), replace=False)
    return np.sort(chosen)


def same_length(lengths: Sequence[int], batch_size: int) -> Iterator[np.ndarray]:
    """Give the indices of samples in batches of one length each, so that nothing is padded.

    >>> [index.tolist() for index in same_length([2, 1, 2, 2], batch_size=2)]
    [[1], [0, 2], [3]]
    """
    for length in np.unique(lengths):
        [index] = np.nonzero(np.asarray(lengths) == length)
        for start in range(0, len(index), batch_size):
            yield index[start : start + batch_size]


def _batches(source: ImageSource, indices: np.ndarray | None, size: int) -> list[np.ndarray]:
    indices = np.arange(len(source)) if indices is None else indices
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def check_layer(layer: int, depth: int) -> None:
    """Refuse a layer that a model of so many lacks.

    Raises:
        UserError: such a layer.
    """
    if not -depth <= layer < depth:
        raise UserError(f"evaluate.layer {layer} is outside 0..{depth - 1} (or -1 = last)")
