"""What hidden patches cost, by ratio and in nats, beside what needs no network."""

import logging
import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from maskwise.layers.transformer import mean_over
from maskwise.masks import Mask
from maskwise.measure.features import random_subset
from maskwise.measure.losses import NUM_TRAIN, Held, fit_variances, loss_curves, measure
from maskwise.modality import Entries, Source, Splits
from maskwise.objectives.reconstruction import sample_losses
from maskwise.patches.model import PatchModel

log = logging.getLogger("maskwise")


def reconstruction(
    model: PatchModel,
    source: Source,
    indices: np.ndarray,
    ratios: Sequence[float],
    pattern: str,
    seed: int,
) -> Entries:
    """Return the "reconstruction" entry of result.json; see `loss_curves`.

    The error of a sample is the mean of the loss over its hidden positions, in the space of the
    training target. The baseline "visible mean" predicts, at every hidden position, the mean of
    the sample's visible targets. Targets normalised per patch have mean 0 and variance 1 (flat
    patches are 0), so there it costs about 1, as predicting 0 does.
    """
    target = getattr(model.tokenizer, "target", "raw")  # not all have a choice
    of, names = partial(costs, model), ["visible mean"]
    return {"target": target} | loss_curves(
        model, source, indices, ratios, pattern, seed, of, names
    )


def costs(
    model: PatchModel, samples: Tensor, masks: Sequence[Mask]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give the error of each sample and that of the visible mean, [B], under each mask."""
    target = model.tokenizer.target_of(model.tokenizer.tokenize(samples))
    for mask in masks:
        prediction, wanted = model.predict(samples, mask)
        guess = mean_over(target, ~mask.hidden)[:, None].expand_as(wanted)
        valid = mask.hidden_valid
        yield sample_losses(prediction, wanted, valid), sample_losses(guess, wanted, valid)


def patch_likelihood(
    model: PatchModel,
    splits: Splits,
    law: str,
    *,
    num_samples: int | None = None,
    seed: int = 0,
    **options: int,
) -> Entries:
    """Return what likelihood.json holds, for samples of the test part; see `measure`.

    The anchor takes every value to be normal and on its own. A model that knows nothing of the
    noise because it is for samples of another size than its run's is told it by training samples.
    """
    if bool(model.log_variance.isnan().all()):
        log.info("%s: the noise is fitted anew, to training samples of this size", splits.name)
        fit_noise(model, splits.train, seed=seed)

    def held(index: np.ndarray) -> Held:
        train = splits.train.get(random_subset(len(splits.train), NUM_TRAIN, seed))
        samples = splits.test.get(index)
        nats = independent_normals(train, samples)
        num_dims = model.length * model.values_per_position
        return Held(samples, model.length, num_dims, (nats / model.length, nats))

    options |= {"num_samples": 256 if num_samples is None else num_samples, "seed": seed}
    return measure(model, held, len(splits.test), splits.name, law, **options)


def independent_normals(train: Tensor, test: Tensor) -> float:
    """Return the mean log-density of a sample if every value were normal and on its own, in nats.

    With each value's mean and variance in training samples: what is known of a sample without
    looking at any of it. Samples [N, ...] and [M, ...] are in raw units.
    """
    variance, mean = torch.var_mean(train.double(), dim=0, correction=0)
    # As for a model: bytes are rounded, and nothing else is quite constant.
    least = 1 / 12 if train.dtype == torch.uint8 else 1e-6 * float(variance.mean())
    variance = variance.clamp(min=least)
    each = (2 * math.pi * variance).log() + (test.double() - mean).square() / variance
    return -0.5 * float(each.flatten(1).sum(dim=1).mean())


def fit_noise(model: PatchModel, source: Source, **options: int) -> None:
    """Set the variances of the model's conditional densities.

    Args:
        model: its device is used, and its training mode is restored.
        source: training samples.
        **options: `num_samples`, `seed` and `batch_size` of `fit_variances`.
    """
    tokenize = model.tokenizer.tokenize

    def squares_of(samples: Tensor, hidden: Tensor) -> Tensor:
        return (tokenize(model.reconstruct(samples, hidden)) - tokenize(samples)).square()

    least = 1e-6
    if source.get([0]).dtype == torch.uint8:
        # Bytes are rounded: an error of less than that, 1/12 level², is an accident.
        least = math.exp(-2 * model.tokenizer.log_scale / model.tokenizer.token_dim) / 12
    buffers = model.log_variance, model.log_spread
    fit_variances(model, buffers, source, squares_of, least=least, numbers=None, **options)
