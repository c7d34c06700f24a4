"""What few labelled rows say of all others: probabilities of classes that other models learn from.

Labels that a classifier gives to whole rows teach what parts of them tell; the classifier is what
predicts left-out labels best, a logistic regression, trees, or a mixture of both.
"""

import numpy as np
from scipy.special import softmax

from maskwise.predict.heads import logistic, logits_apart

TREES = 100
LEAST = 1e-3  # probability that the trees give a class


def taught(
    x: np.ndarray, y: np.ndarray, others: np.ndarray, fold: np.ndarray, *, seed: int
) -> list[np.ndarray]:
    """Return probabilities of the classes of other rows, [M, K] each.

    The first are from all labels, the others without those of one fold.

    Args:
        x: features of labelled rows, [N, D].
        y: their classes, int64 [N], from 0.
        others: features of the other rows, [M, D].
        fold: of each labelled row, int64 [N]; -1 = never left out.
        seed: of the trees.
    """
    num = int(y.max()) + 1
    counts = np.bincount(y, minlength=num)
    prior = np.log(counts / counts.sum())
    logits, strength = logits_apart(x, y, fold, prior)
    parts, trees = np.unique(fold[fold >= 0]), np.zeros((len(y), num))
    by_line, by_trees = [], []
    for part in (None, *parts):
        kept = np.ones(len(y), bool) if part is None else fold != part
        by_line.append(softmax(logistic(x[kept], y[kept], strength, prior)(others), axis=1))
        rows = others if part is None else np.concatenate([others, x[~kept]])
        found = _trees(x[kept], y[kept], rows, num, seed)
        by_trees.append(found[: len(others)])
        trees[~kept] = found[len(others) :]
    line, rows = softmax(logits, axis=1), np.flatnonzero(fold >= 0)

    def loss(share: float) -> float:
        said = ((1 - share) * line + share * trees)[rows, y[rows]]
        return float(-np.log(said.clip(LEAST)).mean())

    best = min(np.linspace(0, 1, 11).tolist(), key=loss)
    return [(1 - best) * a + best * b for a, b in zip(by_line, by_trees, strict=True)]


def _trees(x: np.ndarray, y: np.ndarray, rows: np.ndarray, num: int, seed: int) -> np.ndarray:
    from sklearn.ensemble import ExtraTreesClassifier

    found = np.zeros((len(rows), num))
    model = ExtraTreesClassifier(TREES, random_state=seed).fit(x, y)
    if len(rows):
        found[:, model.classes_] = model.predict_proba(rows)
    return found
