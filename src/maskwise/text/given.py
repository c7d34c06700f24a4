"""Texts given from Python: lists, tuples, arrays and columns of data frames."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from maskwise.encodings import whole_texts
from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.labels import is_nothing
from maskwise.textio import few

_LOOKED_AT = 1000
ASKED = "give texts: a list, a tuple, an array or a column of str"


class Given(NamedTuple):
    """Texts, and which have none."""

    texts: list[str]  # "" where there is none
    missing: list[int]  # numbers from 0


def are_texts(data: object) -> bool:
    """Say whether data are texts: a sequence of str, which may lack some.

    >>> are_texts(("a", None)), are_texts([1, 2]), are_texts("a"), are_texts([])
    (True, False, False, False)
    """
    values = _values(data)
    return any(isinstance(value, str) for value in itertools.islice(values or (), _LOOKED_AT))


def read_given(data: object) -> Given:
    """Return the texts of data from Python, in which halves of characters are replaced.

    Raises:
        UserError: they are no texts, or some of them are not.

    >>> read_given(("a", None))
    Given(texts=['a', ''], missing=[1])
    """
    values = _values(data)
    if values is None:
        raise UserError(f"{_described(data)} holds no texts: {ASKED}")
    other = [
        f"text {number} is {type(value).__name__}"
        for number, value in enumerate(values, start=1)
        if not isinstance(value, str) and not is_nothing(value)
    ]
    if other:
        raise UserError(f"{len(other)} of {len(values)} are no texts: {few(other)}: {ASKED}")
    missing = [row for row, value in enumerate(values) if not isinstance(value, str)]
    texts = [str(value) if isinstance(value, str) else "" for value in values]
    return Given(whole_texts(texts), missing)


def _values(data: object) -> Sequence[Any] | None:
    """Return the values of what has one axis, None of all else."""
    if isinstance(data, (list, tuple)):
        return data
    if getattr(data, "ndim", 1) != 1 or hasattr(data, "columns") or isinstance(data, str):
        return None
    for name in ("tolist", "to_list", "to_pylist"):  # NumPy and pandas, polars, Arrow
        if hasattr(data, name):
            found = getattr(data, name)()
            return found if isinstance(found, list) else None
    return None


def _described(data: object) -> str:
    """Say what data are.

    >>> import numpy as np
    >>> _described(np.zeros((2, 3)))
    'an array of float64 [2, 3]'
    """
    shape = getattr(data, "shape", None)
    if isinstance(shape, tuple) and hasattr(data, "dtype"):
        return f"an array of {data.dtype} {list(shape)}"
    return f"{type(data).__name__}"


def example() -> tuple[list[str], Entries]:
    """Return texts that are made up, and settings for them.

    >>> example()[0][3]
    'line 3 tells of 9 cats and some 3 dogs'
    """
    lines = [f"line {n} tells of {n * n} cats and some {n % 7} dogs" for n in range(120)]
    return lines, {"data.length": 24, "data.vocab_size": 300}
