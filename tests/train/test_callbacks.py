import pytest

import maskwise as mw
from maskwise.errors import UserError
from maskwise.files import LOCK

SMALL = {"model.width": 8, "model.code": 4, "model.depth": 1, "efficiency.log": "none"}
STEPS = {"train.steps": 6, "train.log_every": 1, "train.checkpoint_every": 2}


@pytest.fixture
def pretrain(tmp_path, monkeypatch):
    monkeypatch.setattr("maskwise.api._finish", lambda *_: None)

    def call(**options):
        return mw.pretrain("breast-cancer", out=tmp_path / "run", **SMALL, **STEPS, **options)

    return call


def test_what_is_told(pretrain, tmp_path):
    rows, saved = [], []

    def on_checkpoint(path, step):
        assert path.is_file()
        saved.append((path, step))

    run = pretrain(on_log=rows.append, on_checkpoint=on_checkpoint)
    assert rows == run.metrics
    assert {"step", "loss", "ratio", "lr"} <= rows[0].keys()
    path = tmp_path / "run/checkpoint/state.safetensors"
    assert saved == [(path, 2), (path, 4), (path, 6)]


def test_a_row_of_the_user_is_their_own(pretrain):
    run = pretrain(on_log=lambda row: row.clear())
    assert [row["step"] for row in run.metrics] == [1, 2, 3, 4, 5, 6]


class Enough(Exception):
    """Of the user."""


@pytest.mark.parametrize("name", ["on_log", "on_checkpoint"])
def test_what_they_raise_is_not_changed(pretrain, tmp_path, name):
    def stop(*told):
        if name == "on_checkpoint" or told[0]["step"] == 3:
            raise Enough

    with pytest.raises(Enough):
        pretrain(**{name: stop})
    assert not (tmp_path / "run" / LOCK).exists()
    # From the newest checkpoint it goes on, to the same end.
    run = pretrain(resume=True)
    assert [row["step"] for row in run.metrics] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["on_log", "on_checkpoint"])
def test_an_early_end(pretrain, name):
    def enough(*told):
        if name == "on_checkpoint" or told[0]["step"] >= 2:
            raise mw.StopTraining

    run = pretrain(**{name: enough})
    # One more step, after which all devices know.
    assert [row["step"] for row in run.metrics] == [1, 2, 3]
    assert run.result["train"]["steps"] == 3
    assert run.model().num_layers == 2
    longer = pretrain(resume=True)
    assert [row["step"] for row in longer.metrics] == [1, 2, 3, 4, 5, 6]
    assert longer.result["train"]["steps"] == 6


def test_bad_input(pretrain, tmp_path):
    with pytest.raises(UserError, match="on_log takes a function, not 5"):
        pretrain(on_log=5)
    assert not list(tmp_path.iterdir())
