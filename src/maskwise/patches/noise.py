"""The variance of what a model predicts, which makes its predictions a density."""

import math

import numpy as np
import torch
from torch import Tensor

from maskwise.images.source import ImageSource
from maskwise.masks.select import hide_lowest
from maskwise.measure.features import frozen, random_subset
from maskwise.patches.model import PatchModel
from maskwise.rng import Keys, Stream

RATIOS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def fit_noise(
    model: PatchModel,
    source: ImageSource,
    *,
    num_samples: int = 512,
    seed: int = 0,
    batch_size: int = 256,
) -> None:
    """Set the variances of the model's conditional densities.

    The squared error of a hidden value has a mean that depends on how many positions are hidden,
    v_M, and on which value it is, s_ti: both factors are fitted by their maximum of the likelihood
    in turn. v_M is measured at 13 numbers of hidden positions, from one to all, and its logarithm
    interpolated. The pattern is scattered, whatever the training's was: the likelihood averages
    over all sets.

    Args:
        model: its device is used, and its training mode is restored.
        source: training images.
        num_samples: how many of them at most, chosen at random.
        seed: of the choice and of the masks.
        batch_size: images seen at once.
    """
    length, index = model.length, random_subset(len(source), num_samples, seed)
    sizes = sorted({max(round(ratio * length), 1) for ratio in RATIOS})
    squares = torch.zeros(len(sizes), length, model.values_per_position, dtype=torch.float64)
    counts = torch.zeros(len(sizes), length, 1, dtype=torch.float64)
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
                error = torch.where(hidden[..., None], filled - tokens, 0.0)
                squares[place] += error.square().sum(0).double().cpu()
                counts[place] += hidden.sum(0)[:, None].cpu()
    by_size, by_value = factors(squares, counts, _least(model, images.dtype))
    log_variance = np.interp(np.arange(1, length + 1), sizes, by_size.log().numpy())
    model.log_variance.copy_(torch.from_numpy(log_variance))
    model.log_spread.copy_(by_value.log())


def factors(squares: Tensor, counts: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Return v [S] and s [L, P] with sums of squares [S, L, P] close to counts [S, L, 1] x v x s.

    The maximum of the normal likelihood, by fitting one given the other.
    """
    by_value = weight = torch.ones_like(squares[0])
    for _ in range(10):
        num = (counts * weight).sum(dim=(1, 2)).clamp(min=1e-12)
        by_size = ((squares / by_value).sum(dim=(1, 2)) / num).clamp(min=least)
        share = (squares / by_size[:, None, None]).sum(dim=0) / counts.sum(dim=0).clamp(min=1)
        by_value = share.clamp(min=least / float(by_size.min()))
        # Values at the least variance say nothing about the numbers hidden.
        weight = share / by_value
    return by_size, by_value


def _least(model: PatchModel, dtype: torch.dtype) -> float:
    """Return a variance that keeps densities finite.

    Bytes are rounded: an error of less than that, 1/12 level², is an accident.
    """
    if dtype != torch.uint8:
        return 1e-6
    return math.exp(-2 * model.modality.log_scale / model.modality.token_dim) / 12
