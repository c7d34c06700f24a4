"""Tables that cannot be used: one line, exit status 2, nothing left behind; or counted."""

import json

import numpy as np
import pytest

from maskwise.tables.table import Column, Table
from tests.columns.test_command_impute import make_run

TINY = ["--model.width", 8, "--model.depth", 1, "--model.code", 4]
TINY += ["--train.steps", 2, "--train.batch_size", 8, "--evaluate.ratios", 0.5]
TINY += ["--evaluate.impute", 0.5, "--evaluate.baselines", "false"]
ROWS = [
    f"{20 + n % 7},{1.5 * n:.1f},{'fm'[n % 2]},{'abc'[n % 3]}"  # age,dose,sex,site
    for n in range(30)
]
HEAD = "age,dose,sex,site"


def text(*changes, head=HEAD, rows=ROWS):
    """A table with some lines, by number from 1, replaced by others."""
    lines = [head, *rows]
    for line, content in changes:
        lines[line - 1] = content
    return "\n".join(lines) + "\n"


def column(name, *values):
    """A table with one column more."""
    cells = [str(values[n % len(values)]) for n in range(30)]
    return text(
        head=f"{HEAD},{name}",
        rows=[f"{row},{cell}" for row, cell in zip(ROWS, cells, strict=True)],
    )


CASES = {
    "ragged": (text((5, "20,1.5,f")), [], "row 5 has 3 columns, not 4"),
    "longer": (text((9, "20,1.5,f,a,7")), [], "row 9 has 5 columns, not 4"),
    "duplicate names": (
        text(head="age,dose,age,site"),
        [],
        "two columns are called 'age': rename one",
    ),
    "no names": (text(head="20,1.5,f,a"), [], "the first line must name the columns"),
    "a column without a name": (
        text(head="age,dose,,site"),
        [],
        "column 3 has no name (pandas: to_csv(..., index=False))",
    ),
    "infinite": (
        text((4, "21,inf,m,b")),
        [],
        "column 'dose': inf in data row 3: leave the value empty if it is not known",
    ),
    "text among numbers": (
        column("mass", *range(60, 89), "heavy"),
        ["--data.max_categories", 20],
        "column 'mass': 'heavy' in data row 30 is no number: leave it empty",
    ),
    "too many categories": (
        column("mass", *(n / 2 for n in range(30))),
        ["--data.max_categories", 20, "--data.categorical", "mass"],
        "column 'mass' has 27 different values such as 0; categories are at most 20",
    ),
    "one column": (
        text(head="age", rows=map(str, range(30))),
        [],
        "1 columns that vary; a model learns one from others",
    ),
    "one column that varies": (
        text(head="age,x", rows=[f"{n},7" for n in range(30)]),
        [],
        "1 columns that vary; a model learns one from others",
    ),
    "all missing": (text(head="a,b", rows=[",NA"] * 20), [], "0 different rows: a split needs"),
    "no rows": (text(rows=[]), [], "0 rows of 4 columns: no data"),
    "nothing": ("", [], "the first line must name the columns"),
    "labels": (text(), ["--data.labels", "sez"], "no column 'sez'; did you mean sex?"),
    "labels that are numbers": (
        text(),
        ["--data.labels", "dose"],
        "labels 'dose' have 30 different values; classes are at most 100 texts or whole numbers",
    ),
    "dropped": (text(), ["--data.drop", "agee"], "no column 'agee'; did you mean age?"),
    "categorical": (
        text(),
        ["--data.categorical", "doze"],
        "no column 'doze'; did you mean dose?",
    ),
    "group": (text(), ["--data.group", "hospital"], "no column 'hospital'; did you mean"),
    "lags": (text(), ["--data.lags", 20], "30 rows are too few for 20 lags and a share held out"),
    "few rows": (
        text(rows=ROWS[:6]),
        [],
        "a minibatch of 8 is more than the 5 samples to train on",
    ),
    "pattern": (text(), ["--pattern", "words"], "pattern words is not for features"),
    "key of cells": (text(), ["--data.layer", "raw"], "unknown key 'data.layer'"),
    "linear": (
        text(),
        ["--model.linear", 2, "--model.kind", "transformer"],
        "linear 2: only an mlp of no counts has a linear path",
    ),
}


def refused(cli, words, says):
    status, out, err = cli(*words)
    assert (status, out) == (2, "")
    assert says in err
    assert [line for line in err.splitlines() if line.startswith("maskwise: ")] == [
        err.splitlines()[-1]
    ]


@pytest.mark.parametrize("case", CASES)
def test_bad_tables_are_one_line(case, cli, tmp_path, monkeypatch):
    content, words, says = CASES[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(content)
    refused(cli, ["pretrain", "a.csv", *TINY, *words, "--out", "run"], says)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b'a,b\n1,2\n"' + b"x" * 200_000, "a.csv is no table: field larger than"),
        ("a.csv.gz", b"a,b\n1,2\n", "cannot read a.csv.gz: Not a gzipped file"),
        ("a.feather", b"hello", "cannot read a.feather: "),
        ("a.parquet", b"hello", "cannot read a.parquet: "),
        ("a.xlsx", b"hello", "a.xlsx: not a table; tables are .csv, .tsv, .parquet"),
    ],
)
def test_broken_files_are_one_line(cli, tmp_path, monkeypatch, name, content, says):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    refused(cli, ["pretrain", name, *TINY, "--modality", "tables", "--out", "run"], says)
    assert {path.name for path in tmp_path.iterdir()} == {name}
    words = ["pretrain", "none.csv", "--modality", "tables", "--out", "run"]
    refused(cli, words, "none.csv: no such file")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on a table with initial weights."""
    monkeypatch.chdir(tmp_path)
    columns = (
        Column("age", "number", 40.0, 10.0),
        Column("sex", "category", categories=("f", "m")),
        Column("same", "constant", categories=(7,)),
    )
    make_run(tmp_path / "run", Table(columns), "tables")
    return "run"


@pytest.mark.parametrize(("verb", "out"), [("embed", "z.npy"), ("impute", "full.csv")])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("age,same\n20,7\n", "the table lacks column 'sex', which the model knows"),
        ("age,sex,same\nold,f,7\n", "column 'age': 'old' in data row 1 is no number"),
        ("age,sex,same\n1,f,7\n-inf,f,7\n", "column 'age': -inf in data row 2: leave the"),
        ("age,sex,sex\n20,f,f\n", "two columns are called 'sex': rename one"),
        ("age,sex,same\n20,f\n", "row 2 has 2 columns, not 3"),
    ],
)
def test_tables_that_a_model_cannot_read(cli, run, tmp_path, verb, out, content, says):
    (tmp_path / "a.csv").write_text(content)
    refused(cli, [verb, run, "a.csv", "-o", out], says)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "run"}


def test_names_dates_and_texts_stay_as_they_are(cli, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    rows = [f"p{n:03},2024-01-{n + 1:02},{row},{1 + n % 5}.0" for n, row in enumerate(ROWS)]
    rows[7] = "p007,,21,,m,b,"
    (tmp_path / "a.csv").write_text(text(head=f"id,day,{HEAD},stars", rows=rows))
    assert cli("pretrain", "a.csv", *TINY, "--out", "run")[0] == 0
    told = "2 of 7 columns are times or have too many different texts (--data.max_categories), and"
    assert caplog.text.count(f"{told} are left as they are: id, day") == 1
    assert cli("impute", "run", "a.csv", "-o", "b.csv")[0] == 0
    lines = (tmp_path / "b.csv").read_text().splitlines()[1:]
    assert lines[:7] + lines[8:] == rows[:7] + rows[8:]
    dose, stars = lines[7].split(",")[3], lines[7].split(",")[6]
    assert lines[7] == f"p007,,21,{dose},m,b,{stars}"
    assert stars in ("1.0", "2.0", "3.0", "4.0", "5.0")
    assert float(dose)
    words = ["impute", "run", "a.csv", "--data.round", "false", "-o", "c.csv"]
    assert cli(*words)[0] == 0
    assert float((tmp_path / "c.csv").read_text().splitlines()[8].split(",")[6]) % 1


def test_what_is_left_out_is_counted(cli, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    rows = [f"{row},7," for row in ROWS]
    rows[3] = rows[11] = ",,,,,"
    rows[4] = "20,,f,a,7,"
    (tmp_path / "a.csv").write_text(text(head=f"{HEAD},same,never", rows=rows))
    assert cli("pretrain", "a.csv", *TINY, "--out", "run")[0] == 0
    assert "2 of 30 rows hold no value and are left out" in caplog.text
    assert (
        "2 of 6 columns hold one value only, or none, and are left out: same, never" in caplog.text
    )
    data = json.loads((tmp_path / "run" / "result.json").read_text())["data"]
    assert (data["num_train"] + data["num_test"], data["shape"]) == (28, [4])
    # Rows to embed or to fill in are all kept, and unseen categories are told.
    (tmp_path / "new.csv").write_text(
        "age,dose,sex,site,same,never\n20,,f,q,8,\n,,,,,\n9,1,x,q,,\n"
    )
    for verb, out in (("embed", "z.npy"), ("impute", "full.csv")):
        caplog.clear()
        assert cli(verb, "run", "new.csv", "-o", out)[0] == 0
        told = "values that training never saw count as missing: 1 in sex, 2 in site"
        assert told in caplog.text
    assert np.load("z.npy", allow_pickle=False).shape == (3, 4)
    lines = (tmp_path / "full.csv").read_text().splitlines()
    # What is there stays, unseen categories too.
    assert lines[1].startswith("20,")
    assert ",f,q,8," in lines[1]
    assert lines[3].startswith("9,1,x,q,7")
    assert "" not in lines[2].split(",")[:5]
