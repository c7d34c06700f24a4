"""How a column of a table becomes numbers, and back."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import ndtri

from maskwise.errors import UserError, option
from maskwise.laws.combined import is_number
from maskwise.tables.dates import as_days, days_of, times_of
from maskwise.tables.frames import (
    Value,
    as_numbers,
    as_objects,
    codes_of,
    distinct,
    from_values,
    is_missing,
)
from maskwise.tables.mending import LEAVE_OUT, Mendable, Trouble

log = logging.getLogger("maskwise")

_KNOTS = 256
ENOUGH = 20  # of texts that are all different are names, dates or the like


@dataclasses.dataclass(frozen=True)
class Column:
    """How the values of a column become numbers.

    Args:
        name: of the column.
        kind: "constant" columns are no feature; `decode` restores them. Nor are those left
            "apart": times, and texts that are hardly ever the same, such as names.
        mean: of the training rows, in the unit of the data.
        std: the same; 1 where `knots` are used instead.
        knots: increasing values of the training rows, ...
        scores: ... and the quantiles of a normal distribution that they become.
        categories: those of the training rows; the only value of a constant, or nothing.
        whole: whether values are integers.
        limits: least and largest value of the training rows, if all are whole numbers.
        date: whether values are dates, as numbers those of days since 1970.
    """

    name: str
    kind: Literal["number", "category", "constant", "apart"]
    mean: float = 0.0
    std: float = 1.0
    knots: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    categories: tuple[Value, ...] = ()
    whole: bool = False
    limits: tuple[float, ...] = ()
    date: bool = False

    def encode(self, values: np.ndarray) -> tuple[np.ndarray, int]:
        """Return numbers or codes, float32 [N], and how many values are unseen categories.

        NaN where a value is missing or unseen.
        """
        if self.kind == "category":
            codes = codes_of(values, self.categories)
            return np.where(codes < 0, np.nan, codes).astype(np.float32), int((codes == -2).sum())
        numbers = (as_days if self.date else as_numbers)(self.name, values)
        if self.knots:
            return np.interp(numbers, self.knots, self.scores).astype(np.float32), 0
        return ((numbers - self.mean) / self.std).astype(np.float32), 0

    def decode(
        self, samples: np.ndarray, *, round: bool = False, clip: bool = False
    ) -> np.ndarray:
        """Return the values that numbers or codes [N] stand for; NaN or None where NaN.

        Where all that is known are whole numbers, `round` and `clip` make those of the values, as
        large as some that are known. Dates are datetime64[us].
        """
        values = self._values(np.asarray(samples, dtype=np.float64), round=round, clip=clip)
        return times_of(values.astype(np.float64)) if self.date else values

    def _values(self, samples: np.ndarray, *, round: bool, clip: bool) -> np.ndarray:
        if self.kind in ("constant", "apart"):
            return from_values((self.categories or (None,)) * len(samples))
        known = ~np.isnan(samples)
        if self.kind == "category":
            codes = np.rint(np.where(known, samples, 0)).astype(int)
            codes = np.where(known, codes.clip(0, len(self.categories) - 1), -1)
            texts = any(isinstance(each, str) for each in self.categories)  # also "true"
            values = (*self.categories, None)
            return (as_objects if texts else from_values)(values[code] for code in codes)
        if self.knots:
            numbers = np.interp(samples, self.scores, self.knots)
        else:
            numbers = samples * self.std + self.mean
        if self.limits and clip:
            numbers = numbers.clip(*self.limits)
        if not self.whole:
            return np.rint(numbers) if self.limits and round else numbers
        return np.rint(numbers).astype(np.int64 if known.all() else np.float64)


def learn(
    name: str,
    values: np.ndarray,
    rows: np.ndarray | slice = slice(None),
    categorical: bool = False,
    quantile: bool = False,
    max_categories: int = 100,
    pairs: bool = True,
    dates: bool = False,
) -> Column:
    """Return how a column of a table, values [N] as of `columns_of`, becomes numbers.

    Texts, bools and categoricals are categories, and so are, with `pairs`, numbers of two values,
    both whole; others too if `categorical`. Numbers become normal scores (`quantile`) or are
    standardised. Times, and texts of too many different values, are left apart; with `dates`,
    dates are numbers of days.

    Raises:
        UserError: an infinite number, text among numbers, or `categorical` with too many values.

    >>> learn("age", np.array([20.0, 30.0, 40.0, np.nan])).mean
    30.0
    >>> learn("sex", np.array(["m", None, "f"], dtype=object)).categories
    ('f', 'm')
    """
    days = None if categorical else days_of(values)
    if values.dtype.kind in "Mm" and (days is None or not dates):
        return Column(name, "apart", date=days is not None)
    if dates and days is not None:
        column = learn(name, days, rows, quantile=quantile, pairs=False)
        return dataclasses.replace(column, date=True)
    numeric = values.dtype.kind not in "bO"
    known = _numbers(name, values)[rows] if numeric else values[rows]
    known = known[~is_missing(known)]
    if not numeric or categorical or _constant(known) or (pairs and _two_values(known)):
        categories = distinct(known)
        if len(categories) < 2:
            return Column(name, "constant", categories=categories)
        if days is not None:
            return Column(name, "apart", date=True)
        _check(name, values, categories, max_categories, categorical)
        if not categorical and stands_apart(known, max_categories):
            return Column(name, "apart")
        return Column(name, "category", categories=categories)
    whole = values.dtype.kind in "iu"
    every = not (known % 1).any() and np.abs(known).max() < 2**53
    limits = (float(known.min()), float(known.max())) if every else ()
    if quantile:
        knots, scores = _normal_scores(known)
        return Column(name, "number", 0.0, 1.0, knots, scores, whole=whole, limits=limits)
    scale = float(np.abs(known).max())  # squares of what is huge or tiny are not finite or zero
    mean, std = (float(each(known / scale)) * scale for each in (np.mean, np.std))
    if not 0 < std < np.inf:
        return Column(name, "constant", categories=(mean,))
    return Column(name, "number", mean, std, whole=whole, limits=limits)


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    try:
        return as_numbers(name, values)
    except UserError as error:
        raise Mendable(Trouble(str(error), {LEAVE_OUT: name})) from None


def stands_apart(known: np.ndarray, most: int) -> bool:
    """Return whether values [N] are times, or texts with more than `most` or all different."""
    if known.dtype.kind in "Mm" or days_of(known) is not None:
        return True
    num = len(distinct(known)) if known.dtype.kind == "O" else 0
    return num > most or (num >= ENOUGH and num == len(known))


def _constant(numbers: np.ndarray) -> bool:
    """Return whether numbers are the same, or whether there are none."""
    return bool(numbers.min(initial=np.inf) >= numbers.max(initial=-np.inf))


def _two_values(numbers: np.ndarray) -> bool:
    """Return whether numbers are one of two whole ones."""
    low, high = numbers.min(), numbers.max()
    return not low % 1 and not high % 1 and bool(((numbers == low) | (numbers == high)).all())


def _normal_scores(numbers: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return quantiles of numbers and of the normal distribution; those of ties are averaged."""
    num = min(_KNOTS, len(numbers))
    quantiles = np.quantile(numbers, np.linspace(0, 1, num))
    knots, place = np.unique(quantiles, return_inverse=True)
    levels = np.bincount(place, (np.arange(num) + 0.5) / num) / np.bincount(place)
    return tuple(knots.tolist()), tuple(ndtri(levels).tolist())


def _check(
    name: str, values: np.ndarray, categories: Sequence[Value], most: int, asked: bool
) -> None:
    """Refuse too many categories if asked for, and tell of texts where most are numbers."""
    strange = {value for value in categories if not is_number(str(value))}
    if 0 < len(strange) < len(categories) / 2:
        row = next(i for i, value in enumerate(values) if value in strange)
        what = f"column '{name}': '{values[row]}' in data row {row + 1} is no number"
        if len(categories) > most:
            text = (
                f"{what}: leave it empty if it is not known, or leave out the column by"
                f" {option('data.drop', name)}"
            )
            raise Mendable(Trouble(text, {LEAVE_OUT: name}))
        log.warning("%s: %d categories", what, len(categories))
    elif asked and len(categories) > most:
        text = (
            f"column '{name}' has {len(categories)} different values such as"
            f" {categories[0]!r:.40}; categories are at most {most}: leave it out by"
            f" {option('data.drop', name)} or raise {option('data.max_categories')}"
        )
        raise Mendable(Trouble(text, {"max_categories": len(categories)}))
