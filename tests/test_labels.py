"""What a class is, and what is no label."""

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.labels import encode_labels


@pytest.mark.parametrize(
    ("labels", "codes", "names"),
    [
        (np.array([3, -1, 0, 3]), [1, -1, 0, 1], ("0", "3")),
        (np.array([2.0, np.nan, 10.0]), [0, -1, 1], ("2", "10")),
        (np.array(["cat", "", "ant"]), [1, -1, 0], ("ant", "cat")),
        (np.array(["b", None, float("nan"), "a"], object), [1, -1, -1, 0], ("a", "b")),
        (np.array([10, None, 9, -7], object), [1, -1, 0, -1], ("9", "10")),
        (np.array([True, False]), [1, 0], ("0", "1")),
        (np.array(["-1", "1"]), [0, 1], ("-1", "1")),  # texts are names
        (np.array([-1, -1]), [-1, -1], ()),
    ],
)
def test_negative_and_missing_are_no_label(labels, codes, names):
    found, classes = encode_labels(labels)
    assert (found.tolist(), classes) == (codes, names)
    assert found.dtype == np.int64


def test_what_pandas_calls_missing():
    pandas = pytest.importorskip("pandas")
    assert encode_labels(pandas.array([1, pandas.NA, 0]))[0].tolist() == [1, -1, 0]
    assert encode_labels(pandas.Series(["x", pandas.NA], dtype="string"))[0].tolist() == [0, -1]


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0.5, 1.0]),
        np.array([np.inf, 1.0]),
        np.array(["a", 1], object),
        np.zeros((2, 2), int),
        np.array([1j]),
        np.array([b"a"]),
        np.array([{}, 1], object),
    ],
)
def test_other_values_are_one_line(labels):
    with pytest.raises(
        UserError, match=r"^a\.npz: y: labels must be integers or texts \[N\], got"
    ):
        encode_labels(labels, "a.npz: y")
