"""Samples that say what may be in their hidden parts: what costs and answers are weighed with."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.likelihood.contract import log_probs
from maskwise.likelihood.generate import fill
from maskwise.measure.features import frozen
from maskwise.modality import Indices, Tokenizer
from maskwise.predict.asked import Asked, ModelAsked, visible_shares

About = Literal["label", "everything"]
"""what is to be known: the label, or all else that is not there"""
BLOCKS = 32  # steps in which hidden parts are drawn together, at most


class Possible(NamedTuple):
    """What hidden positions of one sample may turn out to be."""

    features: np.ndarray
    """of the sample once the j-th of them is known to be the k-th of its values, [J, K, D]"""
    weights: np.ndarray
    """how probable that value is, [J, K]; rows sum to 1"""
    exact: bool
    """whether these are all values, or the nodes of a rule, and not draws"""


class Asking(Asked, Protocol):
    """Samples that can be asked with any part hidden, and say what else that part may be."""

    @property
    def names(self) -> Sequence[str]:
        """What positions are called, L of them."""

    @property
    def missing(self) -> np.ndarray:
        """What is not there, and could be, bool [N, L]."""

    def possible(
        self, row: int, hidden: np.ndarray, positions: np.ndarray, num: int, seed: int
    ) -> Possible:
        """Return what positions of a sample that are not there may be.

        Args:
            row: which sample.
            hidden: what of it is hidden, beside what is missing, bool [L].
            positions: which are asked about, int64 [J].
            num: how many values are drawn, where they are.
            seed: of the draws.
        """

    def drawn(self, row: int, hidden: np.ndarray, num: int, seed: int) -> Asked:
        """Return `num` copies of a sample whose missing and hidden positions are drawn jointly."""

    def told(
        self,
        row: int,
        hidden: np.ndarray,
        positions: np.ndarray,
        taken: Sequence[int],
        num: int,
        seed: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what positions tell of all else that is not there, nats, and standard errors.

            I(x_A+j ; the others | x_V) - I(x_A ; the others | x_V), with A = `taken`,

        [J] each; see `possible`. A is none of the positions.
        """


@dataclass(frozen=True, eq=False)
class Held:
    """Samples in memory as a source."""

    samples: Tensor
    in_memory: bool = field(default=True, init=False)

    def __len__(self) -> int:
        return len(self.samples)

    def get(self, indices: Indices) -> Tensor:
        """Return the samples at `indices`, [b, ...]."""
        return self.samples[torch.as_tensor(indices, device=self.samples.device)]

    def units(self, indices: Indices) -> Tensor | None:
        """Every position is its own."""
        return None


class ModelAsking:
    """Samples, asked through a masked model that draws: what it says is estimated from draws.

    Args:
        asked: samples and a model with `conditional_sample` and `conditional_log_prob`.
        names: what positions are called; default: what the model calls them, or their places.
        own: positions that hold the label: always hidden, and not to be had.

    Raises:
        UserError: a model that draws nothing.
    """

    def __init__(
        self, asked: ModelAsked, names: Sequence[str] | None = None, own: Sequence[int] = ()
    ) -> None:
        if not hasattr(asked.model, "conditional_sample"):
            raise UserError("this model draws nothing, so that it cannot say what would tell most")
        self.asked, self.there, self.whole = asked, asked.there, asked.whole
        length = self.there.shape[1]
        self.names = tuple(names or _names(asked.model.tokenizer, length))
        # Of samples that may be shorter than others, what is not there may be padding.
        self.missing = ~self.there & (self.whole + len(own) == length)[:, None]
        if asked.missing is not None:
            self.missing |= asked.missing[asked.rows]
        self.own = np.isin(np.arange(length), own)
        self.missing &= ~self.own

    def features(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return features of samples; see `Asked`."""
        return self.asked.features(rows, hidden)

    def drawn(
        self, row: int, hidden: np.ndarray, num: int, seed: int, blocks: int = BLOCKS
    ) -> "ModelAsking":
        """Return copies of a sample; see `Asking`.

        Drawn is in so many steps at most, each given those before.
        """
        asked, model = self.asked, self.asked.model
        open_ = self.there[row] | self.missing[row]
        blank = torch.from_numpy(self.missing[row] | self.own | hidden)
        with frozen(model) as device:
            x = asked.data.source.get(np.full(num, asked.rows[row])).to(device)
            blocks = min(blocks, max(int(blank.sum()), 1))
            x = fill(model, x, blank.to(device), seed=seed, blocks=blocks)  # type: ignore[arg-type]
        copies = copy.copy(asked)
        own = np.tile(self.own, (num, 1)) if self.own.any() else None
        copies.data = asked.data._replace(source=Held(x), hidden=own)
        copies.rows, copies.missing = np.arange(num), own
        copies.whole = np.full(num, self.whole[row])
        copies.there = np.tile(open_, (num, 1))
        return ModelAsking(copies, self.names, np.flatnonzero(self.own).tolist())

    def possible(
        self, row: int, hidden: np.ndarray, positions: np.ndarray, num: int, seed: int
    ) -> Possible:
        """Return what positions may be, from draws; see `Asking`."""
        blank = self.missing[row] | hidden
        copies = self.drawn(row, hidden, num, seed, blocks=1)  # of each, only its own is seen
        masks = np.repeat(_without(blank, positions), num, axis=0)
        found = copies.features(np.tile(np.arange(num), len(positions)), masks)
        weights = np.full((len(positions), num), 1 / num)
        return Possible(found.reshape(len(positions), num, -1), weights, False)

    def told(
        self,
        row: int,
        hidden: np.ndarray,
        positions: np.ndarray,
        taken: Sequence[int],
        num: int,
        seed: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what positions tell of the others, from draws x of all that is hidden.

        The mean of log p(x_j | x_V, all others but A) - log p(x_j | x_V, x_A); see `Asking`.
        """
        copies, place = self.drawn(row, hidden, num, seed), np.arange(len(positions))
        known = self.missing[row] | self.own | hidden
        known[list(taken)] = False
        given = np.zeros((len(positions), len(known)), bool)
        given[:, list(taken)] = True
        given[place, positions] = True
        before = copies.log_probs(np.arange(num), np.tile(known, (num, 1)))[:, positions]
        every = copies.log_probs(
            np.tile(np.arange(num), len(positions)), np.repeat(given, num, axis=0)
        )
        off = every.reshape(len(positions), num, -1)[place, :, positions].T - before
        return off.mean(axis=0), off.std(axis=0, ddof=1) / np.sqrt(num)

    def log_probs(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return log-probabilities of hidden positions given the visible, nats [n, L]."""
        model, found = self.asked.model, [np.zeros((0, hidden.shape[1]))]
        with frozen(model) as device:
            for start in range(0, len(rows), 1024):
                part = slice(start, start + 1024)
                x = self.asked.data.source.get(self.asked.rows[rows[part]]).to(device)
                blank = torch.from_numpy(hidden[part]).to(device)
                found.append(log_probs(model, x, blank).cpu().numpy())  # type: ignore[arg-type]
        return np.concatenate(found)


def _names(tokenizer: Tokenizer, length: int) -> tuple[str, ...]:
    """Return what positions are called: names, or places from 1 along each axis."""
    known = getattr(tokenizer, "names", ())
    if len(known) == length:
        return tuple(known)
    every = np.indices(tokenizer.grid).reshape(len(tokenizer.grid), -1).T + 1
    return tuple(str(*each) if len(each) == 1 else str(tuple(each)) for each in every.tolist())


def _without(blank: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return what is hidden once each of some positions is known, bool [J, L]."""
    found = np.tile(blank, (len(positions), 1))
    found[np.arange(len(positions)), positions] = False
    return found


@runtime_checkable
class SaysClasses(Protocol):
    """A head of classes, such as `ClassHead`."""

    def probabilities(self, features: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return probabilities [N, C] from features [N, D] of samples that are so visible [N]."""


@runtime_checkable
class SaysNumbers(Protocol):
    """A head of a number, such as `NumberHead`."""

    def expected(self, features: np.ndarray) -> np.ndarray:
        """Return what is expected, [N], from features [N, D]."""


Says = SaysClasses | SaysNumbers


@dataclass(frozen=True)
class ClassifierHead:
    """A classifier of rows with NaN as a head: `RowsAsking` gives it such rows.

    Args:
        classifier: has `predict_proba`, as scikit-learn's have.
    """

    classifier: Any

    def probabilities(self, features: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return probabilities of classes, float64 [N, C]."""
        return np.asarray(self.classifier.predict_proba(features), dtype=np.float64)


@dataclass(frozen=True)
class RegressorHead:
    """A regressor of rows with NaN as a head: `RowsAsking` gives it such rows.

    Args:
        regressor: has `predict`.
        variance: of what it is off by, held out.
    """

    regressor: Any
    variance: float

    def expected(self, features: np.ndarray) -> np.ndarray:
        """Return what is expected, float64 [N]."""
        return np.asarray(self.regressor.predict(features), dtype=np.float64)


def answers(head: Says, features: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return probabilities of classes, or what is expected of a number, float64 [N, C].

    Args:
        head: what answers.
        features: [N, D].
        shares: how much of each sample is visible, [N].
    """
    if isinstance(head, SaysClasses):
        return head.probabilities(features, shares)
    return head.expected(features)[:, None]


def asked_of(head: Says, asked: Asked, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return `answers` to samples [n] of which [n, L] is hidden, float64 [n, C]."""
    return answers(head, asked.features(rows, hidden), visible_shares(asked, rows, hidden))
