"""A dry look at a table: what it holds, all that stands in the way, and settings that mend it."""

import json

import numpy as np
import pytest

import maskwise as mw
from maskwise.tables.data import TableDataSettings, from_frame
from tests.lazy import lazy

pandas = lazy("pandas")
TINY = {"model.width": 8, "model.depth": 1, "model.code": 4, "train.steps": 1}
TINY |= {"train.batch_size": 8, "evaluate.baselines": False, "evaluate.impute": ()}
TINY |= {"evaluate.protocols": ("knn",), "evaluate.ratios": (0.5,), "diagnose.num_samples": 9}


def columns(num=60):
    rows = np.arange(num)
    return {
        "id": [f"p{n:03}" for n in rows],
        "day": pandas.date_range("2024-01-01", periods=num).strftime("%Y-%m-%d"),
        "note": [f"seen {n} times" for n in rows],
        "a": np.where(rows % 4 == 0, np.nan, np.sin(rows)),
        "stars": 1 + rows % 5,
        "site": np.array(list("xyz"))[rows % 3],
        "same": 7,
        "never": None,
        "kind": np.where(rows % 3, "cat", "dog"),
    }


def frame(**changes):
    return pandas.DataFrame(columns() | changes)


def test_what_a_table_holds(tmp_path, caplog):
    path = tmp_path / "t.csv"
    frame(time=pandas.to_timedelta(np.arange(60), "D")).to_csv(
        path, sep=";", decimal=",", index=False
    )
    found = mw.inspect(path, **TINY | {"data.labels": "kind", "data.drop": "time"})
    assert found.found == {
        "rows": 60,
        "columns": 10,
        "numbers": ["a"],
        "whole numbers": ["stars"],
        "categories": {"site": 3},
        "identifiers, left as they are": ["id"],
        "dates, left as they are": ["day"],
        "free text, left as it is": ["note"],
        "constant": ["same"],
        "empty": ["never"],
        "classes": {"cat": 40, "dog": 20},
        "rows held out": 6,
        "missing": {"a": 0.25, "never": 1.0},
        "rows without a gap": 0,
        "patterns of gaps": 2,
        "left out": ["time"],
        "columns are separated by": ";",
        "decimal sign": ",",
        "encoding": "utf-8",
        "the first line has the names": True,
    }
    assert (found.num_train, found.problems) == (54, [])
    json.dumps(found.to_dict())
    assert "left as they are: " not in caplog.text  # loading says so
    of_memory = mw.inspect(frame(), **TINY | {"data.labels": "kind", "data.dates": "number"})
    assert of_memory.found["dates as numbers"] == ["day"]
    splits = from_frame(frame(), TableDataSettings(labels="kind", dates="number"))
    assert of_memory.num_train == len(splits.train) == 54


TROUBLES = {
    "two columns": (
        {"a": np.r_[np.inf, np.arange(59.0)], "mass": [*map(str, range(1, 60)), "heavy"]},
        {"data.max_categories": 30},
        ["column 'a': inf in data row 1", "column 'mass': 'heavy' in data row 60"],
        {"data.drop": "a,mass"},
    ),
    "names": (
        {},
        {"data.labels": "kinds", "data.group": "hospital", "data.drop": "id,days,note"},
        ["no column 'kinds'; did you mean kind?", "no column 'hospital'", "no column 'days'"],
        {"data.labels": "kind", "data.group": "none", "data.drop": "id,note"},
    ),
    "labels": (
        {},
        {"data.labels": "a", "data.drop": "id"},
        ["labels 'a' have 45 different values"],
        {"data.labels": "none", "data.drop": "id,a"},
    ),
    "names as labels": (
        {},
        {"data.labels": "id", "data.max_categories": 20},
        ["labels 'id' have 60 different values"],
        {"data.labels": "none", "data.drop": "id"},
    ),
    "classes": (
        {"who": [f"w{n % 20}" for n in range(60)]},
        {"data.labels": "who", "data.max_categories": 15},
        ["labels 'who' have 20 different values"],
        {"data.max_categories": "20"},
    ),
    "too many": (
        {},
        {"data.categorical": "stars", "data.max_categories": 4},
        ["column 'stars' has 5 different values"],
        {"data.max_categories": "5"},
    ),
    "group and lags": (
        {},
        {"data.group": "kind", "data.lags": 2, "pattern": "block"},
        ["pattern block is not for features", "group=kind with lags=2: a series"],
        {"data.group": "none", "pattern": "scattered"},
    ),
    "lags": ({}, {"data.lags": 40}, ["60 rows are too few for 40 lags"], {"data.lags": "0"}),
    "one group": (
        {"who": ["one"] * 60},
        {"data.group": "who"},
        ["1 groups: a split needs two"],
        {"data.group": "none"},
    ),
    "dates alone": (
        {},
        {"data.drop": "a,site,kind"},
        ["1 columns that vary; a model learns one from others"],
        {"data.dates": "number"},
    ),
    "minibatch": (
        {},
        {"train.batch_size": 64},
        ["a minibatch of 64 is more than the 54 samples to train on"],
        {"train.batch_size": "54"},
    ),
}


@pytest.mark.parametrize("case", TROUBLES)
@pytest.mark.parametrize("kind", ["file", "frame"])
def test_all_that_stands_in_the_way_and_what_mends_it(case, kind, tmp_path, no_report):
    changes, settings, texts, mended = TROUBLES[case]
    data = frame(**changes)
    if kind == "file":
        data.to_csv(tmp_path / "t.csv", index=False)
        data = tmp_path / "t.csv"
    found = mw.inspect(data, **TINY | settings)
    assert len(found.problems) == len(texts)
    for problem, text in zip(found.problems, texts, strict=True):
        assert text in problem.text
    together = {}
    for problem in found.problems:
        together |= problem.settings
    assert together == mended
    with pytest.raises(mw.UserError, match=r"This works: mw\.pretrain"):
        mw.pretrain(data, out=tmp_path / "run", **TINY | settings)
    assert not (tmp_path / "run").exists()
    assert mw.inspect(data, **TINY | settings | together).problems == []
    mw.pretrain(data, out=tmp_path / "run", **TINY | settings | together)


@pytest.mark.parametrize(
    ("content", "text", "mended"),
    [
        (
            "".join(f"{n},{n % 7}.5\n" for n in range(20)),
            "the first line must name",
            {"data.header": "false"},
        ),
        (
            "a,b\n" + "".join(f'"{n},234",{n % 7}\n' for n in range(1, 20)),
            "1,234 is 1.234 or 1234",
            {"data.decimal": ","},
        ),
    ],
)
def test_files_that_may_be_read_in_two_ways(tmp_path, content, text, mended):
    (tmp_path / "t.csv").write_text(content)
    [problem] = mw.inspect(tmp_path / "t.csv", **{"train.batch_size": 1}).problems
    assert text in problem.text
    assert problem.settings == mended
    assert not mw.inspect(tmp_path / "t.csv", **{"train.batch_size": 1} | mended).problems


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a,b\n1\n", "row 2 has 1 columns, not 2"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("a,b\n", "0 rows of 2 columns: no data"),
        ("", "the first line must name the columns"),
        ("a,b\n1,5\n2,5\n3,5\n", "1 columns that vary"),
    ],
)
def test_what_no_setting_mends(tmp_path, content, text):
    (tmp_path / "t.csv").write_text(content)
    [problem] = mw.inspect(tmp_path / "t.csv", **{"train.batch_size": 1}).problems
    assert text in problem.text
    assert problem.settings == {}


def test_a_name_that_the_command_line_cannot_give_is_not_promised():
    odd = frame(**{"x,y": np.r_[np.inf, np.arange(59.0)]})
    [problem] = mw.inspect(odd, **TINY).problems
    assert problem.settings == {}
    numbers = frame(**{"2019": np.r_[np.inf, np.arange(59.0)]})
    [problem] = mw.inspect(numbers, **TINY).problems
    assert problem.settings == {"data.drop": "2019"}
    assert mw.inspect(numbers, **TINY, data={"drop": 2019}).problems == []


def test_a_file_is_read_once(tmp_path, monkeypatch, no_report):
    from maskwise.tables import files

    path, read, times = tmp_path / "t.csv", files.read_text, []
    frame().to_csv(path, index=False)
    monkeypatch.setattr(files, "read_text", lambda *given: times.append(given) or read(*given))
    mw.pretrain(path, out=tmp_path / "run", **TINY)
    assert len(times) == 1
    frame().drop(columns="a").to_csv(path, index=False)
    assert "numbers" not in mw.inspect(path).found
