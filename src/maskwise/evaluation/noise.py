"""The variance of what a model predicts, which makes its predictions a density."""

import math

import numpy as np
import torch

from maskwise.evaluation.features import frozen, subset
from maskwise.masks.select import hide_lowest
from maskwise.modalities.image_source import Source
from maskwise.models.masked import MaskedModel
from maskwise.rng import Keys, Stream

RATIOS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def fit_noise(
    model: MaskedModel,
    source: Source,
    *,
    num_samples: int = 512,
    seed: int = 0,
    batch_size: int = 256,
) -> None:
    """Set the variance of the model's conditional densities, by number of hidden positions.

    At each of 13 numbers of hidden positions, from one to all, it is the mean squared error of a
    hidden value, the maximum of the likelihood; between them its logarithm is interpolated. The
    pattern is scattered, whatever the training's was: the likelihood averages over all sets.

    Args:
        model: its device is used, and its training mode is restored.
        source: training images.
        num_samples: how many of them at most, chosen at random.
        seed: of the choice and of the masks.
        batch_size: images seen at once.
    """
    length, index = model.length, subset(len(source), num_samples, seed)
    sizes = sorted({max(round(ratio * length), 1) for ratio in RATIOS})
    sums = np.zeros(len(sizes))
    with frozen(model) as device:
        for start in range(0, len(index), batch_size):
            rows = index[start : start + batch_size]
            ids = torch.from_numpy(rows).to(device)
            images = source.get(rows).to(device)
            tokens = model.modality.tokenize(images)
            scores = Keys(seed, 0, ids).bits(Stream.SCORE, length)
            every = torch.ones_like(scores, dtype=torch.bool)
            for place, size in enumerate(sizes):
                hidden = hide_lowest(scores, torch.full_like(ids, size), every)
                filled = model.modality.tokenize(model.reconstruct(images, hidden))
                sums[place] += float((filled - tokens).square().mean(-1)[hidden].sum())
    variance = sums / (len(index) * np.array(sizes))
    log_variance = np.log(np.maximum(variance, _least(model, images.dtype)))
    table = np.interp(np.arange(1, length + 1), sizes, log_variance)
    model.log_variance.copy_(torch.from_numpy(table))


def _least(model: MaskedModel, dtype: torch.dtype) -> float:
    """Return a variance that keeps densities finite.

    Bytes are rounded: an error of less than that, 1/12 level², is an accident.
    """
    if dtype != torch.uint8:
        return 1e-6
    return math.exp(-2 * model.modality.log_scale / model.modality.token_dim) / 12
