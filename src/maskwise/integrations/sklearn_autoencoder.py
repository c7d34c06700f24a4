"""The estimator that encodes, imputes and scores the rows of a table."""

import math
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from maskwise import laws
from maskwise.columns.model import TabularModelSettings
from maskwise.columns.tabular import check_pattern
from maskwise.integrations import sklearn_network as network
from maskwise.integrations.sklearn_network import Given
from maskwise.settings import from_dict
from maskwise.train.config import TrainSettings

# Of the default number of steps: passes over the rows, and bounds.
EPOCHS, FEWEST, MOST = 50, 200, 5000


def _has_decoder(estimator: "MaskedAutoencoder") -> bool:
    return estimator.kind == "mlp" and not estimator.linear


@dataclass(eq=False, repr=False)
class MaskedAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Learn the rows of a table by hiding parts of them; encode, impute and score rows.

    Numbers are standardised; texts, bools and pandas or polars categoricals are categories, and so
    are numbers of two values, both whole, in a data frame. Dates and times, and texts that are all
    different or of more than `max_categories` kinds, are left apart as they are, and the log of
    "maskwise" names them. Missing values (NaN, None) are allowed everywhere: the network sees them
    as hidden and is never asked for them. Columns that are constant (or missing throughout) in
    `fit` are no features: they have no part in codes and likelihoods, are imputed by their
    constant, and stay missing if there is none. Unseen categories count as missing, and the log
    says how many.

    Args:
        law: of the share of a row that is hidden in a step; "observed": what rows of the table
            lack themselves.
        pattern: which values these are: "scattered", "shared" (the same columns in all rows of a
            step), "copied" (what another row lacks) or "proportional" (rather what is missing
            more often). The first call of `fit` or `partial_fit` says what rows lack.
        kind: "mlp", or "transformer" with a token for each feature.
        width: of the network.
        depth: blocks.
        code: width of the code (mlp); that of a transformer is `width`.
        linear: how often a linear path around the code (mlp) fills in what is hidden; with it,
            there is no `inverse_transform`, and imputation of linear data is better.
        corruption: "indicator", "zero" or "permute": what stands for a hidden value in training.
        scale: "standard" or "quantile" (normal scores) for numbers.
        categorical: "infer", or names or numbers of further columns that are categories.
        max_categories: texts of more kinds are left apart.
        dates: "keep" leaves dates apart, times or texts such as 2024-01-31; "number" makes days of
            them.
        steps: of the optimiser; default: 50 passes over the rows, but within 200 and 5000.
        batch_size: rows in a step, or all if there are fewer.
        lr: peak learning rate of `fit`, the learning rate of `partial_fit`.
        weight_decay: of matrices.
        passes: masked inputs for each row in `score_samples`.
        accelerator: where `fit` computes: "cpu", "gpu", "mps" or "auto". All else is on the CPU.
        random_state: int, RandomState or None: weights, order of the rows, masks.

    Attributes:
        state_: the table's columns, the network's shape and its weights, as plain values and
            arrays.
        n_steps_: steps of the optimiser so far.
        n_features_in_: columns.
        feature_names_in_: their names, if they are all texts.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> model = MaskedAutoencoder(code=2, steps=20, random_state=0)
        >>> model.fit_transform(load_iris().data).shape
        (150, 2)
    """

    law: str = "uniform:0.1,0.9"
    _: KW_ONLY
    pattern: Literal["scattered", "shared", "copied", "proportional"] = "scattered"
    kind: Literal["mlp", "transformer"] = "mlp"
    width: int = 256
    depth: int = 2
    code: int = 64
    linear: int = 0
    corruption: Literal["indicator", "zero", "permute"] = "indicator"
    scale: Literal["standard", "quantile"] = "standard"
    categorical: str | Collection[str | int] = "infer"
    max_categories: int = 100
    dates: Literal["keep", "number"] = "keep"
    steps: int | None = None
    batch_size: int = 256
    lr: float = 1e-3
    weight_decay: float = 0.05
    passes: int = 16
    accelerator: Literal["cpu", "gpu", "mps", "auto"] = "cpu"
    random_state: int | RandomState | None = None

    def fit(self, X: ArrayLike | Given, y: object = None) -> Self:
        """Learn from rows: an array [N, F], or a pandas or polars frame; `y` is not used.

        Raises:
            ValueError: no rows, infinite numbers, text in an array, or a setting out of range.
        """
        given = self._read(X, reset=True)
        self._begin(given)
        steps = self.steps
        if steps is None:
            steps = min(max(EPOCHS * len(given) // self.batch_size, FEWEST), MOST)
        return self._learn(given, steps, constant=False)

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn from more rows: one pass over them.

        The first call also learns the columns' scales and categories, so it should see a few
        hundred rows at least. The optimiser starts anew in each call.
        """
        first = not hasattr(self, "state_")
        given = self._read(X, reset=first)
        if first:
            self._begin(given)
        return self._learn(given, math.ceil(len(given) / self.batch_size), constant=True)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the codes of rows, float64 [N, code]; nothing is hidden but what is missing."""
        check_is_fitted(self)
        return network.codes(self.state_, self._read(X, reset=False))

    @available_if(_has_decoder)
    def inverse_transform(self, X: ArrayLike) -> Any:
        """Return the rows that codes [N, code] stand for, in the container of `fit`."""
        check_is_fitted(self)
        return network.decoded(self.state_, np.asarray(X), self.container_)

    def impute(self, X: ArrayLike) -> Any:
        """Return rows whose missing values are filled with what is expected given the others.

        The container, the types and whatever is not missing stay the same.
        """
        check_is_fitted(self)
        given = self._read(X, reset=False)
        return given.filled(network.complete(self.state_, given))

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Return lower bounds of the log-likelihoods of rows, nats, float64 [N].

        The mean over all orders of the features of the sum of log p(x_j | those before), which is
        at most the log-likelihood of the mixture of the orders (Jensen's inequality), estimated
        without bias from `passes` masks for each row. Densities of numbers are in their own units
        (of normal scores, with scale="quantile"), categories have probabilities. Of a row with
        missing values it is that of the others.
        """
        check_is_fitted(self)
        return network.scores(self.state_, self._read(X, reset=False), self.passes)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean of `score_samples`, which model selection maximises."""
        return float(self.score_samples(X).mean())

    @property
    def _n_features_out(self) -> int:
        return network.width_of(self.state_)

    def _read(self, X: ArrayLike | Given, *, reset: bool) -> Given:
        return network.read(self, X, reset=reset, categorical=self.categorical)

    def _begin(self, given: Given) -> None:
        """Learn the columns and draw weights."""
        laws.parse(self.law)
        check_pattern(self.pattern)
        names = _check_feature_names_in(self).tolist()
        chosen = ("kind", "width", "depth", "code", "linear", "corruption")
        shape = from_dict(TabularModelSettings, {name: getattr(self, name) for name in chosen})
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.n_steps_ = 0
        self.container_ = given.library
        told = names, self.categorical, self.scale, self.max_categories, self.dates
        state = network.begin(given, *told, shape, self.seed_)
        self.state_ = network.with_observed(state, given, self.law, self.pattern)

    def _learn(self, given: Given, steps: int, *, constant: bool) -> Self:
        batch = {"steps": steps, "batch_size": min(self.batch_size, len(given))}
        rates = {"lr": self.lr, "weight_decay": self.weight_decay}
        train = from_dict(TrainSettings, batch | rates)
        self.state_ = network.learn(
            self.state_,
            given,
            self.law,
            self.pattern,
            train,
            seed=self.seed_ + self.n_steps_,  # each call has an order and masks of its own
            accelerator=self.accelerator,
            constant=constant,
        )
        self.n_steps_ += steps
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags
