"""Features as float64 arrays; what has no figure is refused."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwise.errors import UserError

Array = NDArray[np.float64]

# Samples for each feature from which on an effective rank reads at most 4 % low.
ENOUGH = 4
# Below it, squares and their sums are finite.
HUGE = 1e100


def read(z: Any, axes: str = "[samples, width]") -> Array:
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
