"""The loss of what is hidden by ratio, the likelihood, and the variances that give densities."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.likelihood.contract import ConditionalModel, eligible_of
from maskwise.likelihood.estimators import Estimate, convert, log_likelihood
from maskwise.likelihood.scores import ScoreCurve, outside_support, score_curve, support_of
from maskwise.masks import Mask, draw
from maskwise.masks.mask import hide_lowest
from maskwise.measure.features import frozen, in_batches, interval, random_subset, spread
from maskwise.modality import Entries, MaskedModel, Source
from maskwise.progress import track
from maskwise.rng import Keys, Stream

NUM_SIZES = 16
# Training samples that say what an anchor knows.
NUM_TRAIN = 2048
# Of blank positions, at which variances are measured.
RATIOS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)

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
    """Return the "reconstruction" entry of result.json: the mean loss of what is hidden by ratio.

    Masks depend only on the seed and on a sample's index, so any two models evaluated with one
    seed see the same masks. Samples with nothing that may be hidden are left out. In a curve,
    "ratio" is the one asked for and "realised" the hidden fraction of the masks, which are whole
    positions. The costs after the model's are those of `baselines`. `mean` adds that over the
    ratios, which rise, by the trapezoidal rule.
    """
    *losses, realised = losses_and_ratios(
        model, source, index, ratios, pattern, seed, costs, batch_size
    )
    own, *others = [
        [
            {"ratio": ratio, "realised": float(at.mean()), **spread(interval(each, seed), "error")}
            for ratio, at, each in zip(ratios, realised, of, strict=True)
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
        found["mean"] = {"from": ratios[0], "to": ratios[-1]}
        found["mean"] |= spread(interval(means, seed), "error")
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
            same = part, pattern, seed, device, eligible, units
            masks = [fixed_mask(grid, ratio, *same) for ratio in ratios]
            both = track(zip(costs(samples, masks), masks, strict=True), "ratios", len(masks))
            found = [torch.stack([*map(Tensor.double, (*of, mask.ratio))]) for of, mask in both]
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
    """Return masks [N, L] of samples at a ratio, nested across ratios where the pattern is."""
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
) -> Entries:
    """Return what likelihood.json holds, in nats.

    The area under the score curve, sum_M S(M), is the mean over orders of log p_order(x), each of
    which is a normalised density: a lower bound on the log-likelihood of their mixture.

    The noise of the model is fitted, if it has any. `held` returns held-out samples by their
    numbers: `num_samples` at most of a `total`, at random. The `law` of training says where the
    model extrapolates, if it is known; `passes` are masked inputs for each sample, for the area.

    Raises:
        UserError: too few samples or passes for a standard error, or a model without noise.
    """
    index = random_subset(total, max(num_samples, 0), seed)
    if len(index) < 2:
        raise UserError(f"{len(index)} test samples give no standard error: take two or more")
    if passes < 2:
        raise UserError(f"passes {passes} give no standard error: take 2 or more")
    assert isinstance(model, nn.Module)
    with frozen(model) as device:
        found = held(index)
        x = found.samples.to(device)
        area = log_likelihood(model, x, passes=passes, seed=seed, batch_size=batch_size)
        shortest = int(eligible_of(model, x).sum(dim=1).min())
        sizes = np.unique(np.linspace(1, shortest, NUM_SIZES).round().astype(int)).tolist()
        curve = score_curve(model, x, sizes, num_masks=4, seed=seed, batch_size=batch_size)
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


def _points(curve: ScoreCurve) -> list[dict[str, float]]:
    """Return the curve as rows with 95 % intervals."""
    score, half = curve.scores, 1.96 * curve.stderr
    columns = curve.sizes.astype(int), curve.ratios, score, score - half, score + half
    rows = zip(*(each.tolist() for each in columns), strict=True)
    return [dict(zip(("size", "ratio", "score", "low", "high"), row, strict=True)) for row in rows]


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


def _outside(law: str, curve: ScoreCurve) -> Entries:
    """Say what sizes that the law never hides contribute to the area."""
    low, high = support_of(law)
    sizes = np.arange(1, len(curve.every_size) + 1)
    outside = outside_support(law, np.minimum(sizes / curve.length, 1), curve.length)
    found = {"name": law, "low": low, "high": high, "sizes_outside": int(outside.sum())}
    return found | {"nats_outside": float(curve.every_size[outside].sum())}


def fit_variances(
    model: MaskedModel,
    buffers: tuple[Tensor, Tensor],
    source: Source,
    squares_of: Callable[[Tensor, Tensor], Tensor],
    *,
    least: float,
    numbers: Tensor | None,
    num_samples: int = 512,
    seed: int = 0,
    batch_size: int = 256,
) -> None:
    """Fit the variances of the model's conditional densities of numbers.

    The squared error of a hidden number has a mean that depends on how many positions are blank,
    v_M, and on which number it is, s_ti: both factors are fitted by their maximum of the
    likelihood in turn. v_M is measured at 13 numbers of blank positions, from one to all, and its
    logarithm interpolated. What may never be hidden is blank in any case, and counts. Numbers of
    blank positions that no sample has take the nearest one's factor, and positions that no sample
    has the mean one. The pattern is scattered, whatever the training's was: the likelihood
    averages over all sets.

    The buffers are set to the log-variance of a hidden number where 1..L positions are blank, [L],
    and to what is to be added for each number, [L] or [L, P]. From training samples, `num_samples`
    of `source` at random at most, and what of them is hidden, [B, L], `squares_of` makes squared
    errors, [B, L, P]. `numbers`, bool [L], are the positions that have a variance, None = all, and
    `least` keeps densities finite.
    """
    log_variance, log_spread = buffers
    length, index = len(log_variance), random_subset(len(source), num_samples, seed)
    sizes = sorted({max(round(ratio * length), 1) for ratio in RATIOS})
    width = log_spread.numel() // length
    squares = torch.zeros(len(sizes), length, width, dtype=torch.float64)
    counts = torch.zeros(len(sizes), length, 1, dtype=torch.float64)
    with frozen(model) as device:
        for part in track(in_batches(index, batch_size), "variances"):
            ids = torch.from_numpy(part).to(device)
            samples = source.get(part).to(device)
            scores = Keys(seed, 0, ids).bits(Stream.SCORE, length)
            known = model.tokenizer.eligible(samples)
            known = torch.ones_like(scores, dtype=torch.bool) if known is None else known
            for place, size in enumerate(sizes):
                more = (size - (~known).sum(dim=1)).clamp(min=0)
                hidden = hide_lowest(scores, torch.minimum(more, known.sum(dim=1)), known)
                wanted = hidden if numbers is None else hidden & numbers
                found = torch.where(wanted[..., None], squares_of(samples, hidden), 0.0)
                squares[place] += found.sum(0).double().cpu()
                counts[place] += wanted.sum(0)[:, None].cpu()
    # Where all samples lack something, no few are blank.
    met, known = counts.sum(dim=(1, 2)) > 0, counts.sum(dim=(0, 2)) > 0
    if not met.any():
        return
    by_size, by_value = factors(squares[met], counts[met], least)
    by_value[~known] = by_value[known].mean()
    places = np.array(sizes)[met.numpy()]
    every_size = np.interp(np.arange(1, length + 1), places, by_size.log().numpy())
    log_variance.copy_(torch.from_numpy(every_size))
    log_spread.copy_(by_value.log().view_as(log_spread))


def factors(squares: Tensor, counts: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Return v [S] and s [L, P] with sums of squares [S, L, P] close to counts [S, L, 1] x v x s.

    The maximum of the normal likelihood, by fitting one given the other.
    """
    by_value = weight = torch.ones_like(squares[0])
    for _ in range(10):
        num = (counts * weight).sum(dim=(1, 2)).clamp(min=1e-12)
        by_size = ((squares / by_value).sum(dim=(1, 2)) / num).clamp(min=least)
        share = (squares / by_size[:, None, None]).sum(dim=0) / counts.sum(dim=0).clamp(min=1)
        by_value = share.clamp(min=least / float(by_size.min()))
        # Values at the least variance say nothing about the numbers hidden.
        weight = share / by_value
    return by_size, by_value
