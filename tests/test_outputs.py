"""Files of features: rows in the order of samples, with names; NaN where none can be read."""

import csv

import numpy as np
import pytest

from maskwise.outputs import WRITERS, spread, write_features

NAMES = ["=first", "second one", "third,\u00fc"]


@pytest.fixture
def found():
    return spread(np.array([[1.5, 2], [3, 4]], np.float32), NAMES, {1: "empty"})


@pytest.mark.parametrize("ending", WRITERS)
def test_row_i_is_sample_i_with_its_name(ending, found, tmp_path, caplog):
    path = tmp_path / f"out{ending}"
    write_features(path, found)
    names, status = NAMES, ["ok", "empty", "ok"]
    if ending == ".npy":
        features = np.load(path)
        names = (tmp_path / "out.names.txt").read_text("utf-8").splitlines()
    elif ending == ".npz":
        with np.load(path) as file:
            features, names, status = file["features"], list(file["name"]), list(file["status"])
    elif ending == ".parquet":
        frame = pytest.importorskip("pyarrow.parquet").read_table(path).to_pydict()
        names, status = frame["name"], frame["status"]
        features = np.stack([frame["f0"], frame["f1"]], axis=1)
    else:
        lines = path.read_text("utf-8").splitlines()
        rows = list(csv.reader(lines, delimiter={".csv": ","}.get(ending, "\t")))
        assert rows[0] == ["name", "status", "f0", "f1"]
        names, status = [row[0] for row in rows[1:]], [row[1] for row in rows[1:]]
        features = np.array([[float(each or "nan") for each in row[2:]] for row in rows[1:]])
    delimited = ending in (".csv", ".tsv")  # which spreadsheets open, and run
    assert names == [*(["'=first"] if delimited else ["=first"]), *NAMES[1:]]
    assert status == ["ok", "empty", "ok"]
    told = "1 cells that a spreadsheet would run begin with an apostrophe: =first"
    assert (told in caplog.text) == delimited
    np.testing.assert_array_equal(features, [[1.5, 2], [np.nan, np.nan], [3, 4]])


def test_samples_without_names_have_their_numbers(tmp_path):
    write_features(tmp_path / "out.csv", spread(np.ones((2, 1), np.float32), None, {}))
    assert (tmp_path / "out.csv").read_text().split() == ["name,status,f0", "1,ok,1.0", "2,ok,1.0"]
    write_features(tmp_path / "out.npy", spread(np.ones((2, 1), np.float32), None, {}))
    assert not (tmp_path / "out.names.txt").exists()
