"""What a head says of samples, as a table: a row for each of them, whatever is wrong with it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maskwise.errors import UserError, option
from maskwise.outputs import first_columns
from maskwise.predict.heads import ClassHead, Head, NumberHead
from maskwise.textio import few

log = logging.getLogger("maskwise")

MARGINAL = {
    True: "nothing visible: answered with the shares of the classes",
    False: "nothing visible: answered with the mean",
}
"""the status of samples of which nothing is there, by whether classes are asked for"""
_DIGITS = 6


@dataclass(frozen=True, eq=False)
class Answers:
    """What a head says of all samples of a source, in their order.

    Args:
        head: that says it.
        classes: what they are called; None: it says numbers.
        said: probabilities [N, K], or what is expected [N]; NaN of samples that were not read.
        shares: how much of each is visible, [N]; NaN the same.
        names: of all; None: they have numbers only.
        broken: numbers, from 0, of samples that were not read, and why.
    """

    head: Head
    classes: tuple[str, ...] | None
    said: np.ndarray
    shares: np.ndarray
    names: Sequence[str] | None = None
    broken: Mapping[int, str] | None = None

    def predicted(self) -> np.ndarray:
        """Return the likeliest classes as texts, "" where nothing was read; or numbers, [N]."""
        if self.classes is None:
            return self.said
        best = np.array(self.classes)[np.nan_to_num(self.said).argmax(axis=1)]
        return np.where(np.isnan(self.shares), "", best)

    def sets(self, coverage: float = 0.9) -> np.ndarray:
        """Return which classes are in the set of each sample, bool [N, K]; none of those not read.

        Raises:
            UserError: numbers are said, or a coverage that is none.
        """
        check_coverage(coverage)
        if not isinstance(self.head, ClassHead):
            raise UserError("numbers have intervals, not sets: ask for those")
        found, read = np.zeros(self.said.shape, dtype=bool), ~np.isnan(self.shares)
        found[read] = self.head.sets(self.said[read], self.shares[read], coverage)
        return found

    def intervals(self, coverage: float = 0.9) -> np.ndarray:
        """Return the ends of the interval of each sample, float64 [N, 2]; NaN if it was not read.

        Raises:
            UserError: classes are said, or a coverage that is none.
        """
        check_coverage(coverage)
        if not isinstance(self.head, NumberHead):
            raise UserError("classes have sets, not intervals: ask for those")
        found, read = np.full((len(self.said), 2), np.nan), ~np.isnan(self.shares)
        found[read] = self.head.intervals(self.said[read], self.shares[read], coverage)
        return found

    def columns(self, coverage: float = 0.9) -> dict[str, list[str] | np.ndarray]:
        """Return a table: name, status, visible, predicted, and how sure that is.

        Of classes p_CLASS for each, and `set`, those that cover the true one so often, joined by
        |; of numbers `low` and `high`.
        """
        status = dict.fromkeys(np.flatnonzero(self.shares == 0).tolist(), self.marginal)
        status |= self.broken or {}
        found: dict[str, list[str] | np.ndarray] = {}
        found |= first_columns(len(self.shares), self.names, status)
        found["visible"] = self.shares.round(_DIGITS)
        if self.classes is None:
            ends = self.intervals(coverage)
            numbers = {"predicted": self.said, "low": ends[:, 0], "high": ends[:, 1]}
            return found | {name: _short(values) for name, values in numbers.items()}
        found["predicted"] = self.predicted().tolist()
        for name, column in zip(self.classes, self.said.T, strict=True):
            found[f"p_{name}"] = column.round(_DIGITS)
        every = np.array(self.classes)
        found["set"] = ["|".join(every[row]) for row in self.sets(coverage)]
        return found

    def told(self, coverage: float = 0.9) -> str:
        """Return in a few words how many are answered, and how surely."""
        num = int((~np.isnan(self.shares)).sum())
        if self.classes is None:
            ends = self.intervals(coverage)
            sure = f"intervals as wide as {np.nanmedian(ends[:, 1] - ends[:, 0]):.3g} (median)"
        else:
            sizes = self.sets(coverage).sum(axis=1)[~np.isnan(self.shares)]
            sure = f"sets of {sizes.mean() if num else 0:.2f} classes (mean)"
        return f"{num} answered, {sure}"

    @property
    def marginal(self) -> str:
        """What is said of samples of which nothing is visible."""
        return MARGINAL[self.classes is not None]

    def tell(self) -> None:
        """Say which samples are not answered, or from nothing."""
        names = self.names or [str(row + 1) for row in range(len(self.shares))]
        if self.broken:
            rows = [f"{names[row]}: {why}" for row, why in self.broken.items()]
            log.warning("%d samples cannot be read and have no answer: %s", len(rows), few(rows))
        if len(empty := np.flatnonzero(self.shares == 0)):
            told = few([names[row] for row in empty[:4]])
            log.warning("%d samples have %s: %s", len(empty), self.marginal, told)


def _short(values: np.ndarray) -> np.ndarray:
    """Return numbers of at most 7 digits that count."""
    return np.array([float(f"{value:.7g}") for value in values])


def check_coverage(coverage: float) -> None:
    """Refuse a coverage that is no share.

    Raises:
        UserError: it is 0 or less, or 1 or more.
    """
    if not 0 < coverage < 1:
        raise UserError(f"{option('coverage', f'{coverage:g}')} must lie between 0 and 1")
