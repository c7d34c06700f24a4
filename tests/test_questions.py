"""What to measure next and what answers are due to, of runs and from the command line."""

import csv

import numpy as np
import pytest

import maskwise as mw
from maskwise.errors import UserError
from maskwise.predict.fitting import Fitting
from maskwise.predictor import fit
from maskwise.questions import read_costs

NAMES = ["age", "dose", "height", "mass"]
TINY = {
    "train": {"steps": 40, "batch_size": 64},
    "model": {"width": 16, "code": 8},
    "evaluate": {
        "protocols": ["knn"],
        "baselines": False,
        "ratios": [0.5],
        "impute": [],
        "few": [],
    },
    "diagnose": {"num_samples": 16},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on four columns, of which the dose says the class."""
    folder = tmp_path_factory.mktemp("asked")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 4))
    with (folder / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*NAMES, "outcome"])
        rows.writerows([*row.round(4), "ill" if row[1] > 0 else "well"] for row in x)
    found = mw.pretrain(
        str(folder / "table.csv"), out=folder / "run", **{"data.labels": "outcome"}, **TINY
    )
    found.predictor(copies=4)
    return found


@pytest.fixture
def holes(tmp_path):
    path = tmp_path / "holes.csv"
    path.write_text("age,dose,height,mass\n0.3,,0.1,\n,,,\n0.1,2.5,0.2,0.4\n")
    return path


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_says_the_class_is_asked_for(run):
    x = {"age": [0.3, 1.0], "dose": [None, 2.0], "height": [0.1, None], "mass": [None, None]}
    found = run.acquire(x, draws=64)
    assert found.names == tuple(NAMES)
    assert found.best[0] == "dose"
    assert np.isnan(found.gain[1, :2]).all()
    assert found.gain[0, 1] > 5 * abs(found.gain[0, 3])
    assert found.stderr[0, 1] > 0
    dear = run.acquire(x, cost={"age": 1, "dose": 9e5, "height": 1, "mass": 1}, draws=64)
    assert dear.best[0] == "mass"
    both = run.acquire(x, batch=2, draws=64)
    assert sorted(both.chosen[0]) == [1, 3]
    assert both.joint[0] == pytest.approx(found.gain[0, 1], abs=0.1)


def test_a_column_that_is_predicted_is_never_asked_for(run):
    """A number, which the model itself reads: no other column tells anything of it."""
    predictor = fit(run.model(), run.config, "mass", how=Fitting(copies=3))
    found = run.acquire({"age": [0.3]}, predictor=predictor)
    assert np.isnan(found.gain[0, [0, 3]]).all()
    assert (found.gain[0, 1:3] >= 0).all()
    assert found.gain[0, 1:3].max() < 0.1
    due = run.attribute({"age": [0.3], "dose": [1.0], "mass": [9.0]}, predictor=predictor)
    assert (due.classes, due.of) == (("mass",), "number")
    assert due.values[0, [2, 3], 0].tolist() == [0, 0]
    assert due.values.sum() == pytest.approx((due.answer - due.base).item())


def test_everything_else_needs_no_label(run):
    found = run.acquire({"age": [0.3]}, about="everything", draws=16)
    assert np.isfinite(found.gain[0, 1:]).all()
    assert (found.stderr[0, 1:] > 0).all()
    with pytest.raises(UserError, match="nothing is hidden"):
        run.acquire({name: [1.0] for name in NAMES}, about="everything")


def test_what_says_the_class_is_what_answers_are_due_to(run):
    found = run.attribute({"age": [0.3], "dose": [2.5], "height": [0.1]})
    assert found.classes == ("ill", "well")
    assert found.ranked()[0] == "dose"
    assert found.values.sum(axis=1) == pytest.approx(found.answer - found.base)
    assert found.values[0, 3].tolist() == [0, 0]
    said = run.predictor().predict_proba({"age": [0.3], "dose": [2.5], "height": [0.1]})
    assert found.answer == pytest.approx(said)


def test_commands_write_a_row_for_each_sample(run, holes, tmp_path, cli):
    costs, out = tmp_path / "costs.csv", tmp_path / "asked.csv"
    costs.write_text("name,cost\nage,1\ndose,2\nheight,1\nmass,1\n")
    status, said, _ = cli("acquire", run.path, holes, "--cost", costs, "--budget", 3, "-o", out)
    assert (status, said.split(":")[1]) == (
        0,
        " what to measure next of 3 samples, for the label\n",
    )
    rows = table(out)
    assert [row["name"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["ask"].split("|")[0] == "dose"
    assert float(rows[0]["cost"]) in (2, 3)
    assert float(rows[0]["nats dose"]) > 0
    assert rows[0]["nats age"] == ""
    assert (rows[2]["ask"], rows[2]["cost"]) == ("", "0.0")
    assert cli("attribute", run.path, holes, "-o", out)[0] == 0
    rows = table(out)
    assert rows[2]["answer"] == "ill"
    total = float(rows[2]["base"]) + sum(float(rows[2][f"due to {name}"]) for name in NAMES)
    assert total == pytest.approx(float(rows[2]["value"]), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "0.5"], "budget 0.5 buys nothing: 'age', the cheapest"),
        (["-o", "asked.txt"], "asked.txt: answers are written as .csv"),
    ],
)
def test_a_command_that_cannot_work_writes_nothing(run, holes, tmp_path, cli, options, message):
    out = tmp_path / "asked.csv"
    status, _, err = cli("acquire", run.path, holes, "-o", out, *options)
    assert status == 2
    assert message in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,cost\na,1\na,2\n", "'a' has two costs"),
        ("name,cost\na,much\n", "the cost of 'a' is 'much': give a number"),
        ("name,height\na,1\n", "has the columns name, height: give one of name"),
    ],
)
def test_costs_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "costs.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_costs(path)
    assert message in str(error.value)
