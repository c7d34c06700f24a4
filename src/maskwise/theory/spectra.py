"""Spectra: models of the data whose features all have the same variance.

Then Σ and its diagonal commute, and everything that the theory asks of a model is a sum over
eigenvalues. A model of the data answers two questions about the resolvent
Q = (ι I + A Σ + B D)⁻¹, D = diag Σ: its `traces` and the `energies` of the signal in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskwise.errors import UserError

Array = NDArray[np.float64]


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
        values = _non_negative("eigenvalue", eigenvalues)
        object.__setattr__(self, "eigenvalues", values)
        object.__setattr__(self, "signal", _non_negative("signal", signal))
        object.__setattr__(self, "noise", check_noise(noise))
        if self.signal.shape != values.shape:
            raise UserError(
                f"{len(values)} eigenvalues and {len(self.signal)} signals: give one of each"
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
        first = np.array([sq.sum(), dq.sum()])
        # Sums, not dot products: BLAS would start threads for vectors that are too short for it.
        cross = (sq * dq).sum()
        return first, np.array([[(sq * sq).sum(), cross], [cross, (dq * dq).sum()]])

    def energies(self, identity: float, full: float, diagonal: float) -> Array:
        q, sq, dq = self._resolvent(identity, full, diagonal)
        energy = self.eigenvalues**2 * self.signal * q
        return np.array([energy.sum(), (energy * sq).sum(), (energy * dq).sum()])

    def _resolvent(self, identity: float, full: float, diagonal: float) -> tuple[Array, ...]:
        """Return the eigenvalues of Q, ΣQ and DQ."""
        s, v = self.eigenvalues, self.eigenvalues.mean()
        q = _inverse(identity + diagonal * v + full * s)
        return q, s * q, v * q


def isotropic(dim: int, *, variance: float = 1.0, noise: float = 0.0) -> Spectrum:
    """Return uncorrelated features: Σ = I, ‖β‖² = `variance`.

    >>> round(isotropic(100).variance, 9)
    1.0
    """
    return _scaled(np.ones(check_dim(dim)), np.ones(dim), variance, noise)


def spiked(
    dim: int,
    strengths: Sequence[float] | float,
    *,
    rank: int = 1,
    alignment: float = 0.5,
    variance: float = 1.0,
    noise: float = 0.0,
) -> Spectrum:
    """Return Σ = I + Σ_i strength_i P_i, each P_i a projection of the same `rank`.

    Args:
        dim: number of features d.
        strengths: how far each spike stands above the bulk, whose eigenvalue is 1.
        rank: eigenvalues per spike.
        alignment: share of the signal's variance that lies in the spikes, in [0, 1].
        variance: variance βᵀΣβ of the signal.
        noise: variance of the noise, for functions that are given none.

    Raises:
        UserError: the spikes do not fit, or `alignment` is outside [0, 1].

    >>> spiked(4, 8.0, alignment=1.0).eigenvalues.tolist()
    [9.0, 1.0, 1.0, 1.0]
    """
    heights = np.repeat(_non_negative("strength", np.atleast_1d(strengths)), max(rank, 0))
    if not 0 < len(heights) < check_dim(dim):
        raise UserError(f"{len(heights)} spiked eigenvalues must be fewer than the {dim} features")
    if not 0 <= alignment <= 1:
        raise UserError(f"alignment {alignment:g} is outside [0, 1]: it is a share of the signal")
    eigenvalues = np.ones(dim)
    eigenvalues[: len(heights)] += heights
    share = np.full(dim, (1 - alignment) / (dim - len(heights)))
    share[: len(heights)] = alignment / len(heights)
    return _scaled(eigenvalues, share / eigenvalues, variance, noise)


def power_law(
    dim: int,
    exponent: float = 1.0,
    *,
    signal_exponent: float = 0.0,
    variance: float = 1.0,
    noise: float = 0.0,
) -> Spectrum:
    """Return eigenvalues ∝ i^-exponent of mean 1, squared coefficients of β ∝ i^-signal_exponent.

    >>> round(float(power_law(400).eigenvalues.mean()), 9)
    1.0
    """
    order = np.arange(1, check_dim(dim) + 1, dtype=np.float64)
    eigenvalues = order**-exponent
    return _scaled(eigenvalues / eigenvalues.mean(), order**-signal_exponent, variance, noise)


def check_dim(dim: int) -> int:
    """Return the number of features when it is one."""
    if dim < 1:
        raise UserError(f"dim {dim} is no number of features: give at least 1")
    return dim


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


def _scaled(eigenvalues: Array, signal: Array, variance: float, noise: float) -> Spectrum:
    return Spectrum(eigenvalues, signal * scale(float(eigenvalues @ signal), variance), noise)


def _inverse(values: Array) -> Array:
    # A direction that never varies and is not penalised takes no part.
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _non_negative(name: str, values: ArrayLike) -> Array:
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise UserError(f"a {name} array of shape {array.shape} must have one axis, not empty")
    if not np.isfinite(array).all() or (array < 0).any():
        index = int(np.argmin(np.where(np.isfinite(array), array, -np.inf)))
        raise UserError(f"{name} {array[index]:g} at {index} must be finite and >= 0")
    return array
