"""Mixup and CutMix: each image of a batch mixed with another one, and so are their targets."""

import numpy as np
import torch
from torch import Tensor


def soft_targets(y: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return one-hot targets, of which all classes share `smoothing`, float32 [B, C].

    >>> soft_targets(torch.tensor([1]), 2, 0.1)
    tensor([[0.0500, 0.9500]])
    """
    one_hot = torch.nn.functional.one_hot(y, num_classes).float()
    return (1 - smoothing) * one_hot + smoothing / num_classes


def mix(
    images: Tensor, targets: Tensor, rng: np.random.Generator, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """Mix each image with its mirror in the order of the batch, by one share s for the batch.

    Mixup blends, s x + (1 - s) x'; CutMix pastes a box of x' of the share 1 - s of the area into
    x. Targets are mixed as s t + (1 - s) t'. s is drawn from Beta(a, a); where both are wanted,
    one of them is chosen with probability 1/2.

    Args:
        images: float [B, C, H, W].
        targets: probabilities of classes, [B, C].
        rng: what is drawn.
        mixup: a of Mixup; 0 = none.
        cutmix: a of CutMix; 0 = none.

    Returns:
        Images and targets, mixed.

    Source: Zhang et al., mixup (arXiv 1710.09412); Yun et al., CutMix (arXiv 1905.04899).

    >>> images, targets = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.eye(2)
    >>> mixed, soft = mix(images, targets, np.random.default_rng(0), 1.0, 0.0)
    >>> torch.equal(mixed.flatten(), soft[:, 1])
    True
    """
    if not (mixup or cutmix):
        return images, targets
    cut = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    share = rng.beta(cutmix, cutmix) if cut else rng.beta(mixup, mixup)
    if cut:
        images, share = paste(images, share, rng)
    else:
        images = share * images + (1 - share) * images.flip(0)
    return images, share * targets + (1 - share) * targets.flip(0)


def paste(images: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Paste a box of each image's mirror in the order of the batch; return what share is left.

    The box has the sides sqrt(1 - share) of the image's and a centre anywhere; what lies outside
    is cut off, and the share that is returned counts it.
    """
    height, width = images.shape[-2:]
    side = (1 - share) ** 0.5
    top, bottom = _span(height, int(height * side), rng)
    left, right = _span(width, int(width * side), rng)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images.flip(0)[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _span(length: int, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return where a side around a random centre begins and ends, cut to the image."""
    centre = int(rng.integers(length))
    return max(centre - side // 2, 0), min(centre + side // 2, length)
