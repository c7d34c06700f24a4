"""Classes of samples: what is a class, what is no label, and classes as numbers."""

import numpy as np

from maskwise.errors import UserError


def encode_labels(labels: np.ndarray, where: str = "labels") -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels re-coded 0..K-1 (int64) and the K class names, sorted; -1 is no label.

    Classes are whole numbers from 0, or texts. What is negative, NaN, None or an empty text is no
    label. `where` is what messages call them.

    Raises:
        UserError: other values, or more than one axis.

    >>> encode_labels(np.array([7, 3, 7]))
    (array([1, 0, 1]), ('3', '7'))
    >>> encode_labels(np.array([2.0, np.nan, -1, 0]))
    (array([ 1, -1, -1,  0]), ('0', '2'))
    """
    given = np.asarray(labels)
    wrong = UserError(
        f"{where}: labels must be integers or texts [N], got {given.dtype} of shape {given.shape}"
    )
    if given.ndim != 1:
        raise wrong
    if given.dtype.kind in "UOT":
        known = np.array([not _is_missing(value) for value in given], bool)
        values = _plain(given[known].tolist(), wrong)
    elif given.dtype.kind in "biuf":
        known = np.ones(len(given), bool) if given.dtype.kind != "f" else ~np.isnan(given)
        values = given[known]
    else:
        raise wrong
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.floor(values))).all():
        raise wrong
    if values.dtype.kind != "U":
        values = values.astype(np.int64)
        known[known] = values >= 0
        values = values[values >= 0]
    names, numbers = np.unique(values, return_inverse=True)
    codes = np.full(len(given), -1, np.int64)
    codes[known] = numbers
    return codes, tuple(map(str, names))


def is_nothing(value: object) -> bool:
    """Say whether a value is one of those for what is missing: NaN, None or pandas.NA.

    >>> is_nothing(None), is_nothing(float("nan")), is_nothing(-1)
    (True, True, False)
    """
    nothing = value is None or type(value).__name__ in ("NAType", "NaTType")
    return nothing or (isinstance(value, float) and value != value)


def _is_missing(value: object) -> bool:
    """Say whether there is no label: nothing, an empty text or a NaN of another library."""
    return is_nothing(value) or (not value if isinstance(value, str) else value != value)


def _plain(values: list[object], wrong: UserError) -> np.ndarray:
    """Return values that are all texts, or all numbers, as an array."""
    if all(isinstance(value, str) for value in values):
        return np.array(values, str)
    if any(isinstance(value, (str, bytes)) for value in values):
        raise wrong
    try:
        return np.array(values, float)
    except (TypeError, ValueError):
        raise wrong from None
