"""What estimators are given, as columns, and what they give back in the same container."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from maskwise.errors import UserError
from maskwise.tables.columns import learn
from maskwise.tables.frames import columns_of, is_missing
from maskwise.tables.table import Table

FLOATS = [np.float64, np.float32]


@dataclass(frozen=True)
class Given:
    """A table that an estimator was given.

    Args:
        data: a data frame, or a float array [N, F].
        columns: what it holds, F arrays [N].
    """

    data: Any
    columns: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def library(self) -> str:
        """Where the container comes from: "numpy", "pandas" or "polars"."""
        return type(self.data).__module__.partition(".")[0]

    @property
    def numeric(self) -> bool:
        """Whether all columns are numbers."""
        return all(column.dtype.kind in "fiu" for column in self.columns)

    def as_array(self) -> "Given":
        """Return numbers in an array."""
        if self.library == "numpy":
            return self
        array = np.column_stack([column.astype(np.float64) for column in self.columns])
        return Given(array, self.columns)

    @property
    def gaps(self) -> np.ndarray:
        """Which values are missing, bool [N, F]."""
        return np.stack([is_missing(column) for column in self.columns], axis=1)


def read(
    estimator: Any, X: Any, *, reset: bool, objects: bool = False, missing: float = np.nan
) -> Given:
    """Return what `X` holds, after scikit-learn's checks.

    Args:
        estimator: remembers (`reset`) or checks the number and the names of columns.
        X: a pandas or polars frame, or what becomes an array of numbers.
        reset: whether this is a first look.
        objects: take arrays of objects as they are.
        missing: what stands for a missing value; if it is not NaN, the table becomes an array.

    Raises:
        ValueError: other columns than before, infinite numbers, text where numbers are expected.
    """
    if missing == missing:
        array = validate_data(estimator, X, reset=reset, dtype=FLOATS)
        array = np.where(array == missing, np.nan, array)
        return Given(array, list(array.T))
    if hasattr(X, "columns") and type(X).__module__.partition(".")[0] in ("pandas", "polars"):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        if not min(X.shape):
            raise ValueError(
                f"Found array with {X.shape[0]} sample(s) and {X.shape[1]} feature(s) (shape="
                f"{X.shape}) while a minimum of 1 is required."
            )
        return Given(X, list(columns_of(X).values()))
    array = validate_data(
        estimator, X, reset=reset, dtype=None if objects else FLOATS, ensure_all_finite="allow-nan"
    )
    return Given(array, list(columns_of(array).values()))


def table_of(
    given: Given, names: Sequence[str], categorical: str | Iterable[Any], scale: str
) -> Table:
    """Return how the rows of a table become samples.

    Args:
        given: rows to learn from.
        names: of its columns.
        categorical: "infer", or names or numbers of columns of numbers that are categories.
        scale: "standard" or "quantile".

    Raises:
        UserError: a column that is not there, or that cannot be learned from.
    """
    if scale not in ("standard", "quantile"):
        raise UserError(f"scale '{scale}' is neither 'standard' nor 'quantile'")
    chosen = set() if isinstance(categorical, str) else set(categorical)
    if categorical != "infer" and isinstance(categorical, str):
        raise UserError(f"categorical '{categorical}' is neither 'infer' nor a list of columns")
    if unknown := chosen - set(names) - set(range(len(names))):
        raise UserError(f"categorical: there is no column {sorted(unknown, key=str)[0]!r}")
    return Table(
        tuple(
            learn(
                name,
                values,
                categorical=bool({name, number} & chosen),
                quantile=scale == "quantile",
            )
            for number, (name, values) in enumerate(zip(names, given.columns, strict=True))
        )
    )


def encode(table: Table, given: Given) -> np.ndarray:
    """Return rows as samples, float32 [N, F]; columns are taken in order."""
    names = (column.name for column in table.columns)
    return table.encode(dict(zip(names, given.columns, strict=True)))


def with_values(given: Given, values: Sequence[np.ndarray]) -> Any:
    """Return a table whose gaps are filled from `values`, in its own container and types.

    What is not missing stays bit for bit the same; columns of which nothing is known keep gaps.
    """
    if given.library == "numpy":
        filled = given.data.copy()
        for place, (column, new) in enumerate(zip(given.columns, values, strict=True)):
            gaps = is_missing(column)
            filled[gaps, place] = new[gaps]
        return filled
    changed = {}
    for place, (column, new) in enumerate(zip(given.columns, values, strict=True)):
        gaps = is_missing(column)
        if gaps.any() and not is_missing(new).any():
            changed[place] = _series(given, place, gaps, new)
    if given.library == "polars":
        return given.data.with_columns(changed.values())
    filled = given.data.copy()
    for place, series in changed.items():
        filled.isetitem(place, series)
    return filled


def _series(given: Given, place: int, gaps: np.ndarray, new: np.ndarray) -> Any:
    """Return a column of a frame with its gaps filled, of the same type."""
    if given.library == "polars":
        import polars

        series = given.data.to_series(place)
        if series.dtype.is_integer():
            new = np.rint(new).astype(np.int64)
        items = [n if gap else old for old, n, gap in zip(series, new.tolist(), gaps, strict=True)]
        return polars.Series(series.name, items, dtype=series.dtype)
    import pandas

    series = given.data.iloc[:, place]
    kind = series.dtype
    if kind.kind in "iu":  # pandas' own integers, which can be missing
        new = np.rint(new).astype(np.int64)
    if isinstance(kind, pandas.CategoricalDtype):
        unknown = sorted(set(new[gaps]) - set(kind.categories), key=str)
        kind = pandas.CategoricalDtype([*kind.categories, *unknown], kind.ordered)
    items = series.to_numpy(dtype=object, copy=True)
    items[gaps] = new[gaps]
    return pandas.Series(items, index=series.index, name=series.name, dtype=kind)


def table_in(library: str, columns: dict[str, np.ndarray]) -> Any:
    """Return columns in a container of a library."""
    if library == "pandas":
        import pandas

        return pandas.DataFrame(columns)
    if library == "polars":
        import polars

        return polars.DataFrame(columns)
    return np.column_stack(list(columns.values()))
