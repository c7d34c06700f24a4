"""Scattered: every position for itself (MAE, BERT)."""

from dataclasses import dataclass

from torch import Tensor

from maskwise.masks.request import Pattern, Request
from maskwise.masks.select import hide_lowest
from maskwise.rng import Stream


@dataclass(frozen=True)
class Scattered(Pattern):
    """Each eligible position is as likely as any other to be hidden; masks are nested.

    Inclusion probability: count / eligible, exactly, at every eligible position.
    """

    def hide(self, ask: Request) -> Tensor:
        """Return hidden, bool [B, L]."""
        scores = ask.keys.bits(Stream.SCORE, ask.eligible.shape[1])
        return hide_lowest(scores, ask.counts, ask.eligible)
