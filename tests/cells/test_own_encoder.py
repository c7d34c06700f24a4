"""Cells with a module of one's own."""

import numpy as np
import pytest
from torch import nn

import maskwise as mw
from maskwise.errors import UserError
from tests.lazy import lazy

anndata = lazy("anndata")

TINY = {
    "model": {"width": 12, "code": 6},
    "train": {"steps": 3, "batch_size": 16, "log_every": 1},
    "evaluate": {"ratios": (0.5,), "baselines": False},
    "efficiency.accelerator": "cpu",
    "diagnose.num_samples": 10,
}


def features():
    """For any number of genes."""
    return nn.Sequential(nn.LazyLinear(12), nn.LayerNorm(12), nn.GELU())


def test_a_run_is_trained_read_and_asked(tmp_path, no_report):
    counts = np.random.default_rng(0).poisson(2.0, (60, 9)).astype(np.float32)
    cells = anndata.AnnData(counts)
    cells.var_names = [f"GENE{number}" for number in range(9)]
    run = mw.pretrain(cells, out=tmp_path / "run", encoder=features, **TINY)
    with pytest.raises(UserError, match="give encoder= again"):
        mw.load(run.path)
    assert run.embed(cells, encoder=features).shape == (60, 6)
