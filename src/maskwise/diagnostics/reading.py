"""What figures share: features as float64 arrays, and figures of their singular values."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskwise.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]
Features: TypeAlias = "ArrayLike | Tensor"

# Samples for each feature from which on an effective rank reads at most 4 % low.
ENOUGH = 4
# Below it, squares and their sums are finite.
HUGE = 1e100


def read(z: Features, axes: str = "[samples, width]") -> Array:
    """Return features as a float64 array with the axes named.

    Raises:
        UserError: not numbers, other axes, an axis of length 0, one sample, or values that are
            not finite.
    """
    if hasattr(z, "detach"):  # a tensor of any precision on any device
        z = z.detach().cpu().double().numpy()
    try:
        x = np.asarray(z, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"features must be an array {axes} of numbers") from None
    if x.ndim != axes.count(",") + 1:
        raise UserError(f"features of shape {x.shape} must be {axes}")
    if 0 in x.shape:
        raise UserError(f"no features in an array of shape {x.shape}: it must be {axes}")
    if len(x) == 1:
        raise UserError("one sample says nothing about how features spread: give more")
    bad = x.size - np.count_nonzero(np.abs(x) < HUGE)
    if bad:
        raise UserError(f"{bad} of {x.size} values of the features are NaN, infinite or huge")
    return x


def directions(x: Array) -> Array:
    """Return features divided by their lengths (along the last axis).

    Raises:
        UserError: some have length 0.
    """
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    zero = length.size - np.count_nonzero(length)
    if zero:
        raise UserError(
            f"{zero} of {length.size} samples have features that are all 0, without a direction:"
            " leave them out"
        )
    return x / length


def too_few(num_samples: int, dim: int, bias: str) -> str | None:
    """Return what is to be known where samples are few, None where they are enough.

    Args:
        num_samples: samples N.
        dim: width d of the features.
        bias: what few samples do to the figure.

    Raises:
        UserError: fewer samples than dimensions.
    """
    if num_samples < dim:
        raise UserError(
            f"{num_samples} samples of {dim} features span at most {num_samples} directions:"
            f" give at least {dim} samples, better {ENOUGH * dim}"
        )
    if num_samples >= ENOUGH * dim:
        return None
    return f"{num_samples} samples of {dim} features, fewer than {ENOUGH} for each: {bias}"


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
