"""Rows of a table as samples: numbers, codes of categories, and NaN where nothing is known."""

import dataclasses
import functools
import logging
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from maskwise.columns.tabular import ColumnTokenizer
from maskwise.errors import UserError
from maskwise.modality import Entries
from maskwise.tables.column import Column, learn
from maskwise.tables.dates import written
from maskwise.tables.frames import Columns, columns_of, is_missing
from maskwise.tables.gaps import Filled
from maskwise.tables.mending import Mendable, Trouble, troubles_of
from maskwise.textio import few

log = logging.getLogger("maskwise")


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
        pairs: bool = True,
        dates: bool = False,
    ) -> Self:
        """Return how rows become samples, learned from some of them; see `learn`."""
        learned: list[Column] = []
        wrong: list[Trouble] = []
        for name, values in columns.items():
            told = (name, values, rows, name in categorical, scale == "quantile", max_categories)
            try:
                learned.append(learn(*told, pairs=pairs, dates=dates))
            except UserError as error:
                wrong += troubles_of(error)
        if wrong:
            raise Mendable(*wrong)
        return cls(tuple(learned), lags)

    @functools.cached_property
    def varying(self) -> tuple[Column, ...]:
        """The columns that are features."""
        return tuple(column for column in self.columns if column.kind in ("number", "category"))

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

    def encode(self, frame: object, *, partial: bool = False) -> np.ndarray:
        """Return the rows of a table as samples, float32 [N, F]: all of them, in their order.

        Columns are found by name; others are left out. Those of an array with as many columns as
        this table are taken in order. Unseen categories become NaN, and the log says how many.

        Args:
            frame: a pandas, polars or Arrow table, a mapping of columns, or an array.
            partial: columns may lack, whose values are NaN then; the log says which.

        Raises:
            UserError: a column is not there, or a value is infinite or not of its kind.
        """
        rows = self.encode_rows(frame, partial=partial)
        return windows(rows, self.lags).reshape(len(rows), len(self.features))

    def encode_rows(self, frame: object, *, partial: bool = False) -> np.ndarray:
        """Return samples without the rows before theirs, float32 [N, F / (lags + 1)]."""
        found, unseen = columns_of(frame, unused=self.unused), []
        places = self._places(found, isinstance(frame, np.ndarray), partial)
        rows = np.full((num_rows(found), len(self.varying)), np.nan, dtype=np.float32)
        for i, column in enumerate(self.varying):
            if column.name not in places:
                continue
            rows[:, i], num = column.encode(found[places[column.name]])
            if num:
                unseen.append(f"{num} in {column.name}")
        if unseen:
            log.warning("values that training never saw count as missing: %s", ", ".join(unseen))
        return rows

    def arrays(
        self, samples: np.ndarray | Tensor, *, round: bool = False, clip: bool = False
    ) -> Columns:
        """Return the columns that samples [N, F] stand for: the inverse of `encode`.

        Constant columns are restored. With lags, each row gives its own values only. `round` and
        `clip` are for columns of whole numbers, see `Column.decode`.
        """
        every = torch.as_tensor(samples).detach().cpu().numpy()
        rows = every[:, self.lags :: self.lags + 1]
        varying = dict(zip(self.varying, rows.T, strict=True))
        nothing = np.empty(len(rows))
        return {
            each.name: each.decode(varying.get(each, nothing), round=round, clip=clip)
            for each in self.columns
        }

    def decode(self, samples: np.ndarray | Tensor) -> object:
        """Return what `arrays` does as a pandas DataFrame, where pandas is installed."""
        try:
            import pandas
        except ImportError:
            return self.arrays(samples)
        return pandas.DataFrame(self.arrays(samples))

    def told(self, batch: Tensor) -> list[list[str]]:
        every = batch.detach().cpu().numpy().T
        columns = [
            self.varying[place // (self.lags + 1)].decode(values)
            for place, values in enumerate(every)
        ]
        return [
            [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row]
            for row in zip(*columns, strict=True)
        ]

    def fill(
        self,
        frame: object,
        samples: np.ndarray | Tensor,
        *,
        round: bool = True,
        clip: bool = True,
    ) -> dict[str, Filled]:
        """Return what samples [N, F] of a table put in its gaps, by column; only of such with."""
        found = columns_of(frame, unused=self.unused)
        filled, gaps = self.arrays(samples, round=round, clip=clip), {}
        for name, place in self._places(found, isinstance(frame, np.ndarray)).items():
            rows = np.flatnonzero(is_missing(found[place]) & ~is_missing(filled[name]))
            if len(rows):
                gaps[place] = Filled(rows, written(filled[name][rows], found[place]))
        return gaps

    def save(self, folder: Path) -> Entries:
        """Return plain values that `load` reads."""
        return {"columns": [dataclasses.asdict(each) for each in self.columns], "lags": self.lags}

    @classmethod
    def load(cls, folder: Path, values: Entries) -> Self:
        """Read what `save` returned, also through JSON."""
        lists = ("knots", "scores", "categories", "limits")
        columns = (
            Column(**each | {key: tuple(each.get(key, ())) for key in lists})
            for each in values["columns"]
        )
        return cls(tuple(columns), values["lags"])

    def unused(self, name: str) -> bool:
        """Return whether a column of another table is none that this one reads."""
        return name.strip() not in {column.name.strip() for column in self.varying}

    def _places(self, found: Columns, by_number: bool, partial: bool = False) -> dict[str, str]:
        """Return what each column of this table is called in another; constant ones may lack.

        Others, too, where a part will do.
        """
        names = [column.name for column in self.columns]
        if by_number and len(found) == len(names):
            return dict(zip(names, found, strict=True))
        bare = {name.strip(): name for name in found} | {name: name for name in found}
        lacking = [column.name for column in self.varying if column.name.strip() not in bare]
        if lacking and by_number:
            raise UserError(f"{len(found)} columns, but the table has {len(names)}")
        if partial and 0 < len(lacking) < len(self.varying):
            what = "%d of %d columns that the model knows are not there, and count as missing: %s"
            log.warning(what, len(lacking), len(self.varying), few(lacking))
        elif lacking and partial:
            raise UserError(
                f"the table has none of the {len(lacking)} columns that the model knows, such as"
                f" {few(lacking)}: it has {few(list(found)) or 'no column'}"
            )
        elif lacking:
            raise UserError(f"the table lacks column '{lacking[0]}', which the model knows")
        places = ((name, bare.get(name, bare.get(name.strip()))) for name in names)
        return {name: place for name, place in places if place is not None}


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
