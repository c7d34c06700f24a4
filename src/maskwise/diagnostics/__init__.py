"""Diagnostics of features: how many directions they use, how they spread, how they move.

Functions of features [N, d], array-like or tensors, computed in float64. The figures depend on N
and on centring; each function says how.
"""

from maskwise.diagnostics.pairs import (
    alignment,
    cka,
    drift,
    energy,
    lidar,
    mean_cosine,
    uniformity,
)
from maskwise.diagnostics.spectra import (
    alpha_req,
    describe,
    effective_rank,
    participation_ratio,
    rankme,
    spectrum,
    stable_rank,
)

__all__ = [
    "alignment",
    "alpha_req",
    "cka",
    "describe",
    "drift",
    "effective_rank",
    "energy",
    "lidar",
    "mean_cosine",
    "participation_ratio",
    "rankme",
    "spectrum",
    "stable_rank",
    "uniformity",
]
