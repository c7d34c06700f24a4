import datetime
import decimal

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.tables.frames import columns_of, from_texts, is_missing, no_column
from tests.lazy import lazy

pandas = lazy("pandas")
polars = lazy("polars")
pyarrow = lazy("pyarrow")

PLAIN = {
    "whole": [1, 2, 3],
    "gaps": [1, None, 3],
    "real": [0.5, 1.5, None],
    "text": ["a", " NA ", None],
    "flag": [True, False, True],
    "unsure": [True, None, False],
    "time": [datetime.datetime(2020, 1, 2), None, datetime.datetime(2020, 1, 3)],
}
EXPECTED = {
    "whole": np.array([1, 2, 3]),
    "gaps": np.array([1, np.nan, 3]),
    "real": np.array([0.5, 1.5, np.nan]),
    "text": np.array(["a", " NA ", None], dtype=object),  # a text is what it says
    "flag": np.array([True, False, True]),
    "unsure": np.array([True, None, False], dtype=object),
    "time": np.array(["2020-01-02", "NaT", "2020-01-03"], dtype="datetime64[us]"),
}


def categories_of(library):
    """Return numbers that a library holds as categories."""
    if library == "pandas":
        return pandas.DataFrame({"c": pandas.Series([5, 7, None], dtype="category")})
    if library == "polars":
        return polars.DataFrame({"c": polars.Series(["5", "7", None], dtype=polars.Categorical)})
    return pyarrow.table({"c": pyarrow.array([5, 7, None]).dictionary_encode()})


@pytest.mark.parametrize(
    "make",
    [
        lambda columns: pandas.DataFrame(columns),
        lambda columns: pandas.DataFrame(columns).convert_dtypes(),
        lambda columns: pandas.DataFrame(columns, dtype=object, index=[9, 7, 8]),
        lambda columns: polars.DataFrame(columns),
        lambda columns: pyarrow.table(columns),
        dict,
    ],
    ids=["pandas", "pandas' own types", "objects", "polars", "arrow", "dict"],
)
def test_every_library_gives_the_same_columns(make):
    found = columns_of(make(PLAIN))
    assert list(found) == list(EXPECTED)
    for name, values in EXPECTED.items():
        assert found[name].dtype.kind == values.dtype.kind, name
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_categories_stay_categories(library):
    found = columns_of(categories_of(library))["c"]
    assert found.dtype == object
    assert [value if value is None else int(value) for value in found] == [5, 7, None]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_are_those_that_python_knows(unit):
    times = np.array(["2020-01-02", "NaT"], dtype=f"datetime64[{unit}]")
    zoned = pandas.Series(times).dt.tz_localize("Europe/Berlin")
    found = columns_of(pandas.DataFrame({"plain": times, "zoned": zoned}))
    assert found["plain"][0].item() == datetime.datetime(2020, 1, 2)
    assert found["zoned"][0].item() == datetime.datetime(2020, 1, 1, 23)
    for each in (polars.DataFrame({"a": times}), pyarrow.table({"a": times})):
        assert columns_of(each)["a"][0].item() == datetime.datetime(2020, 1, 2)


def test_arrays_have_numbered_columns():
    found = columns_of(np.array([[1.0, "a"], [2.0, None]], dtype=object))
    assert list(found) == ["x0", "x1"]
    np.testing.assert_array_equal(found["x0"], [1.0, 2.0])
    assert found["x1"].tolist() == ["a", None]
    assert columns_of(np.array([[1, 2**63]], dtype=np.uint64))["x1"] == 2.0**63


def test_decimals_are_numbers():
    values = [decimal.Decimal("1.5"), None]
    for frame in ({"a": values}, polars.DataFrame({"a": values}), pyarrow.table({"a": values})):
        np.testing.assert_array_equal(columns_of(frame)["a"], [1.5, np.nan])


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ([[1, 2]], "list is no table: give a DataFrame"),
        (np.zeros((2, 2, 2)), r"ndarray of shape \(2, 2, 2\) is no table"),
        (pandas.Series([1]), r"Series of shape \(1,\) is no table"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
        ({1: [1], "1": [2]}, "two columns are called '1'"),
        ({"a": [1], "b": [2, 3]}, "'a' has 1 rows and 'b' has 2"),
        ({"a": np.zeros((2, 2))}, r"'a': a column has shape \(2, 2\)"),
        ({"a": np.array([{}, 1], dtype=object)}, "column 'a': {} is dict, no text, number or"),
        ({"a": np.array([1j])}, "column 'a': 1j is complex"),
    ],
)
def test_what_is_no_table_is_refused(frame, says):
    with pytest.raises(UserError, match=says):
        columns_of(frame)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "-2"], np.array([1, -2])),
        (["1", "2.0"], np.array([1.0, 2.0])),
        (["1", "1e3"], np.array([1.0, 1000.0])),
        (["1", ""], np.array([1.0, np.nan])),
        (["inf", "1"], np.array([np.inf, 1.0])),
        (["1_2", "3_4"], np.array(["1_2", "3_4"], dtype=object)),
        ([str(2**53), "1"], np.array([2.0**53, 1.0])),
        (["True", "False"], np.array([True, False])),
        (["1", "a", "?"], np.array(["1", "a", None], dtype=object)),
        (["", "NA"], np.array([np.nan, np.nan])),
    ],
)
def test_texts_become_what_all_of_them_are(texts, values):
    found = from_texts(texts)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_missing_values_are_told_from_others():
    for name, values in EXPECTED.items():
        expected = [value is None for value in PLAIN[name]]
        assert is_missing(values).tolist() == expected, name


def test_near_names_are_suggested():
    assert str(no_column("agee", ["sex", "age"])) == "no column 'agee'; did you mean age?"
    assert str(no_column("q", ["sex", "age"])) == "no column 'q'; did you mean sex or age?"
