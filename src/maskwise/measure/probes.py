"""Tables of probes: samples with classes, how they are split, and a row for each probe."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskwise.errors import UserError
from maskwise.measure.bootstrap import interval, over_draws
from maskwise.measure.classification import Judge, Measures, judged
from maskwise.measure.protocols import Probe
from maskwise.modality import Entries
from maskwise.ties import largest

NUM_FOLDS = 5


class Fold(NamedTuple):
    """Which samples a probe is fitted on, and which it predicts, both int64."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class Labels:
    """Classes of samples, and how those are split.

    Args:
        y: classes from 0; those of samples that are in no fold do not matter, int64 [N].
        folds: one of a given split; those of cross-validation; or draws of few training samples,
            each for the same test samples.
        groups: equal for samples that belong together, int64 [N].
        note: what to know about the split.
        few: labels a class, where folds are draws of so many; 0 otherwise.
    """

    y: np.ndarray
    folds: tuple[Fold, ...]
    groups: np.ndarray
    note: str = ""
    few: int = 0


def given_split(
    train_y: np.ndarray, test_y: np.ndarray, groups: np.ndarray | None = None, note: str = ""
) -> Labels:
    """Return a split into training samples and, after them, test samples.

    Args:
        train_y: classes, -1 = not known: left out, [N].
        test_y: the same of test samples, [M].
        groups: of all samples, [N + M]; default: each is its own.
        note: what to know about the split.
    """
    y = np.concatenate([train_y, test_y])
    train, test = np.split(np.arange(len(y)), [len(train_y)])
    fold = Fold(train[train_y >= 0], test[test_y >= 0])
    return Labels(y, (fold,), np.arange(len(y)) if groups is None else groups, note)


def few_labels(labels: Labels, num: int, draws: int, seed: int) -> Labels:
    """Return folds that each train on `num` samples of a class, or all where it has fewer.

    Args:
        labels: a given split.
        num: samples of each class.
        draws: how many folds.
        seed: of the choice.
    """
    [(train, test)] = labels.folds
    classes, counts = np.unique(labels.y[train], return_counts=True)
    folds = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, num, draw])
        parts = [rng.permutation(train[labels.y[train] == each])[:num] for each in classes]
        folds.append(Fold(np.concatenate(parts), test))
    rare = int((counts < num).sum())
    notes = (
        f"{rare} classes have fewer than {num} training samples and give all" if rare else "",
        f"mean of {draws} draws",
    )
    return Labels(labels.y, tuple(folds), labels.groups, _joined(*notes), num)


def grouped_folds(
    name: str, y: np.ndarray, groups: np.ndarray, seed: int, num: int = NUM_FOLDS
) -> tuple[Fold, ...]:
    """Return folds with about equal shares of the classes; no group is in two of them.

    Args:
        name: of the task.
        y: classes, [N].
        groups: group of each sequence, [N].
        seed: of the order in which groups are dealt out.
        num: folds.

    Raises:
        UserError: too few groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    most = max(len(np.unique(groups[y == each])) for each in np.unique(y))
    if most < num:
        raise UserError(
            f"task '{name}' has {most} different groups of sequences in its largest class:"
            f" {num} are needed for cross-validation; or give TRAIN:TEST"
        )
    # Shuffled by hand: with shuffle=True older versions of scikit-learn lose the shares.
    _, groups = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # small classes are not in every fold
        found = [Fold(*parts) for parts in StratifiedGroupKFold(num).split(y, y, order[groups])]
    for fold in found:
        if len(np.unique(y[fold.train])) < 2:
            raise UserError(f"task '{name}': one group holds all of a class: give TRAIN:TEST")
    return tuple(fold for fold in found if len(fold.test))


def probe_row(
    features: str,
    x: np.ndarray,
    labels: Labels,
    probe: Probe,
    seed: int,
    *,
    accuracy_only: bool = False,
) -> Entries:
    """Return a row of the table: accuracy, Matthews correlation, AUROC and macro-F1.

    They are of the predictions of all folds together, with intervals that are a bootstrap of
    groups of test samples. With few labels each is the mean over draws, with the interval of
    Student's t. A test sample whose class is not among the training samples counts as wrong, and
    "note" says so.

    Args:
        features: what the features are.
        x: features of all samples, [N, D].
        labels: their classes and folds.
        probe: what predicts classes.
        seed: of the probe and the bootstrap.
        accuracy_only: leave out the other measures.
    """
    y, folds = labels.y, labels.folds
    scores, converged = [], True
    for train, test in folds:
        found, well = probe.predict(x[train], y[train], x[test], labels.groups[train], seed)
        scores.append(_of_all_classes(found, int(y.max()) + 1))
        converged &= well
    once = folds[:1] if labels.few else folds  # draws have the same test samples
    asked = np.concatenate([fold.test for fold in once])
    if labels.few:
        measured = _over_draws([Judge(each, y[asked])() for each in scores])
    elif accuracy_only:
        right = largest(np.concatenate(scores), axis=1) == y[asked]
        ends = interval(right, seed, groups=labels.groups[asked])
        measured = {"accuracy": dict(zip(("value", "low", "high"), ends, strict=True))}
    else:
        measured = judged(np.concatenate(scores), y[asked], labels.groups[asked], seed)
    accuracy = measured.pop("accuracy")
    new = np.concatenate([~np.isin(y[test], y[train]) for train, test in once])
    return {
        "features": features,
        "protocol": probe.title,
        "accuracy": accuracy["value"],
        "low": accuracy["low"],
        "high": accuracy["high"],
        **measured,
        "num_train": max(len(fold.train) for fold in folds),
        "num_test": len(asked),
        "note": _joined("" if converged else "not converged", _unseen(new), labels.note),
    }


def unseen(train_y: np.ndarray, test_y: np.ndarray) -> str:
    """Return the note on test samples of classes that are not trained on, if there are any.

    >>> unseen(np.array([0, 1]), np.array([1, 2]))
    '1 test samples of classes without training samples'
    """
    return _unseen(~np.isin(test_y, train_y))


def _unseen(new: np.ndarray) -> str:
    num = int(new.sum())
    return f"{num} test samples of classes without training samples" if num else ""


def _of_all_classes(found: np.ndarray, num_classes: int) -> np.ndarray:
    """Return scores [M, K], where classes that a probe knows nothing of have 0."""
    scores = np.zeros((len(found), num_classes))
    if found.ndim == 1:
        scores[np.arange(len(found)), found] = 1
    else:
        scores[:, : found.shape[1]] = found
    return scores


def _over_draws(found: Sequence[Measures]) -> dict[str, dict[str, float | None]]:
    measured = {}
    for key, values in zip(Measures._fields, np.array(found).T, strict=True):
        value, low, high = over_draws(values) if not np.isnan(values).any() else (None,) * 3
        measured[key] = {"value": value, "low": low, "high": high}
    return measured


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
