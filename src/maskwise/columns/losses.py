"""The loss of hidden features by ratio, beside what knows only each feature's distribution."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.columns.features import column_means
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import Rows, TabularModality
from maskwise.measure.features import frozen, in_batches
from maskwise.measure.reconstruction import curve_of, fixed_mask
from maskwise.objectives.columns import count_losses

PATTERN = "scattered"


def losses_of_rows(
    model: TabularModel,
    rows: Rows,
    index: np.ndarray,
    ratios: Sequence[float],
    seed: int,
    marginal: "Marginal",
) -> dict[str, Any]:
    """Measure the mean loss of hidden features at each ratio, beside a baseline, in nats.

    Half the squared error of a number, the cross-entropy of a category, minus the log-probability
    of a count. Masks hide any features that were measured and depend only on the seed and on a
    sample's index, so any two models evaluated with one seed see the same masks. Samples with
    nothing measured are left out.

    Args:
        model: its device is used, and its training mode is restored.
        rows: the samples.
        index: which of them, [N].
        ratios: hidden fractions, each in (0, 1).
        seed: of the masks and of the bootstrap.
        marginal: the loss of each value whatever is visible.

    Returns:
        The "reconstruction" entry of result.json.
    """
    parts = []
    with frozen(model) as device:
        for part in in_batches(index):
            samples = rows.get(part).to(device)
            eligible = model.eligible(samples)
            some = eligible.any(dim=1)
            samples, eligible, part = samples[some], eligible[some], part[some.cpu().numpy()]
            guess = marginal(samples)
            found = []
            for ratio in ratios:
                grid = model.modality.grid
                mask = fixed_mask(grid, ratio, part, PATTERN, seed, device, eligible)
                costs = model.losses(samples, mask.hidden)
                means = [_mean(each, mask.hidden) for each in (costs, guess)]
                found.append(torch.stack([*means, mask.ratio.double()]))
            parts.append(torch.stack(found, dim=1).cpu())
    own, baseline, realised = torch.cat(parts, dim=2).numpy()
    return {
        "pattern": PATTERN,
        "num_samples": own.shape[1],
        "curve": curve_of(ratios, realised, own, seed),
        "baselines": {"marginal": curve_of(ratios, realised, baseline, seed)},
    }


class Marginal:
    """What each value costs if nothing but the distribution of its feature is known.

    - a number: half its squared distance from the mean;
    - a category: minus the log of its share, every count + 1;
    - a count: minus its log-probability under a negative binomial with the mean and the variance
      that the feature has in the training samples, Poisson where that is less than the mean.

    Args:
        modality: what the features are.
        samples: training samples [N, F] or [N, F + 1].
    """

    def __init__(self, modality: TabularModality, samples: Tensor) -> None:
        self.loss, self.sizes = modality.loss, modality.sizes
        self.log_scale = modality.log_scale
        values = samples[:, : len(self.sizes)].numpy()
        self.mean = torch.from_numpy(column_means(values))
        self.tables = {
            feature: torch.from_numpy(_shares(values[:, feature], size)).log()
            for feature, size in enumerate(self.sizes)
            if size
        }
        variance = torch.from_numpy(column_means(np.square(values - self.mean.numpy())))
        self.variance = variance.clamp(min=1e-6)
        if self.is_count:
            self.mean = self.mean.clamp(min=1e-6)
            excess = (variance - self.mean).clamp(min=1e-6 * self.mean.square())
            self.log_dispersion = 2 * self.mean.log() - excess.log()

    @property
    def is_count(self) -> bool:
        """Whether numbers are counts."""
        return self.loss != "mse"

    def __call__(self, samples: Tensor) -> Tensor:
        """Return the loss of every value, float32 [B, F]; NaN where nothing was measured."""
        values = samples[:, : len(self.sizes)]
        mean = self.mean.to(values.device)
        if self.is_count:
            log_dispersion = self.log_dispersion.to(values.device)
            return count_losses(
                values, mean.log().expand_as(values), log_dispersion.expand_as(values)
            )
        costs = (values - mean).square() / 2
        for feature, table in self.tables.items():
            codes = values[:, feature].nan_to_num(0.0).long()
            costs[:, feature] = -table.to(values.device)[codes]
        return costs

    def log_prob(self, samples: Tensor) -> Tensor:
        """Return the log-probability of every value, where numbers are normal; [B, F]."""
        costs = self(samples)
        if self.is_count:
            return -costs
        normal = costs / self.variance + (2 * math.pi * self.variance).log() / 2
        return -torch.where(torch.tensor(self.sizes) == 0, normal + self.log_scale, costs)


def _shares(codes: np.ndarray, size: int) -> np.ndarray:
    """Return the share of each category, float32 [K]; +1 for every count."""
    counts = np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=size) + 1
    return (counts / counts.sum()).astype(np.float32)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean of values [B, F] over what is true in each row, float64 [B]."""
    return torch.where(where, values, 0).double().sum(dim=1) / where.sum(dim=1)
