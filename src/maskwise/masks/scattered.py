"""Scattered: every position for itself (MAE, BERT)."""

from dataclasses import dataclass

from torch import Tensor

from maskwise.masks.select import hide_lowest
from maskwise.rng import Keys, Stream


@dataclass(frozen=True)
class Scattered:
    """Each eligible position is as likely as any other to be hidden; masks are nested.

    Inclusion probability: count / eligible, exactly, at every eligible position.
    """

    def hide(
        self,
        counts: Tensor,
        grid: tuple[int, ...],
        keys: Keys,
        eligible: Tensor,
        units: Tensor | None,
    ) -> Tensor:
        """Return hidden, bool [B, L]."""
        return hide_lowest(keys.bits(Stream.SCORE, eligible.shape[1]), counts, eligible)
