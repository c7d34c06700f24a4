"""What estimators are given, as columns, and what they give back in the same container."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import narwhals as nw
import numpy as np
from narwhals.dependencies import is_pandas_dataframe, is_polars_dataframe
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from maskwise.errors import UserError
from maskwise.tables.frames import Columns, Filled, columns_of, is_missing, put
from maskwise.tables.table import Table

FLOATS = [np.float64, np.float32]


@dataclass(frozen=True)
class Given:
    """A table that an estimator was given, a data frame or an array [N, F], and its columns."""

    data: Any
    columns: Columns

    def __len__(self) -> int:
        return len(self.data)

    @property
    def library(self) -> Literal["numpy", "pandas", "polars"]:
        """Where the container comes from."""
        if is_pandas_dataframe(self.data):
            return "pandas"
        return "polars" if is_polars_dataframe(self.data) else "numpy"

    def as_array(self) -> "Given":
        """Return a table of numbers only in an array; others as they are."""
        every = self.columns.values()
        if self.library == "numpy" or not all(each.dtype.kind in "fiu" for each in every):
            return self
        array = np.column_stack([each.astype(np.float64) for each in every])
        return Given(array, columns_of(array))

    @property
    def gaps(self) -> np.ndarray:
        """Which values are missing, bool [N, F]."""
        return np.stack([is_missing(column) for column in self.columns.values()], axis=1)


def read(
    estimator: BaseEstimator,
    X: ArrayLike,
    *,
    reset: bool,
    objects: bool = False,
    missing: float = np.nan,
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
        return Given(array, columns_of(array))
    if is_pandas_dataframe(X) or is_polars_dataframe(X):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        if not min(X.shape):
            raise ValueError(
                f"Found array with {X.shape[0]} sample(s) and {X.shape[1]} feature(s) (shape="
                f"{X.shape}) while a minimum of 1 is required."
            )
        return Given(X, columns_of(X))
    array = validate_data(
        estimator, X, reset=reset, dtype=None if objects else FLOATS, ensure_all_finite="allow-nan"
    )
    return Given(array, columns_of(array))


def table_of(
    given: Given, names: Sequence[str], categorical: str | Collection[str | int], scale: str
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
    columns = dict(zip(names, given.columns.values(), strict=True))
    named = {name for number, name in enumerate(names) if {name, number} & chosen}
    return Table.learn(columns, categorical=named, scale=scale)


def encode(table: Table, given: Given) -> np.ndarray:
    """Return rows as samples, float32 [N, F]; columns are taken in order."""
    names = (column.name for column in table.columns)
    return table.encode(dict(zip(names, given.columns.values(), strict=True)))


def with_values(given: Given, values: Sequence[np.ndarray]) -> Any:
    """Return a table whose gaps are filled from `values`, in its own container and types.

    What is not missing stays bit for bit the same; columns of which nothing is known keep gaps.
    """
    gaps = {}
    for (name, column), new in zip(given.columns.items(), values, strict=True):
        rows = np.flatnonzero(is_missing(column))
        if len(rows) and not is_missing(new).any():
            gaps[name] = Filled(rows, new[rows].tolist())
    return put(given.data, gaps)


def table_in(library: Literal["numpy", "pandas", "polars"], columns: Columns) -> Any:
    """Return columns in a container of a library."""
    if library == "numpy":
        return np.column_stack(list(columns.values()))
    return nw.from_dict(columns, backend=library).to_native()
