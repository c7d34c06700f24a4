"""The chain rule along orders: exact for compatible conditionals, else one model per order."""

import math
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.likelihood.contract import (
    ConditionalModel,
    eligible_of,
    length_of,
    log_probs,
    refuse_training,
    samples,
)
from maskwise.rng import Keys, Stream


def random_orders(sample_ids: Tensor, length: int, *, seed: int = 0, draw: int = 0) -> Tensor:
    """Return a uniformly random order of the positions for every sample, int64 [B, D].

    An order depends on (seed, draw, sample id) only.

    >>> random_orders(torch.tensor([3, 7]), 4).sort(dim=1).values.tolist()
    [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    return Keys(seed, draw, sample_ids).bits(Stream.ORDER, length).argsort(dim=1, stable=True)


def orders_of(order: Any, like: Tensor) -> Tensor:
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
    model: ConditionalModel, x: Any, order: Any, eligible: Any = None, *, batch_size: int = 1024
) -> Tensor:
    """Return the log-likelihood by the chain rule along an order, float64 [B], in nats.

    log p_sigma(x) = sum_i log p(x_{sigma_i} | x_{sigma_1}, ..., x_{sigma_{i-1}})

    It costs one prediction per sample and eligible position. With the conditionals of one joint
    it is log p(x) in every order; else each order is a normalised model of its own. It can be
    differentiated.

    Args:
        model: the model.
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
    x: Any,
    *,
    num_orders: int = 8,
    seed: int = 0,
    eligible: Any = None,
    batch_size: int = 1024,
) -> Tensor:
    """Return log p_sigma(x) along random orders of each sample, float64 [num_orders, B].

    Args:
        model: the model.
        x: samples [B, D, ...].
        num_orders: how many orders; more of them begin with the same ones.
        seed: of the orders.
        eligible: as for `chain_rule`.
        batch_size: as for `chain_rule`.
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
    model: ConditionalModel, x: Any, *, num_orders: int = 8, **options: Any
) -> Tensor:
    """Return the standard deviation of log p_sigma(x) over random orders, float64 [B], in nats.

    It is zero, up to rounding, when the conditionals are those of one joint. Other arguments are
    those of `order_log_probs`, with at least two orders.
    """
    if num_orders < 2:
        raise UserError(f"a spread over orders needs num_orders >= 2, not {num_orders}")
    return order_log_probs(model, x, num_orders=num_orders, **options).std(dim=0)


def order_mixture_bound(
    model: ConditionalModel, x: Any, *, num_orders: int = 8, **options: Any
) -> Tensor:
    """Return log((1/K) sum_k p_{sigma_k}(x)) over K random orders, float64 [B], in nats.

    Never below the mean over the same orders of log p_sigma(x), and in expectation at most
    log E_sigma p_sigma(x), the log-likelihood of the mixture of all orders; it rises to that with
    K. Other arguments are those of `order_log_probs`.

    Source: Burda, Grosse and Salakhutdinov, arXiv 1509.00519, with orders as latent variables.
    """
    found = order_log_probs(model, x, num_orders=num_orders, **options)
    return found.logsumexp(dim=0) - math.log(num_orders)
