"""What is done to images while a model trains: crops and flips, erasing, Mixup and CutMix.

Crops and flips are keyed by (seed, epoch, sample), the rest is drawn by a generator.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwise.rng import Keys, Stream

_LOG_ASPECT = math.log(4 / 3)
_ERASED_AREA, _ERASED_ASPECT, _TRIES = (0.02, 1 / 3), 0.3, 10


def crop_and_flip(
    images: Tensor, keys: Keys, crop_scale: tuple[float, float] | None, flip: bool
) -> Tensor:
    """Return a random crop of each image, resized back to its size, and mirrored half the time.

    The crop keeps a share of the area uniform on `crop_scale` with log-aspect uniform on
    ±log(4/3), the usual random resized crop; None crops nothing. Images are uint8 or float32
    [B, C, H, W]; float32 where they are cropped.
    """
    if crop_scale is None:
        mirrored = _flipped(keys).view(-1, 1, 1, 1)
        return torch.where(mirrored, images.flip(-1), images) if flip else images
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


def _flipped(keys: Keys) -> Tensor:
    return keys.uniform(Stream.FLIP, 1)[:, 0] < 0.5


def erase(
    images: Tensor,
    rng: np.random.Generator,
    probability: float,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Return images [B, C, H, W] of which some have a box of normal pixels.

    The box covers a share of the area uniform on [.02, 1/3], with a log-aspect uniform on
    ±log(.3); boxes that do not fit are drawn again, ten times at most. Each channel has a `mean`
    and a `std` of the normal.

    Source: Zhong et al., Random Erasing Data Augmentation (arXiv 1708.04896).
    """
    rows = np.flatnonzero(rng.random(len(images)) < probability)
    if not len(rows):
        return images
    images, (channels, height, width) = images.clone(), images.shape[1:]
    for row in rows:
        if box := _box(height, width, rng):
            top, left, high, wide = box
            # Drawn on the host, so that devices agree.
            noise = rng.standard_normal((channels, high * wide), dtype=np.float32)
            pixels = noise * np.reshape(std, (-1, 1)) + np.reshape(mean, (-1, 1))
            filled = torch.from_numpy(pixels).to(images).view(channels, high, wide)
            images[row, :, top : top + high, left : left + wide] = filled
    return images


def _box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """Return top, left, height and width of a box, or None if none fitted."""
    for _ in range(_TRIES):
        area = rng.uniform(*_ERASED_AREA) * height * width
        aspect = math.exp(rng.uniform(math.log(_ERASED_ASPECT), -math.log(_ERASED_ASPECT)))
        high, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if high < height and wide < width:
            top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
            return int(top), int(left), high, wide
    return None


def soft_targets(y: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return one-hot targets, of which all classes share `smoothing`, float32 [B, C]."""
    one_hot = F.one_hot(y, num_classes).float()
    return (1 - smoothing) * one_hot + smoothing / num_classes


def mix(
    images: Tensor, targets: Tensor, rng: np.random.Generator, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """Mix each image with its mirror in the order of the batch, by one share s for the batch.

    Mixup blends, s x + (1 - s) x'; CutMix pastes a box of x' of the share 1 - s of the area into
    x. Targets, probabilities of classes [B, C], are mixed as s t + (1 - s) t'. s is drawn from
    Beta(a, a), with `mixup` or `cutmix` as a, 0 = none of it; where both are wanted, one of them
    is chosen with probability 1/2.

    Source: Zhang et al., mixup (arXiv 1710.09412); Yun et al., CutMix (arXiv 1905.04899).
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
    inside = []
    for length in images.shape[-2:]:
        side, centre = int(length * (1 - share) ** 0.5), int(rng.integers(length))
        inside.append(slice(max(centre - side // 2, 0), min(centre + side // 2, length)))
    rows, columns = inside
    mixed = images.clone()
    box = mixed[..., rows, columns]
    box.copy_(images.flip(0)[..., rows, columns])
    return mixed, 1 - math.prod(box.shape[-2:]) / math.prod(images.shape[-2:])
