"""One process at a time trains in a run folder; one that was killed is not in the way."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

import maskwise as mw
from maskwise.files import locked
from tests.fixtures.runs import TINY

HOLD = """
import sys, time
from pathlib import Path
from maskwise.files import locked
from tests.fixtures.runs import TINY
with locked(Path(sys.argv[1]), "trains in it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_who_the_first_is(holder, tmp_path):
    said = rf"run: process {holder.pid} on .+ trains in it already$"
    with pytest.raises(mw.UserError, match=said), locked(tmp_path / "run", "trains in it"):
        pass
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_killed_writer_is_not_in_the_way(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "run", "trains in it"):
        assert str(os.getpid()) in (tmp_path / "run/.lock").read_text()
    assert not list((tmp_path / "run").iterdir())


def test_a_second_run_changes_nothing(finished, tmp_path, cli):
    run = shutil.copytree(finished, tmp_path / "run")
    words = ("pretrain", "digits", *TINY, "--out", run, "--resume")
    with locked(run, "trains in it"):
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        status, _, err = cli(*words)
        assert (status, err.count("\n")) == (2, 1)
        assert f"{run}: process {os.getpid()} on " in err
        assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert cli(*words)[0] == 0
    assert len(json.loads((run / "env.json").read_text())["resumed"]) == 1


def test_what_was_trained_is_not_begun_again_without_a_word(finished, tmp_path, cli):
    run = shutil.copytree(finished, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["train"]["checkpoint_every"] = 2
    (run / "config.json").write_text(json.dumps(config))
    shutil.rmtree(run / "checkpoint")
    words = ("pretrain", "digits", *TINY, "--train.checkpoint_every", 2, "--out", run, "--resume")
    status, _, err = cli(*words)
    assert (status, err.count("\n")) == (2, 1)
    assert f"{run} has trained 3 steps and has no checkpoint any more: restore it" in err


def test_resuming_where_something_is_to_be_resumed(tmp_path, cli):
    run = tmp_path / "run"
    words = ("pretrain", "digits", *TINY, "--out", run, "--resume", "auto")
    assert cli(*words)[0] == 0
    assert "resumed" not in json.loads((run / "env.json").read_text())
    assert cli(*words)[0] == 0
    assert len(json.loads((run / "env.json").read_text())["resumed"]) == 1
    assert cli(*words[:-2], "--resume")[0] == 0


@pytest.mark.parametrize("more", [(), ("--resume", "auto")])
def test_a_run_that_was_killed_before_it_began(tmp_path, cli, more):
    run = tmp_path / "run"
    run.mkdir()
    (run / "env.json").write_text("{}")
    (run / ".config.json.123.tmp").write_text('{"law"')
    assert cli("pretrain", "digits", *TINY, "--out", run, *more)[0] == 0
    assert not list(run.rglob(".*"))
    (run / "config.json").unlink()
    status, _, err = cli("pretrain", "digits", *TINY, "--out", run)
    assert (status, "already exists" in err) == (2, True)


def test_rows_do_not_depend_on_checkpoints(tmp_path, cli):
    tiny = [*TINY[:-2], "--train.steps", "5", "--train.log_every", "2"]
    for every in (1, 3, 500):
        words = ("--train.checkpoint_every", every, "--out", tmp_path / str(every))
        assert cli("pretrain", "digits", *tiny, *words)[0] == 0
    runs = [mw.Run(tmp_path / str(every)) for every in (1, 3, 500)]
    assert [row["step"] for row in runs[0].metrics] == [2, 4, 5]
    losses = [[row["loss"] for row in run.metrics] for run in runs]
    assert losses[0] == losses[1] == losses[2]
    assert len({run.result["train"]["final_loss"] for run in runs}) == 1
