"""How good class scores are: accuracy, Matthews correlation, area under the ROC curve, F1."""

from typing import NamedTuple

import numpy as np

from maskwise.measure.bootstrap import ends
from maskwise.ties import largest


class Measures(NamedTuple):
    """Of predicted classes, and of the scores behind them."""

    accuracy: float
    mcc: float
    auroc: float
    macro_f1: float


class Judge:
    """Measures class scores under any weights of the samples.

    - accuracy: the share of right classes, the ones of highest score;
    - mcc: Matthews correlation, for several classes Gorodkin's R_K; 0 where it is 0 / 0;
    - auroc: of two classes, that of the second one's score; of several, the mean over classes
      of each against the rest. Classes without samples are left out; NaN if none remains;
    - macro_f1: the mean over classes of 2 x right / (samples + predictions) of that class. Classes
      with neither are left out.

    Args:
        scores: of each class, [N, C].
        y: classes, int64 [N].

    Source: Gorodkin, Comparing two K-category assignments by a K-category correlation
    coefficient (Computational Biology and Chemistry 28, 2004).

    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    >>> found = Judge(scores, np.array([0, 0, 1, 1]))()
    >>> found.accuracy, found.auroc, round(found.mcc, 3), round(found.macro_f1, 3)
    (0.75, 0.75, 0.577, 0.733)
    """

    def __init__(self, scores: np.ndarray, y: np.ndarray) -> None:
        self.num_classes = scores.shape[1]
        self.cells = y * self.num_classes + largest(scores, axis=1)
        asked = range(self.num_classes) if self.num_classes > 2 else [1]
        self.is_class = [y == each for each in asked]
        # Equal scores share a place.
        self.places = [np.unique(scores[:, each], return_inverse=True)[1] for each in asked]

    def __call__(self, weights: np.ndarray | None = None) -> Measures:
        """Return the measures; `weights` says how often each sample counts, [N]."""
        weights = np.ones(len(self.cells)) if weights is None else weights
        num = self.num_classes
        confusion = np.bincount(self.cells, weights, num * num).reshape(num, num)
        true, predicted, total = confusion.sum(axis=1), confusion.sum(axis=0), confusion.sum()
        right = np.trace(confusion)
        size = np.sqrt(float((total**2 - true @ true) * (total**2 - predicted @ predicted)))
        mcc = (right * total - true @ predicted) / size if size else 0.0
        either = true + predicted
        f1 = 2 * np.diag(confusion)[either > 0] / either[either > 0]
        areas = [
            _area(place, weights * yes, weights * ~yes)
            for place, yes in zip(self.places, self.is_class, strict=True)
        ]
        found = [area for area in areas if area == area]
        auroc = float(np.mean(found)) if found else float("nan")
        return Measures(float(right / total), float(mcc), auroc, float(f1.mean()))


def judged(
    scores: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int, num: int = 1000
) -> dict[str, dict[str, float | None]]:
    """Return the measures with 95 % percentile bootstrap intervals, resampling whole groups.

    Equal groups and seeds resample the same samples.

    Args:
        scores: of each class, [N, C].
        y: classes, int64 [N].
        groups: samples of one number are resampled together, int64 [N].
        seed: of the resampling.
        num: how many resamples.

    Returns:
        "value", "low" and "high" of each of `Measures`; None where it has no value.
    """
    judge = Judge(scores, y)
    _, groups = np.unique(groups, return_inverse=True)
    num_groups = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(num):
        drawn = rng.integers(0, num_groups, num_groups)
        found.append(judge(np.bincount(drawn, minlength=num_groups)[groups]))
    of = {}
    for name, value, values in zip(Measures._fields, judge(), np.array(found).T, strict=True):
        low, high = ends(values[~np.isnan(values)]) if value == value else (None, None)
        of[name] = {"value": value if value == value else None, "low": low, "high": high}
    return of


def _area(places: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the share of pairs whose positive is above the negative; equal scores count half."""
    above, below = (np.bincount(places, weights) for weights in (positive, negative))
    pairs = above.sum() * below.sum()
    return float(above @ (below.cumsum() - below / 2) / pairs) if pairs else float("nan")
