"""What training minimises: reconstruction losses, and terms against collapsed features."""

from maskwise.objectives.regularise import RegulariseSettings, Weight, penalty
from maskwise.objectives.regularisers import (
    coding_rate,
    covariance,
    koleo,
    local_dimension,
    magma,
    orthogonality,
    uniformity,
    variance,
)

__all__ = [
    "RegulariseSettings",
    "Weight",
    "coding_rate",
    "covariance",
    "koleo",
    "local_dimension",
    "magma",
    "orthogonality",
    "penalty",
    "uniformity",
    "variance",
]
