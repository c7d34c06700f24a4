"""Masks: which positions are hidden. Counts are exact, randomness is keyed.

A new pattern is a `Pattern`, in `patterns.py`, and one line in `PATTERNS`. `hide` makes gaps in
complete data, as they come to be.
"""

from maskwise.masks.draw import PATTERNS, Sampling, draw, parse_pattern
from maskwise.masks.mask import Mask, subset
from maskwise.masks.missing import MECHANISMS, hide
from maskwise.masks.observed import bank, with_gaps
from maskwise.masks.patterns import Pattern, Request

__all__ = [
    "MECHANISMS",
    "PATTERNS",
    "Mask",
    "Pattern",
    "Request",
    "Sampling",
    "bank",
    "draw",
    "hide",
    "parse_pattern",
    "subset",
    "with_gaps",
]
