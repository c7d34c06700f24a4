"""Decoding several positions at once: what it costs, and which schedule costs least."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from maskwise.errors import UserError
from maskwise.ties import largest


def best_blocks(scores: Any, num_blocks: int) -> list[int]:
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
    scores = _all_scores(scores)
    length = len(scores)
    if not 1 <= num_blocks <= length:
        raise UserError(f"num_blocks is {num_blocks}: give 1 to {length}, the number of positions")
    # best[k, h]: the bound of h hidden positions revealed in k blocks, of which the first leaves
    # left[k, h] of them hidden.
    best = np.full((num_blocks + 1, length + 1), -np.inf)
    best[0, 0] = 0.0
    left = np.zeros(best.shape, np.int64)
    for count in range(1, length + 1):
        reached = best[:-1, :count] + scores[count - 1] * np.arange(count, 0, -1)
        left[1:, count] = largest(reached, axis=1)
        best[1:, count] = reached.max(axis=1)
    counts = [length]
    for num in range(num_blocks, 0, -1):
        counts.append(int(left[num, counts[-1]]))
    return [before - after for before, after in pairwise(counts)]


def block_bound(scores: Any, blocks: Sequence[int]) -> float:
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
    scores, sizes = _all_scores(scores), sizes_of(blocks)
    if sizes.sum() != len(scores):
        raise UserError(f"blocks sum to {sizes.sum()}: they must sum to {len(scores)} positions")
    hidden = sizes[::-1].cumsum()[::-1]
    return float(sizes @ scores[hidden - 1])


def sizes_of(blocks: Sequence[int]) -> np.ndarray:
    """Return block sizes as int64 [num_blocks].

    Raises:
        UserError: no blocks, or sizes that are not whole numbers from 1.
    """
    sizes = np.asarray(blocks)
    if sizes.ndim != 1 or not sizes.size or sizes.dtype.kind not in "iu" or sizes.min() < 1:
        raise UserError(f"blocks are {blocks}: give sizes, whole numbers from 1")
    return sizes.astype(np.int64)


def _all_scores(scores: Any) -> np.ndarray:
    """Return S(1), ..., S(D), float64 [D]."""
    values = getattr(scores, "every_size", scores)
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise UserError("scores must be finite numbers, one for each number of hidden positions")
    return values
