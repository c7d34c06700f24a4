"""Features divided by their lengths or compared: pairs of samples, of features and of views.

Of samples every pair counts once and none meets itself, so that figures have no bias and compare
across N. Needs no [N, N] matrix. Views [n, q, d] are grouped: q views of each of n samples; a flat
queue of features has lost which belong together, and a figure of it means nothing.
"""

import numpy as np

from maskwise.checks import checked
from maskwise.diagnostics.spectra import (
    Array,
    Features,
    directions,
    entropy_rank,
    read,
    singular_values,
    warn_if_few,
)
from maskwise.errors import UserError

BLOCK = 1024
# Added to the covariance within samples, as in the paper.
DELTA = 1e-4


def energy(z: Features) -> float:
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


def mean_cosine(z: Features) -> float:
    """Return the mean of u_i · u_j over i ≠ j, u = z / |z|: from -1/(N - 1) to 1.

    0 for features around the origin, 1 for features in one direction.

    Raises:
        UserError: as `energy`.

    >>> mean_cosine([[1, 0], [2, 0], [0, 1], [0, 3]])
    0.3333333333333333
    """
    u = directions(read(z))
    num = len(u)
    return float(((u.sum(axis=0) ** 2).sum() - num) / (num * (num - 1)))


@checked()
def uniformity(z: Features, t: float = 2) -> float:
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


def drift(z: Features, other: Features) -> float:
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


def cka(z: Features, other: Features) -> float:
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
    bias = "CKA reads high (unrelated features score 0.5, 0.33 or 0.2 at 1, 2 or 4)"
    warn_if_few(len(x), max(x.shape[1], y.shape[1]), bias)
    x, y = _centred(x), _centred(y)
    alike = (x.T @ y, x.T @ x, y.T @ y)
    both, first, second = (float(np.linalg.norm(matrix)) for matrix in alike)
    return both**2 / (first * second)


def lidar(views: Features) -> float:
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
    bias = "LiDAR of features of full rank reads 39, 22 or 12 % low at 1, 2 or 4"
    warn_if_few(num, dim, bias)
    means = x.mean(axis=1)
    rest = (x - means[:, None]).reshape(-1, dim)
    within = rest.T @ rest / len(rest) + DELTA * np.eye(dim)
    white = np.linalg.solve(np.linalg.cholesky(within), means.T).T
    return entropy_rank(singular_values(white, center=True) ** 2)


def alignment(views: Features) -> float:
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


def _read_both(z: Features, other: Features) -> tuple[Array, Array]:
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


def _read_views(views: Features) -> Array:
    x = read(views, "[samples, views, width]")
    if x.shape[1] < 2:
        raise UserError("one view of each sample shows no change: give at least 2")
    return x
