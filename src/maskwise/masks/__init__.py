"""Masks: which positions are hidden. Counts are exact, randomness is keyed.

A new pattern is a `Pattern`, in `patterns.py`, and one line in `PATTERNS`.
"""

from maskwise.masks.draw import PATTERNS, Sampling, draw, parse_pattern
from maskwise.masks.mask import Mask, subset
from maskwise.masks.patterns import Pattern, Request

__all__ = ["PATTERNS", "Mask", "Pattern", "Request", "Sampling", "draw", "parse_pattern", "subset"]
