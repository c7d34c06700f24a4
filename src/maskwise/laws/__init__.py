"""Ratio laws: the distribution of the mask ratio, possibly moving with training progress.

A law turns a uniform number into a ratio through its quantile function, so whoever draws decides
about randomness. Only numpy and scipy are used: the theory part reads laws without torch.

A new law is a frozen dataclass with the methods of `Law` and one line in `combined.FORMS`.
"""

from maskwise.laws.combined import FORMS, Mixture, Scheduled, is_resolved, parse, resolved
from maskwise.laws.observed import Observed
from maskwise.laws.plain import (
    Beta,
    Choice,
    Cosine,
    Fixed,
    Law,
    LikelihoodUniform,
    Reduction,
    Scope,
    TruncatedNormal,
    Uniform,
    effective,
    num_hidden,
)

__all__ = [
    "FORMS",
    "Beta",
    "Choice",
    "Cosine",
    "Fixed",
    "Law",
    "LikelihoodUniform",
    "Mixture",
    "Observed",
    "Reduction",
    "Scheduled",
    "Scope",
    "TruncatedNormal",
    "Uniform",
    "effective",
    "is_resolved",
    "num_hidden",
    "parse",
    "resolved",
]
