"""Texts with a module of one's own in the place of the blocks."""

import pytest
import torch
from torch import nn

import maskwise as mw
from maskwise.errors import UserError
from maskwise.modalities import build
from maskwise.text.hf_models import export
from maskwise.text.model import TextModelSettings

pytest.importorskip("tokenizers")

LINES = [f"line {n} tells of {n * n} cats and some {n % 7} dogs that sat by" for n in range(60)]
TINY = {
    "data.length": 24,
    "data.vocab_size": 300,
    "model.width": 16,
    "train": {"steps": 3, "batch_size": 8, "log_every": 1},
    "evaluate": {"num_rows": 8, "ratios": (0.5,), "baselines": False},
    "efficiency.accelerator": "cpu",
    "diagnose.num_samples": 20,
}


class Recurrent(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.both = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x):
        return x + self.both(x)[0]


def test_a_run_is_trained_read_and_asked(tmp_path, no_report):
    run = mw.pretrain(LINES, out=tmp_path / "run", encoder=Recurrent, **TINY)
    assert len(run.metrics) == 3
    with pytest.raises(
        UserError, match="trained with an encoder of your own: give encoder= again"
    ):
        mw.load(run.path)
    model = mw.load(run.path, encoder=Recurrent)
    assert isinstance(model.network.module, Recurrent)
    untrained = build(model.tokenizer, model.config, seed=run.config.seed, encoder=Recurrent)
    before, after = (each.network.module.both.weight_ih_l0 for each in (untrained, model))
    assert not torch.equal(before, after)
    texts = ["line 3 tells of cats", "some dogs"]
    together = run.embed(texts, encoder=Recurrent)
    assert together.shape == (2, 16)
    # Whatever it is padded to beside longer ones.
    alone = run.embed(texts[1:], encoder=Recurrent)
    torch.testing.assert_close(torch.tensor(together[1]), torch.tensor(alone[0]))
    with pytest.raises(UserError, match="an encoder of your own has no form in transformers"):
        export(model, tmp_path / "out")


def test_a_model_of_transformers_and_an_encoder_exclude_each_other(words):
    shape = TextModelSettings(hf="some/model", width=16)
    with pytest.raises(UserError, match=r"encoder=.* and model.hf some/model: give one of them"):
        build(words, shape, seed=0, encoder=Recurrent)
