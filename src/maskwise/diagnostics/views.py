"""What changes in the features of a sample from one masked view to the next.

Views [n, q, d] are grouped: q views of each of n samples. A flat queue of features has lost which
belong together, and a figure of it means nothing.
"""

import warnings
from typing import Any

import numpy as np

from maskwise.diagnostics.reading import Array, directions, read, too_few
from maskwise.diagnostics.singular import entropy_rank, singular_values
from maskwise.errors import UserError

# Added to the covariance within samples, as in the paper.
DELTA = 1e-4


def lidar(views: Any) -> float:
    """Return the effective rank of what masks do not change: from 1 to d.

    exp(-Σ p log p), p = λ / Σ λ, of the eigenvalues λ of W^-½ B W^-½: B is the covariance of the n
    mean features of a sample (centred), W the mean covariance of a sample's views around their
    mean (divided by n q) plus 1e-4 I, so that the scale of features matters where views hardly
    differ. Features of full rank read exp(-d / 2n) of d: 39 % low with n = d, 22 % with 2 d, 12 %
    with 4 d, 6 % with 8 d; a little lower still where W comes from few views, n q < 16 d.

    Args:
        views: [n, q, d] features: q views of each of n samples, q >= 2, n >= d; warns if n < 4 d.

    Raises:
        UserError: fewer samples than dimensions, fewer than 2 views, no features, values that are
            not finite, or mean features that are the same for all samples.

    Source: Thilak et al., LiDAR (ICLR 2024), arXiv 2312.04000.

    >>> import numpy as np
    >>> centres = np.array([[2, 0], [-2, 0], [0, 2], [0, -2]] * 2)
    >>> noise = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    >>> round(lidar(centres[:, None] + noise), 6)
    2.0
    """
    x = _read_views(views)
    num, _, dim = x.shape
    few = too_few(num, dim, "LiDAR of features of full rank reads 39, 22 or 12 % low at 1, 2 or 4")
    if few:
        warnings.warn(few, stacklevel=2)
    means = x.mean(axis=1)
    rest = (x - means[:, None]).reshape(-1, dim)
    within = rest.T @ rest / len(rest) + DELTA * np.eye(dim)
    white = np.linalg.solve(np.linalg.cholesky(within), means.T).T
    return entropy_rank(singular_values(white, center=True) ** 2)


def alignment(views: Any) -> float:
    """Return the mean of |u - u'|² over pairs of different views of a sample, u = z / |z|.

    0 for features that masks do not change, 2 for views that have nothing in common. Not centred;
    it has no bias at any n. Constant features align best: read it beside `uniformity`.

    Args:
        views: [n, q, d] features: q views of each of n samples, q >= 2, n >= 2.

    Raises:
        UserError: fewer than 2 views, one sample, no features, values that are not finite, or
            views of zeros.

    Source: Wang and Isola (ICML 2020), arXiv 2005.10242, equation 6 with α = 2.

    >>> alignment([[[1, 0], [0, 1]], [[0, 2], [0, 1]]])
    1.0
    """
    u = directions(_read_views(views))
    # Σ over pairs of |u - u'|² is q times the sum of squares around the mean.
    spread = ((u - u.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2))
    return float(2 * spread.mean() / (u.shape[1] - 1))


def _read_views(views: Any) -> Array:
    x = read(views, "[samples, views, width]")
    if x.shape[1] < 2:
        raise UserError("one view of each sample shows no change: give at least 2")
    return x
