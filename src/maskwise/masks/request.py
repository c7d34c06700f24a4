"""What a pattern is, and what it is asked: how many positions to hide, where."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

from maskwise.rng import Keys


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


class Pattern(ABC):
    """Which positions are hidden, given how many."""

    needs_scores: ClassVar[bool] = False
    """whether it asks for scores of the positions, such as what a model attends to"""

    @abstractmethod
    def hide(self, ask: Request) -> Tensor:
        """Return hidden, bool [B, L]."""
