"""Columns of a data frame as arrays, whichever library holds it; none of them is needed."""

import datetime
import decimal
import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from maskwise.errors import UserError

Columns = dict[str, np.ndarray]
"""One array [N] a column: floats (NaN = missing), integers, bools, times, or objects, which are
texts, numbers and bools (None = missing) that stand for categories."""

MISSING = frozenset(
    ("", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
)
"""Texts that say that there is no value."""


def columns_of(frame: Any) -> Columns:
    """Return the columns of a pandas, polars or Arrow table, a mapping or an array [N, F].

    Columns of an array are called x0, x1, ...

    Raises:
        UserError: it is none of these, two columns share a name, or their lengths differ.

    >>> columns_of({"a": [1, None], "b": ["x", "NA"]})
    {'a': array([ 1., nan]), 'b': array(['x', None], dtype=object)}
    """
    found: list[tuple[Any, Any, Callable[[Any], np.ndarray]]]
    library = type(frame).__module__.partition(".")[0]
    if library == "pandas" and hasattr(frame, "columns"):
        found = [(name, frame.iloc[:, i], _of_pandas) for i, name in enumerate(frame.columns)]
    elif library == "polars" and hasattr(frame, "get_columns"):
        found = [(column.name, column, _of_polars) for column in frame.get_columns()]
    elif library == "pyarrow" and hasattr(frame, "column_names"):
        found = [
            (frame.column_names[i], frame.column(i), _of_arrow) for i in range(frame.num_columns)
        ]
    elif isinstance(frame, dict):
        found = [(name, np.asarray(values), _of_array) for name, values in frame.items()]
    elif isinstance(frame, np.ndarray) and frame.ndim == 2:
        found = [(f"x{i}", frame[:, i], _of_array) for i in range(frame.shape[1])]
    else:
        shape = f" of shape {frame.shape}" if hasattr(frame, "shape") else ""
        raise UserError(
            f"{type(frame).__name__}{shape} is no table: give a DataFrame, a dict of columns or "
            "an array of rows and columns"
        )
    columns: Columns = {}
    for name, values, read in found:
        if str(name) in columns:
            raise UserError(f"two columns are called '{name}': rename one")
        try:
            columns[str(name)] = read(values)
        except UserError as error:
            raise UserError(f"column '{name}': {error}") from None
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        short, long = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        raise UserError(f"column '{short}' has {sizes[short]} rows and '{long}' has {sizes[long]}")
    return columns


def no_column(name: str, known: Sequence[str]) -> UserError:
    """Return the error that says which columns there are instead of one that there is not."""
    near = difflib.get_close_matches(name, known, n=1) or known[:6]
    return UserError(f"no column '{name}'; did you mean {' or '.join(near)}?")


def from_texts(texts: Sequence[str]) -> np.ndarray:
    """Return a column of a text file: numbers if all are, bools if all are, else texts.

    >>> from_texts(["1", "2"]), from_texts(["1", "?"]), from_texts(["1", "a"])
    (array([1, 2]), array([ 1., nan]), array(['1', 'a'], dtype=object))
    """
    letters = "".join(texts)
    numbers = None if "_" in letters else _floats(texts)  # 1_2 is a number in Python only
    if numbers is None:
        return from_values(texts)
    real = any(sign in letters for sign in ".eE")
    exact = len(numbers) and (np.abs(numbers) < 2**53).all()  # no NaN either
    return numbers.astype(np.int64) if exact and not real else numbers


def from_values(values: Iterable[Any]) -> np.ndarray:
    """Return plain values as a column: numbers if all are, bools if all are, else objects.

    Raises:
        UserError: a value that is neither text, number nor bool.
    """
    found = [_plain(value) for value in values]
    kinds = {type(value) for value in found} - {type(None)}
    if kinds == {str} and set(found) <= {"True", "False", "true", "false"}:
        return np.array([value in ("True", "true") for value in found])
    if kinds == {bool} and None not in found:
        return np.array(found, dtype=bool)
    if kinds == {int} and None not in found and all(abs(value) < 2**63 for value in found):
        return np.array(found, dtype=np.int64)
    if kinds <= {int, float}:
        return np.array(found, dtype=np.float64)  # None becomes NaN
    if found and all(value is None or isinstance(value, datetime.date) for value in found):
        return np.array(found, dtype="datetime64[us]")
    return _objects(found)


def as_objects(values: Iterable[Any]) -> np.ndarray:
    """Return plain values as categories, even if all are numbers."""
    return _objects([_plain(value) for value in values])


def is_missing(values: np.ndarray) -> np.ndarray:
    """Return which values of a column are missing, bool [N].

    >>> is_missing(np.array(["a", None], dtype=object))
    array([False,  True])
    """
    if values.dtype.kind == "O":
        return np.array([value is None for value in values], dtype=bool)
    return np.isnan(values) if values.dtype.kind in "fMm" else np.zeros(len(values), dtype=bool)


def _floats(texts: Sequence[str]) -> np.ndarray | None:
    """Return texts as numbers, NaN where they are missing; None if one is no number."""
    try:
        return np.fromiter(map(float, texts), np.float64, len(texts))  # the quick way
    except ValueError:
        pass
    try:
        known = (math.nan if text.strip() in MISSING else float(text) for text in texts)
        return np.fromiter(known, np.float64, len(texts))
    except ValueError:
        return None


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _plain(value: Any) -> Any:
    """Return a value as Python has it; None where it is missing."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value).__name__ in ("NoneType", "NAType", "NaTType"):
        return None
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, str):
        value = value.strip()
        return None if value in MISSING else value
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, (bool, int, float, datetime.date)):
        return value
    raise UserError(f"{value!r:.40} is {type(value).__name__}, no text, number or bool")


def _of_array(values: np.ndarray) -> np.ndarray:
    if values.ndim != 1:
        raise UserError(f"a column has shape {values.shape}: it must be one value a row")
    if values.dtype.kind in "fiu":
        small = np.can_cast(values.dtype, np.int64)
        return values.astype(np.int64 if small else np.float64, copy=False)
    return values if values.dtype.kind in "bMm" else from_values(values)


def _of_pandas(series: Any) -> np.ndarray:
    if series.dtype.name == "category":
        return as_objects(series.astype(object))
    if series.dtype.kind in "fiu":  # also of pandas' own types
        if series.hasnans:
            return series.to_numpy(np.float64, na_value=np.nan)
        return _of_array(np.asarray(series))
    if series.dtype.kind == "M":
        return series.to_numpy("datetime64[us]")
    return from_values(series.astype(object))


def _of_polars(series: Any) -> np.ndarray:
    kind = series.dtype
    if kind.is_temporal() or (kind.is_numeric() and not kind.is_decimal()):
        return _of_array(series.to_numpy())
    categories = str(kind).startswith(("Categorical", "Enum"))
    return (as_objects if categories else from_values)(series.to_list())


def _of_arrow(column: Any) -> np.ndarray:
    import pyarrow

    kinds = pyarrow.types
    plain = (kinds.is_integer, kinds.is_floating, kinds.is_temporal)
    if any(each(column.type) for each in plain):
        return _of_array(column.to_numpy())
    return (as_objects if kinds.is_dictionary(column.type) else from_values)(column.to_pylist())
