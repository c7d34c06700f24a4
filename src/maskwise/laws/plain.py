"""What a law is, the plain laws, one distribution each, and from ratios to counts."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from maskwise.checks import checked, checked_fields
from maskwise.errors import UserError

Array = NDArray[np.float64]
Scope = Literal["step", "sample"]
SMALLEST, LARGEST = 1e-3, 1e6  # parameters of Beta
Reduction = Literal["sample_mean", "token_mean", "inverse_ratio"]


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


@checked_fields
@dataclass(frozen=True)
class Fixed(Discrete):
    """Always the same ratio (BERT .15, MAE .75).

    >>> Fixed(0.75).draw([0.1, 0.9]).tolist()
    [0.75, 0.75]
    """

    ratio: float

    def __post_init__(self) -> None:
        require(0 < self.ratio < 1, f"ratio {self.ratio:g} is outside (0, 1)")

    def __str__(self) -> str:
        return f"fixed:{text(self.ratio)}"

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        return np.full_like(np.asarray(u, dtype=np.float64), self.ratio)

    def atoms(self, progress: float = 0.0) -> list[tuple[float, float]]:
        return [(self.ratio, 1.0)]


@checked_fields
@dataclass(frozen=True)
class Choice(Discrete):
    """One of a few ratios, equally likely unless `weights` are given.

    >>> Choice([0.25, 0.75]).draw([0.2, 0.6]).tolist()
    [0.25, 0.75]
    """

    ratios: Sequence[float]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratios", tuple(float(ratio) for ratio in self.ratios))
        require(len(self.ratios) > 0, "choice needs at least one ratio")
        for ratio in self.ratios:
            require(0 < ratio < 1, f"ratio {ratio:g} is outside (0, 1)")
        weights = normalised(self.weights or [1.0] * len(self.ratios), len(self.ratios))
        object.__setattr__(self, "weights", weights)

    def __str__(self) -> str:
        weights = cast(Sequence[float], self.weights)
        if len(set(weights)) == 1:
            return "choice:" + ",".join(text(ratio) for ratio in self.ratios)
        pairs = zip(weights, self.ratios, strict=True)
        return "choice:" + ",".join(f"{text(weight)}*{text(ratio)}" for weight, ratio in pairs)

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        return np.array(self.ratios)[pick(cast(Sequence[float], self.weights), u)[0]]

    def atoms(self, progress: float = 0.0) -> list[tuple[float, float]]:
        return list(zip(self.ratios, cast(Sequence[float], self.weights), strict=True))


@checked_fields
@dataclass(frozen=True)
class Uniform(Continuous):
    """Uniform on [low, high]: R²MAE (arXiv 2509.21650).

    >>> Uniform(0.6, 0.9).mean()
    0.75
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        require_bounds(self.low, self.high)

    def __str__(self) -> str:
        return f"uniform:{text(self.low)},{text(self.high)}"

    def mean(self, progress: float = 0.0) -> float:
        return (self.low + self.high) / 2

    def support(self, progress: float = 0.0) -> tuple[float, float]:
        return self.low, self.high

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        return self.low + (self.high - self.low) * np.asarray(u, dtype=np.float64)

    def density(self, ratios: ArrayLike, progress: float = 0.0) -> Array:
        r = np.asarray(ratios, dtype=np.float64)
        return ((r >= self.low) & (r <= self.high)) / (self.high - self.low)


@checked_fields
@dataclass(frozen=True)
class Beta(Continuous):
    """Beta(a, b) on (0, 1), with mean a / (a + b).

    >>> Beta(3, 9).mean()
    0.25
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        for name, value in (("a", self.a), ("b", self.b)):
            require(0 < value < math.inf, f"beta needs {name} > 0, not {value:g}")
            require(
                SMALLEST <= value <= LARGEST,
                f"beta has all its mass on a point or two with {name} = {value:g}:"
                f" give {SMALLEST:g} to {LARGEST:g}",
            )

    def __str__(self) -> str:
        return f"beta:{text(self.a)},{text(self.b)}"

    def mean(self, progress: float = 0.0) -> float:
        return self.a / (self.a + self.b)

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        return special.betaincinv(self.a, self.b, np.asarray(u, dtype=np.float64))

    def density(self, ratios: ArrayLike, progress: float = 0.0) -> Array:
        return stats.beta.pdf(np.asarray(ratios, dtype=np.float64), self.a, self.b)


@dataclass(frozen=True)
class Cosine(Continuous):
    """ratio = cos(pi u / 2), the law of MaskGIT (arXiv 2202.04200), with mean 2 / pi.

    >>> round(Cosine().mean(), 4)
    0.6366
    """

    def __str__(self) -> str:
        return "cosine"

    def mean(self, progress: float = 0.0) -> float:
        return 2 / math.pi

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        # sin of the mirrored uniform: the same law with a rising quantile function.
        return np.sin(np.pi / 2 * np.asarray(u, dtype=np.float64))

    def density(self, ratios: ArrayLike, progress: float = 0.0) -> Array:
        r = np.asarray(ratios, dtype=np.float64)
        inside = (r >= 0) & (r < 1)
        return np.where(inside, 2 / np.pi / np.sqrt(1 - np.where(inside, r, 0) ** 2), 0.0)


@checked_fields
@dataclass(frozen=True)
class TruncatedNormal(Continuous):
    """Normal(mu, sigma) restricted to [low, high] (MAGE: .55, .25 on [.5, 1]).

    >>> round(TruncatedNormal(0.55, 0.25, 0.5, 1.0).mean(), 3)
    0.694
    """

    mu: float
    sigma: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        require(math.isfinite(self.mu), f"truncnormal needs a finite mean, not {self.mu:g}")
        finite = self.sigma > 0 and math.isfinite(self.sigma)
        require(finite, f"truncnormal needs a standard deviation > 0, not {self.sigma:g}")
        require_bounds(self.low, self.high)
        require(
            float(np.diff(special.ndtr(self._scaled()))[0]) > 1e-12,
            f"truncnormal has no mass on [{self.low:g}, {self.high:g}]",
        )

    def __str__(self) -> str:
        return "truncnormal:" + ",".join(
            text(value) for value in (self.mu, self.sigma, self.low, self.high)
        )

    def _scaled(self) -> Array:
        return (np.array([self.low, self.high]) - self.mu) / self.sigma

    def mean(self, progress: float = 0.0) -> float:
        return float(stats.truncnorm.mean(*self._scaled(), loc=self.mu, scale=self.sigma))

    def support(self, progress: float = 0.0) -> tuple[float, float]:
        return self.low, self.high

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        below, above = special.ndtr(self._scaled())
        z = special.ndtri(below + (above - below) * np.asarray(u, dtype=np.float64))
        return np.clip(self.mu + self.sigma * z, self.low, self.high)

    def density(self, ratios: ArrayLike, progress: float = 0.0) -> Array:
        r = np.asarray(ratios, dtype=np.float64)
        return stats.truncnorm.pdf(r, *self._scaled(), loc=self.mu, scale=self.sigma)


@dataclass(frozen=True)
class LikelihoodUniform(Continuous):
    """The number hidden is uniform on 1..n, n the number of eligible positions.

    The mean over hidden positions times n is then an unbiased estimate of the any-order
    log-likelihood (arXiv 2306.00520, proposition 1). `num_hidden` maps a uniform to a count and
    may hide everything; as a ratio the law is uniform on (0, 1).

    >>> LikelihoodUniform().mean()
    0.5
    """

    def __str__(self) -> str:
        return "likelihood"

    def mean(self, progress: float = 0.0) -> float:
        return 0.5

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        return np.asarray(u, dtype=np.float64)

    def density(self, ratios: ArrayLike, progress: float = 0.0) -> Array:
        r = np.asarray(ratios, dtype=np.float64)
        return ((r >= 0) & (r <= 1)).astype(np.float64)


@checked()
def num_hidden(
    law: Law, u: ArrayLike, eligible: ArrayLike, progress: float = 0.0
) -> NDArray[np.int64]:
    """Return how many of the eligible positions a law hides: the only place that rounds.

    round(ratio * eligible), half up, kept between 1 and eligible - 1 where there are two or more
    eligible positions. `LikelihoodUniform` is 1 + floor(u * eligible) instead: exactly uniform on
    1..eligible, where everything may be hidden.

    Uniforms `u` in (0, 1) are broadcast against the numbers of eligible positions.

    >>> from maskwise.laws import Fixed
    >>> num_hidden(Fixed(0.75), 0.5, [64, 10, 2, 1, 0]).tolist()
    [48, 8, 1, 1, 0]
    """
    eligible = np.asarray(eligible, dtype=np.int64)
    if isinstance(law, LikelihoodUniform):
        return np.minimum(1 + np.floor(np.asarray(u) * eligible).astype(np.int64), eligible)
    # The small nudge keeps products such as 0.7 * 45 = 31.499999999999996 on the half.
    counts = np.floor(law.draw(u, progress) * eligible + (0.5 + 1e-9)).astype(np.int64)
    return np.minimum(np.clip(counts, 1, np.maximum(eligible - 1, 1)), eligible)


@checked(k=1)
def effective(
    law: Law, reduction: Reduction, scope: Scope, progress: float = 0.0, k: int = 64
) -> tuple[Array, Array]:
    """Return (ratios, weights) of the law that the loss sees.

    A mean over all hidden positions of a batch whose samples have ratios of their own gives a
    sample a weight in proportion to its ratio, which tilts the law: density(r) r / E[r]. With one
    ratio per step, and with the other reductions, the loss sees the law itself.

    >>> from maskwise.laws import Uniform
    >>> ratios, weights = effective(Uniform(0.0, 1.0), "token_mean", "sample")
    >>> round(float(ratios @ weights), 4)
    0.6667
    """
    ratios, weights = law.quadrature(k, progress)
    if scope == "sample" and reduction == "token_mean":
        weights = weights * ratios / (weights @ ratios)
    return ratios, weights
