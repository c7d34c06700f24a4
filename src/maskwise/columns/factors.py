"""The normal distribution of wide rows with holes: a few factors, and noise of each column."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.random import Generator

MOST = 2**22  # numbers in the matrices of factors that are held at once
RIDGE = 1.0  # of loadings: as much as one row of factors of variance 1
FLOOR = 1e-4  # of the noise of standardised columns


class Factor(NamedTuple):
    """What is known of the factors of some rows."""

    rows: slice
    mean: np.ndarray
    """[n, K]"""
    covariance: np.ndarray
    """[n, K, K]"""


@dataclass(frozen=True)
class Factors:
    """Factor analysis of rows, any part of which may be missing: x = μ + W z + e.

    The factors z are N(0, I), the noise e_j is N(0, ψ_j). With the visible columns V of a row,

        C = (I + Σ_{j in V} w_j w_j' / ψ_j)⁻¹, z̄ = C Σ_{j in V} w_j (x_j - μ_j) / ψ_j,

    and a hidden column has mean μ_j + w_j'z̄ and variance w_j'C w_j + ψ_j. No matrix is of size
    D x D.

    Args:
        mean: μ, [D].
        loadings: W, [D, K].
        noise: ψ, [D].

    Example:
        >>> model = Factors(np.zeros(2), np.ones((2, 1)), np.ones(2))
        >>> mean, variance = model.conditional(np.array([[3.0, np.nan]]))
        >>> mean.round(6).tolist(), variance.round(6).tolist()
        ([[3.0, 1.5]], [[0.0, 1.5]])
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        num: int,
        *,
        weights: np.ndarray | None = None,
        start: Self | None = None,
        iterations: int = 20,
    ) -> Self:
        """Return the distribution of rows [N, D] with NaN where nothing is known, by EM.

        It has `num` factors, or half as many as there are rows or columns; it starts from
        principal components of the rows with means in their holes, or from a `start` of as many.
        A row counts as often as `weights`, [N], say. Loadings have a prior of one row's weight:
        each iteration climbs

            log p(x) - Σ_j w_j'w_j / (2 ψ_j).

        Source: Little and Rubin, Statistical analysis with missing data (2nd edition, 2002),
        section 11.2.
        """
        told = ~np.isnan(x).all(axis=1)
        weight = np.ones((told.sum(), 1)) if weights is None else weights[told, None]
        x = x[told]
        num = min(num, (min(x.shape) + 1) // 2)
        same = start and start.loadings.shape[1] == num
        model = start if start and same else cls._components(x, num, weight)
        known = ~np.isnan(x)
        for _ in range(iterations if len(x) else 0):
            model = model._improved(np.where(known, x, 0), known.astype(np.float64), weight)
        return model

    @property
    def centred(self) -> Self:
        """The same around 0."""
        return replace(self, mean=np.zeros_like(self.mean))

    def conditional(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each value given the visible ones of its row, [N, D] each.

        A visible value is its own mean, and has variance 0.
        """
        mean, variance = np.array(x, dtype=np.float64), np.zeros(x.shape)
        hidden = np.isnan(x)
        for rows, factors, covariance in self._factors(
            np.where(hidden, 0, x - self.mean), ~hidden
        ):
            spread = covariance.reshape(len(factors), -1) @ self._pairs().T + self.noise
            expected = self.mean + factors @ self.loadings.T
            mean[rows] = np.where(hidden[rows], expected, mean[rows])
            variance[rows] = np.where(hidden[rows], spread, 0)
        return mean, variance

    def draw(self, x: np.ndarray, rng: Generator) -> np.ndarray:
        """Return rows whose holes are drawn from what is likely given the rest, [N, D]."""
        drawn, hidden = np.array(x, dtype=np.float64), np.isnan(x)
        for rows, mean, covariance in self._factors(np.where(hidden, 0, x - self.mean), ~hidden):
            root = np.linalg.cholesky(covariance)
            factors = mean + np.einsum("nij,nj->ni", root, rng.standard_normal(mean.shape))
            noise = rng.standard_normal(drawn[rows].shape) * np.sqrt(self.noise)
            found = self.mean + factors @ self.loadings.T + noise
            drawn[rows] = np.where(hidden[rows], found, drawn[rows])
        return drawn

    def chained(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each visible value given those in columns before its own.

        [N, D] each; NaN where nothing is visible. A filter: each value changes what is known of
        the factors of its row.
        """
        known, num = ~np.isnan(x), self.loadings.shape[1]
        found, spread = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        few = max(MOST // num**2, 1)
        for start in range(0, len(x), few):
            rows = np.arange(start, min(start + few, len(x)))
            mean, covariance = np.zeros((len(rows), num)), np.tile(np.eye(num), (len(rows), 1, 1))
            for column, (loading, noise) in enumerate(zip(self.loadings, self.noise, strict=True)):
                own = np.flatnonzero(known[rows, column])
                told = covariance[own] @ loading
                at = rows[own], column
                spread[at] = told @ loading + noise
                found[at] = self.mean[column] + mean[own] @ loading
                gain = told / spread[at][:, None]
                mean[own] += gain * (x[at] - found[at])[:, None]
                covariance[own] -= gain[:, :, None] * told[:, None, :]
        return found, spread

    def ordered(self, columns: np.ndarray) -> Self:
        """Return the distribution of the same columns in another order, int64 [D]."""
        return replace(
            self,
            mean=self.mean[columns],
            loadings=self.loadings[columns],
            noise=self.noise[columns],
        )

    @classmethod
    def _components(cls, x: np.ndarray, num: int, weight: np.ndarray) -> Self:
        """Return probabilistic principal components of rows with 0 in their holes."""
        from sklearn.utils.extmath import randomized_svd

        known, size = ~np.isnan(x), max(weight.sum(), 1e-9)
        count = (weight * known).sum(axis=0)
        mean = (weight * np.where(known, x, 0)).sum(axis=0) / np.where(count > 0, count, 1)
        held = np.where(known, x - mean, 0) * np.sqrt(weight)
        _, values, vectors = randomized_svd(held, num, random_state=0)
        total = np.square(held).sum(axis=0) / size
        loadings = vectors.T * values / np.sqrt(size)
        noise = total - np.square(loadings).sum(axis=1)
        return cls(mean, loadings, noise.clip(max(total.mean() / 10, FLOOR)))

    def _pairs(self) -> np.ndarray:
        """Return products of loadings, [D, K K]."""
        pairs = self.loadings[:, :, None] * self.loadings[:, None, :]
        return pairs.reshape(len(self.loadings), -1)

    def _factors(self, deviation: np.ndarray, known: np.ndarray) -> Iterator[Factor]:
        """Give what is known of factors, from deviations that are 0 where nothing is known."""
        num = self.loadings.shape[1]
        pairs, scaled = self._pairs() / self.noise[:, None], self.loadings / self.noise[:, None]
        few = max(MOST // num**2, 1)
        for start in range(0, len(deviation), few):
            rows = slice(start, start + few)
            precision = (known[rows] @ pairs).reshape(-1, num, num) + np.eye(num)
            covariance = np.linalg.inv(precision)
            covariance = (covariance + np.swapaxes(covariance, 1, 2)) / 2
            told = deviation[rows] @ scaled
            yield Factor(rows, np.einsum("nij,nj->ni", covariance, told), covariance)

    def _improved(self, x: np.ndarray, known: np.ndarray, weight: np.ndarray) -> Self:
        """Return the distribution after an iteration of EM; x is 0 where not known, 1 or 0."""
        width, num = self.loadings.shape
        second, cross = np.zeros((width, (num + 1) ** 2)), np.zeros((width, num + 1))
        for rows, mean, covariance in self._factors((x - self.mean) * known, known):
            z = np.hstack([mean, np.ones((len(mean), 1))])  # the last is for the mean
            moment = z[:, :, None] * z[:, None, :]
            moment[:, :num, :num] += covariance
            moment *= weight[rows, :, None]
            second += known[rows].T @ moment.reshape(len(z), -1)
            cross += x[rows].T @ (z * weight[rows])
        second = second.reshape(width, num + 1, num + 1)
        ridge = np.diag([RIDGE] * num + [1e-9])
        found = np.linalg.solve(second + ridge, cross[:, :, None])[:, :, 0]
        square = (np.square(x) * weight).sum(axis=0) - 2 * (found * cross).sum(axis=1)
        square += np.einsum("di,dij,dj->d", found, second, found)
        square += RIDGE * np.square(found[:, :num]).sum(axis=1)
        noise = square / (known * weight).sum(axis=0).clip(1)
        return type(self)(found[:, num], found[:, :num], noise.clip(FLOOR))
