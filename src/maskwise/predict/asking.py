"""Samples that say what may be in their hidden parts: what costs and answers are weighed with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from maskwise.likelihood.contract import log_probs
from maskwise.likelihood.generate import fill
from maskwise.measure.features import frozen
from maskwise.modality import Incomplete, Indices, MaskedModel, VisiblePool
from maskwise.predict.asked import Asked, ModelAsked, visible_shares
from maskwise.predict.heads import ClassHead, Head

About = Literal["label", "everything"]
"""what is to be known: the label, or all else that is not there"""
BLOCKS = 32  # steps in which hidden parts are drawn at most, each given those before


class Possible(NamedTuple):
    """What hidden positions of one sample may turn out to be."""

    positions: np.ndarray
    """which of them are not there, int64 [J]"""
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

    def possible(self, row: int, hidden: np.ndarray, num: int, seed: int) -> Possible:
        """Return what each position of a sample that is not there may be.

        Args:
            row: which sample.
            hidden: what of it is hidden, beside what is missing, bool [L].
            num: how many values are drawn, where they are.
            seed: of the draws.
        """

    def drawn(self, row: int, hidden: np.ndarray, num: int, seed: int) -> Asked:
        """Return `num` copies of a sample whose missing and hidden positions are drawn jointly."""

    def told(
        self, row: int, hidden: np.ndarray, taken: Sequence[int], num: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what positions tell of all else that is not there, nats, and standard errors.

            I(x_A+j ; the others | x_V) - I(x_A ; the others | x_V), with A = `taken`,

        [J] each, of the positions in the order of `possible`; NaN of those taken.
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


class ModelAsking(ModelAsked):
    """Samples, asked through a masked model that draws: what it says is estimated from draws.

    Args:
        model: one with `conditional_sample` and `conditional_log_prob`.
        data: samples, and what of them is not there.
        pool: see `MaskedModel.visible_features`.
        layer: the same.
        names: what positions are called; default: what the model calls them, or their numbers.
    """

    def __init__(
        self,
        model: MaskedModel,
        data: Incomplete,
        pool: VisiblePool = "mean",
        layer: int = -1,
        names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(model, data, pool, layer)
        length = self.there.shape[1]
        known = getattr(model.tokenizer, "names", None) if names is None else names
        fits = known is not None and len(known) == length
        self.names = tuple(known) if fits and known else tuple(map(str, range(1, length + 1)))
        # Of samples that may be shorter than others, what is not there may be padding.
        self.missing = ~self.there & (self.whole == length)[:, None]
        if data.hidden is not None:
            self.missing |= data.hidden

    @classmethod
    def of(cls, asked: ModelAsked) -> Self:
        """Return the same samples and model."""
        return cls(asked.model, asked.data, asked.pool, asked.layer)

    def drawn(self, row: int, hidden: np.ndarray, num: int, seed: int) -> "ModelAsking":
        """Return copies of a sample; see `Asking`."""
        blank = torch.from_numpy(self.missing[row] | hidden)
        with frozen(self.model) as device:
            x = self.data.source.get(np.full(num, row)).to(device)
            most = max(int(blank.sum()), 1)
            blocks = None if most <= BLOCKS else [-(-most // BLOCKS)] * BLOCKS
            x = fill(self.model, x, blank.to(device), seed=seed, blocks=blocks)  # type: ignore[arg-type]
        whole = np.full(num, self.whole[row])
        return ModelAsking(
            self.model, Incomplete(Held(x), None, whole), self.pool, self.layer, self.names
        )

    def possible(self, row: int, hidden: np.ndarray, num: int, seed: int) -> Possible:
        """Return what positions may be, from draws; see `Asking`."""
        blank = self.missing[row] | hidden
        positions = np.flatnonzero(blank)
        copies = self.drawn(row, hidden, num, seed)
        masks = np.repeat(_without(blank, positions), num, axis=0)
        found = copies.features(np.tile(np.arange(num), len(positions)), masks)
        weights = np.full((len(positions), num), 1 / num)
        return Possible(positions, found.reshape(len(positions), num, -1), weights, False)

    def told(
        self, row: int, hidden: np.ndarray, taken: Sequence[int], num: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what positions tell of the others, from draws x of all that is hidden.

        The mean of log p(x_j | x_V, all others but A) - log p(x_j | x_V, x_A); see `Asking`.
        """
        blank = self.missing[row] | hidden
        positions, copies = np.flatnonzero(blank), self.drawn(row, hidden, num, seed)
        rest = np.setdiff1d(positions, taken)
        known = blank.copy()
        known[list(taken)] = False
        given = np.zeros((len(rest), len(blank)), bool)
        given[:, list(taken)] = True
        given[np.arange(len(rest)), rest] = True
        before = copies.log_probs(np.arange(num), np.tile(known, (num, 1)))[:, rest]
        every = copies.log_probs(
            np.tile(np.arange(num), len(rest)), np.repeat(given, num, axis=0)
        ).reshape(len(rest), num, -1)
        after = every[np.arange(len(rest)), :, rest].T
        off, at = after - before, np.searchsorted(positions, rest)
        gain, error = (np.full(len(positions), np.nan) for _ in range(2))
        gain[at], error[at] = off.mean(axis=0), off.std(axis=0, ddof=1) / np.sqrt(num)
        return gain, error

    def log_probs(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return log-probabilities of hidden positions given the visible, nats [n, L]."""
        found = [np.zeros((0, hidden.shape[1]))]
        with frozen(self.model) as device:
            for start in range(0, len(rows), 1024):
                part = slice(start, start + 1024)
                x = self.data.source.get(rows[part]).to(device)
                blank = torch.from_numpy(hidden[part]).to(device)
                found.append(log_probs(self.model, x, blank).cpu().numpy())  # type: ignore[arg-type]
        return np.concatenate(found)


def _without(blank: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return what is hidden once each of some positions is known, bool [J, L]."""
    found = np.tile(blank, (len(positions), 1))
    found[np.arange(len(positions)), positions] = False
    return found


def answers(head: Head, features: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return probabilities of classes, or what is expected of a number, float64 [N, C].

    Args:
        head: what answers.
        features: [N, D].
        shares: how much of each sample is visible, [N].
    """
    if isinstance(head, ClassHead):
        return head.probabilities(features, shares)
    return head.expected(features)[:, None]


def asked_of(head: Head, asked: Asked, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return `answers` to samples [n] of which [n, L] is hidden, float64 [n, C]."""
    return answers(head, asked.features(rows, hidden), visible_shares(asked, rows, hidden))
