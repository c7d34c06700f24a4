"""How right answers are by how much of a sample is visible: a model's, and those of baselines."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskwise.measure.features import ends, spread
from maskwise.measure.probes import unseen
from maskwise.modality import Entries
from maskwise.predict import baselines, heads, masked_copies
from maskwise.predict.asked import Asked, visible_shares
from maskwise.predict.baselines import Filled, Learn, Read
from maskwise.predict.parts import OBSERVED, Part
from maskwise.progress import track
from maskwise.ties import largest

MOST_TRAIN, MOST_TEST = 2000, 500  # samples
MOST_COPIES, MOST_ROWS = 8, 6000  # of each training sample, and of all of them
# Copies x columns x classes that trees are grown on, and of which heads read all columns.
MOST_TREES, MOST_LINEAR = 4_000_000, 20_000_000
DRAWS = 500  # of the bootstrap
ENCODER, NOTHING = "encoder", "class frequencies"
TREES, NEAREST = "boosted trees", "nearest neighbours"
LINEAR: Mapping[str, Learn] = {"Gaussian": baselines.by_gaussian, "mean fill": baselines.by_mean}
"""what stands where nothing is visible, for a linear head as the encoder has it"""

Answer = Callable[[np.ndarray], np.ndarray]
"""what is hidden of all test samples, bool [M, L], to a class or a number of each, [M]"""


@dataclass(frozen=True)
class Labelled:
    """Samples whose labels are known.

    Args:
        said: what a model says of them, by the name of the method; of the same samples each.
        y: classes from 0, or numbers, [N].
        read: their values, which baselines see; None: there are no baselines.
    """

    said: Mapping[str, Asked]
    y: np.ndarray
    read: Read | None = None

    @property
    def first(self) -> Asked:
        """What says which positions there are."""
        return next(iter(self.said.values()))


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

    A linear head reads what a model says of copies of the training samples, of which a share
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
    copies = min(MOST_COPIES, max(MOST_ROWS // len(y), 2))
    hidden = masked_copies.hide(train.first.there, masked_copies.ANY, copies=copies, seed=seed)
    learned = Learned(y, hidden, classes, seed)
    methods = {name: learned.headed(train.said[name], test.said[name]) for name in train.said}
    notes = [f"{copies} copies of each training sample"]
    notes += [unseen(train.y, test.y)] if classes else []
    if train.read is not None and test.read is not None:
        asked = train.first, train.read, test.first, test.read
        found, more = _baselines(learned, *asked, linear, others)
        methods, notes = methods | found, notes + more
    rows, note = [], "; ".join(filter(None, notes))
    usual = np.bincount(y).argmax() if classes else y.mean()
    methods[NOTHING] = lambda blank: np.full(len(blank), usual)
    draws = np.random.default_rng(seed).integers(len(test.y), size=(DRAWS, len(test.y)))
    every = np.arange(len(test.y))
    for part in track(list(parts), "visible parts"):
        visible = float(visible_shares(test.first, every, part.hidden).mean())
        share = visible if part.pattern == OBSERVED else part.share
        for name, answer in methods.items():
            said = answer(part.hidden)
            if classes:
                measured = _of_classes(known[said], test.y, draws)
            else:
                measured = _of_numbers(said, test.y, float(y.mean()), draws)
            row = {"method": name, "pattern": part.pattern, "share": share, "visible": visible}
            sizes = {"num_train": len(y), "num_test": len(test.y)}
            rows.append(row | measured | sizes | {"note": note if name in train.said else ""})
    return rows


class Learned(NamedTuple):
    """What methods learn from: copies of training samples."""

    y: np.ndarray
    """classes from 0, none without a sample, or numbers, [N]"""
    hidden: np.ndarray
    """what is hidden of each copy, bool [copies, N, L]"""
    classes: bool
    seed: int

    def headed(self, train: Asked, test: Asked) -> Answer:
        """Return how a linear head of what is said of training samples answers for others."""
        from sklearn.exceptions import ConvergenceWarning

        y, hidden, classes, seed = self
        with warnings.catch_warnings():
            # That a head ends early is part of the method, the same for all.
            warnings.simplefilter("ignore", ConvergenceWarning)
            said = heads.fit(train, y, hidden, classes=classes, seed=seed).linear

        def answer(blank: np.ndarray) -> np.ndarray:
            found = said(test.features(np.arange(len(blank)), blank))
            return largest(found, axis=1) if classes else found[:, 0]

        return answer


def _baselines(
    learned: Learned,
    train: Asked,
    own: Read,
    test: Asked,
    other: Read,
    linear: Mapping[str, Learn],
    others: bool,
) -> tuple[dict[str, Answer], list[str]]:
    """Return what answers from values, by name, and what is noted of it."""
    y, hidden, classes, seed = learned
    values, notes, found = own(np.arange(len(y)), np.zeros_like(hidden[0])), [], {}
    size = hidden.shape[0] * values.size * (len(np.unique(y)) if classes else 1)
    for name, learn in track(linear.items(), "baselines"):
        fill = learn(values)
        if size > MOST_LINEAR:
            fill = baselines.narrowed(values, fill)
        found[name] = learned.headed(Filled(train, own, fill), Filled(test, other, fill))
    if linear and size > MOST_LINEAR:
        num = min(baselines.NUM_COMPONENTS, *values.shape)
        notes.append(f"baselines: {num} principal components of {values.shape[1]:,} columns")
    if not others:
        return found, notes

    def of_values(answer: baselines.Answer) -> Answer:
        return lambda blank: answer(other(np.arange(len(blank)), blank))

    if size <= MOST_TREES:
        every = np.tile(np.arange(len(y)), len(hidden))
        shown = own(every, hidden.reshape(len(every), -1))
        found[TREES] = of_values(baselines.by_trees(shown, y[every], classes, seed))
    else:
        notes.append(f"no boosted trees: {size:,} copies x columns x classes are too many")
    found[NEAREST] = of_values(baselines.by_neighbours(values, y, classes))
    return found, notes


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
