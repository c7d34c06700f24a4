"""The score S(x; M) at a size, the curve over sizes, and what can be read from it."""

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from maskwise import laws
from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.laws import Law
from maskwise.likelihood.contract import (
    ConditionalModel,
    Job,
    Options,
    Values,
    job_of,
    log_probs,
    refuse_training,
)
from maskwise.masks.mask import hide_lowest
from maskwise.progress import track
from maskwise.rng import Keys, Stream

# More masks of one size than this are nobody's intention.
MOST_MASKS = 1_000_000


@dataclass(frozen=True, eq=False)
class ScoreCurve:
    """S at several sizes: means over samples with standard errors, and each sample's own.

    `stderr` covers the choice of samples and of masks; NaN for a single sample.
    """

    sizes: NDArray[np.float64]
    """hidden positions, [K]; means where samples have different lengths"""
    scores: NDArray[np.float64]
    """nats per hidden position, [K]"""
    stderr: NDArray[np.float64]
    """[K]"""
    per_sample: Tensor
    """float64 [B, K]"""
    length: float
    """eligible positions of a sample, on average"""

    @property
    def ratios(self) -> NDArray[np.float64]:
        """Hidden fractions, [K]."""
        return self.sizes / self.length

    @property
    def every_size(self) -> NDArray[np.float64]:
        """S at 1..D, interpolated linearly between the sizes there are."""
        return np.interp(np.arange(1, round(self.length) + 1), self.sizes, self.scores)

    @property
    def area(self) -> float:
        """sum_M S(M), nats per sample: the log-likelihood; exact if all sizes are there."""
        return float(self.every_size.mean() * self.length)


@checked("size")
def score_at_size(
    model: ConditionalModel,
    x: Values,
    size: int,
    exhaustive: bool = False,
    *,
    num_masks: int = 8,
    **options: Unpack[Options],
) -> Tensor:
    """Return S(x; M), the mean log-probability of a hidden position when M are hidden, [B].

        S(x; M) = E_{m uniform, |m| = M} (1/M) sum_{t in m} log p(x_t | x_R)

    Over `num_masks` masks of `size` M in 1..D for each sample, or over all of them if
    `exhaustive`; differentiable in the model's parameters. Other arguments are those of
    `log_likelihood`.

    Raises:
        UserError: a size out of range, or what `log_likelihood` refuses.

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.zeros(4, 1), noise=1.0)  # independent positions
        >>> x = torch.zeros(1, 4)
        >>> [round(float(score_at_size(model, x, size)[0]), 4) for size in (1, 4)]
        [-0.9189, -0.9189]

    Source: arXiv 2306.00520.
    """
    job = job_of(model, x, **options)
    shortest = int(job.lengths.min())
    if size != int(size) or not 1 <= size <= shortest:
        raise UserError(f"size {size} is outside 1..{shortest}, the number of eligible positions")
    if exhaustive:
        return all_masks(job, int(size))
    return _some_masks(job, torch.full_like(job.ids, int(size)), num_masks, 0)


@checked("sizes")
def score_curve(
    model: ConditionalModel,
    x: Values,
    sizes: Sequence[int] | None = None,
    *,
    ratios: Sequence[float] | None = None,
    exhaustive: bool = False,
    num_masks: int = 8,
    law: Law | str | None = None,
    **options: Unpack[Options],
) -> ScoreCurve:
    """Return S at several sizes, with standard errors.

    `sizes` are numbers hidden, rising, each in 1..D; default: all. Where samples have different
    lengths, give `ratios` instead, in (0, 1]: each hides ceil(ratio x its eligible positions).
    Other arguments are those of `score_at_size` and `log_likelihood`.

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.ones(4, 1), noise=0.5)
        >>> x = model.sample(100)
        >>> curve = score_curve(model, x, exhaustive=True)
        >>> bool(abs(curve.area - model.log_prob(x).mean()) < 1e-10)
        True
    """
    refuse_training(model)
    job = job_of(model, x, **options)
    lengths = job.lengths
    asked = _sizes(lengths, sizes, ratios)
    warn_outside(law, (asked / lengths[:, None]).cpu().numpy(), float(lengths.double().mean()))
    columns = []
    with torch.no_grad():
        for place, each in enumerate(track(asked.T, "scores by size", asked.shape[1])):
            if not exhaustive:
                columns.append(_some_masks(job, each, num_masks, place * num_masks))
                continue
            if bool((each != each[0]).any()):
                raise UserError("exhaustive curves need samples of one length: give sizes")
            columns.append(all_masks(job, int(each[0])))
    per_sample = torch.stack(columns, dim=1)
    stderr = np.full(len(columns), np.nan)
    if len(per_sample) > 1:
        stderr = (per_sample.std(dim=0) / math.sqrt(len(per_sample))).cpu().numpy()
    return ScoreCurve(
        sizes=asked.double().mean(dim=0).cpu().numpy(),
        scores=per_sample.mean(dim=0).cpu().numpy(),
        stderr=stderr,
        per_sample=per_sample,
        length=float(lengths.double().mean()),
    )


def _sizes(lengths: Tensor, sizes: Sequence[int] | None, ratios: Sequence[float] | None) -> Tensor:
    """Return the sizes asked for, int64 [B, K]."""
    shortest = int(lengths.min())
    if ratios is not None:
        wanted = torch.as_tensor(np.array(ratios, dtype=np.float64)).flatten()
        if sizes is not None or not len(wanted) or not bool(((wanted > 0) & (wanted <= 1)).all()):
            raise UserError(f"ratios {list(ratios)} must be in (0, 1], and sizes not given beside")
        # The nudge keeps products such as 0.07 * 100 = 7.000000000000001 whole.
        return torch.ceil(lengths[:, None] * wanted - 1e-9).long().clamp(min=1)
    wanted = torch.arange(1, shortest + 1) if sizes is None else torch.as_tensor(np.array(sizes))
    if wanted.is_floating_point() or wanted.ndim != 1 or not len(wanted):
        raise UserError(f"sizes {sizes} must be whole numbers, such as [1, 2, 4]")
    if int(wanted.min()) < 1 or int(wanted.max()) > shortest or bool((wanted.diff() <= 0).any()):
        raise UserError(f"sizes {wanted.tolist()} must rise within 1..{shortest}")
    return wanted.long().expand(len(lengths), -1).to(lengths.device)


@checked("size")
def partial(
    model: ConditionalModel,
    x: Values,
    size: int,
    exhaustive: bool = False,
    *,
    num_masks: int = 8,
    **options: Unpack[Options],
) -> Tensor:
    """Return the mean log-probability of P hidden positions jointly, given the others, [B].

        (1 / C_P) sum_{|m| = P} log p(x_m | x_R) = sum_{M=1}^{P} S(x; M)

    P = D is the log-likelihood. Arguments are those of `score_at_size`, with `size` P, in 1..D.

    Source: arXiv 2306.00520; the partial sum corresponds to the cumulative cross-validation of
    Fong and Holmes (arXiv 1905.08737).
    """

    def score(each: int) -> Tensor:
        return score_at_size(model, x, each, exhaustive, num_masks=num_masks, **options)

    return sum(map(score, range(1, size)), score(size))


@checked()
def fixed_ratio_bias(curve: ScoreCurve) -> NDArray[np.float64]:
    """Return what an estimate from one size alone is off by: D S(M) - sum_M' S(M'), [K].

    The biases of all sizes sum to zero. Low ratios are optimistic where the data follow the model.

    >>> from maskwise.likelihood import PPCA
    >>> model = PPCA(loadings=torch.ones(4, 1), noise=0.5)
    >>> bias = fixed_ratio_bias(score_curve(model, model.sample(100), exhaustive=True))
    >>> bool(bias[0] > 0 > bias[-1]), bool(abs(bias.sum()) < 1e-10)
    (True, True)
    """
    return curve.length * curve.scores - curve.area


@checked()
def crossing_ratio(curve: ScoreCurve) -> float:
    """Return the ratio above which a fixed ratio underestimates; NaN if there is none.

    Where D S(M) crosses the log-likelihood for the last time, interpolated linearly.
    """
    bias = fixed_ratio_bias(curve)
    falls = np.flatnonzero((bias[:-1] >= 0) & (bias[1:] < 0))
    if not len(falls):
        return math.nan
    left = falls[-1]
    share = bias[left] / (bias[left] - bias[left + 1])
    return float(curve.ratios[left] + share * (curve.ratios[left + 1] - curve.ratios[left]))


def evaluate(job: Job, hidden: Tensor) -> Iterator[Tensor]:
    """Give the log-probabilities under masks [B, n, D], float64 [rows, D], some rows at a time."""
    num = hidden.shape[1]
    flat = hidden.flatten(0, 1)
    for rows in torch.arange(len(flat), device=flat.device).split(job.batch_size):
        yield log_probs(job.model, job.x[rows // num], flat[rows], rows // num)


def _some_masks(job: Job, sizes: Tensor, num_masks: int, first: int) -> Tensor:
    """Return S at a size of each sample, by masks of which the number `first` is the first."""
    if num_masks < 1:
        raise UserError(f"num_masks {num_masks} must be at least 1")
    keys = (Keys(job.seed, first + number, job.ids) for number in range(num_masks))
    scores = (each.bits(Stream.SCORE, job.eligible.shape[1]) for each in keys)
    hidden = torch.stack([hide_lowest(each, sizes, job.eligible) for each in scores], dim=1)
    sums = torch.cat([found.sum(dim=1) for found in evaluate(job, hidden)])
    return sums.view(len(sizes), num_masks).mean(dim=1) / sizes


def all_masks(job: Job, size: int) -> Tensor:
    """Return S at a size, by every mask of that size, [B]."""
    kinds, kind = torch.unique(job.eligible, dim=0, return_inverse=True)
    scores = torch.zeros(len(kind), dtype=torch.float64, device=kind.device)
    for number, open_ in enumerate(kinds):
        rows = (kind == number).nonzero().flatten()
        positions = open_.nonzero().flatten().tolist()
        num = math.comb(len(positions), size)
        if num > MOST_MASKS:
            raise UserError(
                f"there are {num:,} masks of {size} out of {len(positions)} positions: leave"
                " exhaustive out, to take some"
            )
        total = scores.new_zeros(len(rows))
        combinations = itertools.combinations(positions, size)
        while chosen := list(itertools.islice(combinations, max(1, job.batch_size // len(rows)))):
            masks = torch.zeros_like(open_).repeat(len(chosen), 1)
            masks.scatter_(1, torch.tensor(chosen, device=masks.device), True)
            parts = evaluate(job.rows(rows), masks.expand(len(rows), -1, -1))
            sums = torch.cat([found.sum(dim=1) for found in parts])
            total = total + sums.view(len(rows), -1).sum(dim=1)
        scores = scores.index_put((rows,), total / (num * size))
    return scores


class RatioSupportWarning(UserWarning):
    """Scores are asked for at ratios that training never hid: there a model extrapolates."""


def support_of(law: Law | str) -> tuple[float, float]:
    """Return the smallest and the largest ratio of a law at any time of the training.

    >>> support_of("scheduled:linear,fixed:0.1..fixed:0.6")
    (0.1, 0.6)
    """
    law = laws.parse(law)
    lows, highs = zip(*(law.support(t) for t in np.linspace(0, 1, 101)), strict=True)
    return min(lows), max(highs)


@checked()
def outside_support(law: Law | str, ratios: ArrayLike, length: float) -> NDArray[np.bool_]:
    """Return where ratios lie outside those of a law, at any time of the training.

    Laws are rounded to whole ones of `length` positions, which is allowed for.

    >>> outside_support("uniform:0.4,0.9", [0.1, 0.5, 1.0], 100).tolist()
    [True, False, True]
    """
    low, high = support_of(law)
    ratios = np.asarray(ratios, dtype=np.float64)
    if length <= 0:
        raise UserError(f"length={length}: it must be more than 0")
    slack = 0.5 / length + 1e-9
    return (ratios < low - slack) | (ratios > high + slack)


def warn_outside(law: Law | str | None, ratios: ArrayLike, length: float) -> None:
    """Warn where ratios lie outside those of a law."""
    if law is None:
        return
    outside = outside_support(law, ratios, length)
    if outside.any():
        warnings.warn(
            f"{outside.mean():.0%} of the sizes asked for were never hidden in training with"
            f" {laws.parse(law)}: there the model extrapolates",
            RatioSupportWarning,
            stacklevel=3,
        )
