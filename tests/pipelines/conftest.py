import os
import signal

import numpy as np
import pytest
from safetensors.torch import load_file

import maskwise as mw
from maskwise.train.batches import Batches


class Interrupting(Batches):
    """Ctrl-C before the fourth step."""

    def read(self, *arguments):
        for batch in super().read(*arguments):
            if batch.step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch


def tensors(run):
    return load_file(run.path / "checkpoint" / "state.safetensors")


def losses_of(run):
    return [row["loss"] for row in run.metrics]


@pytest.fixture
def no_report(monkeypatch):
    """Reports have tests of their own and take most of the time of a tiny run."""
    monkeypatch.setattr("maskwise.report.write", lambda runs, out=None: None)


@pytest.fixture
def losses():
    """The logged losses of a run."""
    return losses_of


@pytest.fixture
def alike(tmp_path):
    """Check that neither workers nor micro-batches change what a run sees."""

    def call(pretrain, source):
        runs = [
            pretrain(source, tmp_path / name, **changes)
            for name, changes in {
                "plain": {},
                "workers": {"efficiency.workers": 2},
                "parts": {"train.accumulate": 4},
            }.items()
        ]
        assert losses_of(runs[0]) == losses_of(runs[1])
        np.testing.assert_allclose(losses_of(runs[0]), losses_of(runs[2]), rtol=1e-5)

    return call


@pytest.fixture
def resumed(tmp_path, monkeypatch):
    """Check that an interrupted run ends as an uninterrupted one; return it."""

    def call(pretrain, source, **changes):
        straight = pretrain(source, tmp_path / "straight", **changes)
        with monkeypatch.context() as patch:
            patch.setattr("maskwise.api.Batches", Interrupting)
            with pytest.raises(KeyboardInterrupt):
                pretrain(source, tmp_path / "broken", **changes)
        assert len(losses_of(mw.Run(tmp_path / "broken"))) == 4
        # What is gone from the cache is made again, and is the same.
        monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "another"))
        again = pretrain(source, tmp_path / "broken", resume=True, **changes)
        first, second = tensors(straight), tensors(again)
        assert first.keys() == second.keys()
        assert all((first[name] == second[name]).all() for name in first)
        assert losses_of(straight) == losses_of(again)
        assert straight.result["reconstruction"] == again.result["reconstruction"]
        return again

    return call
