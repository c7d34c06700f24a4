"""What a law is: the protocol, the defaults of its two kinds, and checks that laws share."""

import functools
import math
from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskwise.errors import UserError

Array = NDArray[np.float64]


# Theory asks for the same few rules again and again, and each takes an eigendecomposition.
_gauss = functools.cache(np.polynomial.legendre.leggauss)


@runtime_checkable
class Law(Protocol):
    """What every law can say; `progress` in [0, 1] is the share of training done."""

    def mean(self, progress: float = 0.0) -> float:
        """Return E[ratio]."""

    def support(self, progress: float = 0.0) -> tuple[float, float]:
        """Return the smallest and the largest ratio."""

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        """Return ratios for uniforms `u` in (0, 1)."""

    def density(self, ratios: ArrayLike, progress: float = 0.0) -> Array:
        """Return the density of the continuous part at `ratios`."""

    def atoms(self, progress: float = 0.0) -> list[tuple[float, float]]:
        """Return the (ratio, probability) pairs of the discrete part."""

    def quadrature(self, k: int = 16, progress: float = 0.0) -> tuple[Array, Array]:
        """Return ratios and weights with sum(weights * f(ratios)) close to E[f(ratio)]."""


class Continuous:
    """Defaults for a law on (0, 1) with a smooth quantile function and no atoms."""

    def support(self, progress: float = 0.0) -> tuple[float, float]:
        return 0.0, 1.0

    def atoms(self, progress: float = 0.0) -> list[tuple[float, float]]:
        return []

    def quadrature(self, k: int = 16, progress: float = 0.0) -> tuple[Array, Array]:
        """Gauss-Legendre in the uniform: exact for polynomials of a linear quantile function."""
        nodes, weights = _gauss(k)
        return cast(Law, self).draw((nodes + 1) / 2, progress), weights / 2


class Discrete:
    """Defaults for a law that is all atoms."""

    def mean(self, progress: float = 0.0) -> float:
        ratios, weights = self.quadrature()
        return float(ratios @ weights)

    def support(self, progress: float = 0.0) -> tuple[float, float]:
        ratios, _ = self.quadrature()
        return float(ratios.min()), float(ratios.max())

    def density(self, ratios: ArrayLike, progress: float = 0.0) -> Array:
        return np.zeros_like(np.asarray(ratios, dtype=np.float64))

    def quadrature(self, k: int = 16, progress: float = 0.0) -> tuple[Array, Array]:
        ratios, weights = zip(*cast(Law, self).atoms(), strict=True)
        return np.array(ratios), np.array(weights)


def require(condition: bool, message: str) -> None:
    """Refuse a law that makes no sense, in one line."""
    if not condition:
        raise UserError(message)


def require_bounds(low: float, high: float) -> None:
    """Refuse bounds that are not 0 <= low < high <= 1."""
    for bound in (low, high):
        require(0 <= bound <= 1, f"ratio {bound:g} is outside (0, 1)")
    require(low < high, f"the bounds {low:g}, {high:g} must rise: give the smaller one first")


def text(value: float) -> str:
    """Write a number so that reading it gives the same number."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))


def normalised(weights: Sequence[float], num: int) -> tuple[float, ...]:
    """Return weights that sum to one."""
    require(len(weights) == num, f"{num} choices need {num} weights, not {len(weights)}")
    for weight in weights:
        require(weight > 0 and math.isfinite(weight), f"weight {weight:g} must be > 0")
    total = math.fsum(weights)
    # Weights that sum to one up to rounding are kept, so that reading back a law changes nothing.
    if abs(total - 1) < 1e-15:
        total = 1.0
    return tuple(float(weight) / total for weight in weights)


def pick(weights: Sequence[float], u: ArrayLike) -> tuple[NDArray[np.intp], Array]:
    """Turn uniforms into indices drawn with `weights` and fresh uniforms."""
    u = np.asarray(u, dtype=np.float64)
    edges = np.concatenate([[0.0], np.cumsum(weights)])
    index = np.clip(np.searchsorted(edges, u, side="right") - 1, 0, len(weights) - 1)
    # Rounding must not push the fresh uniform onto 0 or 1, where quantiles may be infinite.
    rest = np.clip((u - edges[index]) / np.diff(edges)[index], 1e-12, 1 - 1e-12)
    return index, rest
