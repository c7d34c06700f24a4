"""Rows of numbers and categories as one normal distribution: chosen, fitted, asked, drawn from."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Self

import numpy as np
from scipy.special import ndtri

from maskwise.columns.factors import Factors
from maskwise.columns.gaussian import Gaussian
from maskwise.columns.tabular import column_means, one_hot

SHRINKAGES = (0.1, 0.01, 0.001, 1e-4)  # of which that is taken that predicts held-out values best,
MORE = 0.3  # of few rows, if the first of these is the best
NUM_FACTORS = (4, 8, 16, 32)  # ... or, of this many factors, where columns are ...
WIDE = 150  # ... more than these
ROUNDS, LAST = 5, 8  # iterations of EM for each of them, and with all values
AGAIN, MANY = 20, 10  # iterations for other rows, from what is known of all; rows for a column
HELD_OUT = 10  # one of so many values
ENOUGH, TIMES = 500, 5  # held-out values; in small tables drawn several times, at most so often
MOST_ROWS = 4000  # that are fitted to, or 40 times as many as columns
KNOTS, DISTINCT = 256, 10  # of normal scores; values of a column that has them, at least
BEYOND = 0.5  # how far normal scores go on where nothing was seen
LEAST = 1e-6  # probability of a category that is drawn
GAIN = 0.01  # share of the error that normal scores must save
# The mean of g(m + s n) over a standard normal n is a sum over these.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
WEIGHTS = WEIGHTS / WEIGHTS.sum()

Knots = dict[int, tuple[np.ndarray, np.ndarray]]
"""increasing values of standardised columns, and their normal scores, by the column's number"""
Normal = Gaussian | Factors


@dataclass(frozen=True)
class ClosedForm:
    """A normal distribution of rows of numbers and categories.

    Features become columns: a number is standardised, and may become a normal score after that (a
    Gaussian copula); a category is one-hot, without the last of its kinds, which is what the
    others leave over.

    Args:
        sizes: categories of each feature, 0 = a number; F of them.
        mean: of each column, [D].
        std: the same.
        knots: of the columns that become normal scores.
        gaussian: of the columns.
        setting: its shrinkage, or from 1 its number of factors.
        steps: of the columns of numbers that mostly repeat, the values seen, [K], and the scores
            that part them, [K - 1]: thresholds at which a latent normal number has their shares.

    Example:
        >>> latent = np.random.default_rng(0).normal(size=(200, 1))
        >>> model = ClosedForm.learn(np.hstack([latent, 2 * latent]), (0, 0))
        >>> model.expected(np.array([[1.0, np.nan]])).round(1).tolist()
        [[1.0, 2.0]]
    """

    sizes: tuple[int, ...]
    mean: np.ndarray
    std: np.ndarray
    knots: Knots
    gaussian: Normal
    setting: float = SHRINKAGES[-1]
    steps: Knots = field(default_factory=dict)

    @classmethod
    def learn(cls, samples: np.ndarray, sizes: tuple[int, ...], *, seed: int = 0) -> Self:
        """Return what describes samples, [N, F] with NaN in their holes.

        The shrinkage, and whether numbers become normal scores, is what predicts held-out values
        best.
        """
        rng = np.random.default_rng([seed, 1])  # no stream that masks are likely to be drawn from
        most = max(MOST_ROWS, 40 * samples.shape[1])
        if len(samples) > most:
            samples = samples[np.sort(rng.choice(len(samples), most, replace=False))]
        x = columns_of(samples, sizes)
        mean = column_means(x)
        std = np.sqrt(column_means(np.square(x - mean)))
        std = np.where(std > 0, std, 1.0)
        x = (x - mean) / std
        held_out = list(_held_out(samples, sizes, rng))
        start, setting, scored = _chosen(x, held_out, sizes, weights_of(sizes, std))
        knots = _knots(x, sizes) if scored else {}
        gaussian = _fit(_scores(x, knots), setting, start, LAST)
        return cls(sizes, mean, std, knots, gaussian, setting, _steps(x, sizes))

    def columns(self, samples: np.ndarray) -> np.ndarray:
        """Return samples [N, F] as standardised columns, float64 [N, D]."""
        return (columns_of(samples, self.sizes) - self.mean) / self.std

    def scores(self, columns: np.ndarray) -> np.ndarray:
        """Return standardised columns as they are in the normal distribution, [N, D]."""
        return _scores(columns, self.knots)

    def fill(self, columns: np.ndarray) -> np.ndarray:
        """Return standardised columns whose holes are filled with what is expected, [N, D]."""
        return _fill(self.gaussian, columns, self.knots)

    def expected(self, samples: np.ndarray) -> np.ndarray:
        """Return samples whose holes are filled with what is expected, float64 [N, F].

        Of categories the likeliest.
        """
        return self.features(samples, self.fill(self.columns(samples)))

    def features(self, samples: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return samples [N, F] whose holes are filled from standardised columns [N, D]."""
        found = features_of(columns * self.std + self.mean, self.sizes)
        return np.where(np.isnan(samples), found, samples)

    def shares(
        self, samples: np.ndarray, feature: int, more: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Return probabilities of the categories of a feature that rows [N, F] lack, [N, K]."""
        expected = (self.fill(self.columns(samples)) + more) * self.std + self.mean
        found = _shares(expected[:, owners(self.sizes) == feature]).clip(LEAST)
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def draw(
        self,
        samples: np.ndarray,
        seed: int | tuple[int, ...],
        more: np.ndarray | float = 0.0,
        spread: np.ndarray | float = 1.0,
    ) -> np.ndarray:
        """Return samples whose holes are drawn from what is likely given the rest, [N, F].

        Categories are drawn one after the other, each given those before, and then all numbers
        together. `more`, [N, D], is added to what is expected, and deviations from that are
        multiplied by `spread`, [D]. Columns that mostly repeat get values that were seen.
        """
        samples, rng = np.array(samples, dtype=np.float64), np.random.default_rng(seed)
        more = np.broadcast_to(more, (len(samples), len(self.mean)))
        uniform = rng.random(samples.shape)
        for feature in np.flatnonzero(self.sizes).tolist():
            rows = np.flatnonzero(np.isnan(samples[:, feature]))
            levels = self.shares(samples[rows], feature, more[rows]).cumsum(axis=1)
            samples[rows, feature] = (levels < uniform[rows, feature, None]).sum(axis=1)
        columns = self.columns(samples)
        scores = self.gaussian.draw(_scores(columns, self.knots), rng)
        drawn, expected = _values(scores, self.knots), self.fill(columns)
        for column, (values, cuts) in self.steps.items():
            drawn[:, column] = values[np.searchsorted(cuts, scores[:, column])]
        found = expected + more + (drawn - expected) * spread
        for column, (values, _) in self.steps.items():
            found[:, column] = values[np.searchsorted(_middles(values), found[:, column])]
        return self.features(samples, found)

    def again(self, samples: np.ndarray) -> Self:
        """Return what describes other samples [N, F], by EM from here; nothing is chosen anew.

        A shrinkage that is best for predictions makes relations weaker than they are. Where rows
        are many it is that of a single row, so that what is estimated of draws is not biased.
        """
        x, setting = self.columns(samples), self.setting
        if setting < 1 and len(x) > MANY * x.shape[1]:
            setting = min(setting, 1 / len(x))
        knots = _knots(x, self.sizes) if self.knots else {}
        gaussian = _fit(_scores(x, knots), setting, self.gaussian, AGAIN)
        return replace(self, knots=knots, gaussian=gaussian, steps=_steps(x, self.sizes))


def owners(sizes: tuple[int, ...]) -> np.ndarray:
    """Return the feature that each column is of, int64 [D].

    >>> owners((0, 3, 2)).tolist()
    [0, 1, 1, 2]
    """
    return np.repeat(np.arange(len(sizes)), [max(size - 1, 1) for size in sizes])


def weights_of(sizes: tuple[int, ...], std: np.ndarray) -> np.ndarray:
    """Return what squared errors of standardised columns count, [D]; a category's as a share.

    >>> weights_of((0, 2), np.array([5.0, 0.5])).tolist()
    [1.0, 0.25]
    """
    return np.where(np.array(sizes)[owners(sizes)] == 0, 1.0, np.square(std))


def columns_of(samples: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return samples [N, F] with K - 1 columns for a feature of K categories, float64 [N, D].

    >>> columns_of(np.array([[0.5, 1.0], [np.nan, np.nan]]), (0, 3)).tolist()
    [[0.5, 0.0, 1.0], [nan, nan, nan]]
    """
    ends = np.cumsum([size or 1 for size in sizes])
    last = [end - 1 for end, size in zip(ends, sizes, strict=True) if size > 1]
    return np.delete(one_hot(samples, sizes), last, axis=1).astype(np.float64)


def features_of(columns: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return numbers, and of categories the code of the likeliest: the inverse of `columns_of`.

    >>> features_of(np.array([[0.5, 0.2, 0.3]]), (0, 3)).tolist()
    [[0.5, 2.0]]
    """
    found, owner = np.empty((len(columns), len(sizes))), owners(sizes)
    for feature, size in enumerate(sizes):
        part = columns[:, owner == feature]
        found[:, feature] = _shares(part).argmax(axis=1) if size else part[:, 0]
    return found


def _shares(expected: np.ndarray) -> np.ndarray:
    """Return what is expected of all kinds of a category, [N, K], from all but the last."""
    return np.hstack([expected, 1 - expected.sum(axis=1, keepdims=True)])


def _held_out(
    samples: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Give which columns are held out, bool [N, D]: a tenth of what is known, several times."""
    known = ~np.isnan(samples)
    parts = rng.integers(HELD_OUT, size=samples.shape)
    for part in range(min(max(ENOUGH * HELD_OUT // max(known.sum(), 1), 1), TIMES)):
        yield (known & (parts == part))[:, owners(sizes)]


def _fit(x: np.ndarray, setting: float, start: Normal | None, iterations: int) -> Normal:
    """Return the distribution of columns [N, D]; 1 and more are numbers of factors."""
    if setting >= 1:
        begun = start if isinstance(start, Factors) else None
        return Factors.fit(x, int(setting), start=begun, iterations=iterations)
    found = start if isinstance(start, Gaussian) else None
    return Gaussian.fit(x, setting, start=found, iterations=iterations)


def _chosen(
    x: np.ndarray, held_out: list[np.ndarray], sizes: tuple[int, ...], weights: np.ndarray
) -> tuple[Normal, float, bool]:
    """Return a distribution to start from, its setting, and whether it is of normal scores."""

    def error(model: Normal, shown: np.ndarray, held: np.ndarray, knots: Knots) -> float:
        off = np.where(held, _fill(model, shown, knots) - x, 0)
        return float((np.square(off) * weights).sum())

    shown = [np.where(held, np.nan, x) for held in held_out]
    models: list[Normal] = []
    kept, best, least = models, 0.0, np.inf
    settings = list(SHRINKAGES if x.shape[1] <= WIDE else NUM_FACTORS)
    while settings:
        setting = settings.pop(0)
        pairs = zip_longest(shown, models)
        models = [_fit(part, setting, start, ROUNDS) for part, start in pairs]
        every = zip(models, shown, held_out, strict=True)
        found = sum(error(model, part, held, {}) for model, part, held in every)
        if found < least:
            kept, best, least = models, setting, found
        elif best == SHRINKAGES[0] and setting < best:
            settings = [MORE]  # the other way
        else:
            break
    found, scored = 0.0, []
    for model, part, held in zip(kept, shown, held_out, strict=True):
        knots = _knots(part, sizes)
        scored.append(_fit(_scores(part, knots), best, model.centred, ROUNDS))
        found += error(scored[-1], part, held, knots)
    if found < (1 - GAIN) * least:
        return scored[-1], best, True
    return kept[-1], best, False


def _knots(x: np.ndarray, sizes: tuple[int, ...]) -> Knots:
    """Return the normal scores of numbers, [N, D], but of those of a few values only."""
    found: Knots = {}
    for column in np.flatnonzero(np.array(sizes)[owners(sizes)] == 0).tolist():
        known = x[~np.isnan(x[:, column]), column]
        num = min(KNOTS, len(known))
        if num <= DISTINCT:
            continue
        knots, place = np.unique(np.quantile(known, np.linspace(0, 1, num)), return_inverse=True)
        if len(knots) > DISTINCT:  # ties share the average of their levels
            times = np.bincount(place)
            scores = ndtri(np.bincount(place, (np.arange(num) + 0.5) / num) / times)
            found[column] = _longer(knots, scores, times)
    return found


def _steps(x: np.ndarray, sizes: tuple[int, ...]) -> Knots:
    """Return the values of numbers, [N, D], that are seen twice on average, and their cuts."""
    found: Knots = {}
    for column in np.flatnonzero(np.array(sizes)[owners(sizes)] == 0).tolist():
        known = x[~np.isnan(x[:, column]), column]
        values, times = np.unique(known, return_counts=True)
        if 1 < len(values) <= min(KNOTS, len(known) // 2):
            found[column] = values, ndtri(times.cumsum()[:-1] / len(known))
    return found


def _middles(values: np.ndarray) -> np.ndarray:
    return (values[1:] + values[:-1]) / 2


def _longer(
    knots: np.ndarray, scores: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return knots with one more on each side, on the line that the last twentieth of them makes.

    What is missing may be beyond all that was seen, but not where that has a bound, at which many
    values are the same.
    """
    step = max(len(knots) // 20, 1)
    for end, inner, tied in ((0, step, times[0] > 1), (-1, -1 - step, times[-1] > 1)):
        slope = (knots[end] - knots[inner]) / (scores[end] - scores[inner])
        reach = np.sign(scores[end] - scores[inner]) * BEYOND
        if not tied:
            knots = np.insert(knots, len(knots) * -end, knots[end] + slope * reach)
            scores = np.insert(scores, len(scores) * -end, scores[end] + reach)
    return knots, scores


def _scores(x: np.ndarray, knots: Knots) -> np.ndarray:
    """Return columns [N, D], some of them as normal scores."""
    found = x.copy()
    for column, (values, scores) in knots.items():
        found[:, column] = np.interp(x[:, column], values, scores)  # NaN stays NaN
    return found


def _values(scores: np.ndarray, knots: Knots) -> np.ndarray:
    """Return the columns that normal scores stand for: the inverse of `_scores`."""
    found = scores.copy()
    for column, (values, levels) in knots.items():
        found[:, column] = np.interp(scores[:, column], levels, values)
    return found


def _fill(gaussian: Normal, x: np.ndarray, knots: Knots) -> np.ndarray:
    """Return columns [N, D] whose holes are filled with what is expected."""
    if isinstance(gaussian, Gaussian) and not knots:
        return gaussian.expected(x)
    mean, variance = gaussian.conditional(_scores(x, knots))
    for column, (values, scores) in knots.items():
        rows = np.flatnonzero(np.isnan(x[:, column]))
        mean[rows, column] = mean_value(mean[rows, column], variance[rows, column], values, scores)
    return np.where(np.isnan(x), mean, x)


def mean_value(
    mean: np.ndarray, variance: np.ndarray, values: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Return what is expected of a column, [n], from moments of its normal score and its knots."""
    spread = np.sqrt(variance.clip(0))[:, None] * NODES
    return np.asarray(np.interp(mean[:, None] + spread, scores, values) @ WEIGHTS)
