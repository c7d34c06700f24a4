"""Rows that say, in closed form, what their hidden columns may be and what these tell."""

from collections.abc import Sequence
from functools import cached_property
from typing import Self

import numpy as np
from scipy.linalg import solve_triangular

from maskwise.columns.asked import ClosedAsked
from maskwise.columns.closed_form import (
    LEAST,
    ClosedForm,
    _shares,
    mean_value,
    owners,
)
from maskwise.columns.factors import Factors
from maskwise.columns.gaussian import Gaussian
from maskwise.predict.asking import Possible

FINE = 16  # values that stand for a number: nodes of Gauss and Hermite, none of them the mean


class ClosedAsking(ClosedAsked):
    """Samples whose hidden columns have a known distribution, so that nothing need be drawn.

    Numbers are integrated over by a rule of Gauss and Hermite, categories are summed over.

    Args:
        closed: the distribution of the rows.
        samples: [N, F] with NaN in their holes.
        names: of the features; default: their numbers.
    """

    def __init__(
        self, closed: ClosedForm, samples: np.ndarray, names: Sequence[str] | None = None
    ) -> None:
        super().__init__(closed, np.asarray(samples, dtype=np.float64))
        num = self.samples.shape[1]
        self.names = tuple(map(str, range(1, num + 1) if names is None else names))
        self.missing = ~self.there
        self.owners = owners(closed.sizes)

    @classmethod
    def learn(
        cls,
        x: np.ndarray,
        sizes: tuple[int, ...] | None = None,
        names: Sequence[str] | None = None,
        *,
        seed: int = 0,
    ) -> Self:
        """Return samples [N, F], NaN = missing, with the distribution that describes them.

        Args:
            x: numbers, or codes of categories.
            sizes: categories of each feature, 0 = a number; default: all are numbers.
            names: of the features.
            seed: of what is held out to choose the distribution.

        >>> rng = np.random.default_rng(0)
        >>> ClosedAsking.learn(rng.normal(size=(50, 2)), names=["a", "b"]).names
        ('a', 'b')
        """
        x = np.asarray(x, dtype=np.float64)
        known = (0,) * x.shape[1] if sizes is None else tuple(sizes)
        return cls(ClosedForm.learn(x, known, seed=seed), x, names)

    def of(self, samples: np.ndarray) -> Self:
        """Return other samples [n, F] of the same distribution."""
        return type(self)(self.closed, samples, self.names)

    def features(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return standardised columns filled with what is expected, float64 [n, D]."""
        gaussian = self.closed.gaussian
        shown = np.where(hidden, np.nan, self.samples[rows])
        columns = self.closed.columns(shown)
        blank = np.isnan(columns)
        one = len(rows) > 1 and not (blank != blank[0]).any() and blank[0].any()
        if not one or blank[0].all() or not isinstance(gaussian, Gaussian):
            found = self.closed.fill(columns)
            found[np.isnan(shown).all(axis=1)] = np.nan
            return found
        # All lack the same: one matrix says what is expected of each.
        lost, kept = blank[0], ~blank[0]
        scores = self.closed.scores(columns)[:, kept] - gaussian.mean[kept]
        cross = gaussian.covariance[np.ix_(kept, lost)]
        by = np.linalg.solve(gaussian.covariance[np.ix_(kept, kept)], cross)
        variance = np.diag(gaussian.covariance)[lost] - (by * cross).sum(axis=0)
        places = np.flatnonzero(lost)
        columns[:, lost] = self._expected(gaussian.mean[lost] + scores @ by, variance, places)
        return columns

    def along(self, order: np.ndarray, hidden: np.ndarray) -> np.ndarray | None:
        """Return features with the first 1, 2, ... of some features visible, [m - 1, N, D].

        With Σ = L L', rows and columns in this order, and z = L⁻¹ (x - μ), the first s columns
        let one expect μ + L_s z_s, with variances the diagonal of Σ - L_s L_s': all in one go.

        Args:
            order: m features, in the order in which they are seen.
            hidden: bool [N, F].

        None where not every sample has all of these, or factors stand for the covariance.
        """
        gaussian = self.closed.gaussian
        if not isinstance(gaussian, Gaussian) or (hidden | self.missing)[:, order].any():
            return None
        columns = self.closed.columns(self.samples)
        scores = self.closed.scores(columns) - gaussian.mean
        seen = np.concatenate([np.flatnonzero(self.owners == each) for each in order])
        ends = np.cumsum([(self.owners == each).sum() for each in order])[:-1]
        inner = np.linalg.cholesky(gaussian.covariance[np.ix_(seen, seen)])
        z = solve_triangular(inner, scores[:, seen].T, lower=True)
        by = solve_triangular(inner, gaussian.covariance[seen], lower=True)  # L' of all columns
        mean = gaussian.mean + (z[:, :, None] * by[:, None]).cumsum(axis=0)[ends - 1]
        variance = np.diag(gaussian.covariance) - np.square(by).cumsum(axis=0)[ends - 1]
        wide = np.repeat(variance, len(scores), axis=0)
        every = np.arange(columns.shape[1])
        found = self._expected(mean.reshape(-1, len(every)), wide, every).reshape(mean.shape)
        place = np.full(len(every), len(seen))
        place[seen] = np.arange(len(seen))
        known = (place < ends[:, None])[:, None]
        return np.where(known, columns, found)

    def drawn(self, row: int, hidden: np.ndarray, num: int, seed: int) -> "ClosedAsking":
        """Return copies of a sample; see `maskwise.predict.asking.Asking`."""
        shown = np.where(hidden, np.nan, self.samples[row])
        copies = self.closed.draw(np.tile(shown, (num, 1)), seed)
        return self.of(copies)

    def possible(
        self, row: int, hidden: np.ndarray, positions: np.ndarray, num: int, seed: int
    ) -> Possible:
        """Return what positions may be; see `maskwise.predict.asking.Asking`.

        Once the columns B of a feature are known to be b, the hidden ones have mean
        m + C_.B C_BB⁻¹ (b - m_B) and covariance C - C_.B C_BB⁻¹ C_B., from those, m and C, given
        what is visible.
        """
        closed = self.closed
        shown = np.where(hidden, np.nan, self.samples[row])[None]
        columns = closed.columns(shown)[0]
        lost = np.flatnonzero(np.isnan(columns))
        mean, covariance = self._given(columns)
        most = max([FINE, *(closed.sizes[each] for each in positions)])
        shape = len(positions), most, len(lost)
        expected, variance, known = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
        weights = np.zeros(shape[:2])
        for place, position in enumerate(positions.tolist()):
            block = np.flatnonzero(self.owners[lost] == position)
            inner = covariance[np.ix_(block, block)]
            scores, values, shares = self._values_of(position, mean[block], inner)
            by = np.linalg.solve(inner, covariance[block])
            num = len(shares)
            expected[place, :num] = mean + (scores - mean[block]) @ by
            variance[place] = np.diag(covariance) - (by * covariance[block]).sum(axis=0)
            known[place, :num, block] = values.T
            weights[place, :num] = shares
        first, second = (each.reshape(-1, len(lost)) for each in (expected, variance))
        moved = self._expected(first, second, lost).reshape(shape)
        features = np.tile(columns, (*shape[:2], 1))
        features[:, :, lost] = np.where(np.isnan(known), moved, known)
        return Possible(features, weights, True)

    def told(
        self,
        row: int,
        hidden: np.ndarray,
        positions: np.ndarray,
        taken: Sequence[int],
        num: int,
        seed: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what positions tell of the others; see `maskwise.predict.asking.Asking`.

        With the precision Ω, I(x_A ; the others | x_V) = (log |C_AA| + log |Ω_AA|) / 2.
        """
        shown = np.where(hidden, np.nan, self.samples[row])[None]
        columns = self.closed.columns(shown)[0]
        lost = np.flatnonzero(np.isnan(columns))
        _, covariance = self._given(columns)
        precision = self._precision[np.ix_(lost, lost)]

        def value(of: Sequence[int]) -> float:
            at = np.flatnonzero(np.isin(self.owners[lost], of))
            both = (each[np.ix_(at, at)] for each in (covariance, precision))
            return float(sum(np.linalg.slogdet(each)[1] for each in both)) / 2

        before = value(taken)
        gain = np.array([value([*taken, each]) - before for each in positions.tolist()])
        return gain, np.zeros(len(positions))

    @cached_property
    def _covariance(self) -> np.ndarray:
        """Σ of the columns, as scores, [D, D]."""
        model = self.closed.gaussian
        if isinstance(model, Factors):
            return np.asarray(model.loadings @ model.loadings.T + np.diag(model.noise))
        return model.covariance

    @cached_property
    def _precision(self) -> np.ndarray:
        found = np.linalg.inv(self._covariance)
        return (found + found.T) / 2

    def _given(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean [h] and covariance [h, h] of the scores that columns [D] lack."""
        blank = np.isnan(columns)
        scores = self.closed.scores(columns[None])[0]
        told = np.where(blank, 0, scores - self.closed.gaussian.mean) @ self._precision
        covariance = np.linalg.inv(self._precision[np.ix_(blank, blank)])
        covariance = (covariance + covariance.T) / 2
        return self.closed.gaussian.mean[blank] - covariance @ told[blank], covariance

    def _expected(self, mean: np.ndarray, variance: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return what is expected of columns at `places`, [n, h], from moments of their scores.

        Args:
            mean: [n, h].
            variance: [n, h] or [h].
            places: which columns, [h].
        """
        found = mean.copy()
        spread = np.broadcast_to(variance, mean.shape)
        for place, column in enumerate(places.tolist()):
            if column in self.closed.knots:
                known = self.closed.knots[column]
                found[:, place] = mean_value(mean[:, place], spread[:, place], *known)
        return found

    def _values_of(
        self, position: int, mean: np.ndarray, covariance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return scores and values that a feature may have, [K, b], and their weights [K]."""
        closed, block = self.closed, self.owners == position
        if not closed.sizes[position]:
            scores = values = mean + np.sqrt(covariance[0, 0].clip(0)) * POINTS[:, None]
            if (column := int(block.argmax())) in closed.knots:
                known, levels = closed.knots[column]
                scores = scores.clip(levels[0], levels[-1])  # values are not beyond these
                values = np.interp(scores, levels, known)
            return scores, values, SHARES
        kinds = np.eye(closed.sizes[position])[:, :-1]
        values = (kinds - closed.mean[block]) / closed.std[block]
        expected = (mean * closed.std[block] + closed.mean[block])[None]
        shares = _shares(expected)[0].clip(LEAST)
        return values, values, shares / shares.sum()


class RowsAsking(ClosedAsking):
    """The same, for a head that reads rows with NaN itself, such as `ClassifierHead`.

    Its features are samples as they are, with NaN where something is not there.
    """

    def features(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return samples with NaN where they are hidden, float64 [n, F]."""
        return np.where(hidden, np.nan, self.samples[rows])

    def along(self, order: np.ndarray, hidden: np.ndarray) -> np.ndarray | None:
        """Rows are asked one by one."""
        return None

    def possible(
        self, row: int, hidden: np.ndarray, positions: np.ndarray, num: int, seed: int
    ) -> Possible:
        """Return what positions may be; see `maskwise.predict.asking.Asking`."""
        found = super().possible(row, hidden, positions, num, seed)
        shown = np.where(hidden, np.nan, self.samples[row])
        shape = *found.weights.shape, len(shown)
        columns = found.features.reshape(-1, found.features.shape[2])
        values = self.closed.features(np.full((len(columns), len(shown)), np.nan), columns)
        known = (np.arange(len(shown)) == positions[:, None])[:, None]
        return found._replace(features=np.where(known, values.reshape(shape), shown))


POINTS, SHARES = np.polynomial.hermite_e.hermegauss(FINE)
SHARES = SHARES / SHARES.sum()
