"""Features of the rows of a table: in their order, with their names; NaN where nothing is."""

import csv

import numpy as np
import pytest

from maskwise.run import Run
from maskwise.tables.table import Column, Table
from tests.columns.test_command_impute import make_run
from tests.lazy import lazy

pandas = lazy("pandas")
COLUMNS = (Column("age", "number", 40.0, 10.0), Column("sex", "category", categories=("f", "m")))


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", Table(COLUMNS), "tables", **{"data.drop": ["code"]})


def embedded(cli, run, source, folder):
    status, out, err = cli("embed", run, source, "-o", folder / "z.csv")
    assert status == 0, err
    with (folder / "z.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [row["name"] for row in rows], [row["status"] for row in rows], out


def test_rows_without_a_value_have_no_features(cli, run, tmp_path, caplog):
    path = tmp_path / "a.csv"
    path.write_text("age,sex,other\n50,f,1\n,,2\n,m,3\nNA,?,4\n")
    names, status, out = embedded(cli, run, path, tmp_path)
    assert names == ["1", "2", "3", "4"]  # of rows that have no others
    assert status == ["ok", "no value", "ok", "no value"]
    assert "4 x 4, float32, 2 of them NaN" in out
    assert "2 rows hold no value and have no features: row 2, 4" in caplog.text
    found = Run(run).embed({"age": [50.0, None, None, None], "sex": ["f", None, "m", None]})
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False, True]
    np.testing.assert_array_equal(found, Run(run).embed(path))
    assert Run(run).embed({"age": [], "sex": []}).shape == (0, 4)


@pytest.mark.parametrize(
    ("head", "cells", "expected"),
    [
        ("id", ["b7", "a1", "c2"], ["b7", "a1", "c2"]),
        ("patient_id", [7, 3, 5], ["7", "3", "5"]),
        ("code", ["x 1", "x 2", "y"], ["x 1", "x 2", "y"]),  # which the run left out
        ("id", ["b7", "b7", "c2"], None),
        ("id", ["b7", "", "c2"], None),
        ("paid", [7, 3, 5], None),
        ("town", ["Bern", "Rome", "Oslo"], None),  # by chance
        ("town", [f"t{n}" for n in range(20)], [f"t{n}" for n in range(20)]),
        ("day", [f"2024-01-{n + 1:02}" for n in range(20)], None),
        ("note", [f"seen {n}" for n in range(20)], None),
    ],
)
def test_identifiers_name_rows(cli, run, tmp_path, caplog, head, cells, expected):
    path = tmp_path / "a.csv"
    rows = [f"{20 + n},{'fm'[n % 2]},{cell}\n" for n, cell in enumerate(cells)]
    path.write_text(f"age,sex,{head}\n" + "".join(rows))
    caplog.set_level("INFO", "maskwise")
    names, _, _ = embedded(cli, run, path, tmp_path)
    assert names == (expected or [str(n + 1) for n in range(len(cells))])
    assert caplog.text.count(f"rows are called by column '{head}'") == bool(expected)


def test_the_index_of_a_data_frame_names_rows(cli, run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    frame = pandas.DataFrame({"age": [50.5, 20, np.nan], "sex": ["f", "m", None]}, index=[9, 9, 4])
    path = tmp_path / "a.parquet"
    for index, expected in (
        (frame.index, ["9", "9", "4"]),
        (pandas.Index(["a", "b", None], name="who"), ["a", "b", ""]),
        (pandas.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]), ["a, 1", "a, 2", "b, 1"]),
        (pandas.RangeIndex(3), ["1", "2", "3"]),
    ):
        frame.set_axis(index).to_parquet(path)
        assert embedded(cli, run, path, tmp_path)[0] == expected
        # It is no column, and stays where it is.
        assert list(Run(run).kind.read(Run(run).reading(str(path))).given) == ["age", "sex"]
        assert cli("impute", run, path, "-o", tmp_path / "b.parquet")[0] == 0
        assert parquet.read_schema(tmp_path / "b.parquet") == parquet.read_schema(path)
        filled = pandas.read_parquet(tmp_path / "b.parquet")
        pandas.testing.assert_frame_equal(filled.iloc[:2], frame.set_axis(index).iloc[:2])
        assert filled.notna().all(axis=None)
