"""Whatever holds a table, only its gaps change: rows, order, index, types and values stay."""

import datetime
import decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maskwise as mw
from maskwise.errors import UserError
from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedImputer
from maskwise.tables.files import fill, fill_file
from maskwise.tables.frames import columns_of
from maskwise.tables.table import Table
from tests.columns.small_samples import make_model
from tests.lazy import lazy

pandas = lazy("pandas")
polars = lazy("polars")
pyarrow = lazy("pyarrow")

NUM = 12
ROWS = np.arange(NUM)
LETTERS = np.array(list("abc"))[ROWS % 3]


def kinds():
    """Columns of every kind, without gaps."""
    quarters = [decimal.Decimal(int(n)) / 4 for n in ROWS]
    days = pandas.date_range("2024-03-25", periods=NUM)  # the clock changes within
    return {
        "float": pandas.Series(np.sin(ROWS)),
        "float32": pandas.Series(np.sin(ROWS).astype("float32")),
        "nullable float": pandas.Series(ROWS / 2, dtype="Float64"),
        "nullable int": pandas.Series(ROWS % 9, dtype="Int16"),
        "arrow int": pandas.Series(ROWS % 9).astype("int64[pyarrow]"),
        "objects": pandas.Series(list(ROWS % 5), dtype=object),
        "bools": pandas.Series(list(ROWS % 2 == 0), dtype=object),
        "nullable bool": pandas.Series(ROWS % 2 == 0, dtype="boolean"),
        "arrow bool": pandas.Series(ROWS % 2 == 0).astype("bool[pyarrow]"),
        "text": pandas.Series(LETTERS, dtype=object),
        "string": pandas.Series(LETTERS, dtype="string"),
        "arrow string": pandas.Series(LETTERS).astype("string[pyarrow]"),
        "categories": pandas.Series(pandas.Categorical(LETTERS, categories=list("xcbay"))),
        "ordered": pandas.Series(pandas.Categorical(LETTERS, list("cbax"), ordered=True)),
        "whole categories": pandas.Series(pandas.Categorical(ROWS % 3)),
        "intervals": pandas.Series(pandas.cut(ROWS, 3)),
        "decimals": pandas.Series(quarters, dtype=object),
        "arrow decimals": pandas.Series(quarters).astype(
            pandas.ArrowDtype(pyarrow.decimal128(8, 2))
        ),
        "days": pandas.Series(days),
        "zone": pandas.Series(days.tz_localize("Europe/Berlin")),
        "arrow days": pandas.Series(days).astype("timestamp[us][pyarrow]"),
        "dates": pandas.Series(list(days.date), dtype=object),
        "texts of days": pandas.Series(days.strftime("%Y/%m/%d"), dtype=object),
        "minutes": pandas.Series(days + pandas.to_timedelta(ROWS, "min")),
        "text of minutes": pandas.Series(
            (days + pandas.to_timedelta(ROWS, "min")).strftime("%Y-%m-%dT%H:%MZ"), dtype=object
        ),
    }


NAMES = (
    *("float", "float32", "nullable float", "nullable int", "arrow int", "objects", "bools"),
    *("nullable bool", "arrow bool", "text", "string", "arrow string", "categories", "ordered"),
    *("whole categories", "intervals", "decimals", "arrow decimals", "days", "zone"),
    *("arrow days", "dates", "texts of days", "minutes", "text of minutes"),
)
APART = {  # never filled
    "nanoseconds": lambda: pandas.date_range("2024-01-01", periods=NUM, freq="1ns"),
    "durations": lambda: pandas.to_timedelta(ROWS, "s"),
    "times of day": lambda: [datetime.time(n, 1) for n in range(NUM)],
    "nothing": lambda: [None] * NUM,
}
_models = {}


def model_of(name):
    """A model of a column and of another; the numbers in it do not matter."""
    if name not in _models:
        columns = {name: kinds()[name], "other": np.cos(ROWS)}
        table = Table.learn(columns_of(pandas.DataFrame(columns)), dates=name != "nanoseconds")
        _models[name] = make_model(table)
    return _models[name]


@given(st.sampled_from(NAMES), st.lists(st.booleans(), min_size=NUM, max_size=NUM))
def test_only_gaps_change(name, gaps):
    column = kinds()[name]
    column[gaps] = None
    frame = pandas.DataFrame({name: column, "other": np.where(gaps, np.nan, np.cos(ROWS))})
    frame = frame.assign(**{key: make() for key, make in APART.items()})
    frame.index = [5] * 6 + [1] * 6
    before = frame.copy(deep=True)
    found = fill(model_of(name), frame)
    pandas.testing.assert_frame_equal(frame, before)
    assert found.index.equals(frame.index)
    assert list(found.columns) == list(frame.columns)
    pandas.testing.assert_frame_equal(found[list(APART)], frame[list(APART)])
    assert found[[name, "other"]].notna().all(axis=None)
    if name != "intervals" or not all(gaps):
        assert found[name].dtype == column.dtype
    known = ~np.array(gaps)
    pandas.testing.assert_series_equal(found[name][known], frame[name][known])
    every = set(map(str, kinds()[name]))
    if name in ("text", "string", "categories", "ordered", "intervals", "bools"):
        assert set(map(str, found[name])) <= every
    if name in ("days", "zone", "arrow days", "dates", "texts of days"):
        assert {
            str(day).replace("/", "-").split(" ")[1:] == [] or "00:00:00" in str(day)
            for day in found[name]
        } == {True}


@pytest.mark.parametrize("name", NAMES)
def test_every_library_keeps_types_and_values(name):
    column = kinds()[name]
    column[[1, 4, 11]] = None
    frame = pandas.DataFrame({name: column, "other": np.cos(ROWS)})
    if name == "intervals":  # which only pandas has
        frame[name] = frame[name].astype(object).map(str, na_action="ignore").astype("category")
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    known = pyarrow.array(column.notna().to_numpy())
    found = fill(model_of(name), table)
    assert found.schema == table.schema
    assert found[name].filter(known).to_pylist() == table[name].filter(known).to_pylist()
    assert found[name].null_count == 0
    if pyarrow.types.is_dictionary(table.schema.field(name).type):
        levels = table[name].chunk(0).dictionary.to_pylist()
        assert found[name].chunk(0).dictionary.to_pylist()[: len(levels)] == levels
    table = polars.from_pandas(frame)
    found = fill(model_of(name), table)
    assert found.schema == table.schema
    assert found[name].null_count() == 0
    keep = table[name].is_not_null()
    assert found[name].filter(keep).equals(table[name].filter(keep))
    given = {name: frame[name].tolist(), "other": np.cos(ROWS), "free": [[1], {}] * 6}
    found = fill(model_of(name), given)
    assert found["free"].tolist() == [[1], {}] * 6
    kept = [(a, b) for a, b in zip(found[name], given[name], strict=True) if not pandas.isna(b)]
    assert len(kept) == 9
    assert all(a == b for a, b in kept)
    assert not pandas.isna(found[name]).any()


@pytest.mark.parametrize(
    ("names", "out"),
    [
        ([1, 2], [1, 2]),
        ([("a", 1), ("b", 2)], [("a", 1), ("b", 2)]),
        ([None, 2.5], [None, 2.5]),
    ],
)
def test_names_that_are_no_texts(names, out):
    frame = pandas.DataFrame({"a": np.sin(ROWS), "b": np.where(ROWS % 4, np.cos(ROWS), np.nan)})
    for index in (pandas.Index(names, tupleize_cols=False), pandas.Index(names)):
        frame.columns = index
        found = fill(make_model(Table.learn(columns_of(frame))), frame)
        assert found.columns.equals(frame.columns)
        assert found.notna().all(axis=None)
        assert out == names


def test_columns_that_hold_nothing_get_the_type_of_what_fills_them():
    model = make_model(Table.learn({"a": np.sin(ROWS), "b": LETTERS.astype(object)}))
    for make in (pandas.DataFrame, polars.DataFrame, pyarrow.table, dict):
        found = columns_of(fill(model, make({"a": [None] * 3, "b": [None] * 3})))
        assert found["a"].dtype == np.float64
        assert set(found["b"]) <= {"a", "b", "c"}
    found = fill(model, pandas.DataFrame({"a": [np.nan], "b": [np.nan]}))
    assert found["b"][0] in "abc"
    with pytest.raises(UserError, match=r"column 'x1': '[abc]' does not fit into float64"):
        fill(model, np.full((2, 2), np.nan))
    for num in (0, 1):
        for make in (pandas.DataFrame, polars.DataFrame, pyarrow.table):
            frame = make({"a": [0.5] * num, "b": ["a"] * num})
            assert fill(model, frame).shape == frame.shape


def test_what_is_in_cells_is_refused_unless_it_is_left_out(tmp_path, no_report):
    tiny = {"model.width": 8, "train.steps": 1, "train.batch_size": 4}
    tiny |= {"evaluate.baselines": False, "evaluate.impute": ()}
    frame = pandas.DataFrame({"a": np.sin(ROWS), "b": np.cos(ROWS), "c": [[1]] * NUM})
    frame = frame.assign(d=pandas.period_range("2024-01", periods=NUM, freq="M"))
    texts = [r"column 'c': \[1\] is list", r"column 'd': Period\('2024-01'"]
    with pytest.raises(UserError, match=rf"\(1\) {texts[0]}.*\(2\) {texts[1]}.*"):
        mw.pretrain(frame, out=tmp_path / "run", **tiny)
    found = mw.inspect(frame, **tiny).problems
    assert found[-1].settings == {"data.drop": "c,d"}
    run = mw.pretrain(frame, out=tmp_path / "run", **tiny, **found[-1].settings)
    frame.loc[2, "a"] = None
    assert run.impute(frame)["c"].tolist() == [[1]] * NUM
    assert run.embed(frame).shape == (NUM, 64)
    with pytest.raises(UserError, match=r"leave it out by X\.drop\(columns=\[\"c\"\]\)"):
        MaskedImputer(MaskedAutoencoder(width=8, steps=1)).fit(frame)
    path = tmp_path / "a.parquet"
    frame.drop(columns="d").to_parquet(path)
    [problem] = mw.inspect(path, **tiny).problems
    assert problem.settings == {"data.drop": "c"}
    assert run.embed(path).shape == (NUM, 64)
    fill_file(run.model(), path, tmp_path / "b.parquet")
    assert [list(each) for each in pandas.read_parquet(tmp_path / "b.parquet")["c"]] == [[1]] * NUM


def test_columns_that_share_a_name_are_one_line():
    frame = pandas.DataFrame([[1, 2]] * 5, columns=["a", "a"])
    for call in (
        lambda: fill(model_of("float"), frame),
        lambda: MaskedImputer().fit(frame),
        lambda: mw.pretrain(frame),
    ):
        with pytest.raises(UserError, match="two columns are called 'a': rename one") as caught:
            call()
        assert "\n" not in str(caught.value)
