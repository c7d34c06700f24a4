"""What an estimate is made from: masks by a design, or orders, along which the chain rule runs.

A design cuts the sizes 1..D into strata. A pass of a stratum has a size that is uniform on
low..high and a mask that is uniform among those of its size; its score, the mean log-probability
of the hidden positions, has the mean of S(low)..S(high) as expectation. The log-likelihood,
sum_M S(M), is a weighted sum of the strata's means. Along an order it is exact for compatible
conditionals, else each order is a model of its own.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Unpack

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.laws import LikelihoodUniform, num_hidden
from maskwise.likelihood.contract import (
    ConditionalModel,
    Options,
    Values,
    eligible_of,
    job_of,
    log_probs,
    refuse_training,
    samples,
)
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
    # Two passes each, the rest where they reduce sum(spread^2 / n) most.
    spread, nums = np.add.reduceat(spread, lows - 1), np.full(num, 2)
    for _ in range(passes - 1 - 2 * num):
        nums[largest(spread**2 / (nums * (nums + 1)))] += 1
    strata = [
        Stratum(low, high, n, float(high - low + 1))
        for low, high, n in zip(lows.tolist(), highs.tolist(), nums.tolist(), strict=True)
    ]
    return [*strata, Stratum(length, length, 1, 1.0)]


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
    # The sum over 1..length of a function interpolated linearly is weights @ its values at nodes.
    sizes = np.arange(1, length + 1)
    weights = [np.interp(sizes, nodes, unit).sum() for unit in np.eye(len(nodes))]
    return [
        Stratum(size, size, passes // len(nodes), float(weight))
        for size, weight in zip(nodes.tolist(), weights, strict=True)
    ]


DESIGNS: dict[str, Callable[[int, int], list[Stratum]]] = {
    "systematic": systematic,
    "per_size": per_size,
    "bernoulli": bernoulli,
    "quadrature": quadrature,
}


class Passes(NamedTuple):
    """The design of each sample: its strata, [B, strata], and of which each pass is, [B, passes].

    Samples with fewer passes or strata than others have passes of size 0, which count for nothing.
    """

    low: Tensor
    high: Tensor
    num: Tensor
    weight: Tensor
    stratum: Tensor


def spell_out(lengths: Tensor, make: Callable[[int], list[Stratum]]) -> Passes:
    """Return the passes of samples with `lengths` eligible positions, int64 [B]."""
    kinds, kind = torch.unique(lengths, return_inverse=True)
    designs = [make(length) for length in kinds.tolist()]
    passes = [sum(stratum.num for stratum in design) for design in designs]
    for design, some in zip(designs, passes, strict=True):
        design.append(Stratum(0, 0, max(passes) - some, 0.0))
    tables = [torch.tensor(design, dtype=torch.float64) for design in designs]
    strata = pad_sequence(tables, batch_first=True)
    low, high, num = strata[..., :3].long().unbind(dim=-1)
    weight, places = strata[..., 3], torch.arange(strata.shape[1])
    stratum = torch.stack([places.repeat_interleave(each) for each in num])
    parts = (low, high, num * (weight > 0), weight, stratum)
    return Passes(*(part.to(lengths.device)[kind] for part in parts))


def masks_of(
    passes: Passes, eligible: Tensor, seed: int, sample_ids: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give (sizes [B], hidden [B, D]) of one pass at a time, each with numbers of its own.

    A mask depends on (seed, pass, sample) alone.
    """
    for number, stratum in enumerate(passes.stratum.T):
        keys = Keys(seed, number, sample_ids)
        low, high = (each.gather(1, stratum[:, None])[:, 0] for each in passes[:2])
        u = keys.open_uniform(Stream.RATIO, 1)[:, 0].cpu()
        counts = num_hidden(LikelihoodUniform(), u.numpy(), (high - low + 1).cpu().numpy())
        sizes = low - 1 + torch.from_numpy(counts).to(low.device)
        yield sizes, hide_lowest(keys.bits(Stream.SCORE, eligible.shape[1]), sizes, eligible)


def random_orders(sample_ids: Tensor, length: int, *, seed: int = 0, draw: int = 0) -> Tensor:
    """Return a uniformly random order of the positions for every sample, int64 [B, D].

    An order depends on (seed, draw, sample id) only.

    >>> random_orders(torch.tensor([3, 7]), 4).sort(dim=1).values.tolist()
    [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    return Keys(seed, draw, sample_ids).bits(Stream.ORDER, length).argsort(dim=1, stable=True)


def orders_of(order: Values, like: Tensor) -> Tensor:
    """Return one order or one per sample as int64 of the shape of `like`, [B, D]."""
    order = torch.as_tensor(order, device=like.device)
    if order.is_floating_point() or order.shape not in (like.shape, like.shape[1:]):
        shapes = f"{list(like.shape[1:])} or {list(like.shape)}"
        raise UserError(f"order is {order.dtype} {list(order.shape)}: give integers {shapes}")
    order = order.to(torch.int64).expand(like.shape)
    all_positions = torch.arange(like.shape[1], device=like.device)
    wrong = (order.sort(dim=1).values != all_positions).any(dim=1).nonzero().flatten().tolist()
    if wrong:
        raise UserError(
            f"order of sample {wrong[0]} must hold every position 0..{like.shape[1] - 1} once"
        )
    return order


def ranks(order: Tensor, eligible: Tensor) -> Tensor:
    """Return when each position's turn comes among the eligible ones, int64 [B, D]; -1: never.

    >>> ranks(torch.tensor([[2, 0, 1]]), torch.tensor([[True, False, True]])).tolist()
    [[1, -1, 0]]
    """
    in_order = eligible.gather(1, order).cumsum(dim=1) - 1
    return torch.where(eligible, torch.zeros_like(order).scatter_(1, order, in_order), -1)


@checked(batch_size=1)
def chain_rule(
    model: ConditionalModel,
    x: Values,
    order: Values,
    eligible: Values | None = None,
    *,
    batch_size: int = 1024,
) -> Tensor:
    """Return the log-likelihood by the chain rule along an order, float64 [B], in nats.

    log p_sigma(x) = sum_i log p(x_{sigma_i} | x_{sigma_1}, ..., x_{sigma_{i-1}})

    It costs one prediction per sample and eligible position. With the conditionals of one joint
    it is log p(x) in every order; else each order is a normalised model of its own. It can be
    differentiated.

    Args:
        model: has `conditional_log_prob`.
        x: samples [B, D, ...].
        order: int64 [D] or [B, D], in which positions are revealed.
        eligible: bool [D] or [B, D]; other positions are visible throughout; default: all.
        batch_size: predictions in one call of the model.

    Raises:
        UserError: not an order, or what the model returns cannot be used.

    Source: arXiv 2306.00520, and order-agnostic autoregression (arXiv 1310.1757).

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.ones(3, 1), noise=0.5)
        >>> x = model.sample(2)
        >>> torch.allclose(chain_rule(model, x, [2, 0, 1]), model.log_prob(x))
        True
    """
    x = samples(x)
    open_ = eligible_of(model, x, eligible)
    turn = ranks(orders_of(order, open_), open_)
    # Step by step, so that the rows of one call hide about equally many positions.
    all_steps = torch.arange(turn.shape[1], device=x.device)[:, None]
    steps, rows = (all_steps < open_.sum(dim=1)).nonzero(as_tuple=True)
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for step, row in zip(steps.split(batch_size), rows.split(batch_size), strict=True):
        found = log_probs(model, x[row], turn[row] >= step[:, None], row)
        total = total.index_add(0, row, found[turn[row] == step[:, None]])
    return total


def order_log_probs(
    model: ConditionalModel, x: Values, *, num_orders: int = 8, **options: Unpack[Options]
) -> Tensor:
    """Return log p_sigma(x) along random orders of each sample, float64 [num_orders, B].

    More orders begin with the same ones; `seed` is theirs, the rest as for `chain_rule`.
    """
    if num_orders < 1:
        raise UserError(f"num_orders must be at least 1, not {num_orders}")
    refuse_training(model)
    job = job_of(model, x, **options)
    orders = [
        random_orders(job.ids, job.eligible.shape[1], seed=job.seed, draw=draw)
        for draw in range(num_orders)
    ]
    # Copies of the samples stand one below another.
    every = job.rows(torch.arange(len(job.x), device=job.x.device).repeat(num_orders))
    with torch.no_grad():
        found = chain_rule(
            model, every.x, torch.cat(orders), every.eligible, batch_size=job.batch_size
        )
    return found.view(num_orders, len(job.x))


@checked()
def order_spread(
    model: ConditionalModel, x: Values, *, num_orders: int = 8, **options: Unpack[Options]
) -> Tensor:
    """Return the standard deviation of log p_sigma(x) over random orders, float64 [B], in nats.

    It is zero, up to rounding, when the conditionals are those of one joint. Other arguments are
    those of `order_log_probs`, with at least two orders.
    """
    if num_orders < 2:
        raise UserError(f"a spread over orders needs num_orders >= 2, not {num_orders}")
    return order_log_probs(model, x, num_orders=num_orders, **options).std(dim=0)


@checked()
def order_mixture_bound(
    model: ConditionalModel, x: Values, *, num_orders: int = 8, **options: Unpack[Options]
) -> Tensor:
    """Return log((1/K) sum_k p_{sigma_k}(x)) over K random orders, float64 [B], in nats.

    Never below the mean over the same orders of log p_sigma(x), and in expectation at most
    log E_sigma p_sigma(x), the log-likelihood of the mixture of all orders; it rises to that with
    K. Other arguments are those of `order_log_probs`.

    Source: Burda, Grosse and Salakhutdinov, arXiv 1509.00519, with orders as latent variables.
    """
    found = order_log_probs(model, x, num_orders=num_orders, **options)
    return found.logsumexp(dim=0) - math.log(num_orders)
