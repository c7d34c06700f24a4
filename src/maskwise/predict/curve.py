"""How right answers are by how much of a sample is visible: a model's, and those of baselines."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from maskwise.measure.features import ends, spread
from maskwise.measure.probes import unseen
from maskwise.modality import Entries
from maskwise.predict import baselines, heads, visibility
from maskwise.predict.asked import Asked, visible_shares
from maskwise.predict.baselines import Filled, Learn, Read
from maskwise.predict.visible import OBSERVED, Part
from maskwise.progress import track
from maskwise.ties import largest

MOST_TRAIN, MOST_TEST = 2000, 500  # samples
MOST_COPIES, MOST_ROWS = 8, 6000  # of each training sample, and of all of them
MOST_TREES = 4_000_000  # copies x columns x classes that trees are grown on
DRAWS = 500  # of the bootstrap
ENCODER, NOTHING, TREES, NEAREST = (
    "encoder",
    "class frequencies",
    "boosted trees",
    "nearest neighbours",
)
LINEAR: Mapping[str, Learn] = {"Gaussian": baselines.by_gaussian, "mean fill": baselines.by_mean}
"""what stands where nothing is visible, for a linear head as the encoder has it"""

Answer = Callable[[np.ndarray], np.ndarray]
"""what is hidden of all test samples, bool [M, L], to a class or a number of each, [M]"""


@dataclass(frozen=True)
class Labelled:
    """Samples whose labels are known.

    Args:
        asked: what an encoder says of them.
        y: classes from 0, or numbers, [N].
        read: their values, which baselines see; None: they have none that are numbers.
    """

    asked: Asked
    y: np.ndarray
    read: Read | None = None


def curve(
    train: Labelled,
    test: Labelled,
    parts: Iterable[Part],
    *,
    classes: bool = True,
    linear: Mapping[str, Learn] = LINEAR,
    others: bool = True,
    seed: int = 0,
) -> list[Entries]:
    """Return how right each method is by how much is visible: rows of "partial" in result.json.

    A linear head reads what the encoder says of copies of the training samples, of which a share
    is hidden that is drawn from `uniform:0,1`; one head answers at all shares. Baselines see the
    same copies: a head like it on values that are filled in, and gradient-boosted trees in which
    NaN is a value. Nearest neighbours compare what is visible.

    Rows have the "pattern", the "share" that was asked for, how much is "visible" of test samples
    in the mean, and "accuracy" and "macro_f1", or "r2" and "mae" of numbers, each with the ends of
    a 95 % percentile bootstrap of test samples that is the same for all methods.

    Args:
        train: samples to learn from.
        test: samples to answer for.
        parts: what is visible of these.
        classes: whether labels are classes.
        linear: what fills in values for heads, by name.
        others: whether trees and neighbours are asked too.
        seed: of the copies, the heads and the bootstrap.
    """
    known = np.unique(train.y) if classes else train.y
    y = np.searchsorted(known, train.y) if classes else train.y
    methods, note = _methods(train, test, y, classes, linear, others, seed)
    draws = np.random.default_rng(seed).integers(len(test.y), size=(DRAWS, len(test.y)))
    every, found = np.arange(len(test.y)), []
    for part in track(list(parts), "visible parts"):
        visible = float(visible_shares(test.asked, every, part.hidden).mean())
        for name, answer in methods.items():
            said = answer(part.hidden)
            if classes:
                measured = _of_classes(known[said], test.y, draws)
            else:
                measured = _of_numbers(said, test.y, float(y.mean()), draws)
            share = visible if part.pattern == OBSERVED else part.share
            row = {"method": name, "pattern": part.pattern, "share": share, "visible": visible}
            sizes = {"num_train": len(y), "num_test": len(test.y)}
            found.append(row | measured | sizes | {"note": note if name == ENCODER else ""})
    return found


def _methods(
    train: Labelled,
    test: Labelled,
    y: np.ndarray,
    classes: bool,
    linear: Mapping[str, Learn],
    others: bool,
    seed: int,
) -> tuple[dict[str, Answer], str]:
    """Return what answers, by name, and a note on all of it."""
    copies = min(MOST_COPIES, max(MOST_ROWS // len(y), 2))
    hidden = visibility.hide(train.asked.there, visibility.ANY, copies=copies, seed=seed)
    every, rows = np.tile(np.arange(len(y)), copies), np.arange(len(test.y))
    notes = [f"{copies} copies of each training sample"]
    if classes and (new := unseen(train.y, test.y)):
        notes.append(new)

    def headed(own: Asked, other: Asked) -> Answer:
        said = heads.fit(own, y, hidden, classes=classes, seed=seed).linear

        def answer(blank: np.ndarray) -> np.ndarray:
            found = said(other.features(rows, blank))
            return largest(found, axis=1) if classes else found[:, 0]

        return answer

    found = {ENCODER: headed(train.asked, test.asked)}
    if train.read is not None and test.read is not None:
        read, whole = test.read, np.zeros_like(hidden[0])
        values = train.read(np.arange(len(y)), whole)
        for name, learn in track(linear.items(), "baselines"):
            fill = learn(values)
            pair = (
                Filled(each.asked, own, fill) for each, own in ((train, train.read), (test, read))
            )
            found[name] = headed(*pair)
        work = len(every) * values.shape[1] * (len(np.unique(y)) if classes else 1)
        if others and work <= MOST_TREES:
            shown = train.read(every, hidden.reshape(len(every), -1))
            trees = baselines.by_trees(shown, y[every], classes, seed)
            found[TREES] = lambda blank: trees(read(rows, blank))
        elif others:
            notes.append(f"no boosted trees: {work:,} copies x columns x classes are too many")
        if others:
            near = baselines.by_neighbours(values, y, classes)
            found[NEAREST] = lambda blank: near(read(rows, blank))
        if linear and values.shape[1] > baselines.DENSE:
            num = baselines.NUM_COMPONENTS
            notes.append(f"baselines see {num} principal components of {values.shape[1]} columns")
    usual = np.bincount(y).argmax() if classes else y.mean()
    found[NOTHING] = lambda blank: np.full(len(rows), usual)
    return found, "; ".join(notes)


def _of_classes(said: np.ndarray, y: np.ndarray, draws: np.ndarray) -> Entries:
    """Return accuracy and macro-F1 of classes [M], with their intervals over draws [D, M]."""
    names, both = np.unique(np.concatenate([said, y]), return_inverse=True)
    said, y = np.split(both, 2)
    num, right = len(names), said == y

    def measures(rows: np.ndarray) -> np.ndarray:
        start = np.arange(len(rows))[:, None] * num

        def count(of: np.ndarray, weights: np.ndarray) -> np.ndarray:
            at, times = (start + of[rows]).ravel(), weights[rows].ravel()
            return np.bincount(at, times, len(rows) * num).reshape(-1, num)

        ones = np.ones(len(y))
        hit, either = count(y, right.astype(float)), count(y, ones) + count(said, ones)
        f1 = np.where(either > 0, 2 * hit / either.clip(1), np.nan)
        return np.stack([hit.sum(axis=1) / rows.shape[1], np.nanmean(f1, axis=1)])

    return _spreads(("accuracy", "macro_f1"), measures, draws)


def _of_numbers(said: np.ndarray, y: np.ndarray, mean: float, draws: np.ndarray) -> Entries:
    """Return R² against the mean of training samples, and the mean absolute error."""
    square, total, off = np.square(said - y), np.square(y - mean), np.abs(said - y)

    def measures(rows: np.ndarray) -> np.ndarray:
        whole = np.maximum(total[rows].sum(axis=1), 1e-300)
        return np.stack([1 - square[rows].sum(axis=1) / whole, off[rows].mean(axis=1)])

    return _spreads(("r2", "mae"), measures, draws)


def _spreads(
    names: tuple[str, ...], measures: Callable[[np.ndarray], np.ndarray], draws: np.ndarray
) -> Entries:
    value, drawn = measures(np.arange(draws.shape[1])[None])[:, 0], measures(draws)
    every = zip(names, value.tolist(), drawn, strict=True)
    return {name: spread((each, *ends(around))) for name, each, around in every}
