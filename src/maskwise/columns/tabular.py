"""Samples by features, the common shape of single cells and tables."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskwise.modality import Entries, Tokenizer
from maskwise.objectives.columns import Loss
from maskwise.rng import Keys


class ColumnTokenizer(Tokenizer, Protocol):
    """What a model of samples by features asks of its data.

    Samples are float32 [B, F]: a number, the code of a category, or NaN where nothing was
    measured. With batches (`num_batches` > 0) they are [B, F + 1], and the last column is the
    number of a sample's batch, or -1.
    """

    @property
    def words(self) -> tuple[str, str]:
        """What a sample is called, and a feature."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the features are called, F of them."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many categories each feature has; 0 = it is a number."""

    @property
    def log_scale(self) -> Tensor:
        """Log of how much larger a unit of each number is in the data than here, [F]."""

    def inputs(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return what a network reads, float32 [B, F]; 0 where hidden or not measured."""

    def intensities(self, values: Tensor) -> Tensor:
        """Return how much likelier large values are to be hidden "by intensity", float64 [B, F].

        Args:
            values: as `inputs` returns them.
        """

    # What differs where numbers are counts, where batches are known, or where most is zero.

    @property
    def loss(self) -> Loss:
        """What numbers cost: half their squared error, or minus the log-probability of counts."""
        return "mse"

    @property
    def num_batches(self) -> int:
        """How many batches are known; 0 = samples do not say theirs."""
        return 0

    @property
    def sparse(self) -> bool:
        """Whether most numbers are zero, so that those that are not tell more."""
        return False

    def as_inputs(self, expected: Tensor, batch: Tensor) -> Tensor:
        """Return expected values [B, F] as `inputs` returns samples with nothing hidden."""
        return expected

    def log_library(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return the log of what each count is expected to be of an average sample, [B, F]."""
        raise NotImplementedError

    @property
    def grid(self) -> tuple[int]:
        """(F,)."""
        return (len(self.sizes),)

    def eligible(self, batch: Tensor, keys: Keys | None = None) -> Tensor:
        """Return what may be hidden, bool [B, F]: with `keys` in a step of training, else ever."""
        return measured(batch, len(self.sizes))

    def weights(self, batch: Tensor) -> Tensor | None:
        """Return None: all features count the same."""
        return None


@dataclass(frozen=True, eq=False)
class TabularRows:
    """Some samples of a table.

    Args:
        read: returns the samples in rows (int64 [b]) of the whole table, float32 [b, F] or
            [b, F + 1].
        index: which rows, int64 [N].
        labels: their classes, int64 [N], -1 = not known.
        batches: where they come from, int64 [N], -1 = not known.
    """

    read: Callable[[np.ndarray], Tensor]
    index: np.ndarray
    labels: np.ndarray | None = None
    batches: np.ndarray | None = None

    in_memory = True  # or mapped into it

    def __len__(self) -> int:
        return len(self.index)

    def get(self, indices: ArrayLike) -> Tensor:
        """Return samples by their number among these rows."""
        return self.read(self.index[np.asarray(indices)])

    def units(self, indices: ArrayLike) -> Tensor | None:
        """Return None: every feature is its own unit."""
        return None


def rows_of(samples: np.ndarray) -> TabularRows:
    """Return samples in memory, float32 [N, F], as rows.

    >>> rows_of(np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)).get([1]).tolist()
    [[3.0, 4.0]]
    """
    values = torch.from_numpy(samples)
    return TabularRows(lambda index: values[index], np.arange(len(samples)))


@dataclass(frozen=True, eq=False)
class TabularSplits:
    """Samples ready for use: `train` to learn from, `test` to evaluate on.

    Args:
        train: rows.
        test: rows that are not among those.
        name: of the data.
        classes: names of the classes that labels number.
        batches: names of the batches.
        fingerprint: what must be the same when a run is resumed.
    """

    train: TabularRows
    test: TabularRows
    name: str
    classes: tuple[str, ...] | None
    batches: tuple[str, ...] | None
    fingerprint: Entries


def measured(batch: Tensor, num: int) -> Tensor:
    """Return which of the `num` features of samples were measured, bool [B, F].

    >>> import torch
    >>> measured(torch.tensor([[1.0, float("nan"), 0.0]]), 2).tolist()
    [[True, False]]
    """
    return ~batch[:, :num].isnan()
