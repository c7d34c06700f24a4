"""The normal distribution of rows with holes, in closed form: what is missing given the rest."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.random import Generator
from scipy.linalg import solve_triangular

MOST = 2**21  # numbers in the matrices that are inverted at once
FLOOR = 1e-9  # of variances, so that columns that follow from others can be conditioned on


class Block(NamedTuple):
    """Rows that lack equally many values, and the covariances of these given the others."""

    rows: np.ndarray
    """which rows, int64 [n]"""
    columns: np.ndarray
    """which columns each of them lacks, int64 [n, h]"""
    place: np.ndarray
    """which of the covariances is that of each row, int64 [n]"""
    covariances: np.ndarray
    """one for each pattern of holes, [p, h, h]"""
    entries: np.ndarray
    """where their entries stand in a matrix of all columns, int64 [p h h]"""


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution of rows, any part of which may be missing.

    With the precision Ω = Σ⁻¹ and the deviations d = x - μ of the visible columns V, 0 elsewhere,
    what is hidden, H, has

        covariance C = Ω_HH⁻¹, mean μ_H - C (Ω d)_H.

    Rows with the same holes share a C, and those with equally many are inverted at once.

    Args:
        mean: μ, [D].
        covariance: Σ, [D, D].

    Example:
        >>> model = Gaussian(np.zeros(2), np.array([[2.0, 1.0], [1.0, 2.0]]))
        >>> mean, variance = model.conditional(np.array([[3.0, np.nan]]))
        >>> mean.round(6).tolist(), variance.round(6).tolist()
        ([[3.0, 1.5]], [[0.0, 1.5]])
    """

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        shrinkage: float = 0.0,
        *,
        start: Self | None = None,
        iterations: int = 100,
        tol: float = 1e-3,
    ) -> Self:
        """Return the distribution of rows [N, D] with NaN where nothing is known, by EM.

        Each iteration expects what is missing, with its covariance, and takes the moments S of
        that; Σ = (1 - a) S + a I for a `shrinkage` a, which suits standardised columns. With
        a = l / (N + l) it climbs

            log p(x) - l / 2 (log |Σ| + tr Σ⁻¹),

        and with a = 0 the likelihood. It ends after `iterations`, or when no moment changes by
        more than `tol`. Rows without any value tell nothing and are left out.

        Source: Little and Rubin, Statistical analysis with missing data (2nd edition, 2002),
        section 11.2; Schafer, Analysis of incomplete multivariate data (1997), section 5.2.3, for
        the prior.
        """
        x = x[~np.isnan(x).all(axis=1)]
        num = x.shape[1]
        model = cls(np.zeros(num), np.eye(num)) if start is None else start
        holes = Holes(np.isnan(x))
        for _ in range(iterations if len(x) else 0):
            deviation, covariance = model._expect(x, holes)
            step = deviation.mean(axis=0)
            moment = (deviation.T @ deviation + covariance) / len(x) - np.outer(step, step)
            moment = (1 - shrinkage) * moment
            moment[np.diag_indices(num)] += shrinkage + FLOOR
            change = max(np.abs(step).max(), np.abs(moment - model.covariance).max())
            model = cls(model.mean + step, moment)
            if change < tol:
                break
        return model

    @property
    def centred(self) -> Self:
        """The same around 0."""
        return replace(self, mean=np.zeros_like(self.mean))

    def conditional(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each value given the visible ones of its row, [N, D] each.

        A visible value is its own mean, and has variance 0.
        """
        holes, precision = Holes(np.isnan(x)), _inverse(self.covariance)
        mean, variance = np.array(x, dtype=np.float64), np.zeros(x.shape)
        told = np.where(holes.hidden, 0, x - self.mean) @ precision
        for block in holes.blocks(self.covariance, precision):
            at = block.rows[:, None], block.columns
            mean[at] = self.mean[block.columns] - _times(block, told[at])
            variance[at] = np.diagonal(block.covariances, axis1=1, axis2=2)[block.place]
        return mean, variance

    def expected(self, x: np.ndarray) -> np.ndarray:
        """Return rows whose holes have their mean given the rest, [N, D].

        The means of `conditional`, in a third of its time: where rows have holes of their own no
        inverse is needed, only what it makes of one vector.
        """
        holes, precision = Holes(np.isnan(x)), _inverse(self.covariance)
        mean = np.array(x, dtype=np.float64)
        deviation = np.where(holes.hidden, 0, x - self.mean)
        told = deviation @ precision
        for rows, place, blank, known in holes.parts:
            gaps, seen = blank[place], known[place]
            at = rows[:, None], gaps
            if blank.shape[1] <= known.shape[1]:
                part = _within(precision, blank, blank)
                mean[at] = self.mean[gaps] - _solved(part, place, told[at])
            else:  # the same, Σ_HV Σ_VV⁻¹ d_V, where fewer are visible
                part = _within(self.covariance, known, known)
                weights = np.zeros(x[rows].shape)
                each = _solved(part, place, deviation[rows[:, None], seen])
                np.put_along_axis(weights, seen, each, axis=1)
                more = np.take_along_axis(weights @ self.covariance, gaps, axis=1)
                mean[at] = self.mean[gaps] + more
        return mean

    def draw(self, x: np.ndarray, rng: Generator) -> np.ndarray:
        """Return rows whose holes are drawn from what is likely given the rest, [N, D]."""
        holes, precision = Holes(np.isnan(x)), _inverse(self.covariance)
        drawn, normal = np.array(x, dtype=np.float64), rng.standard_normal(x.shape)
        told = np.where(holes.hidden, 0, x - self.mean) @ precision
        for block in holes.blocks(self.covariance, precision):
            at = block.rows[:, None], block.columns
            roots = np.linalg.cholesky(block.covariances)[block.place]
            noise = np.einsum("nij,nj->ni", roots, normal[at])
            drawn[at] = self.mean[block.columns] - _times(block, told[at]) + noise
        return drawn

    def log_likelihood(self, x: np.ndarray) -> float:
        """Return the log-density of all that is visible of rows [N, D], nats."""
        holes, precision = Holes(np.isnan(x)), _inverse(self.covariance)
        deviation = np.where(holes.hidden, 0, x - self.mean)
        told = deviation @ precision
        log_det = np.linalg.slogdet(self.covariance)[1]
        total = (~holes.hidden).sum() * np.log(2 * np.pi) + (told * deviation).sum()
        total += len(x) * log_det
        for block in holes.blocks(self.covariance, precision):
            part = told[block.rows[:, None], block.columns]
            total -= (part * _times(block, part)).sum()
            total -= np.linalg.slogdet(block.covariances)[1][block.place].sum()
        return float(-total / 2)

    def chained(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each visible value given those in columns before its own.

        [N, D] each; NaN where nothing is visible. Products of these densities are the joint one.
        """
        known = ~np.isnan(x)
        mean, variance = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        patterns, place = np.unique(known, axis=0, return_inverse=True)
        order = np.argsort(place.ravel(), kind="stable")
        groups = np.split(order, np.cumsum(np.bincount(place.ravel()))[:-1])
        for pattern, rows in zip(patterns, groups, strict=True):
            columns = np.flatnonzero(pattern)
            at = np.ix_(rows, columns)
            root = np.linalg.cholesky(self.covariance[np.ix_(columns, columns)])
            told = solve_triangular(root, (x[at] - self.mean[columns]).T, lower=True).T
            spread = np.diagonal(root)
            mean[at], variance[at] = x[at] - told * spread, np.square(spread)
        return mean, variance

    def ordered(self, columns: np.ndarray) -> Self:
        """Return the distribution of the same columns in another order, int64 [D]."""
        return replace(
            self, mean=self.mean[columns], covariance=self.covariance[np.ix_(columns, columns)]
        )

    def _expect(self, x: np.ndarray, holes: "Holes") -> tuple[np.ndarray, np.ndarray]:
        """Return expected deviations from the mean, [N, D], and the sum of their covariances."""
        precision, num = _inverse(self.covariance), len(self.mean)
        deviation = np.where(holes.hidden, 0, x - self.mean)
        told, total = deviation @ precision, np.zeros(num * num)
        for block in holes.blocks(self.covariance, precision):
            at = block.rows[:, None], block.columns
            deviation[at] = -_times(block, told[at])
            times = np.bincount(block.place, minlength=len(block.covariances))
            weights = block.covariances * times[:, None, None]
            total += np.bincount(block.entries, weights.ravel(), minlength=num * num)
        return deviation, total.reshape(num, num)


class Holes:
    """Rows sorted by how many values they lack, and by which.

    `parts` has for each number of holes which rows lack so many, int64 [n], which pattern each of
    them has, [n], and what the patterns hide and show, int64 [p, h] and [p, D - h].

    Args:
        hidden: bool [N, D].
    """

    def __init__(self, hidden: np.ndarray) -> None:
        self.hidden = hidden
        packed = np.packbits(hidden, axis=1)
        keys = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1])))[:, 0]
        _, first, pattern = np.unique(keys, return_index=True, return_inverse=True)
        sizes = hidden[first].sum(axis=1)
        self.parts: list[tuple[np.ndarray, ...]] = []
        few = max(MOST // hidden.shape[1] ** 2, 1)
        for size in np.unique(sizes[sizes > 0]).tolist():
            every = np.flatnonzero(sizes[pattern] == size)
            every = every[np.argsort(pattern[every], kind="stable")]
            for rows in np.split(every, range(few, len(every), few)):
                which, place = np.unique(pattern[rows], return_inverse=True)
                masks = hidden[first[which]]
                blank, known = (
                    np.nonzero(each)[1].reshape(len(which), -1) for each in (masks, ~masks)
                )
                self.parts.append((rows, place, blank, known))

    def blocks(self, covariance: np.ndarray, precision: np.ndarray) -> Iterator[Block]:
        """Give the rows with holes, with the covariances of these, from Σ and Ω, [D, D]."""
        for rows, place, blank, known in self.parts:
            entries = blank[:, :, None] * len(precision) + blank[:, None, :]
            if blank.shape[1] <= known.shape[1]:
                found = np.linalg.inv(precision.take(entries))
            else:  # the same, Σ_HH - Σ_HV Σ_VV⁻¹ Σ_VH, where fewer are visible
                cross = _within(covariance, blank, known)
                inner = np.linalg.inv(_within(covariance, known, known))
                found = covariance.take(entries) - cross @ inner @ np.swapaxes(cross, 1, 2)
            yield Block(rows, blank[place], place, found, entries.ravel())


def _times(block: Block, told: np.ndarray) -> np.ndarray:
    """Return the covariance of each row of a block times what is told of its holes, [n, h]."""
    return np.einsum("nij,nj->ni", block.covariances[block.place], told)


def _within(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return parts of a matrix, [p, h, k], whose rows and columns are int64 [p, h] and [p, k]."""
    return matrix.take(rows[:, :, None] * len(matrix) + columns[:, None, :])


def _solved(matrices: np.ndarray, place: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Return A⁻¹ b of rows b [n, h], each with one of the matrices A [p, h, h]."""
    if 2 * len(matrices) > len(told):
        return np.asarray(np.linalg.solve(matrices[place], told[:, :, None])[:, :, 0])
    return np.asarray(np.einsum("nij,nj->ni", np.linalg.inv(matrices)[place], told))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Return the inverses of symmetric matrices [..., D, D], symmetric too."""
    found = np.linalg.inv(matrix)
    return (found + np.swapaxes(found, -1, -2)) / 2
