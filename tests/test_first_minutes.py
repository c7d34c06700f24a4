"""Runs on data of one's own whose size follows from the data and from what a step is said to take.

Seconds of a step are given; the two that measure take no figure from it.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

import maskwise as mw
from maskwise import preparing
from maskwise.files import read_json
from maskwise.train import budget

FAST = [
    *("--efficiency.accelerator", "cpu", "--evaluate.baselines", "false"),
    *("--evaluate.ratios", "0.5", "--evaluate.impute", "0.5", "--evaluate.num_impute", "8"),
    *("--model.width", "8", "--model.depth", "1", "--model.code", "4"),
]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of 178 rows, of which 160 are trained on, in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(178, 3)).round(3)
    np.savetxt("wine.csv", values, delimiter=",", header="a,b,c", comments="")
    return tmp_path / "wine.csv"


@pytest.fixture
def takes(monkeypatch, no_report):
    """Say what a step takes; fewer steps than usual are worth something. Give what was asked."""
    monkeypatch.setattr(budget, "LEAST", 3)

    def call(seconds):
        asked = []

        def seconds_of_step(model, source, config, augment, most, observed=None):
            assert seconds is not None, "measured again"
            asked.append(config.model.width)
            return seconds

        monkeypatch.setattr(preparing, "seconds_of_step", seconds_of_step)
        return asked

    return call


def train_of(folder):
    return read_json(folder / "config.json")["train"]


def test_a_run_says_how_long_it_takes_and_keeps_what_it_chose(cli, table, takes, tmp_path, caplog):
    asked = takes(100.0)
    words = ["pretrain", "wine.csv", *FAST, "--out", "run"]
    status, _, err = cli(*words)
    assert status == 0, err
    assert asked == [8]
    assert (
        "wine: 160 rows to train on; 6 steps of 64 in about 10 min on this machine (--budget 2h"
        " for longer, none for 3,000 steps)"
    ) in caplog.messages
    chosen = train_of(tmp_path / "run")
    assert (chosen["steps"], chosen["batch_size"], chosen["budget"]) == (6, 64, "10m")
    assert [row["step"] for row in mw.Run("run").metrics] == [6]
    assert mw.Run("run").result["train"]["num_samples"] == 6 * 64


def test_a_run_that_goes_on_is_not_measured_again(cli, table, takes, tmp_path):
    takes(100.0)
    words = ["pretrain", "wine.csv", *FAST, "--out", "run"]
    assert cli(*words, "--budget", "500s")[0] == 0
    chosen = train_of(tmp_path / "run")
    assert (chosen["steps"], chosen["budget"]) == (5, "500s")
    takes(None)
    for more in ([], ["--budget", "500s"], ["--train.batch_size", 64]):
        status, _, err = cli(*words, *more, "--resume")
        assert status == 0, err
    assert cli(*words, "--resume", "auto")[0] == 0
    assert train_of(tmp_path / "run") == chosen
    for more, says in {
        ("--budget", "2h"): "train.budget: 500s -> 2h",
        ("--train.steps", 4): "train.steps: 5 -> 4",
        ("--train.batch_size", 32): "train.batch_size: 64 -> 32",
        ("--train.lr", 0.5): "train.lr: 0.002 -> 0.5",
    }.items():
        status, _, err = cli(*words, *more, "--resume")
        assert status == 2
        assert f"another configuration ({says})" in err


def test_a_run_of_an_older_version_goes_on(cli, table, takes, tmp_path):
    takes(None)
    words = ["pretrain", "wine.csv", *FAST, "--out", "run"]
    assert cli(*words, "--train.steps", 4, "--train.batch_size", 32)[0] == 0
    saved = read_json(tmp_path / "run/config.json")
    del saved["train"]["budget"]
    (tmp_path / "run/config.json").write_text(json.dumps(saved))
    assert cli(*words, "--resume")[0] == 0


def test_what_is_given_is_kept(cli, table, takes, tmp_path):
    takes(None)
    given = ["--train.steps", 3, "--train.batch_size", 160]
    assert cli("pretrain", "wine.csv", *FAST, *given, "--out", "run")[0] == 0
    chosen = train_of(tmp_path / "run")
    assert (chosen["steps"], chosen["batch_size"]) == (3, 160)
    status, _, err = cli(
        "pretrain", "wine.csv", *FAST, "--train.batch_size", 161, "--train.steps", 3, "--out", "no"
    )
    assert status == 2
    assert "a minibatch of 161 is more than the 160 samples to train on" in err
    status, _, err = cli("pretrain", "wine.csv", *FAST, "--budget", "soon", "--out", "no")
    assert (status, "train.budget 'soon' is no time" in err) == (2, True)
    assert not (tmp_path / "no").exists()
    run = mw.pretrain("wine.csv", out="none", budget="none", train={"steps": 3}, **options())
    assert (run.config.train.budget, run.config.train.batch_size) == ("none", 64)


def options():
    return {FAST[n].removeprefix("--"): FAST[n + 1] for n in range(0, len(FAST), 2)}


def test_recipes_are_published_numbers(cli, takes, tmp_path, caplog):
    small = ["--efficiency.accelerator", "cpu", "--evaluate.protocols", "none"]
    small += ["--evaluate.visible", "none"]
    small += ["--model.depth", 1, "--model.width", 16, "--model.decoder_width", 16]
    takes(None)
    words = ["pretrain", "digits", *small, "--out"]
    assert cli(*words, tmp_path / "a", "--train.steps", 2)[0] == 0
    assert train_of(tmp_path / "a")["budget"] == "none"
    # Unless a time is asked for: then it is the steps.
    asked = takes(20.0)
    assert cli(*words, tmp_path / "b", "--budget", "1m")[0] == 0
    assert (asked, train_of(tmp_path / "b")["steps"]) == ([16], 3)
    assert "digits: 1,438 samples to train on; 3 steps of 128 in about 60 s" in caplog.text


def test_measuring_changes_nothing_of_the_training(table, monkeypatch, no_report):
    monkeypatch.setattr(budget, "LEAST", 3)
    real = budget.seconds_of_step

    def measured(*arguments, observed=None):
        assert real(*arguments[:-1], 0.0) > 0
        return 100.0

    monkeypatch.setattr(preparing, "seconds_of_step", measured)
    chosen = mw.pretrain("wine.csv", out="chosen", **options(), **{"train.log_every": 1})
    given = {"train.steps": 6, "train.batch_size": 64, "train.log_every": 1}
    plain = mw.pretrain("wine.csv", out="given", **options(), **given)
    assert [row["loss"] for row in chosen.metrics] == [row["loss"] for row in plain.metrics]
    assert len(chosen.metrics) == 6


@pytest.mark.slow
def test_two_devices_do_what_the_first_has_chosen(table, tmp_path):
    words = ["-m", "maskwise.cli", "pretrain", "wine.csv", *FAST, "--budget", "1s"]
    devices = ["--efficiency.devices", "2", "--efficiency.strategy", "ddp", "--out", "run"]
    done = subprocess.run(
        [sys.executable, *words, *devices], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("rows to train on") == 1
    run = mw.Run(tmp_path / "run")
    assert run.config.train.batch_size == 64
    assert run.config.train.steps >= 100
    assert run.metrics[-1]["step"] == run.config.train.steps
    assert run.metrics[-1]["samples"] == 64 * run.config.train.steps
