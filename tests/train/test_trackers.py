import csv
import json
import sys

import pytest

import maskwise as mw
from maskwise.errors import UserError
from maskwise.modalities import config_of
from maskwise.train import trackers
from maskwise.train.metrics import Metrics
from tests.peers import peer

CONFIG = {"law": "fixed:0.5", "train": {"steps": 9}}


def rows(*steps, **more):
    return [{"step": step, "loss": 1 / step, **more} for step in steps]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/env.json").write_text('{"started": "2026-01-01"}')
    return tmp_path / "run"


def read_csv(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv(folder):
    [tracker] = trackers.opened(["csv"], folder, CONFIG, [], 0)
    first, second = rows(1, 2)
    for row in (first, second, {"step": 3, "loss": 0.5, "probe": 'a,"b'}):
        tracker.log(row)
    assert read_csv(folder) == [
        {"step": "1", "loss": "1.0", "probe": ""},
        {"step": "2", "loss": "0.5", "probe": ""},
        {"step": "3", "loss": "0.5", "probe": 'a,"b'},
    ]
    # It goes on from step 1, and forgets what came later.
    [tracker] = trackers.opened(["csv"], folder, CONFIG, [first], 3)
    tracker.log(second)
    tracker.close()
    assert [row["step"] for row in read_csv(folder)] == ["1", "2"]


def scalars(folder):
    module = peer("tensorboard.backend.event_processing.event_accumulator")
    found = module.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return found


def test_tensorboard(folder):
    peer("tensorboard")
    told = rows(1, 2, 3)
    [tracker] = trackers.opened(["tensorboard", "auto"], folder, CONFIG, [], 0)
    for row in told:
        tracker.log(row)
    tracker.close()
    [tracker] = trackers.opened(["auto"], folder, CONFIG, told[:1], 3)
    tracker.log(told[1])
    tracker.close()
    found = scalars(folder)
    assert [(each.step, each.value) for each in found.Scalars("loss")] == [(1, 1.0), (2, 0.5)]
    [text] = found.Tensors("config/text_summary")
    assert '"law": "fixed:0.5"' in text.tensor_proto.string_val[0].decode()


def test_wandb(folder, monkeypatch):
    wandb = peer("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logged = []
    monkeypatch.setattr(
        wandb.sdk.wandb_run.Run, "log", lambda self, *a, **k: logged.append((a, k))
    )
    [tracker] = trackers.opened(["wandb"], folder, CONFIG, rows(1), 3)
    assert dict(tracker.run.config) == CONFIG
    assert (tracker.run.id, tracker.run.name) == (trackers.run_id(folder), "run")
    # Step 2 and 3 were told before the run was cut off.
    for row in rows(2, 3, 4):
        tracker.log(row)
    tracker.close()
    assert logged == [((rows(4)[0],), {"step": 4})]
    assert list((folder / "wandb").glob("offline-run-*"))


class FakeWandB:
    """What of W&B is used, without it."""

    def __init__(self, key=None, error=None):
        self.api = type("Api", (), {"api_key": key})
        self.errors = type("Errors", (), {"Error": RuntimeError})
        self.calls, self.error = [], error

    def Settings(self, **values):
        return values

    def init(self, **values):
        self.calls.append(values)
        if self.error:
            raise self.error
        return self

    def log(self, row, step):
        self.calls.append((step, row))

    def finish(self):
        self.calls.append("finished")


def test_wandb_without_a_key_stays_here(folder, monkeypatch, caplog):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for key, mode in ((None, "offline"), ("secret", None)):
        fake = FakeWandB(key)
        monkeypatch.setitem(sys.modules, "wandb", fake)
        [tracker] = trackers.opened(["wandb"], folder, CONFIG, [], 0)
        tracker.log(rows(1)[0])
        tracker.close()
        first, *others = fake.calls
        assert (first["mode"], first["config"], first["dir"]) == (mode, CONFIG, str(folder))
        assert (first["project"], first["resume"]) == ("maskwise", "allow")
        assert others == [(1, rows(1)[0]), "finished"]
    assert caplog.text.count("no key of W&B") == 1
    monkeypatch.setitem(sys.modules, "wandb", FakeWandB("key", RuntimeError("no\nentity")))
    with pytest.raises(UserError, match=r"wandb.*: no entity"):
        trackers.opened(["wandb"], folder, CONFIG, [], 0)


def test_what_is_not_there(tmp_path, monkeypatch, cli):
    monkeypatch.setitem(sys.modules, "wandb", None)
    out = tmp_path / "run"
    status, _, err = cli("pretrain", "digits", "--out", out, "--log", "csv,wandb")
    assert (status, err.count("\n")) == (2, 1)
    assert '--log wandb needs wandb: pip install "maskwise[wandb]"' in err
    assert not list(tmp_path.iterdir())
    status, _, err = cli("pretrain", "digits", "--out", out, "--log", "csv,mlflow")
    assert (status, err.count("\n")) == (2, 1)
    assert "efficiency.log.1='mlflow': input should be 'auto', 'tensorboard', 'wandb' or" in err
    assert not list(tmp_path.iterdir())


def test_a_run(tmp_path, no_report, monkeypatch):
    monkeypatch.setattr("maskwise.api._finish", lambda *_: None)
    settings = {"train": {"steps": 4, "log_every": 1, "checkpoint_every": 2}, "model.width": 8}
    settings |= {"model.code": 4, "model.depth": 1}
    run = mw.pretrain("breast-cancer", out=tmp_path / "run", log="csv", **settings)
    assert not (run.path / "tensorboard").exists()
    found = [{key: float(value) for key, value in row.items()} for row in read_csv(run.path)]
    assert found == run.metrics
    # Where a run is told does not change it: it goes on with another.
    (run.path / "metrics.csv").unlink()
    again = {"train": {**settings["train"]}} | {k: v for k, v in settings.items() if k != "train"}
    mw.pretrain("breast-cancer", out=run.path, resume=True, log=["csv"], **again)
    assert [row["step"] for row in read_csv(run.path)] == ["1", "2", "3", "4"]


def test_none_is_told_by_other_devices(folder):
    config = config_of("digits", {"efficiency.log": "csv"})
    with Metrics(folder, 0, enabled=False, config=config) as metrics:
        metrics.add(loss=1, samples=1, encoder_tokens=1, predicted=1, seconds=1)
        metrics.write(1, 0, 0.1)
    assert [path.name for path in folder.iterdir()] == ["env.json"]
    assert json.loads((folder / "env.json").read_text())
