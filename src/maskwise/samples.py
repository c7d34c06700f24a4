"""Samples: by index, of whole sources, by features, with missing parts, and with labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from scipy import sparse
from torch import Tensor

Given = Any
"""data from Python: arrays, texts, tables, AnnData; the kind that takes them checks them"""
Known = Literal["own", "given", "apart"]
"""where what is known of samples is: in the run's own data, in those that are given, or apart"""
Indices = Sequence[int] | np.ndarray | Tensor


class Source(Protocol):
    """Samples by index."""

    @property
    def in_memory(self) -> bool:
        """Whether reading is so fast that it needs no processes of its own."""

    def __len__(self) -> int: ...

    def get(self, indices: Indices) -> Tensor:
        """Return the samples at `indices`, [b, ...]."""

    def units(self, indices: Indices) -> Tensor | None:
        """Return which positions are hidden together, int64 [b, L]; None if each is its own."""


class Splits(Protocol):
    """Samples ready for use: `train` to learn from, `test` to evaluate on."""

    @property
    def train(self) -> Source: ...

    @property
    def test(self) -> Source: ...

    @property
    def name(self) -> str:
        """What the data are called."""


@dataclass(frozen=True, eq=False)
class Features:
    """Samples by features, as the theory takes them.

    Args:
        values: [n, d] numbers, an array or a scipy.sparse matrix.
        target: [n] the column that was asked for, which `values` lacks.
        what: what a feature is.
        labels: [n] classes, if they are known.
    """

    values: "np.ndarray | sparse.sparray | sparse.spmatrix"
    target: np.ndarray | None
    what: str
    labels: np.ndarray | None = None


class Samples(NamedTuple):
    """All samples of a source, in its order; row i of any output is sample i."""

    given: Given
    """those that could be read, as data given from Python are"""
    names: Sequence[str] | None = None
    """of all of them; None: they have no other than their numbers"""
    broken: Mapping[int, str] = {}
    """numbers, from 0, of those that `given` lacks, and what is wrong with each"""


class Incomplete(NamedTuple):
    """Samples of which parts may be missing."""

    source: Source
    """they hold any value where something is missing that their model does not tell by itself"""
    hidden: np.ndarray | None = None
    """which positions are missing so, bool [N, L]; None: none"""
    whole: np.ndarray | None = None
    """how many positions each sample has that could be there, int64 [N]; None: all L"""
    labels: np.ndarray | None = None
    """what is known of each sample, [N]: numbers of classes, -1 = not known; None: nothing"""
    classes: Sequence[str] | None = None
    """what classes are called"""
    names: Sequence[str] | None = None
    """of all samples, also of those that could not be read; None: they have numbers only"""
    broken: Mapping[int, str] = {}
    """numbers, from 0, of those that the source lacks, and what is wrong with each"""
    shown: Callable[[Tensor, Tensor], Tensor] | None = None
    """(samples, what is hidden of them [b, L]) -> the samples as they would be if that had never
    been measured, where other values were made with it; None: none were"""

    @property
    def num(self) -> int:
        """How many samples there are, with those that could not be read."""
        return len(self.source) + len(self.broken)

    @property
    def kept(self) -> np.ndarray:
        """Numbers, among all, of those that could be read, int64 [N]."""
        return np.setdiff1d(np.arange(self.num), list(self.broken))


class Labelled(NamedTuple):
    """Samples, what is known of each, and which of them training does not learn from."""

    data: Incomplete
    values: np.ndarray | None = None
    """of the samples that could be read, [n]: texts, bools or numbers; None: nothing is known"""
    held: np.ndarray | None = None
    """which of these are held out, bool [n]; None: none"""
    own: Sequence[int] = ()
    """positions that hold what is known, and so must be hidden"""
