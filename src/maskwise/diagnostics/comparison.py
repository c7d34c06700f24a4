"""How far apart two features of the same samples are, say at two test ratios."""

import warnings
from typing import Any

import numpy as np

from maskwise.diagnostics.reading import Array, directions, read, too_few
from maskwise.errors import UserError


def drift(z: Any, other: Any) -> float:
    """Return the mean cosine between the two features of a sample: 1 where they are equal.

    Not centred: features with a common mean are alike whatever they say. It has no bias at any N.

    Args:
        z: [N, d] features.
        other: [N, d] features of the same samples, in the same order and the same space.

    Raises:
        UserError: different shapes, one sample, no features, values that are not finite, or a
            sample of zeros.

    >>> drift([[1, 0], [0, 1]], [[2, 0], [1, 0]])
    0.5
    """
    x, y = _read_both(z, other)
    if x.shape != y.shape:
        raise UserError(f"features of {x.shape[1]} and {y.shape[1]} dimensions have no cosine")
    return float((directions(x) * directions(y)).sum(axis=1).mean())


def cka(z: Any, other: Any) -> float:
    """Return linear CKA, |XᵀY|² / (|XᵀX| |YᵀY|) of centred features, in Frobenius norms.

    1 where one is a rotation of the other times a number, from 0 on otherwise. Biased high:
    unrelated features of d and e dimensions score √(d e / (N + d)(N + e)), which is 0.5 with
    N = d = e, 0.33 with 2 d and 0.2 with 4 d.

    Args:
        z: [N, d] features, N >= d; warns if N < 4 d.
        other: [N, e] features of the same samples, in the same order, N >= e.

    Raises:
        UserError: different N, fewer samples than dimensions, one sample, no features, values
            that are not finite, or features that are the same for every sample.

    Source: Kornblith et al. (ICML 2019), arXiv 1905.00414, equation 3 with linear kernels.

    >>> round(cka([[1, 0], [-1, 0], [0, 1], [0, -1]] * 2, [[3], [-3], [0], [0]] * 2), 6)
    0.707107
    """
    x, y = _read_both(z, other)
    few = too_few(
        len(x),
        max(x.shape[1], y.shape[1]),
        "CKA reads high (unrelated features score 0.5, 0.33 or 0.2 at 1, 2 or 4)",
    )
    if few:
        warnings.warn(few, stacklevel=2)
    x, y = _centred(x), _centred(y)
    alike = (x.T @ y, x.T @ x, y.T @ y)
    both, first, second = (float(np.linalg.norm(matrix)) for matrix in alike)
    return both**2 / (first * second)


def _read_both(z: Any, other: Any) -> tuple[Array, Array]:
    x, y = read(z), read(other)
    if len(x) != len(y):
        raise UserError(f"features of {len(x)} and of {len(y)} samples: give those of the same")
    return x, y


def _centred(x: Array) -> Array:
    rest = x - x.mean(axis=0)
    size = np.linalg.norm(rest)
    if size <= np.finfo(np.float64).eps * len(x) * np.linalg.norm(x):
        raise UserError("features that are the same for every sample cannot be compared")
    return rest / size
