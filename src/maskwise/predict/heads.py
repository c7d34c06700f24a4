"""Heads: classes, or a number, from features of samples of which any part is visible."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from maskwise.predict.asked import Asked, visible_shares
from maskwise.predict.conformal import Calibration

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
RIDGES = (0.1, 1.0, 10.0, 100.0, 1000.0)
FOLDS = 5
MOST = 40_000  # copies of samples that a head is fitted to
LEVELS = 5  # of the visible share, at which temperatures are measured


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
        shares: visible shares, rising, [S].
        temperatures: what logits are divided by there, [S]; between them linear.
        calibration: of 1 - the probability of the true class.
    """

    linear: Linear
    shares: np.ndarray
    temperatures: np.ndarray
    calibration: Calibration

    def probabilities(self, features: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float64 [N, K].

        Args:
            features: [N, D].
            shares: how much of each sample is visible, [N].
        """
        return np.exp(_cooled(self.linear(features), shares, self.shares, self.temperatures))

    def sets(
        self, probabilities: np.ndarray, shares: np.ndarray, coverage: float = 0.9
    ) -> np.ndarray:
        """Return the classes that cover the true one so often, bool [N, K]; never none."""
        limits = self.calibration.limits(shares, coverage)
        found = 1 - probabilities <= limits[:, None]
        found[np.arange(len(found)), probabilities.argmax(axis=1)] = True
        return found


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
        hidden: what is hidden of each copy, bool [copies, N, L], see `visibility.hide`.
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
    x, fold = asked.features(every, blank).astype(np.float64), _folds(y, classes, rng)[every]
    if classes:
        return _fit_classes(x, y[every], fold, shares, np.bincount(y))
    return _fit_numbers(x, y[every].astype(np.float64), fold, shares, float(y.mean()))


def _fit_classes(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, shares: np.ndarray, counts: np.ndarray
) -> ClassHead:
    prior = np.log(counts / counts.sum())
    best, logits, strength = np.inf, np.zeros((0, 0)), STRENGTHS[0]
    for each in STRENGTHS:
        said = np.empty((len(y), len(counts)))
        for part in np.unique(fold):
            out = fold == part
            said[out] = _logistic(x[~out], y[~out], each, prior)(x[out])
        loss = -log_softmax(said, axis=1)[np.arange(len(y)), y].mean()
        if loss < best:
            best, logits, strength = loss, said, each
    levels, temperatures = _temperatures(logits, y, shares)
    log_p = _cooled(logits, shares, levels, temperatures)
    off = 1 - np.exp(log_p[np.arange(len(y)), y])
    linear = _logistic(x, y, strength, prior)
    return ClassHead(linear, levels, temperatures, Calibration.learn(off, shares))


def _fit_numbers(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, shares: np.ndarray, mean: float
) -> NumberHead:
    best, off, strength = np.inf, np.zeros(0), RIDGES[0]
    for each in RIDGES:
        said = np.empty(len(y))
        for part in np.unique(fold):
            out = fold == part
            said[out] = _ridge(x[~out], y[~out], each, mean)(x[out])[:, 0]
        loss = np.square(said - y).mean()
        if loss < best:
            best, off, strength = loss, np.abs(said - y), each
    return NumberHead(_ridge(x, y, strength, mean), Calibration.learn(off, shares))


def _logistic(x: np.ndarray, y: np.ndarray, strength: float, prior: np.ndarray) -> Linear:
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


def _ridge(x: np.ndarray, y: np.ndarray, strength: float, prior: float) -> Linear:
    from sklearn.linear_model import Ridge

    mean, std = _scale(x)
    model = Ridge(alpha=strength).fit((x - mean) / std, y)
    bias = np.array([float(model.intercept_)])
    return Linear(mean, std, model.coef_[:, None], bias, np.array([prior]))


def _scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    std = x.std(axis=0)
    return x.mean(axis=0), np.where(std > 1e-9, std, 1.0)


def _folds(y: np.ndarray, classes: bool, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each sample, int64 [N], with about equal shares of the classes."""
    order = rng.permutation(len(y))
    if classes:
        order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), dtype=int)
    fold[order] = np.arange(len(y)) % min(FOLDS, max(len(y), 1))
    return fold


def _temperatures(
    logits: np.ndarray, y: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return visible shares, and the temperatures that suit held-out logits about them."""
    levels = np.unique(np.quantile(shares, (np.arange(LEVELS) + 0.5) / LEVELS))
    used, part = np.unique(np.abs(shares[:, None] - levels).argmin(axis=1), return_inverse=True)
    levels = levels[used]

    def best(rows: np.ndarray) -> float:
        def loss(log_t: float) -> float:
            log_p = log_softmax(logits[rows] * np.exp(-log_t), axis=1)
            return float(-log_p[np.arange(len(log_p)), y[rows]].mean())

        return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))

    return levels, np.array([best(part == level) for level in range(len(levels))])


def _cooled(
    logits: np.ndarray, shares: np.ndarray, levels: np.ndarray, temperatures: np.ndarray
) -> np.ndarray:
    """Return log-probabilities [N, K] of logits at visible shares [N]."""
    by = np.where(shares > 0, np.interp(shares, levels, temperatures), 1.0)
    return np.asarray(log_softmax(logits / by[:, None], axis=1))


def to_arrays(head: Head) -> dict[str, np.ndarray]:
    """Return a head as arrays by name, which `from_arrays` reads."""
    found = {f"linear.{name}": value for name, value in vars(head.linear).items()}
    found |= {f"calibration.{name}": value for name, value in vars(head.calibration).items()}
    if isinstance(head, ClassHead):
        found |= {"shares": head.shares, "temperatures": head.temperatures}
    return found


def from_arrays(arrays: dict[str, np.ndarray]) -> Head:
    """Return the head that arrays describe."""

    def of(part: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(part): value
            for name, value in arrays.items()
            if name.startswith(part)
        }

    linear, calibration = Linear(**of("linear.")), Calibration(**of("calibration."))
    if "shares" not in arrays:
        return NumberHead(linear, calibration)
    return ClassHead(linear, arrays["shares"], arrays["temperatures"], calibration)
