"""Crop and flip a batch on its device, keyed by (seed, epoch, sample)."""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator
from torch import Tensor

from maskwise.rng import Keys, Stream

_LOG_ASPECT = math.log(4 / 3)


def _ordered(value: tuple[float, float] | None) -> tuple[float, float] | None:
    if value is not None and not 0 < value[0] <= value[1] <= 1:
        raise ValueError("must be two shares of the area, 0 < low <= high <= 1")
    return value


CropScale = Annotated[tuple[float, float] | None, AfterValidator(_ordered)]
"""Smallest and largest share of the area that a random crop keeps; None crops nothing."""


def crop_and_flip(
    images: Tensor, keys: Keys, crop_scale: tuple[float, float] | None, flip: bool
) -> Tensor:
    """Return a random crop of each image, resized back to its size, and mirrored half the time.

    The crop keeps a share of the area uniform on `crop_scale` with log-aspect uniform on
    ±log(4/3), the usual random resized crop.

    Args:
        images: uint8 or float32 [B, C, H, W].
        keys: whose randomness.
        crop_scale: smallest and largest share of the area kept; None crops nothing.
        flip: mirror left and right with probability 1/2.

    Returns:
        Float32 [B, C, H, W] where images are cropped, else their own type.

    >>> images = torch.arange(4.0).view(1, 1, 2, 2)
    >>> crop_and_flip(images, Keys(0, 0, torch.tensor([0])), None, False) is images
    True
    """
    if crop_scale is None:
        return _flip(images, keys) if flip else images
    u = keys.uniform(Stream.CROP, 4)
    low, high = crop_scale
    area = low + (high - low) * u[:, 0]
    half_log_aspect = (2 * u[:, 1] - 1) * _LOG_ASPECT / 2
    width = (area.sqrt() * half_log_aspect.exp()).clamp(max=1)
    height = (area.sqrt() * (-half_log_aspect).exp()).clamp(max=1)
    # affine_grid counts in [-1, 1]: a box of half-size s can move its centre by 1 - s.
    theta = torch.zeros((len(images), 2, 3), device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2] = (2 * u[:, 2] - 1) * (1 - width)
    theta[:, 1, 2] = (2 * u[:, 3] - 1) * (1 - height)
    if flip:
        theta[:, 0, 0] *= 1 - 2 * _flipped(keys).to(torch.float32)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(
        images.to(torch.float32), grid, padding_mode="border", align_corners=False
    )


def _flip(images: Tensor, keys: Keys) -> Tensor:
    return torch.where(_flipped(keys).view(-1, 1, 1, 1), images.flip(-1), images)


def _flipped(keys: Keys) -> Tensor:
    return keys.uniform(Stream.FLIP, 1)[:, 0] < 0.5
