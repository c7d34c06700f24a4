"""Draw what is hidden: complete samples, new samples, and missing values with intervals.

And what it costs to reveal several positions at once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.likelihood.contract import (
    GenerativeModel,
    Values,
    ids_of,
    length_of,
    mix,
    refuse_training,
    samples,
    which,
)
from maskwise.likelihood.designs import orders_of, random_orders, ranks
from maskwise.likelihood.scores import ScoreCurve
from maskwise.rng import Keys
from maskwise.ties import largest


@checked("blocks", batch_size=1)
def fill(
    model: GenerativeModel,
    x: Values,
    hidden: Values,
    *,
    blocks: int | Sequence[int] | None = None,
    order: Values | None = None,
    seed: int = 0,
    sample_ids: Values | None = None,
    batch_size: int = 1024,
) -> Tensor:
    """Return the samples with their hidden positions drawn, given the visible ones.

    One position at a time, each given all before it, draws from the model's joint distribution:
    exactly, where the conditionals are those of one joint, else from the model that its order
    defines. In blocks it takes fewer predictions, but the positions of one block are drawn
    independently of each other; `likelihood.block_bound` says what that costs.

    Args:
        model: has `conditional_sample`.
        x: samples [B, D, ...]; what they hold at hidden positions is not used and may be NaN.
        hidden: bool [D] or [B, D].
        blocks: how many blocks, of equal size, or their sizes, as from `likelihood.best_blocks`; a
            sample with fewer hidden positions than the sizes sum to joins when as many are left.
            Default: one position at a time.
        order: int64 [D] or [B, D], in which positions are drawn; default: random for each sample.
        seed: of orders and draws.
        sample_ids: int64 [B], whose draws; default: 0..B-1. A sample's draws depend on the seed
            and its id, not on its batch.
        batch_size: samples in one call of the model.

    Raises:
        UserError: shapes that do not fit, or NaN or infinity at a visible position.

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.ones(3, 1), noise=0.01)
        >>> fill(model, [[5.0, math.nan, 5.0]], [False, True, False]).round().tolist()
        [[5.0, 5.0, 5.0]]
    """
    refuse_training(model)
    x = samples(x)
    hidden = which(model, x, hidden, "hidden")
    x = mix(model, x, torch.zeros_like(x), hidden)
    _check_finite(x)
    ids = ids_of(x, sample_ids)
    if order is None:
        order = random_orders(ids, hidden.shape[1], seed=seed)
    step_of = _steps(ranks(orders_of(order, hidden), hidden), blocks)
    parts = zip(x.split(batch_size), step_of.split(batch_size), ids.split(batch_size), strict=True)
    with torch.no_grad():
        return torch.cat([_draw(model, *part, seed) for part in parts])


@checked("blocks", batch_size=1)
def sample(
    model: GenerativeModel,
    num: int,
    *,
    blocks: int | Sequence[int] | None = None,
    order: Values | None = None,
    seed: int = 0,
    batch_size: int = 1024,
) -> Tensor:
    """Return `num` new samples; arguments are those of `fill`.

    More samples from the same seed begin with the same ones.

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> sample(PPCA(loadings=torch.ones(3, 1), noise=0.5), 4, blocks=2).shape
        torch.Size([4, 3])
    """
    if num < 1:
        raise UserError(f"num is {num}: draw at least 1 sample")
    x = model.empty(num)
    hidden = torch.ones(length_of(model, x), dtype=torch.bool, device=x.device)
    return fill(model, x, hidden, blocks=blocks, order=order, seed=seed, batch_size=batch_size)


@dataclass(frozen=True, eq=False)
class Imputation:
    """Draws of what was missing. Observed values are exact in every draw and every summary."""

    samples: Tensor
    """[S, B, D, ...]"""

    @property
    def mean(self) -> Tensor:
        """The mean over draws, [B, D, ...]; no value has a smaller expected squared error."""
        draws = self._numbers()
        # From the first draw on, so that equal values have exactly themselves as their mean.
        return draws[0] + (draws - draws[0]).mean(dim=0)

    @property
    def median(self) -> Tensor:
        """The median over draws, [B, D, ...]."""
        return self._quantile(0.5)

    @property
    def mode(self) -> Tensor:
        """The most frequent value over draws, [B, D, ...], for whole numbers."""
        if self.samples.is_floating_point():
            raise UserError("mode is for whole numbers: real values have a mean and a median")
        return self.samples.mode(dim=0).values

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Return the ends, each [B, D, ...], between which a missing value lies.

        The ends are quantiles at (S + 1) q, so that an interval from S draws covers a further draw
        with probability `level`, at most (S - 1) / (S + 1), and not only one from very many.

        Raises:
            UserError: a level outside (0, 1), or one that takes more draws.
        """
        if not 0 < level < 1:
            raise UserError(f"level {level:g} is outside (0, 1): 0.9 is usual")
        # Rounded, since 1 - 0.9 is not 0.1 and 19 draws are enough.
        needed = math.ceil(round((1 + level) / (1 - level), 6))
        if len(self.samples) < needed:
            raise UserError(
                f"{len(self.samples)} draws are too few for an interval at level {level:g}:"
                f" give num_samples={needed} or more"
            )
        return self._quantile((1 - level) / 2), self._quantile((1 + level) / 2)

    def _numbers(self) -> Tensor:
        return self.samples if self.samples.is_floating_point() else self.samples.double()

    def _quantile(self, q: float) -> Tensor:
        """Return the value at place (S + 1) q among the ordered draws, counted from 1."""
        draws = self._numbers().sort(dim=0).values
        place = min(max((len(draws) + 1) * q - 1, 0.0), len(draws) - 1.0)
        low = math.floor(place)
        return torch.lerp(draws[low], draws[min(low + 1, len(draws) - 1)], place - low)


@checked("blocks", batch_size=1)
def impute(
    model: GenerativeModel,
    x: Values,
    observed: Values,
    *,
    num_samples: int = 20,
    blocks: int | Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 1024,
) -> Imputation:
    """Draw what is missing, several times, given what was observed (multiple imputation).

    `observed` is bool [D] or [B, D]; of `num_samples` draws for each sample, more begin with the
    same ones. Other arguments are those of `fill`.

    Raises:
        UserError: shapes that do not fit, or NaN or infinity at an observed position.

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.ones(3, 1), noise=0.01)
        >>> x = torch.tensor([[5.0, math.nan, 5.0]])
        >>> low, high = impute(model, x, ~x.isnan()).interval(level=0.9)
        >>> bool(4.5 < low[0, 1] < high[0, 1] < 5.5)
        True
    """
    if num_samples < 1:
        raise UserError(f"num_samples is {num_samples}: draw at least 1")
    x = samples(x)
    hidden = ~which(model, x, observed, "observed")
    # Each copy of a sample has draws of its own; copies stay in place when there are more.
    copies = torch.arange(num_samples, device=x.device)[:, None] << 32
    drawn = fill(
        model,
        x.repeat(num_samples, *[1] * (x.ndim - 1)),
        hidden.repeat(num_samples, 1),
        blocks=blocks,
        seed=seed,
        sample_ids=(copies + torch.arange(len(x), device=x.device)).flatten(),
        batch_size=batch_size,
    )
    return Imputation(drawn.unflatten(0, (num_samples, len(x))))


def _draw(model: GenerativeModel, x: Tensor, step_of: Tensor, ids: Tensor, seed: int) -> Tensor:
    """Draw the positions of step 0, then those of step 1 given them, and so on."""
    for step in range(int(step_of.max()) + 1):
        rows = (step_of == step).any(dim=1).nonzero().flatten()
        if not len(rows):
            continue
        keys = Keys(seed, step, ids[rows])
        before, steps = x[rows], step_of[rows]
        drawn = model.conditional_sample(before, steps >= step, keys)
        after = mix(model, before, drawn, steps == step)
        x = x.to(after.dtype).index_copy(0, rows, after)
    return x


def _steps(turn: Tensor, blocks: int | Sequence[int] | None) -> Tensor:
    """Return the step at which each position is drawn, int64 [B, D]; -1: never.

    Args:
        turn: int64 [B, D], ranks among the hidden positions of a sample; -1: visible.
        blocks: as for `fill`.
    """
    if blocks is None:
        return turn
    counts = (turn >= 0).sum(dim=1, keepdim=True)
    if isinstance(blocks, int):
        if blocks < 1:
            raise UserError(f"blocks is {blocks}: give at least 1, or the sizes of blocks")
        # Counted from the end, so that what does not divide makes late blocks larger: they cost
        # less, since more is known by then.
        steps = blocks - 1 - (counts - 1 - turn) * blocks // counts.clamp(min=1)
    else:
        ends = torch.from_numpy(_sizes_of(blocks).cumsum()).to(turn.device)
        most = int(counts.max())
        if ends[-1] < most:
            raise UserError(f"blocks sum to {ends[-1]}, but a sample hides {most} positions")
        steps = torch.searchsorted(ends, ends[-1] - counts + turn, right=True)
    return torch.where(turn >= 0, steps, -1)


def _check_finite(x: Tensor) -> None:
    """Refuse a number that is none at a visible position."""
    bad = ~x.isfinite()
    if bad.any():
        row, *place = bad.nonzero()[0].tolist()
        position = ", ".join(map(str, place))
        raise UserError(
            f"row {row} has {float(x[row, *place])} at position {position}, which is visible:"
            " mark it as missing or leave the row out"
        )


@checked()
def best_blocks(scores: ScoreCurve | Values, num_blocks: int) -> list[int]:
    """Return the sizes of `num_blocks` blocks, revealed in turn, with the largest `block_bound`.

    Dynamic programming over hidden counts: what is lost when blocks replace single positions is
    the area between the score curve and a staircase, and good steps lie where the curve is flat.

    Args:
        scores: S(1), ..., S(D) in nats, or a `ScoreCurve`, interpolated where it has fewer sizes.
        num_blocks: 1..D.

    Returns:
        Positions revealed first, second, ...; they sum to D.

    Raises:
        UserError: `num_blocks` outside 1..D, or scores that are not finite.

    Source: Hoogeboom et al., Autoregressive Diffusion Models, arXiv 2110.02037.

    >>> best_blocks([-1.0, -1.0, -1.0, -2.0], 2)
    [1, 3]
    """
    every = _all_scores(scores)
    length = len(every)
    if not 1 <= num_blocks <= length:
        raise UserError(f"num_blocks is {num_blocks}: give 1 to {length}, the number of positions")
    # best[k, h]: the bound of h hidden positions revealed in k blocks, of which the first leaves
    # left[k, h] of them hidden.
    best = np.full((num_blocks + 1, length + 1), -np.inf)
    best[0, 0] = 0.0
    left = np.zeros(best.shape, np.int64)
    for count in range(1, length + 1):
        reached = best[:-1, :count] + every[count - 1] * np.arange(count, 0, -1)
        left[1:, count] = largest(reached, axis=1)
        best[1:, count] = reached.max(axis=1)
    counts = [length]
    for num in range(num_blocks, 0, -1):
        counts.append(int(left[num, counts[-1]]))
    return [before - after for before, after in pairwise(counts)]


@checked("blocks")
def block_bound(scores: ScoreCurve | Values, blocks: Sequence[int]) -> float:
    """Return the log-likelihood that decoding in blocks gives to a sample, in nats.

    sum_j g_j S(M_j),    M_j = hidden positions before block j = g_j + g_{j+1} + ...

    The positions of a block are drawn independently given all revealed before. This is the mean
    over random orders of the log-probability of such a draw: a lower bound on the log-likelihood
    of the decoder. With single positions it is the sum of all scores.

    Args:
        scores: S(1), ..., S(D) in nats, or a `ScoreCurve`.
        blocks: sizes g_1, g_2, ... in the order revealed.

    Raises:
        UserError: blocks that do not sum to D, or scores that are not finite.

    >>> block_bound([-1.0, -1.0, -1.0, -2.0], [1, 3])
    -5.0
    """
    every, sizes = _all_scores(scores), _sizes_of(blocks)
    if sizes.sum() != len(every):
        raise UserError(f"blocks sum to {sizes.sum()}: they must sum to {len(every)} positions")
    hidden = sizes[::-1].cumsum()[::-1]
    return float(sizes @ every[hidden - 1])


def _sizes_of(blocks: Sequence[int]) -> np.ndarray:
    """Return block sizes as int64 [num_blocks]."""
    sizes = np.asarray(blocks)
    if sizes.ndim != 1 or not sizes.size or sizes.dtype.kind not in "iu" or sizes.min() < 1:
        raise UserError(f"blocks are {blocks}: give sizes, whole numbers from 1")
    return sizes.astype(np.int64)


def _all_scores(scores: ScoreCurve | Values) -> np.ndarray:
    """Return S(1), ..., S(D), float64 [D]."""
    values = scores.every_size if isinstance(scores, ScoreCurve) else scores
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    every = np.asarray(values, dtype=np.float64)
    if every.ndim != 1 or not every.size or not np.isfinite(every).all():
        raise UserError("scores must be finite numbers, one for each number of hidden positions")
    return every
