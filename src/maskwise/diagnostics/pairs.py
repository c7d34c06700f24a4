"""How features spread over the sphere: means over all pairs of different samples.

Features are divided by their lengths, not centred. Every pair counts once and no sample meets
itself, so that the figures have no bias and compare across N. Needs no [N, N] matrix.
"""

from typing import Any

import numpy as np

from maskwise.diagnostics.reading import directions, read
from maskwise.errors import UserError

BLOCK = 1024


def energy(z: Any) -> float:
    """Return the mean of (u_i · u_j)² over i ≠ j, u = z / |z|: the uniformity loss of U-MAE.

    1/d for features that spread over all directions, 1 for features on one line. The loss itself
    is the mean with i = j: energy (N - 1)/N + 1/N.

    Args:
        z: [N, d] features.

    Raises:
        UserError: one sample, no features, values that are not finite, or a sample of zeros.

    Source: Zhang et al., How Mask Matters (NeurIPS 2022), arXiv 2210.08344.

    >>> energy([[1, 0], [0, 2], [-3, 0]])  # one pair of three lies on a line
    0.3333333333333333
    """
    u = directions(read(z))
    num, dim = u.shape
    gram = u.T @ u if num >= dim else u @ u.T
    return float(((gram**2).sum() - num) / (num * (num - 1)))


def mean_cosine(z: Any) -> float:
    """Return the mean of u_i · u_j over i ≠ j, u = z / |z|: from -1/(N - 1) to 1.

    0 for features around the origin, 1 for features in one direction.

    Args:
        z: [N, d] features.

    Raises:
        UserError: as `energy`.

    >>> mean_cosine([[1, 0], [2, 0], [0, 1], [0, 3]])
    0.3333333333333333
    """
    u = directions(read(z))
    num = len(u)
    return float(((u.sum(axis=0) ** 2).sum() - num) / (num * (num - 1)))


def uniformity(z: Any, t: float = 2) -> float:
    """Return log of the mean of exp(-t |u_i - u_j|²) over i ≠ j, u = z / |z|.

    0 for features in one direction; about -2 t for many features that spread over a sphere of many
    dimensions.

    Args:
        z: [N, d] features.
        t: sharpness of the kernel, in (0, 100].

    Raises:
        UserError: as `energy`; `t` is outside (0, 100].

    Source: Wang and Isola (ICML 2020), arXiv 2005.10242, equation 7.

    >>> round(uniformity([[1, 0], [0, 5]]), 6)
    -4.0
    """
    if not 0 < t <= 100:
        raise UserError(f"t {t:g} is outside (0, 100]: 2 is usual")
    u = directions(read(z))
    num = len(u)
    total = 0.0
    for row in range(0, num, BLOCK):
        for column in range(row, num, BLOCK):
            kernel = u[row : row + BLOCK] @ u[column : column + BLOCK].T
            kernel -= 1
            kernel *= 2 * t
            np.exp(kernel, out=kernel)
            if row == column:
                np.fill_diagonal(kernel, 0.0)
            total += kernel.sum() * (1 if row == column else 2)
    return float(np.log(total / (num * (num - 1))))
