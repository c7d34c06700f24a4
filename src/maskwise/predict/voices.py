"""Several voices as one: how much the logits of each count, by how much of a sample is visible."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize, nnls
from scipy.special import log_softmax

LEVELS = 5  # of the visible share, at which weights are measured
FEW = 5.0  # answers that the start, equal weights whose sum is 1, is worth
FLOOR = -20.0  # of centred logits: no voice alone rules a class out


@dataclass(frozen=True)
class Voices:
    """What the logits of voices are multiplied by before they are added.

    Of one voice that is 1 / its temperature; of several a logarithmic opinion pool.

    Args:
        shares: visible shares, rising, [S].
        weights: of each voice there, 0 or more, [S, V]; between the shares linear.

    Source: Genest and Zidek, Combining probability distributions (Statistical Science 1, 1986);
    Guo et al., On calibration of modern neural networks (arXiv 1706.04599).

    >>> voices = Voices(np.array([0.0, 1.0]), np.array([[0.0], [2.0]]))
    >>> logits = np.log([[0.8, 0.2]] * 2)
    >>> voices([logits], np.array([0.5, 1.0])).round(2).tolist()
    [[0.8, 0.2], [0.94, 0.06]]
    """

    shares: np.ndarray
    weights: np.ndarray

    @classmethod
    def learn(cls, logits: Sequence[np.ndarray], y: np.ndarray, shares: np.ndarray) -> Self:
        """Return the weights that suit held-out logits, [n, K] of each voice, best by log-loss.

        Args:
            logits: of each voice.
            y: the true classes, [n].
            shares: how much of each sample was visible, [n].
        """
        levels, part = _levels(shares)
        said = np.stack([centred(each) for each in logits])
        found = [_best(said[:, part == place], y[part == place]) for place in range(len(levels))]
        return cls(levels, np.stack(found))

    @classmethod
    def learn_numbers(cls, said: np.ndarray, y: np.ndarray, shares: np.ndarray) -> Self:
        """Return the weights of held-out deviations from the mean, [n, V], by squared error."""
        levels, part = _levels(shares)
        found = [_least(said[part == place], y[part == place]) for place in range(len(levels))]
        return cls(levels, np.stack(found))

    def mixed(self, said: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return the deviation from the mean, float64 [N], of those that voices say, [N, V]."""
        by = [np.interp(shares, self.shares, each) for each in self.weights.T]
        return np.asarray((said * np.stack(by, axis=1)).sum(axis=1))

    def __call__(self, logits: Sequence[np.ndarray], shares: np.ndarray) -> np.ndarray:
        """Return probabilities, float64 [N, K], of the logits of each voice, [N, K]."""
        by = [np.interp(shares, self.shares, each) for each in self.weights.T]
        total = sum(w[:, None] * centred(each) for w, each in zip(by, logits, strict=True))
        return np.asarray(np.exp(log_softmax(total, axis=1)))


def centred(logits: np.ndarray) -> np.ndarray:
    """Return logits whose largest is 0, and none of which is less than a floor.

    >>> centred(np.array([[3.0, 1.0, -np.inf]])).tolist()
    [[0.0, -2.0, -20.0]]
    """
    return np.asarray(np.maximum(logits - logits.max(axis=1, keepdims=True), FLOOR))


def _levels(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return some of the shares, rising, and which is nearest to each: every one to some."""
    at = (np.arange(LEVELS) + 0.5) / LEVELS
    levels = np.unique(np.quantile(shares, at, method="inverted_cdf"))
    return levels, np.abs(shares[:, None] - levels).argmin(axis=1)


def _best(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights of voices, [V], from logits [V, n, K]."""
    num, rows = len(logits), np.arange(len(y))
    true, start = logits[:, rows, y], np.full(num, 1 / num)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = log_softmax(np.einsum("v,vnk->nk", weights, logits), axis=1)
        off = weights - start
        slope = np.einsum("nk,vnk->v", np.exp(log_p), logits) - true.sum(axis=1)
        return -log_p[rows, y].sum() + FEW / 2 * off @ off, slope + FEW * off

    bounds = [(0.0, 8.0)] * num
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)


def _least(said: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights of voices, [V], from what they say, [n, V]."""
    num = said.shape[1]
    few = np.sqrt(FEW * np.square(said).mean()) * np.eye(num)
    matrix, goal = np.concatenate([said, few]), np.concatenate([y, few.sum(axis=1) / num])
    return np.asarray(nnls(matrix, goal)[0])
