"""Tables with a module of one's own."""

import numpy as np
import pytest
from torch import nn

import maskwise as mw
from maskwise.errors import UserError

TINY = {
    "model": {"width": 12, "code": 6},
    "train": {"steps": 3, "batch_size": 16, "log_every": 1},
    "evaluate": {"ratios": (0.5,), "baselines": False},
    "efficiency.accelerator": "cpu",
    "diagnose.num_samples": 10,
}


def features():
    """For any number of columns."""
    return nn.Sequential(nn.LazyLinear(12), nn.LayerNorm(12), nn.GELU())


def tokens():
    return nn.Sequential(nn.Linear(12, 12), nn.GELU(), nn.Linear(12, 12))


@pytest.mark.parametrize(
    ("kind", "encoder", "width"), [("mlp", features, 6), ("transformer", tokens, 12)]
)
def test_a_run_is_trained_read_and_asked(tmp_path, no_report, kind, encoder, width):
    rows = np.random.default_rng(0).normal(size=(60, 3))
    rows[:, 2] += rows[:, 0]
    rows[5, 1] = np.nan
    settings = {**TINY, "model": {**TINY["model"], "kind": kind}}
    run = mw.pretrain(rows, out=tmp_path / "run", encoder=encoder, **settings)
    with pytest.raises(UserError, match="give encoder= again"):
        mw.load(run.path)
    assert run.embed(rows[:7], encoder=encoder).shape == (7, width)
    model = mw.load(run.path, encoder=encoder)
    assert model.network.own
