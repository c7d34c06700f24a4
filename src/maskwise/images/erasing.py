"""Random erasing: a box of an image becomes noise."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

AREA, ASPECT, TRIES = (0.02, 1 / 3), 0.3, 10


def erase(
    images: Tensor,
    rng: np.random.Generator,
    probability: float,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Return images of which some have a box of normal pixels.

    The box covers a share of the area uniform on [.02, 1/3], with a log-aspect uniform on
    ±log(.3); boxes that do not fit are drawn again, ten times at most.

    Args:
        images: float [B, C, H, W].
        rng: what is drawn.
        probability: of erasing an image.
        mean: of the normal, for each channel.
        std: its standard deviation, for each channel.

    Source: Zhong et al., Random Erasing Data Augmentation (arXiv 1708.04896).

    >>> images = torch.zeros(1, 1, 4, 4)
    >>> erase(images, np.random.default_rng(0), 0.0, [0.0], [1.0]) is images
    True
    """
    rows = np.flatnonzero(rng.random(len(images)) < probability)
    if not len(rows):
        return images
    images, (channels, height, width) = images.clone(), images.shape[1:]
    for row in rows:
        box = _box(height, width, rng)
        if box is None:
            continue
        top, left, high, wide = box
        # Drawn on the host, so that devices agree.
        noise = rng.standard_normal((channels, high * wide), dtype=np.float32)
        pixels = noise * np.reshape(std, (-1, 1)) + np.reshape(mean, (-1, 1))
        filled = torch.from_numpy(pixels).to(images).view(channels, high, wide)
        images[row, :, top : top + high, left : left + wide] = filled
    return images


def _box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """Return top, left, height and width of a box, or None if none fitted."""
    for _ in range(TRIES):
        area = rng.uniform(*AREA) * height * width
        aspect = math.exp(rng.uniform(math.log(ASPECT), -math.log(ASPECT)))
        high, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if high < height and wide < width:
            top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
            return int(top), int(left), high, wide
    return None
