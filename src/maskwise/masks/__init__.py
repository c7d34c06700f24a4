"""Masks: which positions are hidden. Counts are exact, randomness is keyed.

A new pattern is one file with a `Pattern` and one line in `PATTERNS`.
"""

from maskwise.masks.draw import PATTERNS, Sampling, draw, parse_pattern
from maskwise.masks.mask import Mask
from maskwise.masks.request import Pattern, Request
from maskwise.masks.subset import subset

__all__ = ["PATTERNS", "Mask", "Pattern", "Request", "Sampling", "draw", "parse_pattern", "subset"]
