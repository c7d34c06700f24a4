"""Heads: classes, or a number, from features of samples of which any part is visible."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from maskwise.predict.asked import Asked, visible_shares
from maskwise.predict.conformal import Calibration, within
from maskwise.predict.voices import Voices

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
RIDGES = (0.1, 1.0, 10.0, 100.0, 1000.0)
FOLDS = 5
MOST = 40_000  # copies of samples that a head is fitted to


@dataclass(frozen=True)
class Linear:
    """What a linear layer says of standardised features: mean, std [D], weights [D, K], bias [K].

    Where nothing is visible, and so no feature is known, it says `prior`, [K].
    """

    mean: np.ndarray
    std: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    prior: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return what it says of features [N, D], float64 [N, K]."""
        said = ((features - self.mean) / self.std) @ self.weights + self.bias
        return np.where(np.isnan(features).any(axis=1)[:, None], self.prior, said)


@dataclass(frozen=True)
class ClassHead:
    """Probabilities of classes from features, and sets of classes that cover.

    Args:
        linear: the logits.
        voices: what logits are multiplied by, at visible shares.
        calibration: of 1 - the probability of the true class.
    """

    linear: Linear
    voices: Voices
    calibration: Calibration

    def probabilities(self, features: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float64 [N, K].

        Args:
            features: [N, D].
            shares: how much of each sample is visible, [N].
        """
        logits = self.linear(features)
        nothing = np.exp(log_softmax(logits, axis=1))  # the prior needs no temperature
        return np.where(shares[:, None] > 0, self.voices([logits], shares), nothing)

    def sets(
        self, probabilities: np.ndarray, shares: np.ndarray, coverage: float = 0.9
    ) -> np.ndarray:
        """Return the classes that cover the true one so often, bool [N, K]; never none."""
        return within(probabilities, self.calibration.limits(shares, coverage))


@dataclass(frozen=True)
class NumberHead:
    """A number from features, and intervals that cover.

    Args:
        linear: what is expected, K = 1.
        calibration: of the distance of what is true from that.
    """

    linear: Linear
    calibration: Calibration

    def expected(self, features: np.ndarray) -> np.ndarray:
        """Return what is expected, float64 [N]."""
        return self.linear(features)[:, 0]

    def intervals(
        self, expected: np.ndarray, shares: np.ndarray, coverage: float = 0.9
    ) -> np.ndarray:
        """Return the ends of intervals that cover what is true so often, float64 [N, 2]."""
        half = self.calibration.limits(shares, coverage)
        return np.stack([expected - half, expected + half], axis=1)


Head = ClassHead | NumberHead


def fit(asked: Asked, y: np.ndarray, hidden: np.ndarray, *, classes: bool, seed: int = 0) -> Head:
    """Return a head of samples whose labels are known, fitted to copies of them.

    Strength, temperatures and calibration are of answers to samples that were left out: all copies
    of a sample are in one fold.

    Args:
        asked: the samples, N of them.
        y: what is to be said of each, [N]: numbers of classes from 0, none of them without a
            sample, or numbers.
        hidden: what is hidden of each copy, bool [copies, N, L], see `masked_copies.hide`.
        classes: whether `y` are classes.
        seed: of the folds.
    """
    rng = np.random.default_rng([seed, 4])
    copies = max(min(len(hidden), MOST // max(len(y), 1)), 1)
    every = np.tile(np.arange(len(y)), copies)
    blank = hidden[:copies].reshape(len(every), -1)
    shares = visible_shares(asked, every, blank)
    known = shares > 0
    every, blank, shares = every[known], blank[known], shares[known]
    x, fold = asked.features(every, blank).astype(np.float64), folds(y, rng, classes)[every]
    if classes:
        return _fit_classes(x, y[every], fold, shares, np.bincount(y))
    return _fit_numbers(x, y[every].astype(np.float64), fold, shares, float(y.mean()))


def _fit_classes(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, shares: np.ndarray, counts: np.ndarray
) -> ClassHead:
    prior = np.log(counts / counts.sum())
    logits, strength = logits_apart(x, y, fold, prior)
    voices = Voices.learn([logits], y, shares)
    off = 1 - voices([logits], shares)[np.arange(len(y)), y]
    return ClassHead(logistic(x, y, strength, prior), voices, Calibration.learn(off, shares))


def _fit_numbers(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, shares: np.ndarray, mean: float
) -> NumberHead:
    said, strength = numbers_apart(x, y, fold, mean)
    return NumberHead(ridge(x, y, strength, mean), Calibration.learn(np.abs(said - y), shares))


def logits_apart(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return logits of rows by logistic regressions on other folds, [n, K], and their strength.

    Rows of fold -1 are never left out: they have logits of 0.
    """
    best, logits, strength = np.inf, np.zeros((0, 0)), STRENGTHS[0]
    for each in STRENGTHS:
        said, some = np.zeros((len(y), len(prior))), fold >= 0
        for part in np.unique(fold[some]):
            out = fold == part
            said[out] = logistic(x[~out], y[~out], each, prior)(x[out])
        loss = -log_softmax(said[some], axis=1)[np.arange(some.sum()), y[some]].mean()
        if loss >= best:
            break  # weaker ridges are worse too, and take longest
        best, logits, strength = loss, said, each
    return logits, strength


def numbers_apart(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, mean: float
) -> tuple[np.ndarray, float]:
    """Return what ridge regressions on other folds expect of rows, [n], and their strength.

    Rows of fold -1 are never left out: the mean is expected of them.
    """
    best, found, strength = np.inf, np.zeros(0), RIDGES[0]
    for each in RIDGES:
        said, some = np.full(len(y), mean), fold >= 0
        for part in np.unique(fold[some]):
            out = fold == part
            said[out] = ridge(x[~out], y[~out], each, mean)(x[out])[:, 0]
        loss = np.square(said - y)[some].mean()
        if loss < best:
            best, found, strength = loss, said, each
    return found, strength


def logistic(x: np.ndarray, y: np.ndarray, strength: float, prior: np.ndarray) -> Linear:
    """Return the logits of a logistic regression; classes without samples have their prior's."""
    from sklearn.linear_model import LogisticRegression

    mean, std = _scale(x)
    weights, bias = np.zeros((x.shape[1], len(prior))), np.full(len(prior), prior.min() - 10)
    classes = np.unique(y)
    if len(classes) == 1:
        bias[classes[0]] = 0.0
        return Linear(mean, std, weights, bias, prior)
    model = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit((x - mean) / std, y)
    found, start = model.coef_, model.intercept_
    if len(classes) == 2:
        found, start = np.vstack([-found, found]) / 2, np.concatenate([-start, start]) / 2
    weights[:, classes], bias[classes] = found.T, start
    return Linear(mean, std, weights, bias, prior)


def ridge(x: np.ndarray, y: np.ndarray, strength: float, prior: float) -> Linear:
    """Return a ridge regression of numbers [n]."""
    from sklearn.linear_model import Ridge

    mean, std = _scale(x)
    model = Ridge(alpha=strength).fit((x - mean) / std, y)
    bias = np.array([float(model.intercept_)])
    return Linear(mean, std, model.coef_[:, None], bias, np.array([prior]))


def _scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    std = x.std(axis=0)
    return x.mean(axis=0), np.where(std > 1e-9, std, 1.0)


def folds(y: np.ndarray, rng: np.random.Generator, classes: bool) -> np.ndarray:
    """Return the fold of each sample, int64 [N], with about equal shares of the classes."""
    order = rng.permutation(len(y))
    if classes:
        order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), dtype=int)
    fold[order] = np.arange(len(y)) % min(FOLDS, max(len(y), 1))
    return fold


def to_arrays(head: Head) -> dict[str, np.ndarray]:
    """Return a head as arrays by name, which `from_arrays` reads."""
    return {
        f"{part}.{name}": value
        for part, fields in vars(head).items()
        for name, value in vars(fields).items()
    }


def from_arrays(arrays: dict[str, np.ndarray]) -> Head:
    """Return the head that arrays describe."""

    def of(part: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(part): value
            for name, value in arrays.items()
            if name.startswith(part)
        }

    linear, calibration = Linear(**of("linear.")), Calibration(**of("calibration."))
    voices = of("voices.")
    return (
        ClassHead(linear, Voices(**voices), calibration)
        if voices
        else NumberHead(linear, calibration)
    )
