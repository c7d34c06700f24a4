"""Shared: the same positions in every sample of a step."""

from dataclasses import dataclass

from torch import Tensor

from maskwise.masks.request import Pattern, Request
from maskwise.masks.select import hide_lowest
from maskwise.rng import Stream


@dataclass(frozen=True)
class Shared(Pattern):
    """Scattered, with one order of the positions for a whole step.

    Samples hide the same positions where they have the same number to hide and the same ones
    eligible, and nested ones where their numbers differ. Inclusion probability over steps:
    count / eligible, exactly, at every eligible position.
    """

    def hide(self, ask: Request) -> Tensor:
        """Return hidden, bool [B, L]."""
        scores = ask.step.bits(Stream.SHARED, ask.eligible.shape[1])
        return hide_lowest(scores.expand(ask.eligible.shape), ask.counts, ask.eligible)
