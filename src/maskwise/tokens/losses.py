"""The loss of hidden tokens by ratio, beside what knows only how frequent tokens are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from maskwise.measure.bootstrap import interval
from maskwise.measure.features import frozen
from maskwise.measure.reconstruction import curve_of, fixed_mask
from maskwise.modality import Source
from maskwise.tokens.model import LanguageModel

BATCH = 128  # rows at once


def losses_by_ratio(
    model: LanguageModel,
    source: Source,
    index: np.ndarray,
    ratios: Sequence[float],
    pattern: str,
    seed: int,
    baselines: Mapping[str, Tensor],
) -> dict[str, Any]:
    """Measure the mean cross-entropy of hidden tokens at each ratio, beside baselines, in nats.

    Masks depend only on the seed and on a row's index, so any two models evaluated with one seed
    see the same masks. The mean of the curve over ratios from 0 to 1 would be -log p(row) per
    token, averaged over orders (arXiv 2306.00520); "mean" is that over the ratios measured, by the
    trapezoidal rule.

    Args:
        model: its device is used, and its training mode is restored.
        source: where rows come from.
        index: which rows, [N].
        ratios: hidden fractions, each in (0, 1).
        pattern: how hidden tokens lie.
        seed: of the masks and of the bootstrap.
        baselines: by name, the loss of each token whatever is visible, [V].

    Returns:
        The "reconstruction" entry of result.json.
    """
    ratios = sorted(set(ratios))
    losses, realised = _losses(model, source, index, ratios, pattern, seed, baselines)
    own = losses[0]
    found: dict[str, Any] = {
        "target": "tokens",
        "pattern": pattern,
        "num_samples": len(index),
        "curve": curve_of(ratios, realised, own, seed),
        "baselines": {
            name: curve_of(ratios, realised, values, seed)
            for name, values in zip(baselines, losses[1:], strict=True)
        },
    }
    if len(ratios) > 1:
        means = trapezoid(own, ratios, axis=0) / (ratios[-1] - ratios[0])
        error, low, high = interval(means, seed)
        found["mean"] = {"from": ratios[0], "to": ratios[-1], "error": error}
        found["mean"] |= {"low": low, "high": high}
    return found


def shares(modality: Any, source: Source, index: np.ndarray) -> Tensor:
    """Return the share of every token in rows, float64 [V]; +1 for every count."""
    counts = modality.alphabet.double()
    for start in range(0, len(index), BATCH):
        batch = source.get(index[start : start + BATCH])
        ids = modality.ids(batch)[modality.eligible(batch)]
        counts += torch.bincount(ids, minlength=len(counts))
    return counts / counts.sum()


def _losses(
    model: LanguageModel,
    source: Source,
    index: np.ndarray,
    ratios: Sequence[float],
    pattern: str,
    seed: int,
    baselines: Mapping[str, Tensor],
) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's losses, the model's first, [1 + baselines, num_ratios, N], and ratios."""
    losses = np.zeros((1 + len(baselines), len(ratios), len(index)))
    realised = np.zeros((len(ratios), len(index)))
    with frozen(model) as device:
        for start in range(0, len(index), BATCH):
            batch = index[start : start + BATCH]
            rows = slice(start, start + len(batch))
            samples, units = source.get(batch).to(device), source.units(batch)
            ids, eligible = model.modality.ids(samples), model.eligible(samples)
            guesses = [table.to(device)[ids.clamp(min=0)] for table in baselines.values()]
            for place, ratio in enumerate(ratios):
                mask = fixed_mask(
                    *(model.modality.grid, ratio, batch, pattern, seed, device), eligible, units
                )
                found = -model.conditional_log_prob(ids, mask.hidden)
                for values, into in zip((found, *guesses), losses, strict=True):
                    sums = torch.where(mask.hidden, values, 0).sum(dim=1)
                    into[place, rows] = (sums / mask.num_hidden).cpu()
                realised[place, rows] = mask.ratio.cpu()
    return losses, realised
