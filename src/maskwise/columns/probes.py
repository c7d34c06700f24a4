"""The classes of samples read from frozen features, with all labels and with few."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from maskwise.measure.bootstrap import over_draws
from maskwise.measure.classification import Judge, Measures, judged
from maskwise.measure.features import subset
from maskwise.measure.probes import best_strength, logistic_scores

TabularProtocol = Literal["logistic", "knn"]
TITLES = {
    "logistic": "logistic-lbfgs (C chosen on train, one scale for all features)",
    "knn": "knn (k=15, of few labels their number a class; Euclidean, by distance)",
}
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
NUM_CHOOSE = 1000  # samples on which C is chosen, at most
K = 15

log = logging.getLogger("maskwise")


class Labelled(NamedTuple):
    """Features of training and test samples, [N, D] and [M, D]."""

    train: np.ndarray
    test: np.ndarray


def tabular_probes(
    features: Mapping[str, Labelled],
    train_y: np.ndarray,
    test_y: np.ndarray,
    *,
    name: str,
    protocols: Sequence[TabularProtocol] = ("logistic", "knn"),
    few: Sequence[int] = (5, 10, 20),
    draws: int = 5,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the rows of the table of probes; none with fewer than two classes.

    With all labels intervals are a bootstrap of test samples; with few they are over draws of the
    labelled samples (Student's t), the same ones for all features. Features are divided by one
    number: standardised each by itself, principal components lose what their sizes say (on 4,000
    blood cells with 5 labels a type macro-F1 .65, and .82 as they are).

    Args:
        features: by name.
        train_y: classes, -1 = not known: left out, [N].
        test_y: the same of test samples, [M].
        name: of the data.
        protocols: which probes.
        few: numbers of labels a class; a class with fewer samples gives those it has.
        draws: how often so few labelled samples are drawn.
        seed: of the draws, of the choice of C and of the bootstrap.
    """
    known, asked = np.flatnonzero(train_y >= 0), np.flatnonzero(test_y >= 0)
    y, want = train_y[known], test_y[asked]
    unlabelled = len(train_y) + len(test_y) - len(y) - len(want)
    if unlabelled and len(y):
        log.info("%d samples without a label take no part in probes", unlabelled)
    if len(np.unique(y)) < 2 or not len(want):
        return []
    tasks = [("all labels", [np.arange(len(y))], 0)]
    tasks += [(f"{num} labels a class", list(_draws(y, num, draws, seed)), num) for num in few]
    rows = []
    for task, drawn, num in tasks:
        for title, (train, test) in features.items():
            for protocol in protocols:
                found = _probe(protocol, train[known], y, test[asked], want, drawn, num, seed)
                rows.append(
                    {"task": f"{name}, {task}", "features": title, "protocol": TITLES[protocol]}
                    | found
                )
    return rows


def _draws(y: np.ndarray, num: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Give indices of `num` samples of each class, or of those there are."""
    for draw in range(draws):
        rng = np.random.default_rng([seed, num, draw])
        yield np.concatenate(
            [rng.permutation(np.flatnonzero(y == each))[:num] for each in np.unique(y)]
        )


def _probe(
    protocol: TabularProtocol,
    train: np.ndarray,
    y: np.ndarray,
    test: np.ndarray,
    want: np.ndarray,
    drawn: Sequence[np.ndarray],
    num: int,
    seed: int,
) -> dict[str, Any]:
    """Return measures of test samples, notes and numbers of samples; `num` is 0 for all labels."""
    num_classes = int(max(y.max(), want.max())) + 1
    notes: set[str] = set()
    every = []
    for index in drawn:
        scores = np.zeros((len(want), num_classes))
        if protocol == "knn":
            k = min(K, num or K, len(index))
            found = _votes(train[index], y[index], test, k)
        else:
            found, converged = _logistic(train[index], y[index], test, seed)
            notes |= set() if converged else {"not converged"}
        scores[:, : found.shape[1]] = found
        every.append(scores)
    unseen = int((~np.isin(want, y)).sum())
    if unseen:
        notes.add(f"{unseen} test samples of classes without training samples")
    rare = int((np.unique(y, return_counts=True)[1] < num).sum())
    if rare:
        notes.add(f"{rare} classes have fewer than {num} training samples and give all")
    if num:
        measured = _over_draws([Judge(scores, want)() for scores in every])
        notes.add(f"mean of {len(drawn)} draws")
    else:
        measured = judged(every[0], want, np.arange(len(want)), seed)
    accuracy = measured.pop("accuracy")
    return {
        "accuracy": accuracy["value"],
        "low": accuracy["low"],
        "high": accuracy["high"],
        **measured,
        "num_train": len(drawn[0]),
        "num_test": len(want),
        "note": "; ".join(sorted(notes)),
    }


def _over_draws(found: Sequence[Measures]) -> dict[str, Any]:
    measured = {}
    for key, values in zip(Measures._fields, np.array(found).T, strict=True):
        value, low, high = over_draws(values) if not np.isnan(values).any() else (None,) * 3
        measured[key] = {"value": value, "low": low, "high": high}
    return measured


def _logistic(
    train: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int
) -> tuple[np.ndarray, bool]:
    """Return probabilities of classes, C chosen on training samples, and whether it converged."""
    mean = train.mean(axis=0)
    scale = np.sqrt(np.square(train - mean).mean()) or 1.0
    train, test = _rotated((train - mean) / scale, (test - mean) / scale)
    chosen = subset(len(y), NUM_CHOOSE, seed)
    part, groups = _rotated(train[chosen], test[:0])[0], np.arange(len(chosen))
    # Codes of a few large directions converge slowly, and to choose they need not.
    options = {"standardise": False, "tol": 1e-3}
    c = best_strength(part, y[chosen], groups, seed, STRENGTHS, **options)
    return logistic_scores(train, y, test, c, standardise=False)


def _rotated(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features in a basis of the training samples, where those are fewer than features.

    The weights of a regression whose penalty is their square lie in it: nothing else changes.
    """
    if train.shape[1] <= len(train):
        return train, test
    basis = np.linalg.qr(train.T)[0]
    return train @ basis, test @ basis


def _votes(train: np.ndarray, y: np.ndarray, test: np.ndarray, k: int) -> np.ndarray:
    """Return shares of the votes of the `k` nearest samples, each one over its distance."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(k, weights="distance", algorithm="brute").fit(train, y)
    scores = np.zeros((len(test), int(y.max()) + 1))
    scores[:, model.classes_] = model.predict_proba(test)
    return scores
