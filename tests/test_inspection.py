"""The dry look: what was found, all problems at once, and a command that works."""

import json

import pytest

import maskwise as mw
from maskwise.cli import main
from maskwise.errors import UserError, as_flag, speaking
from maskwise.inspection import Inspection, Problem

TWO = Inspection(
    {"files": 60},
    40,
    [
        Problem("sizes differ", {"data.size": "32,24"}),
        Problem("modes differ", {"data.channels": "3"}),
    ],
)


def test_all_problems_and_one_command_in_the_language_of_the_caller():
    with pytest.raises(UserError) as of_python:
        TWO.require("my photos", {"train.steps": "5"})
    assert str(of_python.value) == (
        "2 things stand in the way: (1) sizes differ; (2) modes differ. This works:"
        ' mw.pretrain("my photos", **{"train.steps": 5, "data.size": "32,24",'
        ' "data.channels": 3})'
    )
    with speaking(as_flag), pytest.raises(UserError) as of_shell:
        TWO.require("my photos", {"train.steps": "5"})
    assert str(of_shell.value).endswith(
        "maskwise pretrain 'my photos' --train.steps 5 --data.size 32,24 --data.channels 3"
    )


def test_no_command_is_promised_where_settings_do_not_mend_it():
    found = Inspection({}, problems=[Problem("no pictures here"), TWO.problems[0]])
    with pytest.raises(UserError, match=r"\(1\) no pictures here; \(2\) sizes differ$"):
        found.require("photos", {})


def test_the_command_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "digits", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["samples to train on"], told["problems"]) == (1438, [])
    assert main(["inspect", "digits", "--train.batch_size", "4000"]) == 2
    out, err = capsys.readouterr()
    assert "samples to train on  1,438" in out
    assert err.endswith("This works: maskwise pretrain digits --train.batch_size 1438\n")
    assert not list(tmp_path.iterdir())


def test_python_has_the_same():
    found = mw.inspect("digits", train={"batch_size": 4000})
    assert [each.settings for each in found.problems] == [{"train.batch_size": "1438"}]
