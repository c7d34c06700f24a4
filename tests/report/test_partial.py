"""What a report says of answers from part of the input."""

import re

import pytest

from maskwise.report import folder, partial
from tests.report.conftest import bold, change, rows_of, show
from tests.report.made_up import spread

METHODS = {"encoder": 0.5, "encoder, expected values": 0.55, "Gaussian": 0.6, "mean fill": 0.4}
METHODS |= {"class frequencies": 0.3}


def answers(seed=0, patterns=("random", "contiguous"), methods=METHODS, **more):
    """Accuracy and macro-F1 .1 less at 5 % than at 10 %, and .1 more at 100 %."""
    return [
        {"method": method, "pattern": pattern, "share": share, "visible": share}
        | {"accuracy": spread("value", value + gain - 0.02 * seed)}
        | {"macro_f1": spread("value", value + gain - 0.03 * seed)}
        | {"num_train": 1400, "num_test": 300, "note": "8 copies" if "encoder" in method else ""}
        | more
        for pattern in patterns
        for share, gain in ((0.05, -0.1), (0.1, 0.0), (1.0, 0.1))
        for method, value in methods.items()
    ]


@pytest.fixture
def run(make):
    made = make("images")
    change(made, partial=answers())
    return made


def test_a_line_for_each_method(run):
    part = show(partial.sections, run)
    titles = re.findall("<h3>(.*?)</h3>", part)
    assert titles[:2] == ["Visible at random", "Neighbours visible"]
    found = rows_of(part)
    assert found[0] == [
        "encoder",
        "40.0 % 35.0 to 45.0",
        "50.0 % 45.0 to 55.0",
        "60.0 % 55.0 to 65.0",
    ]
    assert found[2][:2] == ["Gaussian baseline", "50.0 % 45.0 to 55.0"]
    names = [row[0].removesuffix(" baseline") for row in found[:5]]
    assert names == list(METHODS)
    assert bold(part)[:3] == ["50.0 %", "60.0 %", "70.0 %"]
    assert "accuracy by what is visible, with 95 % interval" in part
    assert "1,400 train, 300 test; 8 copies" in part
    for name in METHODS:
        assert len(re.findall(f">{name}</text>", part)) == 2
    assert "Dashed: the same answer to all." in part


def test_headline(run, make):
    said, [fact] = partial.partial_fact(folder.read(run))
    assert said == " With 10 % visible: accuracy 55.0 %; best baseline, Gaussian: 60.0 %."
    assert (fact.label, fact.value) == ("accuracy, 10 % visible", "55.0 %")
    assert fact.note == "50.0 to 60.0; Gaussian: 60.0 %"
    cells = make("cells", "cells")
    change(
        cells, partial=answers(methods={"encoder": 0.5, "class frequencies": 0.3}, task="types")
    )
    said, [fact] = partial.partial_fact(folder.read(cells))
    assert said == " With 10 % visible on types: macro-F1 0.500."
    assert fact.note == "0.450 to 0.550"
    change(cells, partial=[])
    assert partial.partial_fact(folder.read(cells)) == ("", [])
    assert partial.sections([folder.read(cells)]) == []


def test_runs_are_compared_with_the_best_baseline(make):
    runs = make("cells", "a"), make("cells", "b", seed=1)
    for seed, run in enumerate(runs):
        change(run, partial=answers(seed, patterns=("random", "groups:lab_")))
    part = show(partial.sections, *runs)
    assert "Whole groups visible (lab_)" in part
    found = rows_of(part)[:3]
    assert [row[0] for row in found] == ["a", "b", "best baseline, Gaussian"]
    assert [row[2].split()[0] for row in found] == ["0.550", "0.520", "0.600"]
    assert "mean fill" not in part


def test_numbers_have_r2(make):
    run = make("tables")
    rows = [
        {key: row[key] for key in ("method", "pattern", "share", "visible", "note")}
        | {"r2": row["accuracy"], "mae": row["macro_f1"], "num_train": 9, "num_test": 8}
        for row in answers()
    ]
    change(run, partial=rows)
    assert partial.partial_fact(folder.read(run))[0].startswith(" With 10 % visible: R² 0.550;")
    assert rows_of(show(partial.sections, run))[0][1] == "0.400 0.350 to 0.450"
