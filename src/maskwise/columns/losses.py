"""What hidden features cost, by ratio and in nats, and the variances that make it a density."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from maskwise.columns.model import TabularModel
from maskwise.columns.networks import count_losses
from maskwise.columns.tabular import ColumnTokenizer, TabularRows, TabularSplits, column_means
from maskwise.masks import Mask
from maskwise.measure.features import random_subset
from maskwise.measure.losses import NUM_TRAIN, Held, fit_variances, loss_curves, measure
from maskwise.modality import Entries


def losses_of_rows(
    model: TabularModel,
    rows: TabularRows,
    index: np.ndarray,
    ratios: Sequence[float],
    seed: int,
    marginal: "Marginal",
) -> Entries:
    """Return the "reconstruction" entry of result.json, in nats; see `loss_curves`.

    Half the squared error of a number, the cross-entropy of a category, minus the log-probability
    of a count. Masks hide any features that were measured. The baseline "marginal" is the loss of
    each value whatever is visible.
    """

    def costs(samples: Tensor, masks: Sequence[Mask]) -> Iterator[tuple[Tensor, Tensor]]:
        guess = marginal(samples)
        for mask in masks:
            own = model.losses(samples, mask.hidden)
            yield _mean(own, mask.hidden), _mean(guess, mask.hidden)

    return loss_curves(model, rows, index, ratios, "scattered", seed, costs, ["marginal"])


def column_likelihood(
    model: TabularModel,
    splits: TabularSplits,
    law: str,
    *,
    num_samples: int | None = None,
    seed: int = 0,
    **options: int,
) -> Entries:
    """Return what likelihood.json holds, for samples of the test part; see `measure`.

    Log-densities of numbers are in the units of the data, categories and counts have
    probabilities. The anchor takes every feature for itself, as training samples show it: numbers
    normal, counts negative binomial. Samples with nothing measured are left out.
    """
    sample, feature = model.tokenizer.words
    words = {"sample": sample, "position": feature, "dimension": feature}
    words["anchor"] = f"independent {feature}s"

    def held(index: np.ndarray) -> Held:
        samples = splits.test.get(index)
        samples = samples[model.tokenizer.eligible(samples).any(dim=1)]
        eligible = model.tokenizer.eligible(samples)
        train = splits.train.get(random_subset(len(splits.train), NUM_TRAIN, seed))
        log_probs = Marginal(model.tokenizer, train).log_prob(samples)
        nats = float(torch.where(eligible, log_probs, 0).double().sum(dim=1).mean())
        num = float(eligible.sum(dim=1).double().mean())
        return Held(samples, num, num, (nats / num, nats), words)

    options |= {"num_samples": 256 if num_samples is None else num_samples, "seed": seed}
    return measure(model, held, len(splits.test), splits.name, law, **options)


def fit_feature_noise(model: TabularModel, rows: TabularRows, **options: int) -> None:
    """Set the variances of the model's conditional densities of numbers, if it has any.

    From training samples; options are `num_samples`, `seed` and `batch_size` of `fit_variances`.
    """
    if model.tokenizer.loss != "mse" or not model.is_number.any():
        return

    def squares_of(samples: Tensor, hidden: Tensor) -> Tensor:
        return 2 * model.losses(samples, hidden)[..., None]

    buffers, numbers = (model.log_variance, model.log_spread), model.is_number
    fit_variances(model, buffers, rows, squares_of, least=1e-6, numbers=numbers, **options)


class Marginal:
    """What each value costs if nothing but the distribution of its feature is known.

    - a number: half its squared distance from the mean;
    - a category: minus the log of its share, every count + 1;
    - a count: minus its log-probability under a negative binomial with the mean and the variance
      that the feature has in the training samples, Poisson where that is less than the mean.

    The samples, [N, F] or [N, F + 1], are of training.
    """

    def __init__(self, modality: ColumnTokenizer, samples: Tensor) -> None:
        self.is_count, self.sizes = modality.loss != "mse", modality.sizes
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
