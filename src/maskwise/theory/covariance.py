"""Covariances: models of the data whose features differ in variance, by dense linear algebra."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from maskwise.errors import UserError
from maskwise.theory.spectra import Array, Spectrum, check_dim, check_noise, scale


@dataclass(frozen=True, eq=False)
class Covariance:
    """Features with any covariance, and the coefficients of the signal.

    Args:
        matrix: [d, d] covariance Σ of the features, symmetric and positive semi-definite.
        beta: [d] coefficients of the signal, y = xᵀβ + noise, or [d, m] for m targets, whose
            risks are summed.
        noise: variance of the noise, for functions that are given none.
        units: [d] integers: features with the same number are hidden together (the numbers of
            one patch, the indicators of one symbol). Then D is block-diagonal: Σ inside units.
            The theory is a limit of many units, so that they should be many and small.

    Raises:
        UserError: the matrix is not a covariance, or a feature never varies.

    >>> Covariance([[2.0, 1.0], [1.0, 1.0]], [1.0, 0.0]).variance
    2.0
    """

    matrix: Array
    beta: Array
    noise: float = 0.0
    units: np.ndarray | None = None

    def __init__(
        self,
        matrix: ArrayLike,
        beta: ArrayLike,
        noise: float = 0.0,
        units: ArrayLike | None = None,
    ) -> None:
        sigma = check_covariance(np.array(matrix, dtype=np.float64))
        coefficients = np.array(beta, dtype=np.float64)
        if coefficients.ndim not in (1, 2) or len(coefficients) != len(sigma):
            raise UserError(
                f"beta of shape {coefficients.shape} needs {len(sigma)} rows, one per feature"
            )
        if not np.isfinite(coefficients).all():
            raise UserError("beta has values that are not finite: give real coefficients")
        object.__setattr__(self, "matrix", sigma)
        object.__setattr__(self, "beta", coefficients.reshape(len(sigma), -1))
        object.__setattr__(self, "noise", check_noise(noise))
        object.__setattr__(self, "units", None if units is None else np.asarray(units))
        if self.units is not None and self.units.shape != (len(sigma),):
            raise UserError(f"units of shape {self.units.shape} must be {len(sigma)} integers")

    @property
    def dim(self) -> int:
        return len(self.matrix) if self.units is None else self._unit_whitener.shape[1]

    @cached_property
    def variance(self) -> float:
        return float(np.sum(self.beta * self.cross))

    @cached_property
    def cross(self) -> Array:
        """[d, m] covariance s = Σβ of features and targets."""
        return self.matrix @ self.beta

    @cached_property
    def diagonal(self) -> Array:
        """D: the variances [d], or with units the block-diagonal matrix [d, d]."""
        if self.units is None:
            return np.diag(self.matrix).copy()
        return np.where(self.units[:, None] == self.units, self.matrix, 0.0)

    @cached_property
    def whitened(self) -> Spectrum:
        """The spectrum of D^-½ Σ D^-½: all that matters when nothing but D is added to Σ."""
        if self.units is None:
            root = np.sqrt(self.diagonal)
            values, vectors = linalg.eigh(self.matrix / root / root[:, None])
            rotated = vectors.T @ (self.cross / root[:, None])
        else:
            root = self._unit_whitener
            values, vectors = linalg.eigh(root.T @ self.matrix @ root)
            rotated = vectors.T @ (root.T @ self.cross)
        values = np.maximum(values, 0.0)
        squares = np.sum(rotated**2, axis=1)
        energies = np.divide(
            squares, values**2, out=np.zeros_like(values), where=values > 1e-12 * values[-1]
        )
        return Spectrum(values, energies)

    @cached_property
    def _unit_whitener(self) -> Array:
        """W [d, r] with Wᵀ D W = I; r < d when features of a unit determine each other."""
        columns = []
        for unit in np.unique(np.asarray(self.units)):
            inside = np.flatnonzero(self.units == unit)
            values, vectors = linalg.eigh(self.matrix[np.ix_(inside, inside)])
            keep = values > 1e-12 * values[-1]
            part = np.zeros((len(self.matrix), int(keep.sum())))
            part[inside] = vectors[:, keep] / np.sqrt(values[keep])
            columns.append(part)
        return np.concatenate(columns, axis=1)

    def traces(self, identity: float, full: float, diagonal: float) -> tuple[Array, Array]:
        extra = self._as_diagonal(identity)
        if extra is not None:
            return self.whitened.traces(0.0, full, diagonal + extra)
        return dense_traces(self, identity, full, diagonal)

    def energies(self, identity: float, full: float, diagonal: float) -> Array:
        extra = self._as_diagonal(identity)
        if extra is not None:
            return self.whitened.energies(0.0, full, diagonal + extra)
        return dense_energies(self, identity, full, diagonal)

    def _as_diagonal(self, identity: float) -> float | None:
        """Return the multiple of D that `identity` I is, when it is one."""
        if identity == 0:
            return 0.0
        if self.units is None and np.ptp(self.diagonal) <= 1e-12 * self.diagonal.max():
            return identity / float(self.diagonal[0])
        return None


def dense_traces(
    model: Covariance, identity: float, full: float, diagonal: float
) -> tuple[Array, Array]:
    """Return the traces of `Model` from one inverse, because A ΣQ = I - ιQ - B DQ."""
    dim = len(model.matrix)
    lower = _lower_inverse(_precision(model, identity, full, diagonal))
    if model.units is None:
        sides = np.stack([np.ones(dim), model.diagonal], axis=1)
        trace = lower.diagonal() @ sides
        # The strict lower triangle counts twice in a sum over a symmetric matrix.
        squares = lower * lower
        half = sides.T @ (squares @ sides)
        square = half + half.T - (sides.T * squares.diagonal()) @ sides
    else:
        q = lower + np.tril(lower, -1).T
        dq = model.diagonal @ q
        trace = np.array([np.trace(q), np.trace(dq)])
        cross = np.sum(q * dq)
        square = np.array([[np.sum(q * q), cross], [cross, np.sum(dq * dq.T)]])
    minus = np.array([identity, diagonal])
    first = (dim - minus @ trace) / full
    cross = (trace[1] - minus @ square[1]) / full
    second = (dim - 2 * minus @ trace + minus @ square @ minus) / full**2
    return np.array([first, trace[1]]), np.array([[second, cross], [cross, square[1, 1]]])


def dense_energies(model: Covariance, identity: float, full: float, diagonal: float) -> Array:
    """Return the energies of `Model` from one Cholesky factor."""
    factor = linalg.cho_factor(_precision(model, identity, full, diagonal))
    h = linalg.cho_solve(factor, model.cross)
    return np.array(
        [
            np.sum(model.cross * h),
            np.sum(h * (model.matrix @ h)),
            np.sum(h * _times(model.diagonal, h)),
        ]
    )


def _precision(model: Covariance, identity: float, full: float, diagonal: float) -> Array:
    matrix = full * model.matrix
    if model.units is None:
        np.fill_diagonal(matrix, np.diag(matrix) + identity + diagonal * model.diagonal)
        return matrix
    return matrix + diagonal * model.diagonal + identity * np.eye(len(matrix))


def _lower_inverse(matrix: Array) -> Array:
    """Return the lower triangle of a positive definite matrix's inverse."""
    factor, _ = linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    inverse, _ = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    return np.tril(inverse)


def _times(diagonal: Array, matrix: Array) -> Array:
    return diagonal[:, None] * matrix if diagonal.ndim == 1 else diagonal @ matrix


def check_covariance(matrix: Array) -> Array:
    """Return the matrix when it is a covariance of features that vary.

    Raises:
        UserError: it is not square, finite, symmetric or positive semi-definite, or a variance
            is zero.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise UserError(f"a covariance of shape {matrix.shape} must be square, [d, d]")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise UserError(f"covariance[{row}, {column}] is {matrix[row, column]}: must be finite")
    scale = np.abs(matrix).max()
    gap = np.abs(matrix - matrix.T)
    if gap.max() > 1e-8 * scale:
        row, column = np.unravel_index(gap.argmax(), gap.shape)
        raise UserError(
            f"the covariance is not symmetric: [{row}, {column}] and [{column}, {row}] differ by "
            f"{gap.max():.3g}; average it with its transpose"
        )
    zero = np.flatnonzero(np.diag(matrix) <= 1e-14 * scale)
    if len(zero):
        raise UserError(f"feature {zero[0]} never varies (variance 0): leave it out")
    lowest = linalg.eigvalsh(matrix, subset_by_index=[0, 0])[0]
    if lowest < -1e-8 * scale:
        raise UserError(
            f"the covariance is indefinite (smallest eigenvalue {lowest:.3g}): raise its diagonal"
        )
    return (matrix + matrix.T) / 2


def ar1(
    dim: int,
    rho: float,
    *,
    beta: ArrayLike | None = None,
    variance: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Covariance:
    """Return Σ_ij = rho^|i-j|: a sequence whose neighbours are alike.

    Args:
        dim: number of features d.
        rho: correlation of neighbours, in (-1, 1).
        beta: [d] coefficients, used as they are; a random direction when not given.
        variance: variance βᵀΣβ of the signal, when `beta` is not given.
        noise: variance of the noise, for functions that are given none.
        seed: decides the random direction.

    >>> ar1(3, 0.5).matrix[0].tolist()
    [1.0, 0.5, 0.25]
    """
    if not -1 < rho < 1:
        raise UserError(f"rho {rho:g} is outside (-1, 1): it is a correlation")
    order = np.arange(check_dim(dim))
    matrix = float(rho) ** np.abs(order[:, None] - order)
    return _with_signal(matrix, beta, variance, noise, seed)


def block(
    sizes: Sequence[int],
    rho: float,
    *,
    beta: ArrayLike | None = None,
    variance: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Covariance:
    """Return groups of features, correlated `rho` within a group and not at all between groups.

    >>> block([2, 1], 0.5).matrix.tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not 0 <= rho < 1:
        raise UserError(f"rho {rho:g} is outside [0, 1): it is the correlation within a block")
    group = np.repeat(np.arange(len(sizes)), [check_dim(size) for size in sizes])
    check_dim(len(group))
    matrix = np.where(group[:, None] == group, float(rho), 0.0)
    np.fill_diagonal(matrix, 1.0)
    return _with_signal(matrix, beta, variance, noise, seed)


def latent_factor(
    dim: int,
    num_factors: int,
    *,
    uniqueness: float = 0.5,
    variance: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Covariance:
    """Return x = W f + e with y linear in the factors f, as far as x tells about them.

    Σ = W Wᵀ + uniqueness I, W Gaussian with rows of mean square 1 - uniqueness, so that features
    differ in variance (mean 1); β is the regression of a random mix of factors on x.

    Args:
        dim: number of features d.
        num_factors: number of factors, fewer than features.
        uniqueness: variance of a feature that no factor explains, in (0, 1).
        variance: variance βᵀΣβ of the signal.
        noise: variance of the noise, for functions that are given none.
        seed: decides loadings and mix.

    >>> latent_factor(50, 3).dim
    50
    """
    if not 0 < uniqueness < 1:
        raise UserError(f"uniqueness {uniqueness:g} is outside (0, 1): it is a share of variance")
    if not 0 < num_factors < check_dim(dim):
        raise UserError(f"{num_factors} factors must be at least 1 and fewer than {dim} features")
    rng = np.random.default_rng(seed)
    loadings = rng.standard_normal((dim, num_factors)) * np.sqrt((1 - uniqueness) / num_factors)
    matrix = loadings @ loadings.T + uniqueness * np.eye(dim)
    beta = np.linalg.solve(matrix, loadings @ rng.standard_normal(num_factors))
    return Covariance(matrix, beta * np.sqrt(scale(float(beta @ matrix @ beta), variance)), noise)


def _with_signal(
    matrix: Array, beta: ArrayLike | None, variance: float, noise: float, seed: int
) -> Covariance:
    if beta is not None:
        return Covariance(matrix, beta, noise)
    direction = np.random.default_rng(seed).standard_normal(len(matrix))
    factor = np.sqrt(scale(float(direction @ matrix @ direction), variance))
    return Covariance(matrix, direction * factor, noise)
