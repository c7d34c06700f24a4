"""scikit-learn estimators that answer from whatever part of a row is there."""

import logging
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils import (
    Tags,
    assert_all_finite,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names_in, _check_y, check_is_fitted

from maskwise import laws
from maskwise.columns.partial import ClassModel, NumberModel, Seen, see
from maskwise.errors import UserError
from maskwise.integrations import sklearn_answers as answers
from maskwise.integrations import sklearn_network as network
from maskwise.integrations.sklearn_network import Given
from maskwise.integrations.sklearn_questions import Questions
from maskwise.labels import is_nothing
from maskwise.predict.masked_copies import ANY, OBSERVED

FEWEST_COPIES = 2
log = logging.getLogger("maskwise")


@dataclass(eq=False, repr=False)
class _Partial(Questions, BaseEstimator):
    """What the classifier and the regressor share."""

    estimator: Any = None
    _: KW_ONLY
    law: str | None = None
    copies: int = 32
    network: Literal["auto"] | bool = "auto"
    random_state: int | RandomState | None = None

    def _fit(
        self, X: ArrayLike, y: np.ndarray, unlabelled: ArrayLike | None, model: type[Any]
    ) -> Self:
        """Learn the columns from all rows, and the answers from those with a label."""
        self._check()
        given = network.read(self, X, reset=True, categorical=self._categorical)
        check_consistent_length(given.data, y)
        others = None
        if unlabelled is not None:
            others = network.read(self, unlabelled, reset=False, categorical=self._categorical)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        every = given if others is None else answers.joined(given, others)
        self.estimator_ = None
        if self.estimator is not None:
            self.estimator_ = clone(self.estimator).set_params(random_state=seed).fit(every)
            table = self.estimator_.state_["table"]
        else:
            names = _check_feature_names_in(self).tolist()
            table = answers.table(every, names)
        self.empty_features_ = np.asarray(every.gaps.all(axis=0))
        samples, sizes = answers.samples(table, every)
        self.law_ = self.law or (OBSERVED if np.isnan(samples).any() else ANY)
        found = model.learn(
            samples[: len(given)],
            y,
            sizes,
            others=None if others is None else samples[len(given) :],
            law=self.law_,
            copies=self.copies,
            network=None if self.network == "auto" else self.network,
            codes=self._codes(),
            seed=seed,
        )
        self.state_ = {"table": table} | answers.plain(found)
        return self

    @property
    def _categorical(self) -> Any:
        return "infer" if self.estimator is None else self.estimator.categorical

    def _read(self, X: ArrayLike) -> Given:
        return network.read(self, X, reset=False, categorical=self._categorical)

    def _codes(self) -> Any:
        return None if self.estimator_ is None else answers.codes(self.estimator_.state_)

    def _check(self) -> None:
        if self.law is not None and self.law != OBSERVED:
            laws.parse(self.law)
        if not isinstance(self.copies, (int, np.integer)) or self.copies < FEWEST_COPIES:
            raise UserError(f"copies {self.copies!r} must be a whole number from {FEWEST_COPIES}")
        if self.network not in ("auto", True, False):
            raise UserError(f"network {self.network!r} is neither 'auto', True nor False")

    def _seen(self, X: ArrayLike, said: str) -> tuple[Any, Seen]:
        """Return the model, and what it reads of rows; rows of which nothing is there are told."""
        check_is_fitted(self)
        given = self._read(X)
        samples, _ = answers.samples(self.state_["table"], given)
        if len(nothing := 1 + np.flatnonzero(np.isnan(samples).all(axis=1))):
            log.warning(
                "%d of %d rows have no value and are answered with %s: row %s%s",
                *(len(nothing), len(samples), said, ", ".join(map(str, nothing[:3]))),
                ", ..." if len(nothing) > 3 else "",
            )
        new = np.flatnonzero(self.empty_features_ & ~given.gaps.all(axis=0))
        if len(new):
            names = _check_feature_names_in(self)[new]
            log.warning(
                "%d columns had no value in fit and count for nothing: %s%s",
                *(len(new), ", ".join(map(str, names[:3])), ", ..." if len(new) > 3 else ""),
            )
        model = answers.model(self.state_)
        return model, see(model.closed, samples, self._codes())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return cast("Tags", tags)


@dataclass(eq=False, repr=False)
class MaskedClassifier(ClassifierMixin, _Partial):
    """Say classes from whatever part of a row is there, with probabilities that are calibrated.

    NaN (None, NA) means: not there. One model answers every pattern of holes, those that `fit`
    never saw too. Its voices are the classes as normal distributions, which give the probability
    of each class from any part of a row in closed form (with one covariance, and with one of each
    class), a logistic regression on columns filled with what is expected, and, of a thousand rows
    and more, a network on these. All but the distributions learn from copies of rows of which
    parts are hidden under `law`. What they say of labelled rows that were left out decides how
    much each counts, by how much of a row is visible.

    Rows without labels help: they show how columns depend on each other, and what a classifier of
    the labelled rows says of them teaches the voices.

    Args:
        estimator: a `MaskedAutoencoder` that is trained on all rows; its codes are columns beside
            the others, and there is no other network.
        law: of the share of a row that will be hidden ("uniform:0.5,1", "fixed:0.9"), or
            "observed": the holes of other rows. Default: "observed" if something is missing in
            `fit`, else "uniform:0,1".
        copies: of each row, of which parts are hidden; fewer in large tables.
        network: whether a network is trained; "auto": of a thousand rows and more.
        random_state: int, RandomState or None: masks, folds, weights.

    Attributes:
        classes_: the classes.
        law_: the law.
        estimator_: the fitted estimator, or None.
        empty_features_: bool [F], columns without any value in `fit`.
        state_: all that was learned, as plain values and arrays.
        n_features_in_: columns.
        feature_names_in_: their names, if they are all texts.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MaskedClassifier(random_state=0).fit(X, y)
        >>> nan = np.nan
        >>> model.predict([[nan, nan, 1.4, nan], [nan, nan, nan, 2.3]]).tolist()
        [0, 2]
    """

    def fit(self, X: ArrayLike, y: ArrayLike, unlabelled: ArrayLike | None = None) -> Self:
        """Learn from rows with their classes, and from rows without.

        Args:
            X: rows, an array [N, F] or a pandas or polars frame.
            y: their classes, [N].
            unlabelled: further rows, [M, F].

        Raises:
            ValueError: labels of one class only, missing labels, infinite numbers, text in an
                array, or a setting out of range.
        """
        y = _labels(y, type(self).__name__)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            given = network.read(self, X, reset=True, categorical=self._categorical)
            check_consistent_length(given.data, y)
            raise UserError(
                f"all {len(y)} labels are of one class, {self.classes_.tolist()[0]!r}: two or more"
                " are needed to tell classes apart"
            )
        return self._fit(X, codes, unlabelled, ClassModel)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probability of each class, float64 [N, K], as in `classes_`.

        Rows of which nothing is there have the shares of the classes in `fit`, and the log of
        "maskwise" counts them.
        """
        model, seen = self._seen(X, "the shares of the classes")
        return cast("ClassModel", model).probabilities(seen)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the likeliest class of each row, [N]."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])

    def predict_set(self, X: ArrayLike, coverage: float = 0.9) -> np.ndarray:
        """Return the classes of each row that cover the true one so often, bool [N, K].

        A row has one class at least. The limit is conformal, in ranges of the visible share with
        50 or more labelled rows each: of rows that look like those of `fit`, hidden as `law` says,
        a share of `coverage` have their class in the set, in every such range (of fewer than 100
        labelled rows there is one range, and the share is one over all rows). It rests on one
        masked copy of each labelled row, answered by voices that did not learn from its label;
        those that answer here learned from all labels, and their weights were chosen on the same
        answers, so that the guarantee is approximate, as that of all cross-fitted predictors.
        """
        _check_coverage(coverage)
        model, seen = self._seen(X, "the shares of the classes")
        found = cast("ClassModel", model)
        return found.sets(found.probabilities(seen), seen.shares, coverage)


@dataclass(eq=False, repr=False)
class MaskedRegressor(RegressorMixin, _Partial):
    """Say a number from whatever part of a row is there, with intervals that cover.

    NaN (None, NA) means: not there. As `MaskedClassifier`, which says more; voices are a ridge
    regression on columns filled with what is expected and, of a thousand labelled rows and more, a
    network.

    Args:
        estimator: a `MaskedAutoencoder` that is trained on all rows; its codes are columns beside
            the others, and there is no other network.
        law: of the share of a row that will be hidden, or "observed": the holes of other rows.
            Default: "observed" if something is missing in `fit`, else "uniform:0,1".
        copies: of each row, of which parts are hidden; fewer in large tables.
        network: whether a network is trained; "auto": of a thousand labelled rows and more.
        random_state: int, RandomState or None: masks, folds, weights.

    Attributes:
        law_: the law.
        estimator_: the fitted estimator, or None.
        empty_features_: bool [F], columns without any value in `fit`.
        state_: all that was learned, as plain values and arrays.
        n_features_in_: columns.
        feature_names_in_: their names, if they are all texts.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> model = MaskedRegressor(random_state=0).fit(X, X.sum(axis=1))
        >>> model.predict([[1.0, np.nan], [1.0, 2.0]]).round().tolist()
        [1.0, 3.0]
    """

    def fit(self, X: ArrayLike, y: ArrayLike, unlabelled: ArrayLike | None = None) -> Self:
        """Learn from rows with their numbers, and from rows without.

        Args:
            X: rows, an array [N, F] or a pandas or polars frame.
            y: their numbers, [N].
            unlabelled: further rows, [M, F].

        Raises:
            ValueError: missing or infinite numbers, text in an array, or a setting out of range.
        """
        if y is None:
            _labels(y, type(self).__name__)
        column = _check_y(column_or_1d(y, warn=True), y_numeric=True, estimator=self)
        numbers = np.asarray(column, dtype=np.float64)
        if len(numbers) == 1:
            raise UserError("1 sample: two or more rows with a number are needed")
        return self._fit(X, numbers, unlabelled, NumberModel)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return what is expected of each row, float64 [N].

        Of rows of which nothing is there it is the mean of `fit`, and the log of "maskwise" counts
        them.
        """
        model, seen = self._seen(X, "the mean")
        return cast("NumberModel", model).expected(seen)

    def predict_interval(self, X: ArrayLike, coverage: float = 0.9) -> np.ndarray:
        """Return the ends of intervals that cover what is true so often, float64 [N, 2].

        As the sets of `MaskedClassifier.predict_set`, with the same guarantee: they are as wide as
        held-out rows of which about as much is visible need. Infinite where too few were.
        """
        _check_coverage(coverage)
        model, seen = self._seen(X, "the mean")
        found = cast("NumberModel", model)
        return found.intervals(found.expected(seen), seen.shares, coverage)


def _labels(y: ArrayLike | None, name: str) -> np.ndarray:
    """Return labels of classes, [N], none of them missing."""
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None")
    found = column_or_1d(y, warn=True)
    empty = np.array([is_nothing(each) for each in found.tolist()], dtype=bool)
    if empty.any():
        rows = 1 + np.flatnonzero(empty)
        raise UserError(
            f"{len(rows)} labels are missing (NaN or None), first in row {rows[0]}: hand such rows"
            " over as `unlabelled`"
        )
    if found.dtype.kind == "f":
        assert_all_finite(found, input_name="y")
    return cast("np.ndarray", found)


def _check_coverage(coverage: float) -> None:
    if not 0 < coverage < 1:
        raise UserError(f"coverage {coverage!r} must be between 0 and 1, as in 0.9")
