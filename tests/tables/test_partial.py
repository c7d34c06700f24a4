"""Rows of tables of which values are missing, and what a column says of them."""

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.modalities import build, find
from maskwise.predict.asked import ModelAsked
from maskwise.settings import override
from maskwise.tables.data import TableDataSettings, from_frame
from maskwise.tables.partial import incomplete, labelled
from maskwise.tables.table import Column, Table
from tests.columns.test_command_impute import SHAPE

TABLE = Table(
    (
        Column("age", "number", 40.0, 10.0),
        Column("sex", "category", categories=("f", "m")),
        Column("bmi", "number", 25.0, 5.0),
    )
)


@pytest.fixture(scope="module")
def model():
    return build(TABLE, SHAPE, seed=0)


def config(**changes):
    return override(
        find("tables").settings(model=SHAPE), {f"data.{k}": v for k, v in changes.items()}
    )


def test_empty_cells_and_columns_that_lack_are_missing(model, tmp_path, caplog):
    path = tmp_path / "a.csv"
    path.write_text("id,age,bmi,noise\np1,50,NA,1\np2,,20,1\np3,,,1\n")
    found = incomplete(model, None, config(source=str(path)))
    samples = found.source.get(np.arange(3)).numpy()
    np.testing.assert_array_equal(
        samples, [[1, np.nan, np.nan], [np.nan, np.nan, -1], [np.nan] * 3]
    )
    assert found.names == ["p1", "p2", "p3"]
    assert "1 of 3 columns that the model knows are not there, and count as missing: sex" in (
        caplog.text
    )
    asked = ModelAsked(model, found)
    assert asked.there.tolist() == [[True, False, False], [False, False, True], [False] * 3]
    assert asked.whole.tolist() == [3, 3, 3]
    nothing = np.zeros((3, 3), dtype=bool)
    assert np.isnan(asked.features(np.arange(3), nothing)).all(axis=1).tolist() == [
        False,
        False,
        True,
    ]


def test_labels_are_those_that_the_settings_name(model):
    frame = {"age": [1.0, 2.0, 3.0], "y": ["b", None, "a"], "z": [0.5, 1.5, 2.5]}
    found = incomplete(model, frame, config(labels="y"))
    assert (found.labels.tolist(), found.classes) == ([1, -1, 0], ("a", "b"))
    assert incomplete(model, frame, config(labels="z")).labels is None  # which are numbers
    assert incomplete(model, frame, config(labels="other")).labels is None
    pair = incomplete(model, ({"age": [1.0, 2.0]}, [1, 0]), config())
    assert (pair.labels.tolist(), pair.classes) == ([1, 0], ("0", "1"))


def test_an_array_is_known_by_the_number_of_its_columns(model):
    found = incomplete(model, np.array([[50, 1, np.nan]]), config())
    assert found.source.get([0])[0, 0] == 1
    with pytest.raises(UserError, match="2 columns, but the table has 3"):
        incomplete(model, np.zeros((2, 2)), config())
    says = "the table has none of the 3 columns that the model knows, such as age, sex, bmi: it"
    with pytest.raises(UserError, match=says):
        incomplete(model, {"Age": [1.0]}, config())


def test_what_a_column_says_and_which_rows_are_held_out():
    rng = np.random.default_rng(0)
    frame = {name: rng.normal(size=40) for name in ("a", "b")} | {"y": ["u", "v"] * 20}
    data = TableDataSettings(labels="y", holdout=0.25)
    splits = from_frame(frame, data)
    model = build(splits.tokenizer, SHAPE, seed=0)
    found = labelled(model, frame, config(labels="y", holdout=0.25), None, "own")
    assert np.flatnonzero(found.held).tolist() == splits.test.index.tolist()
    assert found.values.tolist() == ["u", "v"] * 20
    assert list(found.own) == []
    # A column that the model reads itself tells what it says: it must be hidden.
    found = labelled(model, frame, config(labels="y", holdout=0.25), "b", "own")
    np.testing.assert_array_equal(found.values, frame["b"])
    assert list(found.own) == [1]
    assert labelled(model, frame, config(labels="y"), None, "apart").values is None
    with pytest.raises(UserError, match="no column 'yy'; did you mean y"):
        labelled(model, frame, config(labels="y"), "yy", "own")


def test_all_lags_of_a_column_are_hidden():
    table = Table(TABLE.columns[::2], lags=1)
    frame = {"age": np.arange(20.0), "bmi": np.arange(20.0)}
    found = labelled(build(table, SHAPE, seed=0), frame, config(lags=1), "bmi", "own")
    assert [table.names[place] for place in found.own] == ["bmi@-1", "bmi"]
    assert found.held[-2:].all()
    assert not found.held[5]


def test_a_run_on_a_table_in_memory_needs_it_again(model):
    with pytest.raises(UserError, match="this run was given a table: give it again, as data="):
        incomplete(model, None, config())
