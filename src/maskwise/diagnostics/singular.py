"""Figures of singular values."""

import numpy as np

from maskwise.diagnostics.reading import Array
from maskwise.errors import UserError


def singular_values(x: Array, center: bool) -> Array:
    """Return the singular values [d] of features [N, d], N >= d, falling; rounding is 0.

    Raises:
        UserError: all of them are 0.
    """
    rounding = np.finfo(np.float64).eps * max(x.shape) * np.linalg.norm(x)
    about = x.mean(axis=0) if center else 0.0
    values = np.asarray(np.linalg.svd(x - about, compute_uv=False), dtype=np.float64)
    values[values <= rounding] = 0.0
    if not values.any():
        same = "the same for every sample (complete collapse)" if x.any() else "all 0"
        raise UserError(f"the features are {same}: their spectrum says nothing")
    return values


def entropy_rank(values: Array) -> float:
    """Return exp(-Σ p log p), p = values / Σ values, with 0 log 0 = 0."""
    share = values[values > 0] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def participation(values: Array) -> float:
    """Return (Σ λ)² / Σ λ², λ = values²."""
    variances = (values / values[0]) ** 2
    return float(variances.sum() ** 2 / (variances**2).sum())


def stable(values: Array) -> float:
    """Return Σ λ / λ₁, λ = values²."""
    return float(((values / values[0]) ** 2).sum())


def decay(values: Array) -> float:
    """Return α of the fit λ_i ∝ i^-α, λ = values², over one decade of i.

    Raises:
        UserError: fewer than 10 values, or fewer than the decade that are not 0.
    """
    dim, rank = len(values), np.count_nonzero(values)
    if dim < 10:
        raise UserError(f"alpha-ReQ fits 10 eigenvalues or more: these features have {dim}")
    first = min(10, dim // 10)
    if rank < 10 * first:
        raise UserError(
            f"alpha-ReQ fits eigenvalues {first} to {10 * first}: these features have rank {rank}"
        )
    index = np.arange(first, 10 * first + 1)
    # Weights 1/i make every stretch of the logarithmic axis count alike.
    slope, _ = np.polyfit(np.log(index), 2 * np.log(values[index - 1]), 1, w=index**-0.5)
    return float(-slope)
