"""Spans: runs of neighbours that are hidden together."""

from dataclasses import dataclass

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.masks.request import Pattern, Request
from maskwise.masks.select import hide_in_order, number_units
from maskwise.rng import Keys, Stream

# SpanBERT (arXiv 1907.10529): geometric lengths, cut off and normalised again; mean 3.8.
GEOMETRIC, LONGEST = 0.2, 10


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
        """Return hidden, bool [B, L]."""
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
