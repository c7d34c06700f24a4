"""How likely rows are in closed form: densities of numbers, probabilities of what is counted."""

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from maskwise.columns.closed_form import DISTINCT, ClosedForm, owners

SPIKE = 0.05  # share of the values that lie on a bound, at least
FAR = 9.0  # scores beyond which nothing is

Whole = dict[int, tuple[float, float, float]]
"""step, least and largest value of features of whole numbers, in the units of samples"""


def log_density(closed: ClosedForm, samples: np.ndarray, whole: Whole) -> np.ndarray:
    """Return the log-likelihoods of samples [N, F], nats, float64 [N]; of what is there only.

    Categories come first, each given those before, as they are drawn; then numbers given the
    categories, and then whole numbers and those of a few values, each given all before.

    A number has a density: that of its normal score times how fast that changes. Of values that
    were seen again and again, each has the probability of its interval of the scores (ordered
    probit), and others count as the nearest; other whole numbers have the probability that a
    number is rounded to them, the least and the largest that it is that or beyond. So has a bound
    on which a twentieth of the values of a column with normal scores lie.
    """
    found, kinds = np.zeros(len(samples)), np.array(closed.sizes, dtype=int)
    given = np.full(samples.shape, np.nan)
    for feature in np.flatnonzero(kinds).tolist():
        rows = np.flatnonzero(~np.isnan(samples[:, feature]))
        shares = closed.shares(given[rows], feature)
        found[rows] += np.log(shares[np.arange(len(rows)), samples[rows, feature].astype(int)])
        given[:, feature] = samples[:, feature]
    columns, owner = closed.columns(samples), owners(closed.sizes)
    heads = [_Head(closed, each) for each in range(len(closed.mean))]
    few = [each for each, (values, _) in closed.steps.items() if len(values) <= DISTINCT]
    counted = np.isin(owner, list(whole)) | np.isin(np.arange(len(owner)), few)
    rank = np.where(kinds[owner] > 0, 0, 1 + counted)
    order = np.argsort(rank, kind="stable")
    scores = np.column_stack([head.scores(x) for head, x in zip(heads, columns.T, strict=True)])
    mean, variance = closed.gaussian.ordered(order).chained(scores[:, order])
    for place, column in enumerate(order.tolist()):
        rows = np.flatnonzero(~np.isnan(columns[:, column]))
        told = columns[rows, column], mean[rows, place], np.sqrt(variance[rows, place])
        if rank[column] == 1:
            found[rows] += heads[column].log_density(*told)
        elif column in closed.steps and rank[column]:
            found[rows] += log_step(*told, *closed.steps[column])
        elif rank[column]:
            found[rows] += heads[column].log_rounded(*told, *whole[int(owner[column])])
    return found


class _Head:
    """From what a normal distribution says of a column's scores to what that says of its values.

    Scores go on beyond those known, on a line, but for bounds.
    """

    def __init__(self, closed: ClosedForm, column: int) -> None:
        self.mean, self.std = closed.mean[column], closed.std[column]
        line = np.array([-FAR, FAR])  # where a column has no normal scores
        values, levels = closed.knots.get(column, (line, line))
        self.low, self.high = bounds(levels)
        if not np.isfinite(self.low):
            values, levels = _further(values, levels)
        if not np.isfinite(self.high):
            values, levels = (-each[::-1] for each in _further(-values[::-1], -levels[::-1]))
        self.values, self.levels = values, levels

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of standardised values [N]."""
        return self._scores(x, self.values, self.levels)

    def log_density(self, x: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return log-densities of standardised values [N] in the units of samples."""
        values, levels = self._inside(0.0)
        off = (self._scores(x, values, levels) - mean) / spread
        slopes = np.diff(levels) / np.diff(values)
        place = np.searchsorted(values, x, side="right") - 1
        found = -0.5 * (np.log(2 * np.pi) + np.square(off)) - np.log(spread * self.std)
        found += np.log(slopes[place.clip(0, len(slopes) - 1)])
        if np.isfinite(self.low):
            found = np.where(x <= values[0], log_ndtr((self.low - mean) / spread), found)
        if np.isfinite(self.high):
            found = np.where(x >= values[-1], log_ndtr((mean - self.high) / spread), found)
        return np.asarray(found)

    def log_rounded(
        self,
        x: np.ndarray,
        mean: np.ndarray,
        spread: np.ndarray,
        step: float,
        least: float,
        most: float,
    ) -> np.ndarray:
        """Return log-probabilities that numbers are rounded to standardised values [N]."""
        step, least, most = (
            step / self.std,
            (least - self.mean) / self.std,
            (most - self.mean) / self.std,
        )
        x, known = x.clip(least, most), self._inside(step / 2)
        below, above = (
            (self._scores(x + each, *known) - mean) / spread for each in (-step / 2, step / 2)
        )
        low = np.where(x < least + step / 2, -np.inf, below)
        high = np.where(x > most - step / 2, np.inf, above)
        return log_between(low, high)

    def _inside(self, margin: float) -> tuple[np.ndarray, np.ndarray]:
        """Return values and scores between bounds, which begin so far inside of them."""
        values, levels = self.values.copy(), self.levels.copy()
        if np.isfinite(self.low):
            values[0], levels[0] = values[0] + margin, self.low
        if np.isfinite(self.high):
            values[-1], levels[-1] = values[-1] - margin, self.high
        return values, levels

    def _scores(self, x: np.ndarray, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Return the scores of standardised values [N], given those of some."""
        slopes = np.diff(levels) / np.diff(values)
        found = np.interp(x, values, levels)
        if not np.isfinite(self.low):
            found = found + (x - values[0]).clip(max=0) * slopes[0]
        if not np.isfinite(self.high):
            found = found + (x - values[-1]).clip(min=0) * slopes[-1]
        return np.asarray(found)


def _further(values: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return knots with one far below, on the line that the first twentieth of them makes."""
    inner = max(len(levels) // 20, 1)
    slope = (values[inner] - values[0]) / (levels[inner] - levels[0])
    return np.append(values[0] - FAR * slope, values), np.append(levels[0] - FAR, levels)


def log_step(
    x: np.ndarray, mean: np.ndarray, spread: np.ndarray, values: np.ndarray, cuts: np.ndarray
) -> np.ndarray:
    """Return log-probabilities of the values nearest to x [N], whose scores are parted by cuts."""
    place = np.searchsorted((values[1:] + values[:-1]) / 2, x)
    ends = np.concatenate([[-np.inf], cuts, [np.inf]])
    return log_between((ends[place] - mean) / spread, (ends[place + 1] - mean) / spread)


def log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return log-probabilities that standard normal numbers are within bounds, [N] each.

    >>> log_between(np.array([-np.inf, 20.0]), np.array([0.0, np.inf])).round(2).tolist()
    [-0.69, -203.92]
    """
    turned = low > 0  # tails are exact on the left
    low, high = np.where(turned, -high, low), np.where(turned, -low, high)
    return np.asarray(log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high))))


def bounds(levels: np.ndarray) -> tuple[float, float]:
    """Return the scores below and above which all is on a bound; infinite where there is none.

    A column's first value that has a share p of them has the score of p / 2, see `_knots`.

    >>> from scipy.special import ndtr, ndtri
    >>> low, high = bounds(ndtri([0.15, 0.5, 0.999]))
    >>> round(float(ndtr(low)), 6), high
    (0.3, inf)
    """
    low, high = 2 * ndtr(levels[0]), 2 * ndtr(-levels[-1])
    return (
        float(ndtri(low)) if SPIKE < low < 1 else -np.inf,
        float(-ndtri(high)) if SPIKE < high < 1 else np.inf,
    )
