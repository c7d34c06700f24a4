"""One column of a table: what is learned of it, and how its values become numbers and back."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from maskwise.errors import UserError
from maskwise.laws.combined import is_number
from maskwise.tables.frames import as_objects, from_values, is_missing

log = logging.getLogger("maskwise")

Value = str | float | int | bool
_KNOTS = 256


@dataclass(frozen=True)
class Column:
    """How the values of a column become numbers.

    Args:
        name: of the column.
        kind: "constant" columns are no feature; `decode` restores them.
        mean: of the training rows, in the unit of the data.
        std: the same; 1 where `knots` are used instead.
        knots: increasing values of the training rows, ...
        scores: ... and the quantiles of a normal distribution that they become.
        categories: those of the training rows; the only value of a constant, or nothing.
        whole: whether values are integers.
    """

    name: str
    kind: Literal["number", "category", "constant"]
    mean: float = 0.0
    std: float = 1.0
    knots: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    categories: tuple[Value, ...] = ()
    whole: bool = False

    def encode(self, values: np.ndarray) -> tuple[np.ndarray, int]:
        """Return numbers or codes, float32 [N], and how many values are unseen categories.

        NaN where a value is missing or unseen.

        Raises:
            UserError: a number is expected and a value is none, or infinite.
        """
        if self.kind == "category":
            codes = codes_of(values, self.categories)
            return np.where(codes < 0, np.nan, codes).astype(np.float32), int((codes == -2).sum())
        numbers = as_numbers(self.name, values)
        if self.knots:
            return np.interp(numbers, self.knots, self.scores).astype(np.float32), 0
        return ((numbers - self.mean) / self.std).astype(np.float32), 0

    def decode(self, samples: np.ndarray) -> np.ndarray:
        """Return the values that numbers or codes [N] stand for; NaN or None where NaN."""
        samples = np.asarray(samples, dtype=np.float64)
        if self.kind == "constant":
            return from_values((self.categories or (None,)) * len(samples))
        known = ~np.isnan(samples)
        if self.kind == "category":
            codes = np.rint(np.where(known, samples, 0)).astype(int)
            codes = np.where(known, codes.clip(0, len(self.categories) - 1), -1)
            values = (*self.categories, None)
            return from_values(values[code] for code in codes)
        if self.knots:
            numbers = np.interp(samples, self.scores, self.knots)
        else:
            numbers = samples * self.std + self.mean
        if self.whole:
            numbers = np.rint(numbers)
            return numbers.astype(np.int64) if known.all() else numbers
        return numbers


def learn(
    name: str,
    values: np.ndarray,
    rows: np.ndarray | slice = slice(None),
    categorical: bool = False,
    quantile: bool = False,
    max_categories: int = 100,
) -> Column:
    """Return how a column of a table becomes numbers.

    Texts, bools and categoricals are categories, and so are numbers of two values, both whole.

    Args:
        name: of the column.
        values: [N] as `columns_of` returns them.
        rows: those to learn from.
        categorical: whether numbers are categories, however many they are.
        quantile: make numbers normal scores; else standardise them.
        max_categories: more of them are an error.

    Raises:
        UserError: a time, an infinite number, or text with too many different values.

    >>> learn("age", np.array([20.0, 30.0, 40.0, np.nan])).mean
    30.0
    >>> learn("sex", np.array(["m", None, "f"], dtype=object)).categories
    ('f', 'm')
    """
    numeric = values.dtype.kind not in "bO"
    known = as_numbers(name, values)[rows] if numeric else values[rows]
    known = known[~is_missing(known)]
    if not numeric or categorical or _two_values(known):
        categories = distinct(known)
        if len(categories) < 2:
            return Column(name, "constant", categories=categories)
        if len(categories) > max_categories:
            raise UserError(_too_many(name, values, categories, max_categories))
        if (strange := _strange(values, categories)) is not None:
            told = (name, values[strange], strange, len(categories))
            log.warning("column '%s': '%s' in row %d (from 0) is no number: %d categories", *told)
        return Column(name, "category", categories=categories)
    whole = values.dtype.kind in "iu"
    if quantile:
        knots, scores = _normal_scores(known)
        return Column(name, "number", knots=knots, scores=scores, whole=whole)
    scale = float(np.abs(known).max())  # squares of what is huge or tiny are not finite or zero
    mean, std = (float(each(known / scale)) * scale for each in (np.mean, np.std))
    if not 0 < std < np.inf:
        return Column(name, "constant", categories=(mean,))
    return Column(name, "number", mean, std, whole=whole)


def _two_values(numbers: np.ndarray) -> bool:
    """Return whether numbers are the same, or one of two whole ones, or whether there are none."""
    low, high = numbers.min(initial=np.inf), numbers.max(initial=-np.inf)
    if low >= high:
        return True
    return not low % 1 and not high % 1 and bool(((numbers == low) | (numbers == high)).all())


def as_numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Return a column as float64 [N].

    Raises:
        UserError: a value that is no number, or infinite.
    """
    if values.dtype.kind in "Mm":
        raise UserError(
            f"column '{name}' holds times: leave it out (--data.drop {name}); rows in the order "
            "of time are a time series (--data.lags)"
        )
    try:
        numbers = values.astype(np.float64)
    except ValueError:
        row, value = next(
            (i, v) for i, v in enumerate(values) if v is not None and not is_number(v)
        )
        raise UserError(f"column '{name}': '{value}' in row {row} (from 0) is no number") from None
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise UserError(
            f"column '{name}': {numbers[row]} in row {row} (from 0): leave the value empty if it"
            " is not known"
        )
    return numbers


def distinct(values: np.ndarray) -> tuple[Value, ...]:
    """Return the different values of a column, sorted, without missing ones.

    >>> distinct(np.array([2.0, np.nan, 1.5, 2.0]))
    (1.5, 2)
    """
    found = set(values[~is_missing(values)].tolist())
    plain = [int(v) if isinstance(v, float) and v.is_integer() else v for v in found]
    return tuple(sorted(plain, key=lambda v: (isinstance(v, str), v)))


def codes_of(values: np.ndarray, categories: Sequence[Value]) -> np.ndarray:
    """Return the number of each value among `categories`, int64 [N]; -1 = missing, -2 = unseen.

    Numbers also match texts that spell them.

    >>> codes_of(np.array(["a", None, "c"], dtype=object), ("a", "b")).tolist()
    [0, -1, -2]
    """
    numbers: dict[object, int] = {str(value): code for code, value in enumerate(categories)}
    numbers |= {value: code for code, value in enumerate(categories)}
    different, place = list(values), np.arange(len(values))
    if values.dtype.kind != "O":
        found, place = np.unique(values, return_inverse=True)
        different = as_objects(found).tolist()

    def code(value: object) -> int:
        if value is None:
            return -1
        return numbers.get(value, numbers.get(_spelt(value), -2))

    codes = np.array([code(value) for value in different], dtype=np.int64)
    return codes[place.reshape(-1)]


def _spelt(value: object) -> str:
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _normal_scores(numbers: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return quantiles of numbers and of the normal distribution; those of ties are averaged."""
    num = min(_KNOTS, len(numbers))
    quantiles = np.quantile(numbers, np.linspace(0, 1, num))
    knots, place = np.unique(quantiles, return_inverse=True)
    levels = np.bincount(place, (np.arange(num) + 0.5) / num) / np.bincount(place)
    return tuple(knots.tolist()), tuple(ndtri(levels).tolist())


def _strange(values: np.ndarray, categories: Sequence[Value]) -> int | None:
    """Return the row of the first text that is no number, if most categories are numbers."""
    strange = {value for value in categories if not is_number(str(value))}
    if 0 < len(strange) < len(categories) / 2:
        return next(i for i, value in enumerate(values) if value in strange)
    return None


def _too_many(name: str, values: np.ndarray, categories: Sequence[Value], most: int) -> str:
    row = _strange(values, categories)
    if row is not None:
        return (
            f"column '{name}': '{values[row]}' in row {row} (from 0) is no number: leave it empty"
            f" if it is not known, or leave out the column (--data.drop {name})"
        )
    return (
        f"column '{name}' has {len(categories)} different values such as {categories[0]!r:.40};"
        f" categories are at most {most}: leave it out (--data.drop {name}) or raise"
        " --data.max_categories"
    )
