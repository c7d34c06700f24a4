"""A part of the hidden positions, for predicting fewer than are hidden."""

import torch

from maskwise.masks.mask import Mask
from maskwise.masks.select import hide_lowest
from maskwise.rng import Keys, Stream


def subset(mask: Mask, fraction: float, keys: Keys) -> Mask:
    """Return a random part of the hidden positions, ceil(fraction x number) of each sample.

    >>> mask = Mask(torch.ones(1, 8, dtype=torch.bool))
    >>> subset(mask, 0.25, Keys(0, 0, torch.tensor([5]))).num_hidden.tolist()
    [2]
    """
    counts = torch.ceil(mask.num_hidden.to(torch.float64) * fraction - 1e-9).to(torch.int64)
    scores = keys.bits(Stream.PREDICT, mask.hidden.shape[1])
    return Mask(hide_lowest(scores, counts, mask.hidden), mask.eligible)
