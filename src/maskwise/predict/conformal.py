"""How far off answers are, by how much of a sample was visible: what intervals and sets need."""

from dataclasses import dataclass
from typing import Self

import numpy as np

FEWEST = 50  # scores that a range of shares has, at least


@dataclass(frozen=True)
class Calibration:
    """Scores of held-out answers, the larger the worse, in ranges of the visible share.

    With a coverage of 1 - a, and n scores in the range of a sample, the limit is the
    ceil((n + 1)(1 - a))-th smallest of them: a new score of the same range is at most that with a
    probability of 1 - a or more, if it is exchangeable with them.

    Args:
        edges: between the ranges, rising, [R - 1].
        scores: of all ranges, one after the other, each rising, [n].
        starts: where each range begins among them, int64 [R + 1].

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), on Mondrian
    predictors; Lei et al., Distribution-free predictive inference for regression (JASA 113, 2018).

    >>> found = Calibration.learn(np.arange(1, 100) / 100, np.full(99, 0.5))
    >>> found.limits(np.array([0.5]), 0.9).tolist()
    [0.9]
    """

    edges: np.ndarray
    scores: np.ndarray
    starts: np.ndarray

    @classmethod
    def learn(cls, scores: np.ndarray, shares: np.ndarray, num: int = 10) -> Self:
        """Return the calibration of scores [n] at visible shares [n], in `num` ranges or fewer."""
        num = max(min(num, len(scores) // FEWEST), 1)
        edges = np.unique(np.quantile(shares, np.arange(1, num) / num)) if num > 1 else shares[:0]
        part = np.searchsorted(edges, shares, side="right")
        order = np.lexsort((scores, part))
        starts = np.searchsorted(part[order], np.arange(len(edges) + 2))
        return cls(edges, scores[order], starts)

    def limits(self, shares: np.ndarray, coverage: float) -> np.ndarray:
        """Return the limits of scores at visible shares, float64 [N]; inf where scores are few."""
        part = np.searchsorted(self.edges, shares, side="right")
        num = np.diff(self.starts)
        place = np.ceil((num + 1) * coverage - 1e-9).astype(int)
        known = np.append(self.scores, np.inf)
        at = np.where(place <= num, self.starts[:-1] + np.maximum(place, 1) - 1, len(self.scores))
        return np.asarray(known[at][part])


def within(probabilities: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return the classes whose 1 - probability is within limits, bool [N, K]; never none.

    >>> within(np.array([[0.7, 0.2, 0.1]] * 2), np.array([0.85, 0.1])).tolist()
    [[True, True, False], [True, False, False]]
    """
    found = 1 - probabilities <= limits[:, None]
    found[np.arange(len(found)), probabilities.argmax(axis=1)] = True
    return found
