"""Patterns: which positions are hidden, given how many, and what each is asked.

Grids are tori where it matters: what leaves on one side comes back on the other, so that no place
is hidden more often than another.
"""

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.masks.mask import hide_in_order, hide_lowest, hide_units, number_units
from maskwise.rng import Keys, Stream

# SpanBERT (arXiv 1907.10529): geometric lengths, cut off and normalised again; mean 3.8.
GEOMETRIC, LONGEST = 0.2, 10


class Request(NamedTuple):
    """How many positions of each sample of a batch to hide, and where they may lie."""

    counts: Tensor
    """int64 [B], how many to hide"""
    grid: tuple[int, ...]
    """positions along each axis"""
    keys: Keys
    """whose randomness"""
    step: Keys
    """the randomness that a step's samples share, of one sample"""
    eligible: Tensor
    """bool [B, L], what may be hidden"""
    units: Tensor | None
    """int64 [B, L], the unit of each position, or None"""
    scores: Tensor | None = None
    """[B, L], of each position, for patterns that need them; else None"""
    observed: Tensor | None = None
    """bool [M, L], what rows of the data lack, for patterns that need it; else None"""


class Pattern(ABC):
    """Which positions are hidden, given how many."""

    needs_scores: ClassVar[bool] = False
    """whether it asks for scores of the positions, such as what a model attends to"""
    needs_observed: ClassVar[bool] = False
    """whether it asks for what rows of the data lack"""

    @abstractmethod
    def hide(self, ask: Request) -> Tensor:
        """Return hidden, bool [B, L]."""


@dataclass(frozen=True)
class Scattered(Pattern):
    """Each eligible position is as likely as any other to be hidden; masks are nested.

    Inclusion probability: count / eligible, exactly, at every eligible position.
    """

    def hide(self, ask: Request) -> Tensor:
        scores = ask.keys.bits(Stream.SCORE, ask.eligible.shape[1])
        return hide_lowest(scores, ask.counts, ask.eligible)


@dataclass(frozen=True)
class Shared(Pattern):
    """Scattered, with one order of the positions for a whole step.

    Samples hide the same positions where they have the same number to hide and the same ones
    eligible, and nested ones where their numbers differ. Inclusion probability over steps:
    count / eligible, exactly, at every eligible position.
    """

    def hide(self, ask: Request) -> Tensor:
        scores = ask.step.bits(Stream.SHARED, ask.eligible.shape[1])
        return hide_lowest(scores.expand(ask.eligible.shape), ask.counts, ask.eligible)


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
        if not -len(ask.grid) <= self.axis < len(ask.grid):
            raise UserError(f"columns:{self.axis} names no axis of a grid of {len(ask.grid)}")
        side = ask.grid[self.axis]
        shape = [1] * len(ask.grid)
        shape[self.axis] = side
        index = torch.arange(side, device=ask.eligible.device).view(shape)
        unit_of = index.expand(ask.grid).flatten()
        return hide_units(ask.keys.bits(Stream.SCORE, side), ask.counts, unit_of, ask.eligible)


@dataclass(frozen=True)
class Tubes(Pattern):
    """Whole lines along one axis: a place of a video at all times (VideoMAE's masks).

    Positions that differ along `axis` only (the first by default) are hidden together. Inclusion
    probability: hidden lines / lines, exactly.
    """

    axis: int = 0

    def hide(self, ask: Request) -> Tensor:
        if not -len(ask.grid) <= self.axis < len(ask.grid):
            raise UserError(f"tubes:{self.axis} names no axis of a grid of {len(ask.grid)}")
        if len(ask.grid) < 2:
            raise UserError(
                "tubes are lines of a grid of two axes or more: choose another pattern"
            )
        sides = list(ask.grid)
        sides[self.axis] = 1
        num = math.prod(sides)
        lines = torch.arange(num, device=ask.eligible.device).view(sides).expand(ask.grid)
        scores = ask.keys.bits(Stream.SCORE, num)
        return hide_units(scores, ask.counts, lines.flatten(), ask.eligible)


@dataclass(frozen=True)
class Block(Pattern):
    """The hidden positions form one box with a random centre and aspect (1/2 to 2).

    They are the `count` positions nearest to the centre in a stretched maximum norm on the torus,
    so counts are exact (one side of the box may be partly filled) and masks are nested.
    Inclusion probability: count / positions at every position when all are eligible.
    """

    def hide(self, ask: Request) -> Tensor:
        return hide_lowest(_distance(ask.grid, ask.keys), ask.counts, ask.eligible)


@dataclass(frozen=True)
class InverseBlock(Pattern):
    """The visible positions form one box with a random centre and aspect (1/2 to 2).

    The complement of a `Block` of the visible count: exact, nested, with inclusion probability
    count / positions at every position when all are eligible.
    """

    def hide(self, ask: Request) -> Tensor:
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
    log_weight = (u[:, num_axes:] - 0.5) * math.log(2.0)
    weight = (log_weight - log_weight.mean(1, keepdim=True)).exp()
    terms = []
    for axis, side in enumerate(grid):
        offset = torch.arange(side, device=u.device) - side * u[:, axis, None]
        offset = torch.remainder(offset, side)
        term = torch.minimum(offset, side - offset) / weight[:, axis, None]
        terms.append(
            term.view(len(u), *(side if other == axis else 1 for other in range(num_axes)))
        )
    largest, total = functools.reduce(torch.maximum, terms), functools.reduce(torch.add, terms)
    return (largest + 1e-4 * total).expand(len(u), *grid).flatten(1)


@dataclass(frozen=True)
class Words(Pattern):
    """Whole words, n-grams or whatever the units are that come with the data.

    Units are taken in random order while they fit; then smaller ones fill what is left. So the
    count is exact wherever units of the right sizes are left, else the nearest below; but one unit
    is always hidden. A unit larger than the count is hidden only where all are, so at very small
    counts small units are hidden more often. Masks of different ratios are not nested.
    """

    def hide(self, ask: Request) -> Tensor:
        if ask.units is None:
            raise UserError(
                "patterns words and ngrams need units, the word of each position, which only"
                " texts have: choose another pattern, or give units="
            )
        unit_of, _ = number_units(ask.units, ask.eligible)
        order = ask.keys.bits(Stream.SCORE, ask.eligible.shape[1]).argsort(dim=1, stable=True)
        return hide_in_order(order, ask.counts, unit_of, ask.eligible)


@dataclass(frozen=True)
class Spans(Pattern):
    """Spans of neighbouring units, or of positions where no units are given; one axis only.

    The row is cut into spans of random lengths, P(n) ~ 0.8^n for n = 1..10, or of a fixed length;
    then spans are hidden in random order until the count is reached. The last one is cut short,
    between units. What a whole unit leaves over is filled with smaller ones of the next spans, so
    that counts are as exact as those of `Words`; without units they are exact and masks nested.

    The cuts begin at a random place and the row is a ring, so no place is preferred: a span that
    leaves on one side comes back on the other. Where an ineligible position lies between two
    units, as between two documents, a span ends. Inclusion probability: count / positions at
    every position when all are eligible and units have one size.

    Args:
        length: units in every span; None: random.
    """

    length: int | None = None

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 1:
            raise UserError(f"spans need a length of at least 1, not {self.length}")

    def hide(self, ask: Request) -> Tensor:
        if len(ask.grid) != 1:
            raise UserError(f"spans need positions along one axis, not a grid of {len(ask.grid)}")
        units = ask.units
        if units is None:
            place = torch.arange(ask.grid[0], device=ask.eligible.device)
            units = place.expand(ask.eligible.shape)
        unit_of, begins = number_units(units, ask.eligible)
        order = self._order(ask.keys, unit_of, begins, ask.eligible)
        return hide_in_order(order, ask.counts, unit_of, ask.eligible)

    def _order(self, keys: Keys, unit_of: Tensor, begins: Tensor, eligible: Tensor) -> Tensor:
        """Return the units of each row in the order in which they are hidden, int64 [B, L]."""
        num_places = eligible.shape[1]
        place = torch.arange(num_places, device=eligible.device)
        u = keys.uniform(Stream.SHAPE, 1 + num_places)
        num = begins.sum(dim=1, keepdim=True)
        turn = (u[:, :1].double() * num).long()
        # The unit at each place of the turned ring.
        unit = torch.where(place < num, (place + turn) % num.clamp(min=1), place)
        # A place begins a span where the one before has ended, and behind a gap.
        ends = self._lengths(u[:, 1:]).cumsum(dim=1)
        begins_span = torch.zeros((len(ends), num_places + 1), dtype=torch.bool, device=u.device)
        begins_span = begins_span.scatter_(1, ends.clamp(max=num_places), True)[:, :-1]
        gap = begins & ~torch.nn.functional.pad(eligible, (1, 0))[:, :-1]
        gaps = torch.zeros_like(unit_of).scatter_add_(1, unit_of, gap.long())
        gaps[:, 0] = 0
        span = (begins_span | (gaps.gather(1, unit) > 0)).cumsum(dim=1)
        score = keys.bits(Stream.SCORE, num_places + 1).gather(1, span)
        return unit.gather(1, score.argsort(dim=1, stable=True))

    def _lengths(self, u: Tensor) -> Tensor:
        """Return the length of each span, int64, for uniforms [B, L]."""
        if self.length is not None:
            return torch.full_like(u, self.length, dtype=torch.int64)
        decay = (1 - GEOMETRIC) ** torch.arange(1, LONGEST, dtype=torch.float64, device=u.device)
        below = (1 - decay) / (1 - (1 - GEOMETRIC) ** LONGEST)
        return 1 + torch.bucketize(u.double(), below, right=True)
