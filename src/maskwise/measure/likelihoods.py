"""The likelihood of a trained model: score by number hidden, area under it, and an anchor."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.images.source import ImageSplits
from maskwise.likelihood.contract import ConditionalModel, eligible_of
from maskwise.likelihood.estimates import Estimate, convert
from maskwise.likelihood.estimators import log_likelihood
from maskwise.likelihood.scores import ScoreCurve, score_curve
from maskwise.likelihood.support import outside_support, support_of
from maskwise.measure.features import frozen, random_subset
from maskwise.patches.model import PatchModel

NUM_SIZES = 16
# Training images that say what independent normals are.
NUM_TRAIN = 2048


def measure(
    model: PatchModel,
    splits: ImageSplits,
    law: str,
    *,
    num_samples: int = 256,
    passes: int = 64,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Return what likelihood.json holds, in nats.

    The area under the score curve, sum_M S(M), is the mean over orders of log p_order(x), each of
    which is a normalised density: a lower bound on the log-likelihood of their mixture.

    Args:
        model: its noise is fitted; its device is used, and its training mode is restored.
        splits: the test part is measured.
        law: what the model was trained with, to say where it extrapolates.
        num_samples: test samples at most, chosen at random.
        passes: masked inputs for each sample, for the area.
        seed: of the samples and the masks.
        batch_size: masked inputs in one call of the model.

    Raises:
        UserError: too few samples or passes for a standard error, or a model without noise.
    """
    index = choose(len(splits.test), num_samples, passes, seed)
    with frozen(model) as device:
        x = splits.test.get(index).to(device)
        curve, area = curve_and_area(model, x, passes=passes, seed=seed, batch_size=batch_size)
    train = random_subset(len(splits.train), NUM_TRAIN, seed)
    anchor = independent_normals(splits.train.get(train), x.cpu())
    num_dims = model.length * model.values_per_position
    return {
        "data": splits.name,
        "num_samples": len(index),
        "passes": area.passes,
        "seed": seed,
        "length": model.length,
        "num_dims": num_dims,
        "curve": points(curve),
        "area": in_units(area, num_dims),
        "anchor": {"score": anchor / model.length, **units(anchor, num_dims)},
        "law": outside(law, curve),
    }


def choose(total: int, num_samples: int, passes: int, seed: int) -> np.ndarray:
    """Return which of `total` samples to measure, int64 [N].

    Raises:
        UserError: too few samples or passes for a standard error.
    """
    index = random_subset(total, max(num_samples, 0), seed)
    if len(index) < 2:
        raise UserError(f"{len(index)} test samples give no standard error: take two or more")
    if passes < 2:
        raise UserError(f"passes {passes} give no standard error: take 2 or more")
    return index


def curve_and_area(
    model: ConditionalModel, x: Tensor, **options: Any
) -> tuple[ScoreCurve, Estimate]:
    """Return the score at NUM_SIZES sizes, and the estimated area under all of them.

    Args:
        model: the model.
        x: samples.
        **options: `passes`, `seed` and `batch_size` of `log_likelihood`.
    """
    area = log_likelihood(model, x, **options)
    shortest = int(eligible_of(model, x).sum(dim=1).min())
    sizes = np.unique(np.linspace(1, shortest, NUM_SIZES).round().astype(int)).tolist()
    options.pop("passes")
    return score_curve(model, x, sizes, num_masks=4, **options), area


def independent_normals(train: Tensor, test: Tensor) -> float:
    """Return the mean log-density of an image if every pixel were normal and on its own, in nats.

    With each pixel's mean and variance in training images: what is known of an image without
    looking at any of it.

    Args:
        train: images [N, C, H, W], in raw units.
        test: images [M, C, H, W].
    """
    variance, mean = torch.var_mean(train.double(), dim=0, correction=0)
    # As for a model: bytes are rounded, and nothing else is quite constant.
    least = 1 / 12 if train.dtype == torch.uint8 else 1e-6 * float(variance.mean())
    variance = variance.clamp(min=least)
    each = (2 * math.pi * variance).log() + (test.double() - mean).square() / variance
    return -0.5 * float(each.flatten(1).sum(dim=1).mean())


def points(curve: ScoreCurve) -> list[dict[str, float]]:
    """Return the curve as rows with 95 % intervals."""
    columns = zip(curve.sizes, curve.ratios, curve.scores, 1.96 * curve.stderr, strict=True)
    return [
        {
            "size": int(size),
            "ratio": float(ratio),
            "score": float(score),
            "low": float(score - half),
            "high": float(score + half),
        }
        for size, ratio, score, half in columns
    ]


def in_units(area: Estimate, num_dims: float) -> dict[str, float]:
    """Return the mean over samples; its error over samples has that over masks within it."""
    num = len(area.per_sample)
    stderr = float(area.per_sample.std()) / math.sqrt(num)
    return {
        **units(float(area.per_sample.mean()), num_dims),
        "stderr": stderr,
        "stderr_masks": area.stderr / num,
        "bits_stderr": -convert(stderr, num_dims, "bits_per_dim"),
    }


def units(nats: float, num_dims: float) -> dict[str, float]:
    """Return a log-likelihood of `num_dims` values in nats, and in bits per value."""
    return {"nats": nats, "bits_per_dim": convert(nats, num_dims, "bits_per_dim")}


def outside(law: str, curve: ScoreCurve) -> dict[str, Any]:
    """Say what sizes that the law never hides contribute to the area."""
    low, high = support_of(law)
    sizes = np.arange(1, len(curve.every_size) + 1)
    ratios = np.minimum(sizes / curve.length, 1)
    outside = outside_support(law, ratios, curve.length)
    return {
        "name": law,
        "low": low,
        "high": high,
        "sizes_outside": int(outside.sum()),
        "nats_outside": float(curve.every_size[outside].sum()),
    }
