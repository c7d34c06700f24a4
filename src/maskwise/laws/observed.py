"""The law of how much real rows lack: their own shares of missing values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import ArrayLike

from maskwise.checks import checked_fields
from maskwise.errors import UserError
from maskwise.laws.plain import Array, Discrete, normalised, pick, require, text

MOST = 32  # different shares; of more, as many that are equally likely


@checked_fields
@dataclass(frozen=True)
class Observed(Discrete):
    """The share of values that a row of the data lacks, each as often as there are such rows.

    The bare law, the string ``observed``, stands for the shares of the data that it is used with:
    a run puts them in its place, as ``observed:ROWS*SHARE,...``. Rows that lack nothing, or
    everything, do not count.

    Args:
        shares: of missing values; none: not known yet.
        counts: how many rows have each; default: equally many.

    >>> law = Observed.of([1, 3, 1, 0, 10], 10)
    >>> str(law), round(law.mean(), 3)
    ('observed:2*0.1,1*0.3', 0.167)
    """

    shares: Sequence[float] = ()
    counts: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", tuple(float(share) for share in self.shares))
        for share in self.shares:
            require(0 < share < 1, f"share {share:g} is outside (0, 1)")
        counts = tuple(self.counts or [1] * len(self.shares))
        normalised(counts, len(self.shares))
        object.__setattr__(self, "counts", counts)

    @classmethod
    def of(cls, lacking: ArrayLike, length: int) -> Self:
        """Return the law of rows of `length` values that lack so many, int [N].

        Raises:
            UserError: no row lacks something, but not everything.
        """
        lacking = np.asarray(lacking)
        lacking = np.sort(lacking[(lacking > 0) & (lacking < length)])
        if not len(lacking):
            raise UserError(
                "law observed: no row lacks a value, so that there are no shares to draw from:"
                " take another law, as uniform:0.1,0.9"
            )
        sizes, counts = np.unique(lacking, return_counts=True)
        if len(sizes) > MOST:
            places = ((np.arange(MOST) + 0.5) / MOST * len(lacking)).astype(int)
            sizes, counts = np.unique(lacking[places], return_counts=True)
        return cls((sizes / length).round(6).tolist(), counts.tolist())

    def __str__(self) -> str:
        pairs = zip(cast(Sequence[float], self.counts), self.shares, strict=True)
        told = ",".join(f"{text(count)}*{text(share)}" for count, share in pairs)
        return f"observed:{told}" if told else "observed"

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        return np.array(self.shares)[pick([each for _, each in self.atoms()], u)[0]]

    def atoms(self, progress: float = 0.0) -> list[tuple[float, float]]:
        if not self.shares:
            raise UserError(
                "law observed is of data with gaps, and none are given here: give the shares of"
                " missing values, as observed:0.1,0.3 or observed:ROWS*SHARE,..."
            )
        weights = normalised(cast(Sequence[float], self.counts), len(self.shares))
        return list(zip(self.shares, weights, strict=True))
