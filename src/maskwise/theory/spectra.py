"""Models of the data: they answer two questions about Q = (ι I + A Σ + B D)⁻¹, D = diag Σ.

Its `traces`, and the `energies` of the signal in it. Where all features have the same variance, Σ
and D commute, and both are sums over eigenvalues: a `Spectrum`. Else dense algebra finds them.

Rows of class k with second moment C_k = a_k Σ + b_k D share n samples in the fixed point behind
every risk: for g_k = 1/(offset + η_k),

    Q = (ι I + B₀ D + Σ_k π_k g_k C_k)⁻¹,   η_k = tr(C_k Q)/n.

All C_k are combinations of two matrices, so that two numbers, tr ΣQ and tr DQ, decide everything:
Newton's method in their logarithms, with Jacobian from the second-order traces.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from maskwise.checks import checked_fields
from maskwise.errors import UserError

Array = NDArray[np.float64]
# Of the fixed point.
TOLERANCE = 1e-11
MOST_STEPS = 500


class Model(Protocol):
    """What the theory needs to know about data; ι, A, B >= 0 are numbers."""

    @property
    def dim(self) -> int:
        """The number of features d."""

    @property
    def variance(self) -> float:
        """The variance βᵀΣβ of the signal."""

    @property
    def noise(self) -> float:
        """The variance of the noise that is used when none is given."""

    def traces(self, identity: float, full: float, diagonal: float) -> tuple[Array, Array]:
        """Return [tr ΣQ, tr DQ] and [[tr ΣQΣQ, tr ΣQDQ], [tr ΣQDQ, tr DQDQ]]."""

    def energies(self, identity: float, full: float, diagonal: float) -> Array:
        """Return [sᵀQs, sᵀQΣQs, sᵀQDQs] with s = Σβ, the covariance of features and target."""


@checked_fields
@dataclass(frozen=True, eq=False)
class Spectrum:
    """Features of one variance, given by eigenvalues of their covariance.

    The target is y = xᵀβ + noise, so that Var(xᵀβ) = Σ_j eigenvalue_j · signal_j.

    Args:
        eigenvalues: [d] eigenvalues of Σ; their mean is the variance of a feature.
        signal: [d] squared coefficient of β along each eigenvector.
        noise: variance of the noise, for functions that are given none.

    Raises:
        UserError: the arrays differ in length, or hold negative or non-finite numbers.

    >>> Spectrum([2.0, 0.5, 0.5], [1.0, 0.0, 0.0]).variance
    2.0
    """

    eigenvalues: Array
    signal: Array
    noise: float = 0.0

    def __init__(self, eigenvalues: ArrayLike, signal: ArrayLike, noise: float = 0.0) -> None:
        values, squares = non_negative("eigenvalue", eigenvalues), non_negative("signal", signal)
        vars(self).update(eigenvalues=values, signal=squares, noise=check_noise(noise))
        if squares.shape != values.shape:
            raise UserError(
                f"{len(values)} eigenvalues and {len(squares)} signals: give one of each"
            )
        if not values.any():
            raise UserError("all eigenvalues are 0: features that never vary predict nothing")

    @property
    def dim(self) -> int:
        return len(self.eigenvalues)

    @property
    def variance(self) -> float:
        return float(self.eigenvalues @ self.signal)

    def traces(self, identity: float, full: float, diagonal: float) -> tuple[Array, Array]:
        _, sq, dq = self._resolvent(identity, full, diagonal)
        # Sums, not dot products: BLAS would start threads for vectors that are too short for it.
        cross = (sq * dq).sum()
        square = np.array([[(sq * sq).sum(), cross], [cross, (dq * dq).sum()]])
        return np.array([sq.sum(), dq.sum()]), square

    def energies(self, identity: float, full: float, diagonal: float) -> Array:
        q, sq, dq = self._resolvent(identity, full, diagonal)
        energy = self.eigenvalues**2 * self.signal * q
        return np.array([energy.sum(), (energy * sq).sum(), (energy * dq).sum()])

    def _resolvent(self, identity: float, full: float, diagonal: float) -> tuple[Array, ...]:
        """Return the eigenvalues of Q, ΣQ and DQ."""
        s, v = self.eigenvalues, self.eigenvalues.mean()
        values = identity + diagonal * v + full * s
        # A direction that never varies and is not penalised takes no part.
        q = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
        return q, s * q, v * q


@checked_fields
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
        given = None if units is None else np.asarray(units)
        vars(self).update(matrix=sigma, beta=coefficients.reshape(len(sigma), -1))
        vars(self).update(noise=check_noise(noise), units=given)
        if given is not None and given.shape != (len(sigma),):
            raise UserError(f"units of shape {given.shape} must be {len(sigma)} integers")

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
    matrix = _precision(model, identity, full, diagonal)
    factor, _ = linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    lower = np.tril(linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)[0])
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
    dh = model.diagonal[:, None] * h if model.units is None else model.diagonal @ h
    return np.array([np.sum(model.cross * h), np.sum(h * (model.matrix @ h)), np.sum(h * dh)])


def _precision(model: Covariance, identity: float, full: float, diagonal: float) -> Array:
    matrix = full * model.matrix
    if model.units is None:
        np.fill_diagonal(matrix, np.diag(matrix) + identity + diagonal * model.diagonal)
        return matrix
    return matrix + diagonal * model.diagonal + identity * np.eye(len(matrix))


@dataclass(frozen=True)
class FixedPoint:
    """A solved resolvent Q = (identity I + full Σ + diagonal D)⁻¹ and g [K]."""

    identity: float
    full: float
    diagonal: float
    gain: Array
    second: Array


def solve(
    model: Model,
    share: Array,
    moments: Array,
    num_samples: float,
    *,
    identity: float,
    offset: float,
    diagonal: float = 0.0,
) -> FixedPoint:
    """Return the fixed point of `num_samples` rows that count, ι = `identity`, B₀ = `diagonal`."""

    def step(traces: Array) -> tuple[FixedPoint, Array, Array]:
        """Return the resolvent that `traces` give, its traces, and their Jacobian."""
        gain = 1 / (offset + moments @ traces / num_samples)
        full, extra = (share * gain) @ moments
        first, second = model.traces(identity, full, diagonal + extra)
        spread = (moments.T * (share * gain**2)) @ moments / num_samples
        point = FixedPoint(identity, float(full), float(diagonal + extra), gain, second)
        return point, first, second @ spread

    # Any positive start will do: the map is increasing and scalable, so that it has one solution.
    traces = model.traces(max(identity, offset), 1.0, 1.0)[0]
    point, first, jacobian = step(traces)
    for _ in range(MOST_STEPS):
        residual = np.log(first / traces)
        if np.abs(residual).max() < TOLERANCE:
            return point
        slope = np.eye(2) - jacobian / first[:, None] * traces
        newton = traces * np.exp(np.clip(np.linalg.solve(slope, residual), -5.0, 5.0))
        # Newton's step when it helps, else the map itself, which always does.
        candidate = step(newton)
        if np.abs(np.log(candidate[1] / newton)).max() < np.abs(residual).max():
            traces, (point, first, jacobian) = newton, candidate
        else:
            traces, (point, first, jacobian) = first, step(first)
    raise UserError(
        f"the fixed point did not converge in {MOST_STEPS} steps (last change "
        f"{np.abs(residual).max():.1e}): the number of rows that count, {num_samples:g}, is too "
        f"close to the number of features, {model.dim}; give a ridge > 0"
    )


def check_covariance(matrix: Array) -> Array:
    """Return the matrix when it is a covariance of features that vary."""
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


def check_noise(noise: float) -> float:
    """Return a variance of noise when it can be one."""
    if not (np.isfinite(noise) and noise >= 0):
        raise UserError(f"noise {noise:g} is no variance: give a finite number >= 0")
    return float(noise)


def scale(now: float, variance: float) -> float:
    """Return what squared coefficients are multiplied with to give the signal's variance."""
    if not (np.isfinite(variance) and variance >= 0):
        raise UserError(f"variance {variance:g} of the signal must be a finite number >= 0")
    return variance / now


def non_negative(name: str, values: ArrayLike) -> Array:
    """Return numbers along one axis when all are finite and >= 0."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise UserError(f"a {name} array of shape {array.shape} must have one axis, not empty")
    if not np.isfinite(array).all() or (array < 0).any():
        index = int(np.argmin(np.where(np.isfinite(array), array, -np.inf)))
        raise UserError(f"{name} {array[index]:g} at {index} must be finite and >= 0")
    return array
