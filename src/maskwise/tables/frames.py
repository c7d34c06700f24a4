"""Columns of a data frame as arrays, and values put into it, whichever library holds it."""

import datetime
import decimal
import difflib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import narwhals as nw
import numpy as np

from maskwise.errors import UserError, option
from maskwise.laws.combined import is_number
from maskwise.tables.mending import LEAVE_OUT, Mendable, Trouble

Columns = dict[str, np.ndarray]
"""One array [N] a column: floats (NaN = missing), integers, bools, times, or objects, which are
texts, numbers and bools (None = missing) that stand for categories."""
Value = str | float | int | bool
"""a category"""
Plain = str | int | float | datetime.date | datetime.timedelta | None
"""a value of a column, as Python has it; None where it is missing"""

MISSING = ("?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
"""Texts of a file that say that there is no value, unless it is said otherwise; an empty one does,
too. A data frame has values of its own for what is missing, and its texts are what they say."""


def columns_of(
    frame: object,
    missing: Collection[str] | None = None,
    unused: Callable[[str], bool] = lambda name: False,
) -> Columns:
    """Return the columns of a pandas, polars or Arrow table, a mapping or an array [N, F].

    Columns of an array are called x0, x1, ... Missing is what is None, NaN, NA or NaT; texts are
    not, unless they are empty or say one of `missing`. What cannot be read and is `unused`, by the
    name of its column, is missing.

    Raises:
        UserError: it is none of these, two columns share a name, or their lengths differ; or
            `Mendable`, a column holds what is neither text, number, bool nor time.

    >>> columns_of({"a": [1, None], "b": ["x", "NA"]})
    {'a': array([ 1., nan]), 'b': array(['x', 'NA'], dtype=object)}
    """
    columns: Columns = {}
    wrong = []
    for name, values in _found(frame):
        if str(name) in columns:
            raise UserError(f"two columns are called '{name}': rename one")
        try:
            column = _column(values)
            texts = missing is not None and column.dtype.kind == "O"
            columns[str(name)] = _blanked(column, missing or ()) if texts else column
        except UserError as error:
            way_out = f"leave it out by {option('data.drop', str(name))}"
            wrong.append(Trouble(f"column '{name}': {error}: {way_out}", {LEAVE_OUT: str(name)}))
            columns[str(name)] = np.full(values.shape[:1] or 0, None, dtype=object)
            if unused(str(name)):
                wrong.pop()
    if wrong:
        raise Mendable(*wrong)
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        short, long = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        raise UserError(f"column '{short}' has {sizes[short]} rows and '{long}' has {sizes[long]}")
    return columns


def _found(frame: Any) -> Iterable[tuple[object, Any]]:
    """Return names and values of columns, which are arrays or narwhals' series."""
    if isinstance(frame, dict):
        return [(name, as_array(values)) for name, values in frame.items()]
    if isinstance(frame, np.ndarray) and frame.ndim == 2:
        return [(f"x{i}", values) for i, values in enumerate(frame.T)]
    try:
        table = nw.from_native(frame, eager_only=True, pass_through=True)
    except nw.exceptions.DuplicateError:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise UserError(f"two columns are called '{twice}': rename one") from None
    if isinstance(table, nw.DataFrame):
        return [(name, table[:, place]) for place, name in enumerate(table.columns)]
    shape = f" of shape {frame.shape}" if hasattr(frame, "shape") else ""
    raise UserError(
        f"{type(frame).__name__}{shape} is no table: give a DataFrame, a dict of columns or "
        "an array of rows and columns"
    )


def as_array(values: Any) -> np.ndarray:
    """Return a column of a mapping as an array; of objects, if it holds some of other lengths."""
    try:
        return np.asarray(values)
    except ValueError:
        made = np.empty(len(values), dtype=object)
        made[:] = values
        return made


def no_column(name: str, known: Sequence[str]) -> UserError:
    """Return the error that says which columns there are instead of one that there is not."""
    near = difflib.get_close_matches(name, known, n=1) or known[:6]
    return UserError(f"no column '{name}'; did you mean {' or '.join(near)}?")


def from_texts(
    texts: Sequence[str], missing: Collection[str] = MISSING, decimal: str = "."
) -> np.ndarray:
    """Return a column of a text file: numbers if all are, bools if all are, else texts.

    Texts are kept as they are spelled, and mean the same with spaces around them as without.

    >>> from_texts(["1", "2"]), from_texts(["1", "?"]), from_texts(["1", " a"])
    (array([1, 2]), array([ 1., nan]), array(['1', ' a'], dtype=object))
    """
    letters = "".join(texts)
    strange = "_" in letters or (decimal == "," and "." in letters)  # 1_2 is one in Python only
    numbers = None if strange else _floats(texts, missing, decimal)
    if numbers is None:
        return from_values(_blanked(np.array(texts, dtype=object), missing))
    real = any(sign in letters for sign in f"{decimal}eE")
    exact = len(numbers) and (np.abs(numbers) < 2**53).all()  # no NaN either
    return numbers.astype(np.int64) if exact and not real else numbers


def _blanked(values: np.ndarray, missing: Collection[str]) -> np.ndarray:
    """Return objects [N] with None for texts that are empty or say that nothing is known."""
    blank = {"", *missing}
    kept = [None if isinstance(v, str) and v.strip() in blank else v for v in values]
    return np.array(kept, dtype=object)


def from_values(values: Iterable[object]) -> np.ndarray:
    """Return plain values as a column: numbers if all are, bools if all are, else objects.

    Raises:
        UserError: a value that is neither text, number nor bool.
    """
    found = [_plain(value) for value in values]
    kinds = {type(value) for value in found} - {type(None)}
    if kinds == {str} and {str(v).strip() for v in found} <= {"True", "False", "true", "false"}:
        return np.array([str(value).strip() in ("True", "true") for value in found])
    if kinds == {bool} and None not in found:
        return np.array(found, dtype=bool)
    largest = max((abs(value) for value in found if isinstance(value, int)), default=0)
    if kinds == {int} and None not in found and largest < 2**63:
        return np.array(found, dtype=np.int64)
    if kinds <= {int, float}:
        return np.array(found, dtype=np.float64)  # None becomes NaN
    if found and all(value is None or isinstance(value, datetime.timedelta) for value in found):
        return np.array(found, dtype="timedelta64[us]")
    if found and all(value is None or isinstance(value, datetime.date) for value in found):
        return np.array(found, dtype="datetime64[us]")
    return np.array(found, dtype=object)


def as_objects(values: Iterable[object]) -> np.ndarray:
    """Return plain values as categories, even if all are numbers."""
    return np.array([_plain(value) for value in values], dtype=object)


def is_missing(values: np.ndarray) -> np.ndarray:
    """Return which values of a column are missing, bool [N].

    >>> is_missing(np.array(["a", None], dtype=object))
    array([False,  True])
    """
    if values.dtype.kind == "O":
        return np.array([value is None for value in values], dtype=bool)
    return np.isnan(values) if values.dtype.kind in "fMm" else np.zeros(len(values), dtype=bool)


def _floats(texts: Sequence[str], missing: Collection[str], decimal: str) -> np.ndarray | None:
    """Return texts as numbers, NaN where they are missing; None if one is no number."""
    blank = {"", *missing}
    instead = [float(text) for text in missing if is_number(text)]
    if decimal != ".":
        texts = [text if text.strip() in blank else text.replace(decimal, ".") for text in texts]
    try:
        try:
            numbers = np.fromiter(map(float, texts), np.float64, len(texts))  # the quick way
        except ValueError:
            known = (math.nan if text.strip() in blank else float(text) for text in texts)
            numbers = np.fromiter(known, np.float64, len(texts))
    except ValueError:
        return None
    return np.where(np.isin(numbers, instead), np.nan, numbers) if instead else numbers


def _plain(value: object) -> Plain:
    """Return a value as Python has it; None where it is missing."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value).__name__ in ("NoneType", "NAType", "NaTType"):
        return None
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    if isinstance(value, datetime.time):
        since = datetime.datetime.combine(datetime.date.min, value.replace(tzinfo=None))
        return since - datetime.datetime.min
    if isinstance(value, (str, bool, int, float, datetime.date, datetime.timedelta)):
        return value
    raise UserError(f"{value!r:.40} is {type(value).__name__}, no text, number or bool")


def _named(value: object) -> object:
    """Return a category as a text, if it is an interval or the like."""
    try:
        return _plain(value)
    except UserError:
        return str(value)


def _column(values: "np.ndarray | nw.Series[Any]") -> np.ndarray:
    if isinstance(values, nw.Series):
        kind = values.dtype
        if not kind.is_temporal() and (not kind.is_numeric() or kind == nw.Decimal):
            if kind in (nw.Categorical, nw.Enum):
                return as_objects(map(_named, values.to_list()))
            return from_values(values.to_list())
        values = values.to_numpy()
        if values.dtype == "datetime64[ns]":
            return values.astype("datetime64[us]")  # Python's own times know no nanoseconds
    if values.ndim != 1:
        raise UserError(f"a column has shape {values.shape}: it must be one value a row")
    if values.dtype.kind in "fiu":
        small = np.can_cast(values.dtype, np.int64)
        return values.astype(np.int64 if small else np.float64, copy=False)
    return values if values.dtype.kind in "bMm" else from_values(values)


def as_numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Return a column as float64 [N]; a value that is no number, or infinite, is an error."""
    if values.dtype.kind in "Mm":
        raise UserError(f"column '{name}' holds times, and the model knows it as numbers")
    try:
        numbers = values.astype(np.float64)
    except ValueError:
        row, value = next(
            (i, v) for i, v in enumerate(values) if v is not None and not is_number(v)
        )
        raise UserError(f"column '{name}': '{value}' in data row {row + 1} is no number") from None
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise UserError(
            f"column '{name}': {numbers[row]} in data row {row + 1}: leave the value empty if it"
            " is not known"
        )
    return numbers


def distinct(values: np.ndarray) -> tuple[Value, ...]:
    """Return the different values of a column, sorted, without missing ones.

    Texts that differ in the spaces around them are one, in the spelling that is most common.

    >>> distinct(np.array([2.0, np.nan, 1.5, 2.0]))
    (1.5, 2)
    >>> distinct(np.array([" b", "b", "a", " b"], dtype=object))
    ('a', ' b')
    """
    spelled = spellings(values.tolist(), ~is_missing(values))
    return tuple(spelled[key] for key in sorted(spelled, key=lambda v: (isinstance(v, str), v)))


def spellings(values: Sequence[Value], known: np.ndarray) -> dict[Value, Value]:
    """Return the most common spelling of each of the known values, by the value without spaces."""
    counts = Counter(itertools.compress(values, known))
    found: dict[Value, Value] = {}
    for value, _ in sorted(counts.items(), key=lambda each: (-each[1], str(each[0]))):
        found.setdefault(bare(value), value if isinstance(value, str) else _whole(value))
    return found


def respelled(values: Iterable[Value], column: np.ndarray) -> list[Value]:
    """Return categories as a column [N] most often spells them, if it does."""
    if column.dtype.kind != "O":
        return list(values)
    spelled = spellings(column.tolist(), ~is_missing(column))
    known = {str(meant): spelling for meant, spelling in spelled.items()}
    return [known.get(str(bare(value)), value) for value in values]


def bare(value: Any) -> Any:
    """Return what a category means: a text without spaces around it, 1 for 1.0."""
    return value.strip() if isinstance(value, str) else _whole(value)


def codes_of(values: np.ndarray, categories: Sequence[Value]) -> np.ndarray:
    """Return the number of each value among `categories`, int64 [N]; -1 = missing, -2 = unseen.

    Numbers also match texts that spell them, and texts those with other spaces around them.

    >>> codes_of(np.array(["a", None, "c"], dtype=object), ("a", "b")).tolist()
    [0, -1, -2]
    """
    numbers: dict[object, int] = {str(bare(v)): code for code, v in enumerate(categories)}
    numbers |= {value: code for code, value in enumerate(categories)}
    numbers[None] = -1
    different, place = list(values), np.arange(len(values))
    if values.dtype.kind != "O":
        found, place = np.unique(values, return_inverse=True)
        different = as_objects(found).tolist()
    codes = [numbers.get(each, numbers.get(str(bare(each)), -2)) for each in different]
    return np.array(codes, dtype=np.int64)[place.reshape(-1)]


def _whole(value: Value) -> Value:
    return int(value) if isinstance(value, float) and value.is_integer() else value
