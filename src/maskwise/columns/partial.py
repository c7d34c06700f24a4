"""Classes and numbers from whatever part of a row is there: voices, weighed and calibrated.

What each voice says of labelled rows that were left out, under masks of a law, decides how much it
counts at which visible share, and how wide sets and intervals are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from maskwise.columns.answers import Answers
from maskwise.columns.class_normals import ClassNormals
from maskwise.columns.closed_form import ClosedForm
from maskwise.columns.teacher import taught
from maskwise.predict.conformal import Calibration, within
from maskwise.predict.heads import (
    Linear,
    folds,
    logistic,
    logits_apart,
    numbers_apart,
    ridge,
)
from maskwise.predict.masked_copies import hide
from maskwise.predict.voices import Voices

MANY, HELD = (
    1000,
    2000,
)  # labelled rows of which a fifth, or so many, are left out once, not in turn
ENOUGH = 1000  # rows that a network is trained on, at least
LABELLED, OTHERS = 20_000, 5000  # rows that are learned from, at most
NORMAL = 3000  # of these, that classes are fitted to as normal distributions
MASKED, WORK = 60_000, 1e7  # copies of rows; at most, and times the columns
LINES = 12_000  # of these, that linear voices are fitted to

Codes = Callable[[np.ndarray], np.ndarray]
"""further features of samples [n, F] with NaN in their holes, [n, E]"""


class Seen(NamedTuple):
    """What voices read of rows."""

    scores: np.ndarray
    """columns with NaN in their holes, [n, D]"""
    filled: np.ndarray
    """the same filled with what is expected, and codes, [n, D + E]"""
    holes: np.ndarray
    """bool [n, D]"""
    shares: np.ndarray
    """how much of each row is visible, [n]"""

    def of(self, rows: np.ndarray) -> "Seen":
        """Return what is seen of some rows."""
        return Seen(*(each[rows] for each in self))


def see(closed: ClosedForm, samples: np.ndarray, codes: Codes | None = None) -> Seen:
    """Return what voices read of samples, [n, F]."""
    columns, shares = closed.columns(samples), 1 - np.isnan(samples).mean(axis=1)
    filled = closed.fill(columns)
    if codes is not None:
        filled = np.hstack([filled, codes(samples)])
    return Seen(closed.scores(columns), filled, np.isnan(columns), shares)


@dataclass(frozen=True)
class ClassModel:
    """Probabilities of classes from any part of a row.

    Args:
        closed: the distribution of rows.
        alike: the classes as normal distributions of one covariance.
        apart: the same, each with its own.
        linear: logits from filled columns.
        network: the same; None in small tables.
        voices: how much each of them counts.
        calibration: of 1 - the probability of the true class.
    """

    closed: ClosedForm
    alike: ClassNormals
    apart: ClassNormals
    linear: Linear
    network: Answers | None
    voices: Voices
    calibration: Calibration

    @classmethod
    def learn(
        cls,
        samples: np.ndarray,
        y: np.ndarray,
        sizes: tuple[int, ...],
        *,
        others: np.ndarray | None = None,
        law: str | None = None,
        copies: int = 32,
        network: bool | None = None,
        codes: Codes | None = None,
        seed: int = 0,
    ) -> Self:
        """Return what says the classes of rows of which parts are visible.

        Args:
            samples: rows whose class is known, [N, F] with NaN in their holes.
            y: their classes, int64 [N], from 0, none of them without a row.
            sizes: categories of each feature, 0 = a number.
            others: rows whose class is not known, [M, F].
            law: of what will be hidden, see `masked_copies.hide`.
            copies: of each row, of which parts are hidden.
            network: whether there is one; default: from a thousand rows on.
            codes: further features.
            seed: of masks, folds and weights.
        """
        rng = np.random.default_rng([seed, 4])
        table = _Table.of(samples, others, sizes, law, copies, codes, rng, seed)
        y, num = y[table.kept], int(y.max()) + 1
        fold = _left_out(y, rng, True)
        counts = np.bincount(y, minlength=num)
        prior = np.log(counts.clip(0.5) / counts.sum())
        parts = np.unique(fold[fold >= 0])
        targets = table.targets(y, fold, num)
        seen, asked = table.asked(fold)
        chosen = table.first(LINES)
        x, every = seen.filled[chosen], table.every[chosen]
        _, strength = logits_apart(x, y[every], fold[every], prior)
        if network is None:
            network = codes is None and table.enough
        some = rng.permutation(len(table.rows))[:NORMAL]
        nets = table.answers(targets, seed=seed) if network else [None] * len(targets)
        said = np.zeros((4 if network else 3, len(seen.shares), num))
        for part, target, net in zip((-1, *parts), targets, nets, strict=True):
            kept = chosen[fold[every] != part] if part >= 0 else chosen
            voices = (
                *ClassNormals.learn(table.scores[some], target[some], prior),
                logistic(seen.filled[kept], y[table.every[kept]], strength, prior),
                net,
            )
            if part < 0:
                final = voices
                continue
            out = asked[fold[table.every[asked]] == part]
            said[:, out] = np.stack(_heard(seen.of(out), *voices))
        told = y[table.every[asked]]
        mixed = Voices.learn(list(said[:, asked]), told, seen.shares[asked])
        log_p = mixed(list(said[:, asked]), seen.shares[asked])
        off = 1 - log_p[np.arange(len(told)), told]
        return cls(table.closed, *final, mixed, table.calibration(asked, off, rng))

    def probabilities(self, seen: Seen) -> np.ndarray:
        """Return the probability of each class, float64 [N, K]; of nothing, their shares."""
        logits = _heard(seen, self.alike, self.apart, self.linear, self.network)
        found = self.voices(logits, seen.shares)
        return np.where(seen.shares[:, None] > 0, found, np.exp(self.alike.prior))

    def sets(self, probabilities: np.ndarray, shares: np.ndarray, coverage: float) -> np.ndarray:
        """Return the classes that cover the true one so often, bool [N, K]; never none."""
        return within(probabilities, self.calibration.limits(shares, coverage))


@dataclass(frozen=True)
class NumberModel:
    """A number from any part of a row.

    Args:
        closed: the distribution of rows.
        linear: what is expected from filled columns.
        network: the same; None in small tables.
        voices: how much each of them counts.
        calibration: of the distance of what is true from what they say.
    """

    closed: ClosedForm
    linear: Linear
    network: Answers | None
    voices: Voices
    calibration: Calibration

    @classmethod
    def learn(
        cls,
        samples: np.ndarray,
        y: np.ndarray,
        sizes: tuple[int, ...],
        *,
        others: np.ndarray | None = None,
        law: str | None = None,
        copies: int = 32,
        network: bool | None = None,
        codes: Codes | None = None,
        seed: int = 0,
    ) -> Self:
        """Return what says the numbers of rows of which parts are visible; see `ClassModel`."""
        rng = np.random.default_rng([seed, 4])
        table = _Table.of(samples, others, sizes, law, copies, codes, rng, seed).labelled()
        y = y[table.kept].astype(np.float64)
        fold, mean = _left_out(y, rng, False), float(y.mean())
        seen, asked = table.asked(fold)
        if network is None:
            network = len(y) >= ENOUGH and codes is None
        every = table.every
        line, strength = numbers_apart(seen.filled, y[every], fold[every], mean)
        said, final = line[:, None], None
        if network:
            parts = np.unique(fold[fold >= 0])
            goals = [np.where(fold == part, np.nan, y)[:, None] for part in (-2, *parts)]
            final, *nets = table.answers(goals, seed=seed)
            said = np.stack([line, line], axis=1)
            for part, net in zip(parts, nets, strict=True):
                out = asked[fold[every[asked]] == part]
                said[out, 1] = net(seen.filled[out], seen.holes[out])[:, 0]
        told, shares = y[every[asked]], seen.shares[asked]
        said, told = said[asked] - mean, told - mean
        mixed = Voices.learn_numbers(said, told, shares)
        off = np.abs(mixed.mixed(said, shares) - told)
        linear = ridge(seen.filled, y[every], strength, mean)
        return cls(table.closed, linear, final, mixed, table.calibration(asked, off, rng))

    def expected(self, seen: Seen) -> np.ndarray:
        """Return what is expected, float64 [N]; of nothing, the mean."""
        said, mean = [self.linear(seen.filled)], self.linear.prior
        if self.network is not None:
            said.append(self.network(seen.filled, seen.holes))
        found = self.voices.mixed(np.hstack(said) - mean, seen.shares)
        return np.where(seen.shares > 0, found, 0) + mean

    def intervals(self, expected: np.ndarray, shares: np.ndarray, coverage: float) -> np.ndarray:
        """Return the ends of intervals that cover what is true so often, float64 [N, 2]."""
        half = self.calibration.limits(shares, coverage)
        return np.stack([expected - half, expected + half], axis=1)


def _heard(
    seen: Seen,
    alike: ClassNormals,
    apart: ClassNormals,
    linear: Linear,
    network: Answers | None,
) -> list[np.ndarray]:
    """Return the logits of each voice, [n, K]."""
    found = [alike.logits(seen.scores), apart.logits(seen.scores), linear(seen.filled)]
    return found if network is None else [*found, network(seen.filled, seen.holes)]


def _left_out(y: np.ndarray, rng: np.random.Generator, classes: bool) -> np.ndarray:
    """Return when each labelled row is left out, int64 [N]: in turn, or some of many once."""
    fold = folds(y, rng, classes)
    if len(y) >= MANY:
        held = rng.permutation(np.flatnonzero(fold == 0))[:HELD]
        fold = np.full(len(y), -1)
        fold[held] = 0
    return fold


@dataclass(frozen=True)
class _Table:
    """Rows to learn from, labelled ones first, and copies of which parts are hidden."""

    closed: ClosedForm
    rows: np.ndarray
    """[N + M, F]"""
    kept: np.ndarray
    """which of the labelled rows that were given are among them, [N]"""
    whole: Seen
    """of the rows as they are"""
    every: np.ndarray
    """the row of each copy, [n]"""
    seen: Seen
    """of the copies"""
    seed: int

    @classmethod
    def of(
        cls,
        samples: np.ndarray,
        others: np.ndarray | None,
        sizes: tuple[int, ...],
        law: str | None,
        copies: int,
        codes: Codes | None,
        rng: np.random.Generator,
        seed: int,
    ) -> Self:
        kept = np.sort(rng.permutation(len(samples))[:LABELLED])
        rows = [samples[kept]]
        if others is not None:
            rows.append(others[np.sort(rng.permutation(len(others))[:OTHERS])])
        table = np.concatenate(rows)
        closed = ClosedForm.learn(table, sizes, seed=seed)
        most = min(MASKED, int(WORK / len(closed.mean)))
        copies = min(copies, max(most // len(table), 2))
        hidden = hide(~np.isnan(table), law, copies=copies, seed=seed)
        every = np.tile(np.arange(len(table)), copies)
        shown = np.where(hidden.reshape(len(every), -1), np.nan, table[every])
        some = ~np.isnan(shown).all(axis=1)
        every, shown = every[some], shown[some]
        whole = see(closed, table, codes)
        return cls(closed, table, kept, whole, every, see(closed, shown, codes), seed)

    @property
    def scores(self) -> np.ndarray:
        return self.whole.scores

    def targets(self, y: np.ndarray, fold: np.ndarray, num: int) -> list[np.ndarray]:
        """Return how much each row is of each class, [N + M, K], by all labels and by parts."""
        known = np.eye(num)[y]
        parts = (-2, *np.unique(fold[fold >= 0]))
        made = [np.where((fold == part)[:, None], 0, known) for part in parts]
        if len(self.rows) == len(y):
            return made
        filled = self.whole.filled
        found = taught(filled[: len(y)], y, filled[len(y) :], fold, seed=self.seed)
        return [np.concatenate(each) for each in zip(made, found, strict=True)]

    def asked(self, fold: np.ndarray) -> tuple[Seen, np.ndarray]:
        """Return what is seen of copies, and which of these are of labelled rows left out."""
        left = np.concatenate([fold >= 0, np.zeros(len(self.rows) - len(fold), bool)])
        return self.seen, np.flatnonzero(left[self.every])

    def labelled(self) -> Self:
        """Return the same with copies of labelled rows only."""
        some = np.flatnonzero(self.every < len(self.kept))
        return replace(self, every=self.every[some], seen=self.seen.of(some))

    def first(self, most: int) -> np.ndarray:
        """Return which copies are of labelled rows, at most so many."""
        return np.flatnonzero(self.every < len(self.kept))[:most]

    @property
    def enough(self) -> bool:
        """Whether a network has rows to learn from."""
        num = len(self.kept)
        return num >= ENOUGH or len(self.rows) - num >= ENOUGH

    def answers(self, targets: list[np.ndarray], *, seed: int) -> list[Answers]:
        """Return networks that say each of some targets, [N + M, K] or numbers [N, 1].

        Of few labelled rows and many others the networks see what was taught of the others only,
        and share all but their last layer. Otherwise each learns from labels, and by itself: none
        may know the labels of rows that it is asked about.
        """
        num = len(self.kept)
        if len(self.rows) - num >= ENOUGH and len(targets[0]) == len(self.rows):
            rows = np.flatnonzero(self.every >= num)
            goal = np.stack([each[self.every[rows]] for each in targets], axis=1)
            part = self.seen.of(rows)
            return Answers.learn(part.filled, part.holes, goal, classes=True, seed=seed)
        found = []
        for target in targets:
            classes = target.shape[1] > 1
            known = target.sum(axis=1) > 0.5 if classes else ~np.isnan(target[:, 0])
            rows = np.flatnonzero(np.append(known, np.zeros(len(self.rows), bool))[self.every])
            part, goal = self.seen.of(rows), target[self.every[rows], None]
            told = part.filled, part.holes, goal
            found += Answers.learn(*told, classes=classes, seed=seed, rows=num)
        return found

    def calibration(
        self, asked: np.ndarray, off: np.ndarray, rng: np.random.Generator
    ) -> Calibration:
        """Return the calibration of one copy of each row: copies of a row are not independent."""
        order = rng.permutation(len(asked))
        _, first = np.unique(self.every[asked][order], return_index=True)
        some = order[first]
        return Calibration.learn(off[some], self.seen.shares[asked[some]])
