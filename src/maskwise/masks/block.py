"""Block and inverse block: one box hidden, or one box visible, without border bias.

The grid is a torus: a box that leaves on one side comes back on the other. So a box placed
uniformly covers every position equally often; a box that had to stay inside would hide the middle
more often than the border.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maskwise.masks.request import Pattern, Request
from maskwise.masks.select import hide_lowest
from maskwise.rng import Keys, Stream

_LOG_ASPECT = math.log(2.0)


@dataclass(frozen=True)
class Block(Pattern):
    """The hidden positions form one box with a random centre and aspect (1/2 to 2).

    They are the `count` positions nearest to the centre in a stretched maximum norm on the torus,
    so counts are exact (one side of the box may be partly filled) and masks are nested.
    Inclusion probability: count / positions at every position when all are eligible.
    """

    def hide(self, ask: Request) -> Tensor:
        """Return hidden, bool [B, L]."""
        return hide_lowest(_distance(ask.grid, ask.keys), ask.counts, ask.eligible)


@dataclass(frozen=True)
class InverseBlock(Pattern):
    """The visible positions form one box with a random centre and aspect (1/2 to 2).

    The complement of a `Block` of the visible count: exact, nested, with inclusion probability
    count / positions at every position when all are eligible.
    """

    def hide(self, ask: Request) -> Tensor:
        """Return hidden, bool [B, L]."""
        num_visible = ask.eligible.sum(dim=1) - ask.counts
        visible = hide_lowest(_distance(ask.grid, ask.keys), num_visible, ask.eligible)
        return ask.eligible & ~visible


def _distance(grid: tuple[int, ...], keys: Keys) -> Tensor:
    """Return each position's distance from the sample's random centre, float32 [B, L].

    max_i |x_i - c_i| / w_i on the torus. The sum of the same terms, scaled to be negligible,
    breaks ties within a side of the box; unlike the position's index it moves with the centre.
    """
    num_axes = len(grid)
    u = keys.uniform(Stream.SHAPE, 2 * num_axes)
    log_weight = (u[:, num_axes:] - 0.5) * _LOG_ASPECT
    weight = (log_weight - log_weight.mean(1, keepdim=True)).exp()
    largest: Tensor | None = None
    for axis, side in enumerate(grid):
        offset = torch.arange(side, device=u.device) - side * u[:, axis, None]
        offset = torch.remainder(offset, side)
        term = torch.minimum(offset, side - offset) / weight[:, axis, None]
        term = term.view(len(u), *(side if other == axis else 1 for other in range(num_axes)))
        if largest is None:
            largest, total = term, term
        else:
            largest, total = torch.maximum(largest, term), total + term
    assert largest is not None
    return (largest + 1e-4 * total).expand(len(u), *grid).flatten(1)
