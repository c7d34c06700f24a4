import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.tables.data import TableDataSettings, table_of
from maskwise.tables.frames import codes_of, columns_of
from maskwise.tables.gaps import put
from maskwise.tables.table import Column, Table, learn, windows
from tests.lazy import lazy

pandas = lazy("pandas")

FRAME = {
    "age": np.array([20.0, np.nan, 40.0, 60.0]),
    "visits": np.array([3, 1, 1, 7]),
    "sex": np.array(["m", None, "f", "m"], dtype=object),
    "smokes": np.array([True, False, False, True]),
    "site": np.array(["A"] * 4, dtype=object),
    "old": np.array([0, 1, 0, 0]),
}


@pytest.fixture
def table():
    return table_of(FRAME, TableDataSettings())


def same(found, expected):
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        np.testing.assert_array_equal(pandas.isna(found[name]), pandas.isna(values))
        known = ~pandas.isna(values)
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[name][known], values[known], rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(found[name][known], values[known])


def test_a_table_knows_its_features(table):
    assert table.names == ("age", "visits", "sex", "smokes", "old")
    assert table.sizes == (0, 0, 2, 2, 2)
    assert (table.grid, table.loss, table.num_batches) == ((5,), "mse", 0)
    scale = [np.std([20, 40, 60]), np.std([3, 1, 1, 7]), 1, 1, 1]
    np.testing.assert_allclose(table.log_scale, np.log(scale), rtol=1e-6)
    with pytest.raises(NotImplementedError):
        table.log_library(torch.zeros(1, 5), torch.zeros(1, 5, dtype=torch.bool))


def test_samples_are_standardised_numbers_and_codes(table):
    samples = table.encode(FRAME)
    assert samples.dtype == np.float32
    age, visits = np.array([20, np.nan, 40, 60]), np.array([3.0, 1, 1, 7])
    np.testing.assert_allclose(samples[:, 0], (age - 40) / np.nanstd(age), rtol=1e-6)
    np.testing.assert_allclose(samples[:, 1], (visits - 3) / visits.std(), rtol=1e-6)
    np.testing.assert_array_equal(samples[:, 2], [1, np.nan, 0, 1])
    np.testing.assert_array_equal(samples[:, 3:], [[1, 0], [0, 1], [0, 0], [1, 0]])


def test_decoding_is_the_inverse(table):
    same(table.arrays(table.encode(FRAME)), FRAME)
    frame = table.decode(torch.from_numpy(table.encode(FRAME)))
    assert isinstance(frame, pandas.DataFrame)
    same(columns_of(frame), FRAME)


def test_pandas_is_not_needed(table, monkeypatch):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pandas", None)
        found = table.decode(table.encode(FRAME))
    assert isinstance(found, dict)
    same(found, FRAME)


def test_what_is_missing_is_never_eligible_and_reads_as_zero(table):
    samples = torch.from_numpy(table.encode(FRAME))
    assert table.eligible(samples).tolist()[1] == [False, True, False, True, True]
    assert table.weights(samples) is None
    hidden = torch.zeros(4, 5, dtype=torch.bool)
    hidden[0, 2] = True
    read = table.inputs(samples, hidden)
    assert read[1].tolist() == [0, samples[1, 1], 0, 0, 1]
    assert read[0].tolist() == [samples[0, 0], 0, 0, 1, 0]  # the mean of visits, 3, is zero too


def test_columns_are_found_by_name(table):
    shuffled = {"other": np.arange(4.0)} | dict(reversed(FRAME.items()))
    np.testing.assert_array_equal(table.encode(shuffled), table.encode(FRAME))
    np.testing.assert_array_equal(table.encode(pandas.DataFrame(FRAME)), table.encode(FRAME))
    del shuffled["sex"]
    with pytest.raises(UserError, match="lacks column 'sex'"):
        table.encode(shuffled)


def test_columns_of_arrays_are_found_by_number():
    array = np.arange(12.0).reshape(4, 3)
    table = table_of(columns_of(array), TableDataSettings())
    same(table.arrays(table.encode(array)), columns_of(array))
    with pytest.raises(UserError, match="2 columns, but the table has 3"):
        table.encode(array[:, :2])
    # A table that left x0 out reads it from x1, x2, where there are three columns, ...
    part = Table(table.columns[1:])
    np.testing.assert_array_equal(part.encode(array), table.encode(array)[:, 1:])
    # ... and takes two columns in order.
    np.testing.assert_array_equal(part.encode(array[:, 1:]), table.encode(array)[:, 1:])


def test_constant_columns_may_lack():
    table = table_of(columns_of(FRAME | {"same": np.array([7, 7, 7, 7])}), TableDataSettings())
    assert "same" not in table.names
    np.testing.assert_array_equal(table.encode(FRAME), table.encode(FRAME | {"same": [7] * 4}))
    assert "same" not in put(FRAME, table.fill(FRAME, table.encode(FRAME)))


def test_unseen_categories_count_as_missing(table, caplog):
    new = FRAME | {
        "sex": np.array(["x", "m", "f", "y"], dtype=object),
        "old": np.array([2, 1] * 2),
    }
    samples = table.encode(new)
    np.testing.assert_array_equal(samples[:, 2], [np.nan, 1, 0, np.nan])
    np.testing.assert_array_equal(samples[:, 4], [np.nan, 1, np.nan, 1])
    assert "count as missing: 2 in sex, 2 in old" in caplog.text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"age": np.array([1.0, np.inf, 2, 3])}, "column 'age': inf in data row 2"),
        (
            {"age": np.array(["1", "x", "2", "3"], dtype=object)},
            "'age': 'x' in data row 2 is no number",
        ),
        ({"age": np.array(["2020-01-01"] * 4, dtype="datetime64[s]")}, "'age' holds times"),
    ],
)
def test_new_values_must_be_of_their_kind(table, change, says):
    with pytest.raises(UserError, match=says):
        table.encode(FRAME | change)


def test_tables_are_restored(table, tmp_path):
    quantiles = table_of(FRAME, TableDataSettings(scale="quantile", lags=2))
    for each in (table, quantiles):
        values = json.loads(json.dumps(each.save(tmp_path)))
        assert Table.load(tmp_path, values) == each


def test_lags_are_the_rows_before():
    frame = {"a": np.array([0.0, 1, 2, 3]), "b": np.array([5.0, 5, 7, 9]), "c": np.ones(4)}
    table = table_of(frame, TableDataSettings(lags=2))
    assert table.names == ("a@-2", "a@-1", "a", "b@-2", "b@-1", "b")
    samples = table.encode(frame)
    rows = Table(table.columns).encode(frame)
    assert samples.shape == (4, 6)
    np.testing.assert_array_equal(samples[3], [*rows[1:, 0], *rows[1:, 1]])
    np.testing.assert_array_equal(
        samples[0], [np.nan, np.nan, rows[0, 0]] + [np.nan] * 2 + [rows[0, 1]]
    )
    same(table.arrays(samples), frame | {"c": np.ones(4, dtype=int)})
    assert table.log_scale.shape == (6,)
    assert windows(rows[:1], 5).shape == (1, 2, 6)  # longer than the table


def test_only_gaps_are_filled(table):
    samples = np.zeros((4, 5), np.float32)
    frame = FRAME | {"id": np.arange(4)}
    filled = put(frame, table.fill(frame, samples))
    expected = FRAME | {"age": np.array([20.0, 40, 40, 60]), "id": np.arange(4)}
    expected["sex"] = np.array(["m", "f", "f", "m"], dtype=object)
    same(filled, expected)
    array = np.array([[1.0, 2], [np.nan, 3], [4, 7], [9, 8]])
    numbers = table_of(columns_of(array), TableDataSettings())
    same(
        columns_of(put(array, numbers.fill(array, np.zeros((4, 2))))),
        {"x0": np.array([1, 5.0, 4, 9]), "x1": array[:, 1]},
    )


def test_normal_scores_keep_order_and_range():
    values = np.random.default_rng(0).exponential(size=1000)
    values[:300] = 0  # ties
    column = learn("x", values, quantile=True)
    samples, _ = column.encode(values)
    assert abs(np.quantile(samples, [0.5, 0.9]) - [0, 1.28]).max() < 0.05
    assert (np.diff(samples[np.argsort(values)]) >= 0).all()
    np.testing.assert_allclose(column.decode(samples), values, atol=1e-4)
    # The 30% of ties are in the middle of their ranks; what is beyond is clipped.
    np.testing.assert_allclose(samples[:300], -1.036, atol=0.02)
    beyond, _ = column.encode(np.array([-5.0, values.max() + 5]))
    np.testing.assert_array_equal(beyond, [samples.min(), samples.max()])
    assert len(column.knots) < 256
    assert Table((column,)).log_scale.tolist() == [0]


NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6), st.floats(1e290, 1e300))


@given(st.lists(NUMBERS, min_size=1, max_size=20), st.booleans())
def test_numbers_survive(values, quantile):
    values = np.array(values, dtype=np.float64)
    column = learn("x", values, quantile=quantile)
    samples = np.zeros(len(values))
    if column.kind != "constant":
        samples, unseen = column.encode(values)
        assert unseen == 0
        assert np.isnan(samples).tolist() == np.isnan(values).tolist()
    found = column.decode(samples)
    known = ~np.isnan(values)
    spread = np.ptp(values[known]) if known.any() else 0
    np.testing.assert_allclose(found[known], values[known], rtol=1e-6, atol=2e-6 * spread)


TEXTS, BOOLS, WHOLE = st.text("abé ", max_size=3), st.booleans(), st.integers(-9, 9)


@given(
    st.one_of(
        st.lists(st.one_of(st.none(), *kinds), min_size=1, max_size=20)
        for kinds in ([TEXTS], [BOOLS], [WHOLE], [TEXTS, WHOLE])
    )
)
def test_categories_survive(values):
    found = columns_of({"x": np.array([*values, None], dtype=object)})["x"]
    column = learn("x", found, categorical=True)
    if column.kind == "category":
        same({"x": column.decode(column.encode(found)[0])}, {"x": found})


@pytest.mark.parametrize(
    ("values", "kind", "categories"),
    [
        ([1, 2, 1], "category", (1, 2)),
        ([0.0, 1.0, np.nan], "category", (0, 1)),
        ([1, 2, 3], "number", ()),
        ([0.5, 1.0, 1.0], "number", ()),
        ([True, False], "category", (False, True)),
        (["b", "a", None], "category", ("a", "b")),
        ([3, 3, 3], "constant", (3,)),
        ([2.5, np.nan], "constant", (2.5,)),
        ([np.nan, np.nan], "constant", ()),
        ([None, None], "constant", ()),
        (["a"], "constant", ("a",)),
    ],
)
def test_kinds_of_columns(values, kind, categories):
    column = learn("x", columns_of({"x": values})["x"])
    assert (column.kind, column.categories) == (kind, categories)


def test_numbers_are_categories_where_asked():
    column = learn("x", np.array([7, 5, 9, 5]), categorical=True)
    assert column.categories == (5, 7, 9)
    assert column.encode(np.array([9.0, np.nan, 6.0])) == (
        pytest.approx([2, np.nan, np.nan], nan_ok=True),
        1,
    )
    assert column.decode(np.array([0.0, 1.6, 8.0])).tolist() == [5, 9, 9]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["1.5", "2", None, "7", "many"], "'x': 'many' in data row 5 is no number"),
        (np.array([1.0, -np.inf, 3]), "'x': -inf in data row 2"),
    ],
)
def test_columns_that_cannot_be_used(values, says):
    with pytest.raises(UserError, match=says) as caught:
        learn("x", columns_of({"x": values})["x"], max_categories=2)
    assert "\n" not in str(caught.value)


def test_names_and_times_are_left_apart():
    for values in (
        ["Braund", "Cumings", "Allen"],
        np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
        np.array([5, 3], dtype="timedelta64[s]"),
    ):
        column = learn("x", columns_of({"x": values})["x"], max_categories=2)
        assert (column.name, column.kind) == ("x", "apart")
    different = np.array([f"p{n}" for n in range(20)] + [None], dtype=object)
    assert learn("x", different).kind == "apart"
    assert learn("x", different[1:]).kind == "category"
    assert learn("x", np.append(different, "p3")).kind == "category"
    with pytest.raises(UserError, match="'x' has 20 different values such as 'p0'"):
        learn("x", different, categorical=True, max_categories=2)


@pytest.mark.parametrize("scale", ["standard", "quantile"])
def test_whole_numbers_are_filled_with_such_within_their_range(scale):
    values = {"stars": np.array([1.0, 2.0, np.nan, 5.0]), "real": np.array([0.5, 1.0, 2.0, 3.0])}
    table = Table.learn(values, scale=scale)
    assert [column.limits for column in table.columns] == [(1.0, 5.0), ()]
    samples = np.array([[9.0, 9.0], [-9.0, -9.0], [0.1, 0.1]], dtype=np.float32)
    plain, filled = table.arrays(samples), table.arrays(samples, round=True, clip=True)
    assert filled["stars"].tolist()[:2] == [5, 1]
    assert not (filled["stars"] % 1).any()
    assert filled["stars"].dtype == plain["stars"].dtype == np.float64
    np.testing.assert_array_equal(filled["real"], plain["real"])
    assert (plain["stars"] % 1).any()
    frame = {"stars": [None, 1.0], "real": [3.0, None]}
    assert table.fill(frame, samples[:2])["stars"].values == [5.0]
    old = table.save(Path())
    for column in old["columns"]:
        del column["limits"]  # as tables were saved before
    np.testing.assert_array_equal(
        Table.load(Path(), old).arrays(samples, round=True)["stars"], plain["stars"]
    )


def test_texts_among_few_numbers_are_told(caplog):
    column = learn("x", np.array(["1", "2", "1", "x"], dtype=object))
    assert column.categories == ("1", "2", "x")
    assert "column 'x': 'x' in data row 4 is no number: 3 categories" in caplog.text


def test_statistics_are_of_some_rows_only():
    values = np.array([1.0, 2, 3, 100, np.nan])
    assert learn("x", values, np.array([0, 1, 2])).mean == 2
    with pytest.raises(UserError, match="data row 5"):  # counted in the whole column
        learn("x", np.where(np.isnan(values), np.inf, values), np.array([4]))


def test_spelling_does_not_matter():
    texts, numbers = np.array(["2", "1", "3.0"], dtype=object), np.array([2, 1, 3])
    assert codes_of(texts, (1, 2)).tolist() == [1, 0, -2]
    assert codes_of(numbers, ("1", "2")).tolist() == [1, 0, -2]
    assert codes_of(numbers.astype(float), ("1", "2")).tolist() == [1, 0, -2]
    assert codes_of(np.array([1.0, 0.0]), (False, True)).tolist() == [1, 0]
    assert codes_of(np.array(["True", "x"], dtype=object), (False, True)).tolist() == [1, -2]


def test_columns_compare():
    assert Column("a", "number", 1.0, 2.0) == Column("a", "number", 1.0, 2.0)
