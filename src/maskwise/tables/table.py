"""Rows of a table as samples: numbers, codes of categories, and NaN where nothing is known."""

import dataclasses
import functools
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtri
from torch import Tensor

from maskwise.columns.tabular import ColumnTokenizer
from maskwise.errors import UserError
from maskwise.laws.combined import is_number
from maskwise.modality import Entries
from maskwise.tables.frames import (
    Columns,
    Filled,
    Value,
    as_numbers,
    as_objects,
    codes_of,
    columns_of,
    distinct,
    from_values,
    is_missing,
    respelled,
)

log = logging.getLogger("maskwise")

_KNOTS = 256


@dataclasses.dataclass(frozen=True)
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
            texts = any(isinstance(each, str) for each in self.categories)  # also "true"
            values = (*self.categories, None)
            return (as_objects if texts else from_values)(values[code] for code in codes)
        if self.knots:
            numbers = np.interp(samples, self.scores, self.knots)
        else:
            numbers = samples * self.std + self.mean
        if not self.whole:
            return numbers
        return np.rint(numbers).astype(np.int64 if known.all() else np.float64)


def learn(
    name: str,
    values: np.ndarray,
    rows: np.ndarray | slice = slice(None),
    categorical: bool = False,
    quantile: bool = False,
    max_categories: int = 100,
) -> Column:
    """Return how a column of a table, values [N] as of `columns_of`, becomes numbers.

    Texts, bools and categoricals are categories, and so are numbers of two values, both whole;
    others too if `categorical`. Numbers become normal scores (`quantile`) or are standardised.

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
        _check(name, values, categories, max_categories)
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


def _normal_scores(numbers: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return quantiles of numbers and of the normal distribution; those of ties are averaged."""
    num = min(_KNOTS, len(numbers))
    quantiles = np.quantile(numbers, np.linspace(0, 1, num))
    knots, place = np.unique(quantiles, return_inverse=True)
    levels = np.bincount(place, (np.arange(num) + 0.5) / num) / np.bincount(place)
    return tuple(knots.tolist()), tuple(ndtri(levels).tolist())


def _check(name: str, values: np.ndarray, categories: Sequence[Value], most: int) -> None:
    """Refuse too many categories, and tell of a text where most of them are numbers."""
    strange = {value for value in categories if not is_number(str(value))}
    if 0 < len(strange) < len(categories) / 2:
        row = next(i for i, value in enumerate(values) if value in strange)
        what = f"column '{name}': '{values[row]}' in row {row} (from 0) is no number"
        if len(categories) > most:
            raise UserError(
                f"{what}: leave it empty if it is not known, or leave out the column"
                f" (--data.drop {name})"
            )
        log.warning("%s: %d categories", what, len(categories))
    elif len(categories) > most:
        raise UserError(
            f"column '{name}' has {len(categories)} different values such as"
            f" {categories[0]!r:.40}; categories are at most {most}: leave it out (--data.drop"
            f" {name}) or raise --data.max_categories"
        )


@dataclasses.dataclass(frozen=True)
class Table(ColumnTokenizer):
    """How rows of a table become samples, float32 [B, F], and back.

    Args:
        columns: of the table, in its order; constant ones are no features.
        lags: how many rows before its own a sample holds, too: F is the number of columns times
            lags + 1, and "OT@-3" is the value of OT three rows before.

    Example:
        >>> table = Table((Column("age", "number", 40.0, 10.0), Column("sex", "category",
        ...     categories=("f", "m"))))
        >>> samples = table.encode({"sex": ["m", "f"], "age": [50.0, None]})
        >>> samples.tolist()
        [[1.0, 1.0], [nan, 0.0]]
        >>> table.arrays(samples)["age"].tolist()
        [50.0, nan]
    """

    modality: ClassVar[str] = "tables"
    words: ClassVar[tuple[str, str]] = ("row", "feature")

    columns: tuple[Column, ...]
    lags: int = 0

    @classmethod
    def learn(
        cls,
        columns: Columns,
        rows: np.ndarray | slice = slice(None),
        *,
        categorical: Collection[str] = (),
        scale: str = "standard",
        max_categories: int = 100,
        lags: int = 0,
    ) -> Self:
        """Return how rows become samples, learned from some of them; see `learn`."""
        learned = (
            learn(name, values, rows, name in categorical, scale == "quantile", max_categories)
            for name, values in columns.items()
        )
        return cls(tuple(learned), lags)

    @functools.cached_property
    def varying(self) -> tuple[Column, ...]:
        """The columns that are features."""
        return tuple(column for column in self.columns if column.kind != "constant")

    @functools.cached_property
    def features(self) -> tuple[Column, ...]:
        """The column of each feature, F of them."""
        return tuple(column for column in self.varying for _ in range(self.lags + 1))

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(
            f"{column.name}@-{back}" if back else column.name
            for column in self.varying
            for back in range(self.lags, -1, -1)
        )

    @functools.cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(column.categories) for column in self.features)

    @functools.cached_property
    def log_scale(self) -> Tensor:
        """Log of the standard deviation of each number, [F]; 0 of categories and normal scores.

        The log-density of a number in its own unit is that of its sample less this. That of a
        normal score stays the density of the score.
        """
        stds = torch.tensor([column.std for column in self.features], dtype=torch.float64)
        return stds.log().float()

    def inputs(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return the samples, 0 where hidden or not known, float32 [B, F]."""
        return batch.masked_fill(hidden | batch.isnan(), 0)

    def intensities(self, values: Tensor) -> Tensor:
        """Return exp(value) of numbers, e times for every unit, and 1 for categories."""
        return torch.where(torch.tensor(self.sizes) == 0, values, 0.0).double().exp()

    def encode(self, frame: object) -> np.ndarray:
        """Return the rows of a table as samples, float32 [N, F]: all of them, in their order.

        Columns are found by name; others are left out. Those of an array with as many columns as
        this table are taken in order. Unseen categories become NaN, and the log says how many.

        Args:
            frame: a pandas, polars or Arrow table, a mapping of columns, or an array.

        Raises:
            UserError: a column is not there, or a value is infinite or not of its kind.
        """
        rows = self.encode_rows(frame)
        return windows(rows, self.lags).reshape(len(rows), len(self.features))

    def encode_rows(self, frame: object) -> np.ndarray:
        """Return samples without the rows before theirs, float32 [N, F / (lags + 1)]."""
        found, unseen = columns_of(frame), []
        places = self._places(found, isinstance(frame, np.ndarray))
        rows = np.empty((num_rows(found), len(self.varying)), dtype=np.float32)
        for i, column in enumerate(self.varying):
            rows[:, i], num = column.encode(found[places[column.name]])
            if num:
                unseen.append(f"{num} in {column.name}")
        if unseen:
            log.warning("values that training never saw count as missing: %s", ", ".join(unseen))
        return rows

    def arrays(self, samples: np.ndarray | Tensor) -> Columns:
        """Return the columns that samples [N, F] stand for: the inverse of `encode`.

        Constant columns are restored. With lags, each row gives its own values only.
        """
        every = torch.as_tensor(samples).detach().cpu().numpy()
        rows = every[:, self.lags :: self.lags + 1]
        varying = dict(zip(self.varying, rows.T, strict=True))
        nothing = np.empty(len(rows))
        return {each.name: each.decode(varying.get(each, nothing)) for each in self.columns}

    def decode(self, samples: np.ndarray | Tensor) -> object:
        """Return what `arrays` does as a pandas DataFrame, where pandas is installed."""
        try:
            import pandas
        except ImportError:
            return self.arrays(samples)
        return pandas.DataFrame(self.arrays(samples))

    def fill(self, frame: object, samples: np.ndarray | Tensor) -> dict[str, Filled]:
        """Return what samples [N, F] of a table put in its gaps, by column; only of such with."""
        found, filled, gaps = columns_of(frame), self.arrays(samples), {}
        for name, place in self._places(found, isinstance(frame, np.ndarray)).items():
            rows = np.flatnonzero(is_missing(found[place]) & ~is_missing(filled[name]))
            if len(rows):
                values = filled[name][rows].astype(found[place].dtype).tolist()
                gaps[place] = Filled(rows, respelled(values, found[place]))
        return gaps

    def save(self, folder: Path) -> Entries:
        """Return plain values that `load` reads."""
        return {"columns": [dataclasses.asdict(each) for each in self.columns], "lags": self.lags}

    @classmethod
    def load(cls, folder: Path, values: Entries) -> Self:
        """Read what `save` returned, also through JSON."""
        lists = ("knots", "scores", "categories")
        columns = (
            Column(**each | {key: tuple(each[key]) for key in lists}) for each in values["columns"]
        )
        return cls(tuple(columns), values["lags"])

    def _places(self, found: Columns, by_number: bool) -> dict[str, str]:
        """Return what each column of this table is called in another; constant ones may lack."""
        names = [column.name for column in self.columns]
        if by_number and len(found) == len(names):
            return dict(zip(names, found, strict=True))
        lacking = [column.name for column in self.varying if column.name not in found]
        if lacking and by_number:
            raise UserError(f"{len(found)} columns, but the table has {len(names)}")
        if lacking:
            raise UserError(f"the table lacks column '{lacking[0]}', which the model knows")
        return {name: name for name in names if name in found}


def windows(rows: np.ndarray, lags: int) -> np.ndarray:
    """Return rows [N, C] with those before each, [N, C, lags + 1], a view; NaN before the first.

    >>> windows(np.array([[1.0], [2.0], [3.0]]), 1).tolist()
    [[[nan, 1.0]], [[1.0, 2.0]], [[2.0, 3.0]]]
    """
    if not len(rows):
        return np.empty((0, rows.shape[1], lags + 1), dtype=rows.dtype)
    if lags:
        rows = np.concatenate([np.full((lags, rows.shape[1]), np.nan, dtype=rows.dtype), rows])
    return sliding_window_view(rows, lags + 1, axis=0, writeable=True)


def num_rows(columns: Columns) -> int:
    """Return how many rows a table has."""
    return len(next(iter(columns.values()), ()))
