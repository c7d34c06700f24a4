"""Tables of probes: how samples are split, how good class scores are, a row for each probe."""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskwise.errors import UserError
from maskwise.measure.features import ends, interval, over_draws, spread
from maskwise.measure.protocols import Probe, of_all_classes
from maskwise.modality import Entries
from maskwise.progress import track
from maskwise.ties import largest

NUM_FOLDS = 5


class Measures(NamedTuple):
    """Of predicted classes, and of the scores behind them."""

    accuracy: float
    mcc: float
    auroc: float
    macro_f1: float


class Fold(NamedTuple):
    """Which samples a probe is fitted on, and which it predicts, both int64."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class Labels:
    """Classes of samples, and how those are split.

    Folds are one of a given split, those of cross-validation, or draws of few training samples,
    each for the same test samples.
    """

    y: np.ndarray  # classes from 0, int64 [N]; of samples in no fold they do not matter
    folds: tuple[Fold, ...]
    groups: np.ndarray  # equal for samples that belong together, int64 [N]
    note: str = ""  # what to know about the split
    few: int = 0  # labels a class, where folds are draws of so many


def given_split(
    train_y: np.ndarray, test_y: np.ndarray, groups: np.ndarray | None = None, note: str = ""
) -> Labels:
    """Return a split into training samples [N] and, after them, test samples [M].

    Those of class -1 are left out. Groups are of all, [N + M]; by default each is its own.
    """
    y = np.concatenate([train_y, test_y])
    train, test = np.split(np.arange(len(y)), [len(train_y)])
    fold = Fold(train[train_y >= 0], test[test_y >= 0])
    return Labels(y, (fold,), np.arange(len(y)) if groups is None else groups, note)


def few_labels(labels: Labels, num: int, draws: int, seed: int) -> Labels:
    """Return `draws` folds of a given split, each with `num` training samples of a class.

    Or all of the class, where it has fewer. `seed` is of the choice.
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
    """Return folds with about equal shares of the classes `y` [N]; no group is in two of them.

    `seed` is of the order in which groups [N] are dealt out; `name` is of the task, for messages.

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

    `features` says what the features [N, D] of all samples are; `seed` is of the probe and of the
    bootstrap; the accuracy may be the `accuracy_only` measure. With fewer than two classes all of
    them are None, and "note" says so.
    """
    y, folds = labels.y, labels.folds
    once = folds[:1] if labels.few else folds  # draws have the same test samples
    asked = np.concatenate([fold.test for fold in once])
    told = {"features": features, "protocol": probe.title}
    sizes = {"num_train": max(len(fold.train) for fold in folds), "num_test": len(asked)}
    if why := unscored(y[np.concatenate([fold.train for fold in folds])], y[asked]):
        others = {} if accuracy_only else dict.fromkeys(Measures._fields[1:], spread((None,) * 3))
        none = spread((None,) * 3, "accuracy")
        return {**told, **none, **others, **sizes, "note": f"not scored: {why}"}
    scores, converged = [], True
    for train, test in track(folds, probe.title.split(" (")[0]):
        found, well = probe.predict(x[train], y[train], x[test], labels.groups[train], seed)
        scores.append(of_all_classes(found, int(y.max()) + 1))
        converged &= well
    if labels.few:
        draws = np.array([Judge(each, y[asked])() for each in scores]).T
        means = [(None,) * 3 if np.isnan(each).any() else over_draws(each) for each in draws]
        measured = dict(zip(Measures._fields, map(spread, means), strict=True))
    elif accuracy_only:
        right = largest(np.concatenate(scores), axis=1) == y[asked]
        measured = {"accuracy": spread(interval(right, seed, groups=labels.groups[asked]))}
    else:
        measured = judged(np.concatenate(scores), y[asked], labels.groups[asked], seed)
    new = sum(int((~np.isin(y[test], y[train])).sum()) for train, test in once)
    return {
        **told,
        **spread(measured.pop("accuracy").values(), "accuracy"),
        **measured,
        **sizes,
        "note": _joined("" if converged else "not converged", _unseen(new), labels.note),
    }


def unscored(train_y: np.ndarray, test_y: np.ndarray) -> str:
    """Return why nothing can be said of how well classes are told apart, or "".

    >>> unscored(np.array([0, 1, 1]), np.array([1, 1, -1]))
    'there is one class to test on'
    """
    for y, what in ((train_y, "train"), (test_y, "test")):
        num = len(np.unique(y[y >= 0]))
        if num < 2:
            return f"there is {'one' if num else 'no'} class to {what} on"
    return ""


def unseen(train_y: np.ndarray, test_y: np.ndarray) -> str:
    """Return the note on test samples of classes that are not trained on, if there are any."""
    return _unseen(int((~np.isin(test_y, train_y)).sum()))


def _unseen(num: int) -> str:
    return f"{num} test samples of classes without training samples" if num else ""


class Judge:
    """Measures class scores under any weights of the samples.

    - accuracy: the share of right classes, the ones of highest score;
    - mcc: Matthews correlation, for several classes Gorodkin's R_K; 0 where it is 0 / 0;
    - auroc: of two classes, that of the second one's score; of several, the mean over classes
      of each against the rest. Classes without samples are left out; NaN if none remains;
    - macro_f1: the mean over classes of 2 x right / (samples + predictions) of that class. Classes
      with neither are left out.

    Scores [N, C] are of each class, `y` [N] are the classes.

    Source: Gorodkin, Comparing two K-category assignments by a K-category correlation
    coefficient (Computational Biology and Chemistry 28, 2004).

    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    >>> found = Judge(scores, np.array([0, 0, 1, 1]))()
    >>> found.accuracy, found.auroc, round(found.mcc, 3), round(found.macro_f1, 3)
    (0.75, 0.75, 0.577, 0.733)
    """

    def __init__(self, scores: np.ndarray, y: np.ndarray) -> None:
        self.num_classes = scores.shape[1]
        self.cells = y * self.num_classes + largest(scores, axis=1)
        asked = range(self.num_classes) if self.num_classes > 2 else [1]
        self.is_class = [y == each for each in asked]
        # Equal scores share a place.
        self.places = [np.unique(scores[:, each], return_inverse=True)[1] for each in asked]

    def __call__(self, weights: np.ndarray | None = None) -> Measures:
        """Return the measures; `weights` says how often each sample counts, [N]."""
        weights = np.ones(len(self.cells)) if weights is None else weights
        num = self.num_classes
        confusion = np.bincount(self.cells, weights, num * num).reshape(num, num)
        true, predicted, total = confusion.sum(axis=1), confusion.sum(axis=0), confusion.sum()
        right = np.trace(confusion)
        size = np.sqrt(float((total**2 - true @ true) * (total**2 - predicted @ predicted)))
        mcc = (right * total - true @ predicted) / size if size else 0.0
        either = true + predicted
        f1 = 2 * np.diag(confusion)[either > 0] / either[either > 0]
        areas = [
            _area(place, weights * yes, weights * ~yes)
            for place, yes in zip(self.places, self.is_class, strict=True)
        ]
        found = [area for area in areas if area == area]
        auroc = float(np.mean(found)) if found else float("nan")
        return Measures(float(right / total), float(mcc), auroc, float(f1.mean()))


def judged(
    scores: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int, num: int = 1000
) -> dict[str, dict[str, float | None]]:
    """Return the measures of scores [N, C] of classes y [N], with 95 % percentile intervals.

    Samples are resampled `num` times with all others of their group, [N]; equal groups and seeds
    resample the same ones. "value", "low" and "high" are None where a measure has no value.
    """
    judge = Judge(scores, y)
    _, groups = np.unique(groups, return_inverse=True)
    num_groups = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(num):
        drawn = rng.integers(0, num_groups, num_groups)
        found.append(judge(np.bincount(drawn, minlength=num_groups)[groups]))
    of = {}
    for name, value, values in zip(Measures._fields, judge(), np.array(found).T, strict=True):
        known = value == value
        of[name] = spread((value, *ends(values[~np.isnan(values)])) if known else (None,) * 3)
    return of


def _area(places: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the share of pairs whose positive is above the negative; equal scores count half."""
    above, below = (np.bincount(places, weights) for weights in (positive, negative))
    pairs = above.sum() * below.sum()
    return float(above @ (below.cumsum() - below / 2) / pairs) if pairs else float("nan")


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
