"""Smooth corrections of filled rows: a ridge regression on their likeness to some of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator

from maskwise.columns.left_over import LeftOver

CENTRES = 128  # rows that others are compared to
RIDGES = (1.0, 10.0, 100.0)  # of which each column has that with the least error
SMALL = 1e-6  # share of the largest eigenvalue below which directions are left out


@dataclass(frozen=True)
class Kernel:
    """The functions Σ_c w_c exp(-|x - x_c|² / s) + b of filled rows x, one for each column.

    They are those of a Gaussian process that is known at the centres x_c only. The errors of a
    ridge regression without each of its rows are (y - ŷ) / (1 - h), h being the row's leverage, so
    that no value has to be held out.

    Source: Rasmussen and Williams, Gaussian processes for machine learning (2006), section 8.1;
    Hastie, Tibshirani and Friedman, The elements of statistical learning (2nd edition, 2009),
    section 7.10.

    Args:
        centres: standardised columns of some rows, [M, D].
        scale: s, the median of their squared distances.
        weights: of the centres, [M, D].
        offset: b, [D].
    """

    centres: np.ndarray
    scale: float
    weights: np.ndarray
    offset: np.ndarray

    @classmethod
    def fit(cls, over: LeftOver, rng: Generator) -> tuple[Self, np.ndarray]:
        """Return what predicts what is left over, and what it says of each known value, [N, D].

        The latter is what regressions without that value say, NaN where nothing is known.
        """
        num, width = over.left.shape
        centres = over.fills[0, rng.permutation(num)[:CENTRES]]
        distances = _squares(centres, centres)
        scale = float(np.median(distances[np.triu_indices(len(centres), 1)])) or 1.0
        values, vectors = np.linalg.eigh(np.exp(-distances / scale))
        kept = values > SMALL * values[-1]
        whitened = vectors[:, kept] / np.sqrt(values[kept])
        likeness = np.stack([_likeness(each, centres, scale) for each in over.fills]) @ whitened
        likeness = np.concatenate([likeness, np.ones((*likeness.shape[:2], 1))], axis=2)
        found, said = np.zeros((likeness.shape[2], width)), np.full((num, width), np.nan)
        for column in range(width):
            rows = over.rows(column)
            x = likeness[over.part[rows, column], rows]
            found[:, column], said[rows, column] = _ridge(x, over.left[rows, column])
        return cls(centres, scale, whitened @ found[:-1], found[-1]), said

    def predict(self, filled: np.ndarray, _: np.ndarray) -> np.ndarray:
        """Return what to add to filled columns, [N, D], wherever their holes are."""
        return _likeness(filled, self.centres, self.scale) @ self.weights + self.offset


def _ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of y [n] on x [n, R], and what is said of each y without it."""
    values, vectors = np.linalg.eigh(x.T @ x)
    turned = x @ vectors
    told, squares = turned.T @ y, np.square(turned)
    tried = []
    for ridge in RIDGES:
        inverse = 1 / (values.clip(0) + ridge)
        off = (y - turned @ (inverse * told)) / (1 - squares @ inverse)
        tried.append((float(off @ off), vectors @ (inverse * told), y - off))
    return min(tried, key=lambda each: each[0])[1:]


def _likeness(x: np.ndarray, centres: np.ndarray, scale: float) -> np.ndarray:
    return np.exp(-_squares(x, centres) / scale)


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return squared distances, [N, M]."""
    total = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    return np.asarray(total.clip(0))
