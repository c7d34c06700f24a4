"""The loss of what is hidden on a grid of ratios, with fixed masks."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from maskwise.masks import Mask, draw
from maskwise.measure.bootstrap import interval
from maskwise.measure.features import frozen, in_batches
from maskwise.modality import Entries, MaskedModel, Source
from maskwise.progress import track

Costs = Callable[[Tensor, Sequence[Mask]], Iterator[tuple[Tensor, ...]]]
"""Samples and masks of them to what each sample costs, [B], under each mask in turn: for the model
first, then for each baseline."""


def loss_curves(
    model: MaskedModel,
    source: Source,
    index: np.ndarray,
    ratios: Sequence[float],
    pattern: str,
    seed: int,
    costs: Costs,
    baselines: Sequence[str],
    *,
    batch_size: int = 256,
    mean: bool = False,
) -> Entries:
    """Measure the mean loss of hidden positions at each ratio, beside baselines.

    Masks depend only on the seed and on a sample's index, so any two models evaluated with one
    seed see the same masks. Samples with nothing that may be hidden are left out.

    Args:
        model: its device is used, and its training mode is restored.
        source: where samples come from.
        index: which samples, [N].
        ratios: hidden fractions, each in (0, 1).
        pattern: how hidden positions lie.
        seed: of the masks and of the bootstrap.
        costs: what samples cost under masks.
        baselines: what those after the model's are called.
        batch_size: samples at once.
        mean: also the mean over the ratios, which rise, by the trapezoidal rule.

    Returns:
        The "reconstruction" entry of result.json. In a curve, "ratio" is the one asked for and
        "realised" the hidden fraction of the masks, which are whole positions.
    """
    *losses, realised = losses_and_ratios(
        model, source, index, ratios, pattern, seed, costs, batch_size
    )
    own, *others = [
        [
            {"ratio": ratio, "realised": float(hidden.mean()), **_spread(each, seed)}
            for ratio, hidden, each in zip(ratios, realised, of, strict=True)
        ]
        for of in losses
    ]
    found: Entries = {
        "pattern": pattern,
        "num_samples": realised.shape[1],
        "curve": own,
        "baselines": dict(zip(baselines, others, strict=True)),
    }
    if mean and len(ratios) > 1:
        means = trapezoid(losses[0], ratios, axis=0) / (ratios[-1] - ratios[0])
        found["mean"] = {"from": ratios[0], "to": ratios[-1], **_spread(means, seed)}
    return found


def losses_and_ratios(
    model: MaskedModel,
    source: Source,
    index: np.ndarray,
    ratios: Sequence[float],
    pattern: str,
    seed: int,
    costs: Costs,
    batch_size: int = 256,
) -> np.ndarray:
    """Return each sample's losses and, last, its hidden fractions, float64 [K + 1, ratios, N]."""
    parts, grid = [], model.tokenizer.grid
    with frozen(model) as device:
        for part in track(in_batches(index, batch_size), "loss by ratio"):
            samples, units = source.get(part).to(device), source.units(part)
            eligible = model.tokenizer.eligible(samples)
            if eligible is not None:
                some = eligible.any(dim=1)
                samples, eligible, kept = samples[some], eligible[some], some.cpu()
                part, units = part[kept.numpy()], None if units is None else units[kept]
            masks = [
                fixed_mask(grid, ratio, part, pattern, seed, device, eligible, units)
                for ratio in ratios
            ]
            each_ratio = track(
                zip(costs(samples, masks), masks, strict=True), "ratios", len(masks)
            )
            found = [
                torch.stack([each.double() for each in (*losses, mask.ratio)])
                for losses, mask in each_ratio
            ]
            parts.append(torch.stack(found, dim=1).cpu())
    return torch.cat(parts, dim=2).numpy()


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


def _spread(losses: np.ndarray, seed: int) -> dict[str, float]:
    """Return the mean of losses [N] with its interval."""
    return dict(zip(("error", "low", "high"), interval(losses, seed), strict=True))
