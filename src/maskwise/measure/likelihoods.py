"""The likelihood of held-out samples: score by number hidden, area under it, and an anchor."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.likelihood.contract import ConditionalModel, eligible_of
from maskwise.likelihood.estimators import Estimate, convert, log_likelihood
from maskwise.likelihood.scores import ScoreCurve, outside_support, score_curve, support_of
from maskwise.measure.features import frozen, random_subset

NUM_SIZES = 16
# Training samples that say what an anchor knows.
NUM_TRAIN = 2048


class Held(NamedTuple):
    """Held-out samples, and what is said of them without a model."""

    samples: Tensor
    length: float
    """positions of a sample that may be hidden, on average"""
    num_dims: float
    """values of a sample that have a density or a probability, on average"""
    anchor: tuple[float, float]
    """log-likelihood of a position and of a sample for what looks at nothing of it, in nats"""
    words: dict[str, str] | None = None
    """what a "sample", a "position", a "dimension" and the "anchor" are called"""
    perplexity: bool = False
    """whether there is one: positions are words of one vocabulary"""
    num_bytes: int | None = None
    """what all samples together are in storage, where that can be compared"""


def measure(
    model: ConditionalModel,
    held: Callable[[np.ndarray], Held],
    total: int,
    name: str,
    law: str | None,
    *,
    num_samples: int,
    passes: int = 64,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Return what likelihood.json holds, in nats.

    The area under the score curve, sum_M S(M), is the mean over orders of log p_order(x), each of
    which is a normalised density: a lower bound on the log-likelihood of their mixture.

    Args:
        model: its noise is fitted, if it has any; its device is used, and its training mode is
            restored.
        held: returns held-out samples by their numbers.
        total: how many there are.
        name: what to call the data.
        law: what the model was trained with, to say where it extrapolates; None if not known.
        num_samples: samples at most, chosen at random.
        passes: masked inputs for each sample, for the area.
        seed: of the samples and the masks.
        batch_size: masked inputs in one call of the model.

    Raises:
        UserError: too few samples or passes for a standard error, or a model without noise.
    """
    index = _choose(total, num_samples, passes, seed)
    assert isinstance(model, nn.Module)
    with frozen(model) as device:
        found = held(index)
        x = found.samples.to(device)
        curve, area = _curve_and_area(model, x, passes, seed, batch_size)
    score, nats = found.anchor
    return {
        **({} if found.words is None else {"words": found.words}),
        "data": name,
        "num_samples": len(x),
        "passes": area.passes,
        "seed": seed,
        "length": found.length,
        "num_dims": found.num_dims,
        "curve": _points(curve),
        "area": _in_units(area, found),
        "anchor": {"score": score, **_units(nats, found.num_dims)},
        "law": None if law is None else _outside(law, curve),
    }


def _choose(total: int, num_samples: int, passes: int, seed: int) -> np.ndarray:
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


def _curve_and_area(
    model: ConditionalModel, x: Tensor, passes: int, seed: int, batch_size: int
) -> tuple[ScoreCurve, Estimate]:
    """Return the score at NUM_SIZES sizes, and the estimated area under all of them."""
    area = log_likelihood(model, x, passes=passes, seed=seed, batch_size=batch_size)
    shortest = int(eligible_of(model, x).sum(dim=1).min())
    sizes = np.unique(np.linspace(1, shortest, NUM_SIZES).round().astype(int)).tolist()
    curve = score_curve(model, x, sizes, num_masks=4, seed=seed, batch_size=batch_size)
    return curve, area


def _points(curve: ScoreCurve) -> list[dict[str, float]]:
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


def _in_units(area: Estimate, held: Held) -> dict[str, float]:
    """Return the mean over samples; its error over samples has that over masks within it."""
    num, nats = len(area.per_sample), float(area.per_sample.mean())
    stderr = float(area.per_sample.std()) / math.sqrt(num)
    found = {
        **_units(nats, held.num_dims),
        "stderr": stderr,
        "stderr_masks": area.stderr / num,
        "bits_stderr": -convert(stderr, held.num_dims, "bits_per_dim"),
    }
    if held.perplexity:
        found["perplexity"] = area.perplexity
    if held.num_bytes is not None:
        found["bits_per_byte"] = convert(nats * num, held.num_bytes, "bits_per_dim")
    return found


def _units(nats: float, num_dims: float) -> dict[str, float]:
    """Return a log-likelihood of `num_dims` values in nats, and in bits per value."""
    return {"nats": nats, "bits_per_dim": convert(nats, num_dims, "bits_per_dim")}


def _outside(law: str, curve: ScoreCurve) -> dict[str, Any]:
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
