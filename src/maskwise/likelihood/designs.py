"""Designs: at which sizes a sample's masks are drawn, how many, and what they count for.

A design cuts the sizes 1..D into strata. A pass of a stratum has a size that is uniform on
low..high and a mask that is uniform among those of its size; its score, the mean log-probability
of the hidden positions, has the mean of S(low)..S(high) as expectation. The log-likelihood,
sum_M S(M), is a weighted sum of the strata's means.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.laws import LikelihoodUniform, num_hidden
from maskwise.masks.mask import hide_lowest
from maskwise.rng import Keys, Stream
from maskwise.ties import largest


class Stratum(NamedTuple):
    """`num` passes with sizes uniform on low..high; their mean score counts `weight` times."""

    low: int
    high: int
    num: int
    weight: float


def systematic(length: int, passes: int) -> list[Stratum]:
    """Two passes for each of many narrow strata, narrower where scores vary more; one at size D.

    At size M the mean of M log-probabilities varies like M^(-1/2), and near D, where hardly
    anything is visible, the curve is steep. So strata have equal shares of M^(-1/2) and
    (D - M)^(-1) with a constant, in the place of Neyman's allocation, which would need the true
    deviations. Two independent passes in a stratum give an unbiased variance.
    """
    if length == 1:
        return [Stratum(1, 1, passes, 1.0)]
    sizes = np.arange(1, length)
    few, many = sizes**-0.5, 1 / (length - sizes)
    spread = few / few.sum() + 0.5 * many / many.sum() + 0.5 / length
    num = min((passes - 1) // 2, length - 1)
    if not num:
        return [Stratum(1, length, passes, float(length))]
    # The stratum of a size is given by the share of `spread` up to its middle; none stays empty.
    middle = (np.cumsum(spread) - spread / 2) / spread.sum() * num
    place = np.arange(1, num)
    first = np.maximum.accumulate(np.searchsorted(middle, place) + 1 - place)
    edges = np.clip(first, 1, length - num) + place
    lows = np.concatenate([[1], edges])
    highs = np.concatenate([edges - 1, [length - 1]])
    nums = _allocate(np.add.reduceat(spread, lows - 1), passes - 1)
    strata = [
        Stratum(low, high, n, float(high - low + 1))
        for low, high, n in zip(lows.tolist(), highs.tolist(), nums, strict=True)
    ]
    return [*strata, Stratum(length, length, 1, 1.0)]


def _allocate(spread: np.ndarray, total: int) -> list[int]:
    """Share passes out: two each, the rest where they reduce sum(spread^2 / n) most."""
    nums = np.full(len(spread), 2)
    for _ in range(total - nums.sum()):
        nums[largest(spread**2 / (nums * (nums + 1)))] += 1
    return nums.tolist()


def per_size(length: int, passes: int) -> list[Stratum]:
    """The same number of masks at every size (arXiv 2306.00520)."""
    if passes < length:
        raise UserError(
            f"per_size needs a pass for each of {length} sizes, not {passes}: give more passes, or"
            " method 'systematic'"
        )
    return [Stratum(size, size, passes // length, 1.0) for size in range(1, length + 1)]


def bernoulli(length: int, passes: int) -> list[Stratum]:
    """Hide each position with probability t, t uniform on (0, 1), as masked diffusion does.

    Such a mask has a size uniform on 0..D and is uniform given its size. The weight is
    E[1 / t | M] = (D + 1) / M in place of 1 / t, whose variance is infinite.
    """
    return [Stratum(0, length, passes, float(length + 1))]


def quadrature(length: int, passes: int) -> list[Stratum]:
    """The trapezoid rule through chosen sizes: half of them even, half dense toward D.

    Biased where the curve bends between two sizes, and the standard error does not know it.
    """
    num = min(max(passes // 2, 2), length)
    even = np.linspace(1, length, max(2, (num + 1) // 2))
    dense = length + 1 - np.geomspace(1, length, num - len(even) + 2)
    nodes = np.unique(np.concatenate([even, dense]).round().astype(int))
    weights = trapezoid(nodes, length)
    nums = np.full(len(nodes), passes // len(nodes))
    return [
        Stratum(size, size, num, weight)
        for size, num, weight in zip(nodes.tolist(), nums.tolist(), weights.tolist(), strict=True)
    ]


def trapezoid(nodes: np.ndarray, length: int) -> np.ndarray:
    """Return w with w @ f(nodes) = the sum over 1..length of f interpolated linearly.

    >>> trapezoid(np.array([1, 3]), 3).tolist()
    [1.5, 1.5]
    """
    sizes = np.arange(1, length + 1)
    return np.stack([np.interp(sizes, nodes, unit) for unit in np.eye(len(nodes))]).sum(axis=1)


DESIGNS: dict[str, Callable[[int, int], list[Stratum]]] = {
    "systematic": systematic,
    "per_size": per_size,
    "bernoulli": bernoulli,
    "quadrature": quadrature,
}


class Passes(NamedTuple):
    """The design of each sample, spelt out by pass: all [B, passes] (weight: [B, strata])."""

    low: Tensor
    high: Tensor
    stratum: Tensor
    weight: Tensor
    num: Tensor


def spell_out(lengths: Tensor, make: Callable[[int], list[Stratum]]) -> Passes:
    """Return the passes of samples with `lengths` eligible positions, int64 [B].

    Samples with fewer passes or strata than others get passes of size 0, which count for nothing.
    """
    kinds, kind = torch.unique(lengths, return_inverse=True)
    designs = [make(length) for length in kinds.tolist()]
    most_strata = max(map(len, designs))
    most = max(sum(stratum.num for stratum in design) for design in designs)
    low, high, index = (torch.zeros(len(designs), most, dtype=torch.int64) for _ in range(3))
    weight = torch.zeros(len(designs), most_strata + 1, dtype=torch.float64)
    num = torch.zeros(len(designs), most_strata + 1, dtype=torch.int64)
    index += most_strata
    for row, design in enumerate(designs):
        start = 0
        for place, stratum in enumerate(design):
            part = slice(start, start + stratum.num)
            low[row, part], high[row, part], index[row, part] = stratum.low, stratum.high, place
            weight[row, place], num[row, place] = stratum.weight, stratum.num
            start += stratum.num
    return Passes(*(each.to(lengths.device)[kind] for each in (low, high, index, weight, num)))


def masks_of(
    passes: Passes, eligible: Tensor, seed: int, sample_ids: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give (sizes [B], hidden [B, D]) of one pass at a time, each with numbers of its own.

    A mask depends on (seed, pass, sample) alone.
    """
    for number in range(passes.low.shape[1]):
        keys = Keys(seed, number, sample_ids)
        low, high = passes.low[:, number], passes.high[:, number]
        u = keys.open_uniform(Stream.RATIO, 1)[:, 0].cpu()
        counts = num_hidden(LikelihoodUniform(), u.numpy(), (high - low + 1).cpu().numpy())
        sizes = low - 1 + torch.from_numpy(counts).to(low.device)
        yield sizes, hide_lowest(keys.bits(Stream.SCORE, eligible.shape[1]), sizes, eligible)
