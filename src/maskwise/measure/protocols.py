"""Probes by name, and the rows of the table that they make."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from maskwise.measure import probes
from maskwise.measure.bootstrap import interval
from maskwise.measure.knn import NAME, knn

Protocol = Literal["logistic", "mae", "knn"]
Predict = Callable[[np.ndarray, np.ndarray, np.ndarray, int], tuple[np.ndarray, str]]


def _logistic(x: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    predicted, converged = probes.logistic(x, y, test)
    return predicted, "" if converged else "not converged"


# The name printed beside the number, and (train x, train y, test x, seed) -> (classes, note).
PROTOCOLS: dict[str, tuple[str, Predict]] = {
    "logistic": (probes.LOGISTIC, _logistic),
    "mae": (probes.MAE, lambda x, y, test, seed: (probes.mae_batchnorm(x, y, test, seed), "")),
    "knn": (NAME, lambda x, y, test, seed: (knn(x, y, test), "")),
}


def probe_rows(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    protocols: Sequence[Protocol],
    seed: int,
) -> list[dict[str, Any]]:
    """Return the rows of one kind of features, one for each protocol.

    A test sample whose class is not among the training samples counts as wrong, and "note" says
    so.

    Args:
        name: what the features are.
        train: features [N, D] and classes [N].
        test: features [M, D] and classes [M].
        protocols: probes to run.
        seed: of the probes and the bootstrap.
    """
    rows = []
    for protocol in protocols:
        title, predict = PROTOCOLS[protocol]
        predicted, note = predict(*train, test[0], seed)
        row = probe_row(name, title, predicted, train[1], test[1], seed)
        rows.append(row | {"note": "; ".join(filter(None, (note, row["note"])))})
    return rows


def probe_row(
    name: str,
    protocol: str,
    predicted: np.ndarray,
    train_y: np.ndarray,
    test_y: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """Return a row of the table from the predicted classes of test samples."""
    accuracy, low, high = interval(predicted == test_y, seed)
    return {
        "features": name,
        "protocol": protocol,
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "num_train": len(train_y),
        "num_test": len(test_y),
        "note": unseen(train_y, test_y),
    }


def unseen(train_y: np.ndarray, test_y: np.ndarray) -> str:
    """Return the note on test samples of classes that are not trained on, if there are any.

    >>> unseen(np.array([0, 1]), np.array([1, 2]))
    '1 test samples of classes without training samples'
    """
    num = int((~np.isin(test_y, train_y)).sum())
    return f"{num} test samples of classes without training samples" if num else ""
