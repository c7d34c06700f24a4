"""Reconstruction error on a fixed grid of ratios, with fixed masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.images.source import ImageSource
from maskwise.masks import Mask, draw
from maskwise.measure.bootstrap import interval
from maskwise.measure.features import frozen
from maskwise.objectives.reconstruction import sample_losses
from maskwise.patches.model import PatchModel


def reconstruction(
    model: PatchModel,
    source: ImageSource,
    indices: np.ndarray,
    ratios: Sequence[float],
    pattern: str,
    seed: int,
) -> dict[str, Any]:
    """Measure the error at hidden positions at each ratio, beside a baseline.

    The error of a sample is the mean of the loss over its hidden positions, in the space of the
    training target. Masks depend only on `seed` and a sample's index, so any two models evaluated
    with one seed see the same masks. The baseline "visible mean" predicts, at every hidden
    position, the mean of the sample's visible targets. Targets normalised per patch have mean 0
    and variance 1 (flat patches are 0), so there it costs about 1, as predicting 0 does.

    Args:
        model: its device is used, and its training mode is restored.
        source: where samples come from.
        indices: samples to measure, [N].
        ratios: hidden fractions, each in (0, 1).
        pattern: how hidden positions lie.
        seed: of the masks and of the bootstrap.

    Returns:
        The "reconstruction" entry of result.json. In a curve, "ratio" is the one asked for and
        "realised" the hidden fraction of the masks, which are whole positions.
    """
    found, baseline, realised = errors(model, source, indices, ratios, pattern, seed)
    return {
        "target": getattr(model.modality, "target", "raw"),  # only images have a choice
        "pattern": pattern,
        "num_samples": len(indices),
        "curve": curve_of(ratios, realised, found, seed),
        "baselines": {"visible mean": curve_of(ratios, realised, baseline, seed)},
    }


def errors(
    model: PatchModel,
    source: ImageSource,
    indices: np.ndarray,
    ratios: Sequence[float],
    pattern: str,
    seed: int,
    batch_size: int = 256,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each sample's error, baseline error and hidden fraction, all [num_ratios, N]."""
    modality = model.modality
    found, baseline, realised = np.zeros((3, len(ratios), len(indices)))
    with frozen(model) as device:
        for start in range(0, len(indices), batch_size):
            index = indices[start : start + batch_size]
            rows = slice(start, start + len(index))
            images = source.get(index).to(device)
            target = modality.target_of(modality.tokenize(images))
            for place, ratio in enumerate(ratios):
                mask = fixed_mask(modality.grid, ratio, index, pattern, seed, device)
                prediction, wanted = model.predict(images, mask)
                guess = _mean(target, ~mask.hidden)[:, None].expand_as(wanted)
                valid = mask.hidden_valid
                found[place, rows] = sample_losses(prediction, wanted, valid).cpu()
                baseline[place, rows] = sample_losses(guess, wanted, valid).cpu()
                realised[place, rows] = mask.ratio.cpu()
    return found, baseline, realised


def fixed_mask(
    grid: tuple[int, ...],
    ratio: float,
    index: np.ndarray,
    pattern: str,
    seed: int,
    device: torch.device,
    eligible: Tensor | None = None,
    units: Tensor | None = None,
) -> Mask:
    """Return masks [N, L] of samples at a ratio, nested across ratios where the pattern is.

    >>> low, high = (
    ...     fixed_mask((4, 4), r, np.arange(9), "scattered", 0, torch.device("cpu")).hidden
    ...     for r in (0.25, 0.5)
    ... )
    >>> bool((low <= high).all())
    True
    """
    return draw(
        f"fixed:{ratio}",
        grid,
        sample_ids=torch.from_numpy(index),
        seed=seed,
        pattern=pattern,
        eligible=eligible,
        units=units,
        device=device,
    )


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of `values` [B, L, P] over the positions `where` [B, L] is true, [B, P]."""
    return torch.where(where[..., None], values, 0).sum(1) / where.sum(1, keepdim=True)


def curve_of(
    ratios: Sequence[float], realised: np.ndarray, values: np.ndarray, seed: int
) -> list[dict[str, float]]:
    """Return the points of a curve from errors and hidden fractions, [num_ratios, N] each."""
    curve = []
    for ratio, hidden, each in zip(ratios, realised, values, strict=True):
        error, low, high = interval(each, seed)
        entry = {"ratio": ratio, "realised": float(hidden.mean())}
        curve.append(entry | {"error": error, "low": low, "high": high})
    return curve
