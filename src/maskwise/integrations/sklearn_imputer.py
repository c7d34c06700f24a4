"""An imputer with scikit-learn's interface: missing values from a masked model of the others."""

from typing import Any, Self

import numpy as np
from numpy.random import RandomState
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from maskwise.errors import UserError
from maskwise.integrations import sklearn_network as network
from maskwise.integrations.sklearn_autoencoder import MaskedAutoencoder
from maskwise.integrations.sklearn_tables import Given, encode, read, with_values


def _default(rows: int) -> MaskedAutoencoder:
    """Return what suits imputation: with few rows little more than the linear path."""
    width = min(max(rows // 40, 8), 200)
    steps = min(max(rows // 20, 600), 5000)
    return MaskedAutoencoder(
        "uniform:0.1,0.5", width=width, depth=1, code=width, linear=8, steps=steps, lr=5e-3
    )


class MaskedImputer(TransformerMixin, BaseEstimator):
    """Fill missing values with what a masked autoencoder expects given the others.

    A drop-in beside `sklearn.impute.IterativeImputer`: one network is trained to predict any part
    of a row from any other, where that has a regression for each column and round. What is not
    missing stays bit for bit the same. Tables of numbers become float arrays; frames with texts,
    bools or categories, which are imputed too, stay frames.

    Args:
        estimator: a `MaskedAutoencoder`; default: one with a linear path, and wider and
            trained for longer the more rows there are.
        missing_values: what stands for a missing value; NaN also means None and pandas.NA. Any
            other value is for tables of numbers only.
        sample_posterior: draw each missing value from what is likely given the others, and those
            drawn before it in the row, instead of filling in what is expected. For multiple
            imputation call `set_params(random_state=...).transform(X)` several times.
        min_value: least imputed value, for all columns or [F].
        max_value: largest imputed value.
        add_indicator: append a column for each that had missing values in `fit`: where it has.
        keep_empty_features: columns without any value in `fit` become 0, instead of being left
            out.
        random_state: int, RandomState or None: of the estimator and the draws.

    Attributes:
        estimator_: the fitted estimator.
        indicator_features_: numbers of the columns that had missing values, if they are appended.
        empty_features_: bool [F], columns without any value.
        n_features_in_: columns, F.
        feature_names_in_: their names, if they are all texts.

    Example:
        >>> nan = np.nan
        >>> table = [[1.0, 2.0], [2.0, 4.0], [nan, 6.0], [4.0, 8.0], [5.0, 10.0]] * 20
        >>> network = MaskedAutoencoder(width=8, depth=1, linear=4, lr=0.05, steps=80)
        >>> MaskedImputer(network, random_state=0).fit_transform(table)[2].round().tolist()
        [3.0, 6.0]
    """

    def __init__(
        self,
        estimator: MaskedAutoencoder | None = None,
        *,
        missing_values: float = np.nan,
        sample_posterior: bool = False,
        min_value: Any = -np.inf,
        max_value: Any = np.inf,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.min_value = min_value
        self.max_value = max_value
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows.

        Args:
            X: array [N, F], or a pandas or polars frame, with or without missing values.
            y: not used.

        Raises:
            ValueError: no rows, infinite numbers, text in an array, or a setting out of range.
        """
        given = self._read(X, reset=True)
        gaps = given.gaps
        self.empty_features_ = np.asarray(gaps.all(axis=0))
        self.indicator_features_ = np.flatnonzero(gaps.any(axis=0) & bool(self.add_indicator))
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        chosen = _default(len(given)) if self.estimator is None else self.estimator
        self.estimator_ = clone(chosen).set_params(random_state=seed).fit(given.data)
        return self

    def transform(self, X: Any) -> Any:
        """Return rows whose missing values are filled.

        Args:
            X: rows with the columns of `fit`.
        """
        check_is_fitted(self)
        given = self._read(X, reset=False)
        seed = None
        if self.sample_posterior:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        state = self.estimator_.state_
        found = network.complete(state, encode(network.table_of(state), given), seed)
        return self._result(given, [self._bounded(*each) for each in enumerate(found)])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of `transform`."""
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        told = [f"missingindicator_{names[place]}" for place in self.indicator_features_]
        return np.array([*names[self._kept], *told], dtype=object)

    @property
    def _kept(self) -> np.ndarray:
        return np.logical_or(~self.empty_features_, self.keep_empty_features)

    def _read(self, X: Any, *, reset: bool) -> Given:
        objects = self.estimator is not None and not isinstance(self.estimator.categorical, str)
        return read(self, X, reset=reset, objects=objects, missing=self.missing_values)

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
        names = self.get_feature_names_out()[np.count_nonzero(self._kept) :]
        gaps = given.gaps[:, self.indicator_features_]
        if given.numeric:
            given = given.as_array()
        filled = with_values(given, values)
        if given.library == "numpy":
            return np.hstack([filled[:, self._kept], gaps.astype(filled.dtype)])
        told = dict(zip(names, gaps.T, strict=True))
        if given.library == "polars":
            return filled[:, np.flatnonzero(self._kept).tolist()].with_columns(**told)
        return filled.loc[:, self._kept].assign(**told)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(np.isnan(self.missing_values))
        return tags
