"""The chain rule along orders, and what it costs to reveal several positions at once.

Exact for compatible conditionals, else one model per order.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.likelihood.contract import (
    ConditionalModel,
    Values,
    eligible_of,
    length_of,
    log_probs,
    refuse_training,
    samples,
)
from maskwise.likelihood.scores import ScoreCurve
from maskwise.rng import Keys, Stream
from maskwise.ties import largest


class OrderOptions(TypedDict, total=False):
    """What else functions over random orders may be told; see `order_log_probs`."""

    seed: int
    eligible: Values | None
    batch_size: int


def random_orders(sample_ids: Tensor, length: int, *, seed: int = 0, draw: int = 0) -> Tensor:
    """Return a uniformly random order of the positions for every sample, int64 [B, D].

    An order depends on (seed, draw, sample id) only.

    >>> random_orders(torch.tensor([3, 7]), 4).sort(dim=1).values.tolist()
    [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    return Keys(seed, draw, sample_ids).bits(Stream.ORDER, length).argsort(dim=1, stable=True)


def orders_of(order: Values, like: Tensor) -> Tensor:
    """Return one order or one per sample as int64 of the shape of `like`, [B, D].

    Raises:
        UserError: another shape, or not every position once.
    """
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
    model: ConditionalModel,
    x: Values,
    *,
    num_orders: int = 8,
    seed: int = 0,
    eligible: Values | None = None,
    batch_size: int = 1024,
) -> Tensor:
    """Return log p_sigma(x) along random orders of each sample, float64 [num_orders, B].

    More orders begin with the same ones; `seed` is theirs, the rest as for `chain_rule`.
    """
    if num_orders < 1:
        raise UserError(f"num_orders must be at least 1, not {num_orders}")
    refuse_training(model)
    x = samples(x)
    open_ = eligible_of(model, x, eligible)
    ids, length = torch.arange(len(x), device=x.device), length_of(model, x)
    orders = [random_orders(ids, length, seed=seed, draw=draw) for draw in range(num_orders)]
    with torch.no_grad():
        found = chain_rule(
            model,
            x.repeat(num_orders, *[1] * (x.ndim - 1)),
            torch.cat(orders),
            open_.repeat(num_orders, 1),
            batch_size=batch_size,
        )
    return found.view(num_orders, len(x))


def order_spread(
    model: ConditionalModel, x: Values, *, num_orders: int = 8, **options: Unpack[OrderOptions]
) -> Tensor:
    """Return the standard deviation of log p_sigma(x) over random orders, float64 [B], in nats.

    It is zero, up to rounding, when the conditionals are those of one joint. Other arguments are
    those of `order_log_probs`, with at least two orders.
    """
    if num_orders < 2:
        raise UserError(f"a spread over orders needs num_orders >= 2, not {num_orders}")
    return order_log_probs(model, x, num_orders=num_orders, **options).std(dim=0)


def order_mixture_bound(
    model: ConditionalModel, x: Values, *, num_orders: int = 8, **options: Unpack[OrderOptions]
) -> Tensor:
    """Return log((1/K) sum_k p_{sigma_k}(x)) over K random orders, float64 [B], in nats.

    Never below the mean over the same orders of log p_sigma(x), and in expectation at most
    log E_sigma p_sigma(x), the log-likelihood of the mixture of all orders; it rises to that with
    K. Other arguments are those of `order_log_probs`.

    Source: Burda, Grosse and Salakhutdinov, arXiv 1509.00519, with orders as latent variables.
    """
    found = order_log_probs(model, x, num_orders=num_orders, **options)
    return found.logsumexp(dim=0) - math.log(num_orders)


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
    every, sizes = _all_scores(scores), sizes_of(blocks)
    if sizes.sum() != len(every):
        raise UserError(f"blocks sum to {sizes.sum()}: they must sum to {len(every)} positions")
    hidden = sizes[::-1].cumsum()[::-1]
    return float(sizes @ every[hidden - 1])


def sizes_of(blocks: Sequence[int]) -> np.ndarray:
    """Return block sizes as int64 [num_blocks].

    Raises:
        UserError: no blocks, or sizes that are not whole numbers from 1.
    """
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
