"""Masks: which positions are hidden. Counts are exact, randomness is keyed.

A new pattern is one file with a `hide` method and one line in `PATTERNS`.
"""

from maskwise.masks.draw import PATTERNS, Pattern, Sampling, draw, parse_pattern
from maskwise.masks.mask import Mask
from maskwise.masks.subset import subset

__all__ = ["PATTERNS", "Mask", "Pattern", "Sampling", "draw", "parse_pattern", "subset"]
