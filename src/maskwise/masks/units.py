"""Units: blocks of positions, or whole columns, that are hidden together."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.masks.request import Pattern, Request
from maskwise.masks.select import hide_units
from maskwise.rng import Stream


@dataclass(frozen=True)
class Units(Pattern):
    """Blocks of k positions along every axis (SimMIM's masking unit), hidden whole.

    The realised ratio is the nearest that whole units allow. Inclusion probability: hidden units /
    units at every position; on a grid that k does not divide the last units are smaller, the
    numbers hidden differ between samples, and the inclusion is the same only nearly.
    """

    size: int = 2

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError(f"units need a size of at least 1, not {self.size}")

    def hide(self, ask: Request) -> Tensor:
        """Return hidden, bool [B, L]."""
        lattice = tuple(math.ceil(side / self.size) for side in ask.grid)
        unit_of = torch.zeros(ask.grid, dtype=torch.int64, device=ask.eligible.device)
        for axis, side in enumerate(ask.grid):
            index = torch.arange(side, device=ask.eligible.device) // self.size
            shape = [-1 if other == axis else 1 for other in range(len(ask.grid))]
            unit_of = unit_of * lattice[axis] + index.view(shape)
        scores = ask.keys.bits(Stream.SCORE, math.prod(lattice))
        return hide_units(scores, ask.counts, unit_of.flatten(), ask.eligible)


@dataclass(frozen=True)
class Columns(Pattern):
    """Whole slices of one axis: the columns of an image, the features of a table.

    Positions that share their index along `axis` (the last by default; 0 hides rows) are hidden
    together. Inclusion probability: hidden slices / slices, exactly.
    """

    axis: int = -1

    def hide(self, ask: Request) -> Tensor:
        """Return hidden, bool [B, L]."""
        if not -len(ask.grid) <= self.axis < len(ask.grid):
            raise UserError(f"columns:{self.axis} names no axis of a grid of {len(ask.grid)}")
        side = ask.grid[self.axis]
        shape = [1] * len(ask.grid)
        shape[self.axis] = side
        index = torch.arange(side, device=ask.eligible.device).view(shape)
        unit_of = index.expand(ask.grid).flatten()
        return hide_units(ask.keys.bits(Stream.SCORE, side), ask.counts, unit_of, ask.eligible)
