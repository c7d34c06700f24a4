"""A few test images, hidden at several ratios and filled in, for the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.files import atomic
from maskwise.images.source import ImageSource
from maskwise.measure.features import frozen, random_subset
from maskwise.measure.losses import fixed_mask
from maskwise.patches.model import PatchModel


def write(
    path: Path,
    model: PatchModel,
    source: ImageSource,
    *,
    pattern: str,
    seed: int,
    ratios: Sequence[float] = (0.25, 0.5, 0.75, 0.9),
    num: int = 8,
) -> None:
    """Write the pictures of the report to `path`, which is complete or absent.

    Arrays, with n images and R ratios: images [n, H, W, C] in [0, 1], ratios [R], hidden
    [R, n, H, W] in pixels, filled_visible and filled_true [R, n, H, W, C] with hidden patches
    replaced by predictions. A normalised prediction needs a mean and a deviation to become pixels:
    filled_visible takes those of the visible neighbours, filled_true the true ones, which leak.

    Args:
        path: an .npz file.
        model: its device is used, and its training mode is restored.
        source: where images come from.
        pattern: how hidden positions lie.
        seed: of the choice of images and of the masks.
        ratios: hidden fractions, each in (0, 1).
        num: images at most.
    """
    index = random_subset(len(source), num, seed)
    images = source.get(index)
    scale = _display_scale(images)
    grid = model.tokenizer.grid
    hidden, visible, true = [], [], []
    with frozen(model) as device:
        for ratio in ratios:
            mask = fixed_mask(grid, ratio, index, pattern, seed, device)
            hidden.append(model.tokenizer.spread(mask.hidden)[:, 0].cpu().numpy())
            batch = images.to(device)
            visible.append(_display(model.reconstruct(batch, mask.hidden, "visible"), *scale))
            true.append(_display(model.reconstruct(batch, mask.hidden, "true"), *scale))
    arrays: dict[str, Any] = {
        "images": _display(images, *scale),
        "ratios": np.array(ratios),
        "hidden": np.stack(hidden),
        "filled_visible": np.stack(visible),
        "filled_true": np.stack(true),
    }
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _display_scale(images: Tensor) -> tuple[float, float]:
    if images.dtype == torch.uint8:
        return 0.0, 255.0
    return float(images.min()), float(images.max())


def _display(images: Tensor, low: float, high: float) -> np.ndarray:
    scaled = (images.float() - low) / max(high - low, 1e-12)
    return scaled.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
