"""Choices that do not hang on the last bit of a sum.

Another CPU adds in another order, and its sums differ in their last bits. Where numbers would be
equal but for that, the largest of them is anybody's. Here numbers are compared to as many digits
as they are good for, and of equals the first is taken.
"""

import numpy as np


def largest(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the place of the largest value along an axis (default: of all), of equals the first.

    `np.argmax` may differ. Infinite values may be among them.

    >>> int(largest(np.array([0.3, 0.1 + 0.2])))
    0
    """
    exact = values.astype(np.float64)
    top = exact.max(axis=axis, keepdims=True)
    return np.asarray((exact >= top - _rounding(values, axis)).argmax(axis=axis))


def smallest(values: np.ndarray) -> int:
    """Return the place of the smallest value, of equals the first.

    >>> smallest(np.array([0.1 + 0.2, 0.3]))
    0
    """
    return int(largest(-values))


def descending(values: np.ndarray) -> np.ndarray:
    """Return places from the largest value to the smallest, equals in their order; NaN last.

    >>> descending(np.array([np.nan, 0.3, 0.1 + 0.2, 1.0])).tolist()
    [3, 1, 2, 0]
    """
    order = np.argsort(-values, kind="stable")
    falling = values[order].astype(np.float64)
    below = falling[1:] < falling[:-1] - _rounding(values)
    rank = np.zeros(len(values), dtype=np.int64)
    rank[order[1:]] = below.cumsum()
    rank[np.isnan(values)] = len(values)
    return np.argsort(rank, kind="stable")


def _rounding(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return how far apart equal numbers may be: the last quarter of the digits of the largest."""
    sizes = np.abs(np.where(np.isfinite(values), values, 0.0))
    share = float(np.finfo(values.dtype).eps) ** 0.75  # 2e-12, in single precision 6e-6
    return sizes.max(axis=axis, keepdims=True, initial=0.0).astype(np.float64) * share


def nearest(distances: np.ndarray, found: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Return the nearest in each row of distances, [M, N], of equals at the border the first.

    The places of the k smallest of each row, whichever of equals, are `found`, int64 [M, k], and
    stay as they are where there are no such equals. `scale` is the size of the numbers whose
    difference a distance is, of each row [M, 1] or of all.

    >>> nearest(np.array([[2.0, 1.0 + 1e-15, 0.0, 1.0]]), np.array([[2, 3]]), scale=1.0).tolist()
    [[2, 1]]
    """
    border = np.take_along_axis(distances, found, axis=1).max(axis=1, keepdims=True)
    size = scale + np.abs(np.where(np.isfinite(border), border, 0.0))
    step = 8 * np.finfo(distances.dtype).eps * size
    tied = (distances <= border + step).sum(axis=1) > found.shape[1]
    if not tied.any():
        return found
    # Surely nearer, equal, and surely farther.
    rank = (distances >= border - step)[tied] + (distances > border + step)[tied].astype(np.int8)
    found = found.copy()
    found[tied] = np.argsort(rank, axis=1, kind="stable")[:, : found.shape[1]]
    return found
