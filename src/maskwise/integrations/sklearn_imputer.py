"""The imputer, in closed form or by a network."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from maskwise.errors import UserError
from maskwise.integrations import sklearn_closed as closed
from maskwise.integrations import sklearn_network as network
from maskwise.integrations.sklearn_autoencoder import MaskedAutoencoder
from maskwise.integrations.sklearn_draws import drawn
from maskwise.integrations.sklearn_network import Given
from maskwise.labels import is_nothing


@dataclass(eq=False, repr=False)
class MaskedImputer(TransformerMixin, BaseEstimator):
    """Fill missing values with what is expected given the others.

    A drop-in beside `sklearn.impute.IterativeImputer`, which has a regression for each column and
    round. Here one normal distribution of all columns, fitted to the holes by EM, predicts any
    part of a row from any other, in closed form. Values that are held out decide whether columns
    become normal scores first, and whether what the closed form leaves over is corrected: by
    smooth functions and trees, or, in large tables, by a network. What takes time is done where it
    was seen to help. What is not missing stays bit for bit the same. Tables of numbers become
    float arrays; frames with texts, bools or categories, which are imputed too, stay frames.

    Args:
        estimator: a `MaskedAutoencoder` that is trained and asked instead of the closed form.
        missing_values: what stands for a missing value, as in scikit-learn's imputers; NaN, None
            and pandas.NA are one. A number is for tables of numbers only, a text for texts.
        sample_posterior: draw what is missing in a row from what is likely, together, given the
            rest, instead of filling in what is expected. For multiple imputation, see `draws`.
            Columns whose values mostly repeat get values that were seen.
        min_value: least imputed value, for all columns or [F].
        max_value: largest imputed value.
        add_indicator: append a column for each that had missing values in `fit`: where it has.
        keep_empty_features: columns without any value in `fit` become 0, instead of being left
            out.
        round: fill columns that held whole numbers only in `fit` with whole numbers.
        clip: fill these with nothing less or more than some that they held.
        dates: "number" makes days of dates, as an `estimator` with that does, and fills them with
            dates as their column spells them: whole days where it has such.
        random_state: int, RandomState or None: of the estimator and the draws.

    Attributes:
        estimator_: the fitted estimator; None for the closed form.
        transform_: of the closed form, what numbers become: "standard" or "normal scores".
        refined_: of the closed form, whether corrections are added.
        state_: the closed form and its corrections, as plain values and arrays.
        indicator_features_: numbers of the columns that had missing values, if they are appended.
        empty_features_: bool [F], columns without any value.
        n_features_in_: columns, F.
        feature_names_in_: their names, if they are all texts.

    Example:
        >>> nan = np.nan
        >>> table = [[1.0, 2.0], [2.0, 4.0], [nan, 6.0], [4.0, 8.0], [5.0, 10.0]] * 20
        >>> MaskedImputer(random_state=0).fit_transform(table)[2].round().tolist()
        [3.0, 6.0]
    """

    estimator: MaskedAutoencoder | None = None
    _: KW_ONLY
    missing_values: Any = np.nan
    sample_posterior: bool = False
    min_value: ArrayLike = -np.inf
    max_value: ArrayLike = np.inf
    add_indicator: bool = False
    keep_empty_features: bool = False
    round: bool = True
    clip: bool = True
    dates: Literal["keep", "number"] = "keep"
    random_state: int | RandomState | None = None

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn from rows: an array [N, F], or a pandas or polars frame; `y` is not used.

        Raises:
            ValueError: no rows, infinite numbers, text in an array, or a setting out of range.
        """
        given = self._read(X, reset=True)
        gaps = given.gaps
        self.empty_features_ = np.asarray(gaps.all(axis=0))
        self.indicator_features_ = np.flatnonzero(gaps.any(axis=0) & bool(self.add_indicator))
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        if self.estimator is not None:
            chosen = clone(self.estimator).set_params(random_state=seed)
            if self.dates != "keep":
                chosen.set_params(dates=self.dates)
            self.estimator_ = chosen.fit(given)
            return self
        self.estimator_ = None
        names = _check_feature_names_in(self).tolist()
        self.state_ = closed.learn(given, names, self.dates, seed)
        self.transform_ = "normal scores" if self.state_["closed"].get("knots") else "standard"
        self.refined_ = bool(self.state_["refinement"])
        return self

    def transform(self, X: ArrayLike) -> Any:
        """Return rows, with the columns of `fit`, whose missing values are filled."""
        check_is_fitted(self)
        given = self._read(X, reset=False)
        seed = None
        if self.sample_posterior:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        whole = {"round": self.round, "clip": self.clip}
        if self.estimator_ is None:
            found = closed.complete(self.state_, given, seed, **whole)
        else:
            found = network.complete(self.estimator_.state_, given, seed, **whole)
        return self._result(given, found)

    def draws(self, X: ArrayLike, m: int = 20) -> list[Any]:
        """Return m tables as `transform` does, whose gaps are drawn: multiple imputation.

        What is missing in a row is drawn together, given the rest. In closed form each table is
        drawn from a distribution that is fitted anew to rows drawn with replacement from those of
        `fit`, so that the tables differ by what is not known of the columns too, and figures that
        `maskwise.pool` makes of them have the error that they say (they are proper, in Rubin's
        sense); the network that may be added stays the same. With an `estimator` values are drawn
        one after the other, each given those before, and the network is the same in all tables:
        the tables differ too little where rows are few.

        Each table comes of a draw of its own and not of a chain: there is no convergence to wait
        for. A `random_state` of a number gives the same tables again.

        Args:
            X: rows, with the columns of `fit`.
            m: how many, two or more.

        Raises:
            ValueError: m below 2, or X does not fit.
        """
        check_is_fitted(self)
        if type(m) is not int or m < 2:
            raise UserError(f"m={m!r}: it must be a whole number from 2")
        given = self._read(X, reset=False)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        of_network = None if self.estimator_ is None else self.estimator_.state_
        state = self.state_ if of_network is None else of_network
        whole = {"round": self.round, "clip": self.clip}
        every = drawn(state, given, m, seed, of_network is not None, **whole)
        return [self._result(given, found) for found in every]

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Return log-likelihoods of rows, nats, float64 [N]; of what is not missing in them.

        Those of the closed form, without corrections: densities of numbers in their own units, and
        probabilities of categories, of columns of whole numbers only (values beyond all in `fit`
        count as the nearest) and of values on a bound. With an `estimator`, its lower bounds.
        """
        check_is_fitted(self)
        given = self._read(X, reset=False)
        if self.estimator_ is not None:
            return self.estimator_.score_samples(given)
        return closed.scores(self.state_, given)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean of `score_samples`, which model selection maximises."""
        return float(self.score_samples(X).mean())

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns of `transform`."""
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        told = [f"missingindicator_{names[place]}" for place in self.indicator_features_]
        return np.array([*names[self._kept], *told], dtype=object)

    @property
    def _kept(self) -> np.ndarray:
        return np.logical_or(~self.empty_features_, self.keep_empty_features)

    def _read(self, X: ArrayLike, *, reset: bool) -> Given:
        told = "infer" if self.estimator is None else self.estimator.categorical
        missing = self.missing_values
        return network.read(self, X, reset=reset, categorical=told, missing=missing)

    def _bounded(self, place: int, values: np.ndarray) -> np.ndarray:
        """Return values of a column within bounds; 0 where nothing is known of it."""
        if self.empty_features_[place]:
            return np.zeros(len(values))
        low, high = (
            np.broadcast_to(bound, self.n_features_in_)[place]
            for bound in (self.min_value, self.max_value)
        )
        if low > high:
            raise UserError(f"min_value {low:g} is above max_value {high:g} in column {place}")
        return np.clip(values, low, high) if values.dtype.kind in "fiu" else values

    def _result(self, given: Given, values: list[np.ndarray]) -> Any:
        """Return the filled table without empty columns, and with those that tell of gaps."""
        values = [self._bounded(*each) for each in enumerate(values)]
        names = self.get_feature_names_out()[np.count_nonzero(self._kept) :]
        gaps = given.gaps[:, self.indicator_features_]
        given = given.as_array()
        filled = given.filled(values)
        if given.library == "numpy":
            return np.hstack([filled[:, self._kept], gaps.astype(filled.dtype)])
        told = dict(zip(names, gaps.T, strict=True))
        if given.library == "polars":
            return filled[:, np.flatnonzero(self._kept).tolist()].with_columns(**told)
        return filled.loc[:, self._kept].assign(**told)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = is_nothing(self.missing_values)
        return tags
