"""The variances of what a model predicts, which make its predictions densities."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from maskwise.masks.select import hide_lowest
from maskwise.measure.features import frozen, in_batches, random_subset
from maskwise.modality import MaskedModel, Source
from maskwise.rng import Keys, Stream

RATIOS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def fit_variances(
    model: MaskedModel,
    buffers: tuple[Tensor, Tensor],
    source: Source,
    squares_of: Callable[[Tensor, Tensor], Tensor],
    *,
    least: float,
    numbers: Tensor | None,
    num_samples: int = 512,
    seed: int = 0,
    batch_size: int = 256,
) -> None:
    """Fit the variances of the model's conditional densities of numbers.

    The squared error of a hidden number has a mean that depends on how many positions are blank,
    v_M, and on which number it is, s_ti: both factors are fitted by their maximum of the
    likelihood in turn. v_M is measured at 13 numbers of blank positions, from one to all, and its
    logarithm interpolated. What may never be hidden is blank in any case, and counts. Numbers of
    blank positions that no sample has take the nearest one's factor, and positions that no sample
    has the mean one. The pattern is scattered, whatever the training's was: the likelihood
    averages over all sets.

    Args:
        model: its device is used, and its training mode is restored.
        buffers: set to the log-variance of a hidden number where 1..L positions are blank, [L],
            and to what is to be added for each number, [L] or [L, P].
        source: training samples.
        squares_of: samples and what of them is hidden, [B, L], to squared errors, [B, L, P].
        least: a variance that keeps densities finite.
        numbers: bool [L], the positions that have a variance; None = all.
        num_samples: how many samples at most, chosen at random.
        seed: of the choice and of the masks.
        batch_size: samples seen at once.
    """
    log_variance, log_spread = buffers
    length, index = len(log_variance), random_subset(len(source), num_samples, seed)
    sizes = sorted({max(round(ratio * length), 1) for ratio in RATIOS})
    width = log_spread.numel() // length
    squares = torch.zeros(len(sizes), length, width, dtype=torch.float64)
    counts = torch.zeros(len(sizes), length, 1, dtype=torch.float64)
    with frozen(model) as device:
        for part in in_batches(index, batch_size):
            ids = torch.from_numpy(part).to(device)
            samples = source.get(part).to(device)
            scores = Keys(seed, 0, ids).bits(Stream.SCORE, length)
            known = model.tokenizer.eligible(samples)
            known = torch.ones_like(scores, dtype=torch.bool) if known is None else known
            for place, size in enumerate(sizes):
                more = (size - (~known).sum(dim=1)).clamp(min=0)
                hidden = hide_lowest(scores, torch.minimum(more, known.sum(dim=1)), known)
                wanted = hidden if numbers is None else hidden & numbers
                found = torch.where(wanted[..., None], squares_of(samples, hidden), 0.0)
                squares[place] += found.sum(0).double().cpu()
                counts[place] += wanted.sum(0)[:, None].cpu()
    # Where all samples lack something, no few are blank.
    met, known = counts.sum(dim=(1, 2)) > 0, counts.sum(dim=(0, 2)) > 0
    if not met.any():
        return
    by_size, by_value = factors(squares[met], counts[met], least)
    by_value[~known] = by_value[known].mean()
    places = np.array(sizes)[met.numpy()]
    every_size = np.interp(np.arange(1, length + 1), places, by_size.log().numpy())
    log_variance.copy_(torch.from_numpy(every_size))
    log_spread.copy_(by_value.log().view_as(log_spread))


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
