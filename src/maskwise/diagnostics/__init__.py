"""Diagnostics of features: how many directions they use, how they spread, how they move.

Functions of features [N, d], array-like or tensors, computed in float64. The figures depend on N
and on centring; each function says how.
"""

from typing import Any

from maskwise.diagnostics import spectra
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
    effective_rank,
    participation_ratio,
    rankme,
    spectrum,
    stable_rank,
)
from maskwise.errors import UserError

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


def describe(z: spectra.Features) -> dict[str, Any]:
    """Return every figure of features [N, d] that needs no views, by name.

    `num_samples` and `dim`; centred: `effective_rank`, `participation_ratio`, `stable_rank`,
    `alpha_req` (None where it cannot be fitted) and `spectrum` (the d singular values, divided by
    the largest); uncentred: `effective_rank_uncentred`, which is `rankme`, `energy`, `uniformity`
    and `mean_cosine`. `notes` are sentences on what to beware of, instead of warnings.

    >>> found = describe([[2, 0], [-2, 0], [0, 1], [0, -1]] * 2)
    >>> found["num_samples"], found["dim"], round(found["stable_rank"], 6)
    (8, 2, 1.25)
    """
    x = spectra.read(z)
    few = spectra.too_few(len(x), x.shape[1])
    notes = [few] if few else []
    values = spectra.singular_values(x, center=True)
    uncentred = spectra.entropy_rank(spectra.singular_values(x, center=False))
    try:
        alpha = spectra.decay(values)
    except UserError as error:
        alpha = None
        notes.append(str(error))
    return {
        "num_samples": len(x),
        "dim": x.shape[1],
        "effective_rank": spectra.entropy_rank(values),
        "effective_rank_uncentred": uncentred,
        "rankme": uncentred,
        "participation_ratio": spectra.participation(values),
        "stable_rank": spectra.stable(values),
        "alpha_req": alpha,
        "energy": energy(x),
        "uniformity": uniformity(x),
        "mean_cosine": mean_cosine(x),
        "spectrum": (values / values[0]).tolist(),
        "notes": notes,
    }
