"""Shapley values of any game: of all subsets, or from orders that are drawn."""

import logging
from collections.abc import Callable
from math import comb

import numpy as np

FEWEST = 8  # pairs of orders before their standard errors are believed
Answers = Callable[[np.ndarray], np.ndarray]
"""masks of positions, True = hidden, bool [m, num] -> the answers to N samples, [m, N, C]"""
log = logging.getLogger("maskwise")


def exact(value: Answers, num: int) -> np.ndarray:
    """Return Shapley values from the answers under all 2^num masks, [N, num, C].

    >>> exact(lambda hidden: (~hidden).prod(axis=1)[:, None, None] * 6.0, 2).ravel().tolist()
    [3.0, 3.0]
    """
    subsets = np.arange(2**num)[:, None] >> np.arange(num) & 1 == 1  # [2^num, num], what is seen
    said, size = value(~subsets), subsets.sum(axis=1)
    # Of v(S): 1 / (|S| C(num, |S|)) for those in S, and as much less for those that are not.
    inside = np.array([0.0, *(1 / (n * comb(num, n)) for n in range(1, num + 1))])
    outside = np.array([*(1 / ((num - n) * comb(num, n)) for n in range(num)), 0.0])
    weights = np.where(subsets, inside[size][:, None], -outside[size][:, None])
    return np.einsum("sj,snc->njc", weights, said)


def sampled(
    along: Answers,
    base: np.ndarray,
    answer: np.ndarray,
    num: int,
    se: float,
    most: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return unbiased estimates of Shapley values [N, num, C], their errors, and how many orders.

    Each order gives what every position adds to those before it: the number of visible positions
    is uniform, and which they are is anybody's, as in masks of the law `likelihood`.

    Args:
        along: an order -> the answers with its first 1, 2, ... but not all positions visible,
            [num - 1, N, C].
        base: the answers with nothing visible, [N, C].
        answer: with all, [N, C].
        num: of positions.
        se: the largest error that ends it, of the mean of |answer - base| over samples.
        most: orders at most.
        seed: of the orders.

    Source: Castro, Gómez and Tejada, Polynomial calculation of the Shapley value (2009); Mitchell
    et al., Sampling permutations for Shapley value estimation (JMLR 2022), on opposites.
    """

    def added(order: np.ndarray) -> np.ndarray:
        said = np.concatenate([base[None], along(order), answer[None]])
        return np.asarray(np.diff(said, axis=0)[np.argsort(order)])

    rng = np.random.default_rng([seed, 5])
    limit = se * np.abs(answer - base).mean(axis=0).max()
    mean, square = np.zeros((2, num, *base.shape))
    pairs, error = 0, np.full_like(mean, np.inf)
    while pairs < FEWEST or error.max() > limit:
        if 2 * (pairs + 1) > most:
            log.warning(
                "Shapley values of %d orders have a standard error of up to %.2g of the answer,"
                " and %.2g was asked for: raise max_permutations",
                *(2 * pairs, error.max() / max(limit, 1e-300) * se, se),
            )
            break
        order = rng.permutation(num)
        step = (added(order) + added(order[::-1])) / 2 - mean
        pairs += 1
        mean += step / pairs
        square += np.square(step) * (pairs - 1) / pairs
        if pairs > 1:
            error = np.sqrt(square / (pairs * (pairs - 1)))
    return mean.transpose(1, 0, 2), error.transpose(1, 0, 2), 2 * pairs
