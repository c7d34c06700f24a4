"""Words: units of any sizes, as the data tells them, that are hidden whole."""

from dataclasses import dataclass

from torch import Tensor

from maskwise.errors import UserError
from maskwise.masks.request import Pattern, Request
from maskwise.masks.select import hide_in_order, number_units
from maskwise.rng import Stream


@dataclass(frozen=True)
class Words(Pattern):
    """Whole words, n-grams or whatever the units are that come with the data.

    Units are taken in random order while they fit; then smaller ones fill what is left. So the
    count is exact wherever units of the right sizes are left, else the nearest below; but one unit
    is always hidden. A unit larger than the count is hidden only where all are, so at very small
    counts small units are hidden more often. Masks of different ratios are not nested.
    """

    def hide(self, ask: Request) -> Tensor:
        """Return hidden, bool [B, L]."""
        if ask.units is None:
            raise UserError(
                "patterns words and ngrams need units, the word of each position, which only"
                " texts have: choose another pattern, or give units="
            )
        unit_of, _ = number_units(ask.units, ask.eligible)
        order = ask.keys.bits(Stream.SCORE, ask.eligible.shape[1]).argsort(dim=1, stable=True)
        return hide_in_order(order, ask.counts, unit_of, ask.eligible)
