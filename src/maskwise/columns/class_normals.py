"""A normal distribution for each class: what any visible part of a row says of the class."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from maskwise.columns.factors import Factors

NUM = 8  # factors of each class, and of what all have in common
ITERATIONS = 8  # of EM
SHARE = 0.5  # of each class's covariance that is what all have in common, at least
WORTH = 10.0  # rows that what all have in common is worth
LEAST = 0.02  # weight of a row in a class that counts
FLOOR = 0.05  # of noise, of standardised columns
MOST = 2**22  # numbers that are held at once


@dataclass(frozen=True)
class ClassNormals:
    """Factors and noise of each class: x = μ_k + W_k z + e, given that x is of class k.

    Of the visible columns V of a row the density is that of the normal distribution of x_V, so
    that log p(k | x_V) = log p(k) + log N(x_V; μ_k, (W_k W_k' + Ψ_k)_V) + constant is exact for
    every part of a row: linear discriminant analysis where the classes have one covariance,
    quadratic where each has its own. With Λ_V = W_V' Ψ_V⁻¹ W_V + I no matrix is larger than the
    factors' (Woodbury's identity).

    Args:
        prior: log-probabilities of the classes, [K].
        mean: μ, [K, D].
        loadings: W, [K, D, Q], or [1, D, Q] where all are the same.
        noise: Ψ, [K, D] or [1, D].

    Source: Hinton, Dayan and Revow, Modeling the manifolds of images of handwritten digits (IEEE
    Transactions on Neural Networks 8, 1997), on factors of each class; Friedman, Regularized
    discriminant analysis (JASA 84, 1989), on covariances between own and common ones.

    >>> model = ClassNormals(np.log([0.5, 0.5]), np.array([[0.0], [2.0]]), np.zeros((1, 1, 1)),
    ...                      np.ones((1, 1)))
    >>> model.logits(np.array([[1.0], [3.0], [np.nan]])).round(2).tolist()
    [[-1.19, -1.19], [-5.19, -1.19], [-0.69, -0.69]]
    """

    prior: np.ndarray
    mean: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray

    @classmethod
    def learn(cls, x: np.ndarray, weights: np.ndarray, prior: np.ndarray) -> tuple[Self, Self]:
        """Return classes of one covariance, and classes each with its own, by EM.

        Args:
            x: standardised columns, [N, D] with NaN where nothing is known.
            weights: how much of each row is of each class, [N, K].
            prior: log-probabilities of the classes, [K].
        """
        rows, kinds = np.nonzero(weights > LEAST)
        size = weights.sum(axis=0)
        own = [_fitted(x, weights[:, kind]) for kind in range(weights.shape[1])]
        everything = _mean(x, np.ones(len(x)))
        kept = (size / (size + 1))[:, None]  # a class of few rows is near the middle of all
        mean = kept * np.stack([each.mean for each in own]) + (1 - kept) * everything
        common = _fitted(x[rows] - mean[kinds], weights[rows, kinds])
        alike = cls(prior, mean, common.loadings[None], common.noise.clip(FLOOR)[None])
        share = np.maximum(WORTH / (size + WORTH), SHARE)[:, None]
        noise = (1 - share) * np.stack([each.noise for each in own]) + share * common.noise
        loadings = np.zeros((len(size), x.shape[1], 2 * NUM))
        for kind, each in enumerate(own):
            loadings[kind, :, : each.loadings.shape[1]] = each.loadings
        loadings *= np.sqrt(1 - share)[:, :, None]
        num = common.loadings.shape[1]
        loadings[:, :, NUM : NUM + num] = np.sqrt(share)[:, :, None] * common.loadings
        return alike, cls(prior, mean, loadings, noise.clip(FLOOR))

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return log p(k) + log p(x_V | k) but for a constant of the row, float64 [N, K]."""
        num = self.loadings.shape[2]
        few = max(MOST // (num * num + 4 * x.shape[1]), 1)
        parts = [self._part(x[start : start + few]) for start in range(0, len(x), few)]
        return np.concatenate([np.zeros((0, len(self.prior))), *parts])

    def _part(self, x: np.ndarray) -> np.ndarray:
        known = ~np.isnan(x)
        seen, filled = known.astype(np.float64), np.where(known, x, 0)
        found, num = np.empty((len(x), len(self.prior))), self.loadings.shape[2]
        for kind, mean in enumerate(self.mean):
            if kind < len(self.noise):
                noise, loadings = self.noise[kind], self.loadings[kind]
                scaled = loadings / noise[:, None]
                pairs = (scaled[:, :, None] * loadings[:, None, :]).reshape(len(noise), -1)
                root = np.linalg.cholesky((seen @ pairs).reshape(-1, num, num) + np.eye(num))
                log_det = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
                log_det += seen @ np.log(noise)
            off = filled - seen * mean
            told = np.linalg.solve(root, (off @ scaled)[:, :, None])[:, :, 0]
            square = np.square(off) @ (1 / noise) - np.square(told).sum(axis=1)
            found[:, kind] = self.prior[kind] - (square + log_det) / 2
        return found


def _fitted(x: np.ndarray, weights: np.ndarray) -> Factors:
    rows = (weights > LEAST) & ~np.isnan(x).all(axis=1)
    if not rows.any():  # a class that only left-out rows are of
        return Factors(np.zeros(x.shape[1]), np.zeros((x.shape[1], 1)), np.ones(x.shape[1]))
    return Factors.fit(x[rows], NUM, weights=weights[rows], iterations=ITERATIONS)


def _mean(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    known = ~np.isnan(x)
    return np.asarray((weights @ np.where(known, x, 0)) / (weights @ known).clip(1e-9))
