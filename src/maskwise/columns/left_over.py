"""What the closed form leaves over of known values, each predicted without itself."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator

from maskwise.columns.closed_form import ClosedForm, owners

PARTS = 8  # of the known values, each hidden in turn


@dataclass(frozen=True)
class LeftOver:
    """Rows filled several times, another part of their known values hidden each time.

    Args:
        fills: standardised columns without holes, [P, N, D].
        part: in which of them each value was hidden, int64 [N, D].
        left: known values less what was filled in for them, [N, D]; NaN where nothing is known.
    """

    fills: np.ndarray
    part: np.ndarray
    left: np.ndarray

    @classmethod
    def of(cls, closed: ClosedForm, samples: np.ndarray, rng: Generator) -> Self:
        """Return what a closed form leaves over of samples [N, F]."""
        part = rng.integers(PARTS, size=samples.shape)
        fills = [
            closed.fill(closed.columns(np.where(part == each, np.nan, samples)))
            for each in range(PARTS)
        ]
        part = part[:, owners(closed.sizes)]
        filled = np.take_along_axis(np.stack(fills), part[None], axis=0)[0]
        return cls(np.stack(fills), part, closed.columns(samples) - filled)

    def rows(self, column: int) -> np.ndarray:
        """Return the rows whose value of a column is known, int64 [n]."""
        return np.flatnonzero(~np.isnan(self.left[:, column]))

    def shown(self, column: int, rows: np.ndarray) -> np.ndarray:
        """Return rows as they are filled where a column is hidden, [n, D]."""
        return self.fills[self.part[rows, column], rows]
