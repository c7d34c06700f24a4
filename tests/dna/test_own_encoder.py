"""DNA with a module of one's own in the place of the convolutions."""

import numpy as np
import pytest
import torch
from torch import nn

import maskwise as mw
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.tokens import DNA
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modalities import build

TINY = {
    "data.window": 32,
    "model.width": 8,
    "train": {"steps": 3, "batch_size": 8, "log_every": 1},
    "evaluate": {"num_windows": 8, "ratios": (0.5,)},
    "efficiency.accelerator": "cpu",
    "diagnose.num_samples": 10,
}


class Wide(nn.Module):
    """A convolution over embedded bases."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv1d(8, 8, 5, padding=2)

    def forward(self, x):
        return x + self.layer(x.transpose(1, 2)).transpose(1, 2).tanh()


def test_a_run_is_trained_read_and_asked(tmp_path, no_report):
    letters = np.random.default_rng(0).choice(list("ACGT"), (6, 300))
    sequences = ["".join(each) for each in letters]
    run = mw.pretrain(sequences, out=tmp_path / "run", modality="dna", encoder=Wide, **TINY)
    with pytest.raises(UserError, match="give encoder= again"):
        mw.load(run.path)
    assert run.embed(sequences[:2], encoder=Wide).shape == (2, 8)


@torch.no_grad()
def test_it_can_read_both_strands():
    shape = DNAModelSettings(width=8, equivariant=True)
    model = build(DNA(window=12), shape, seed=0, encoder=Wide).eval()
    codes = torch.randint(0, 4, (3, 12), generator=torch.Generator().manual_seed(0))
    codes = codes.to(torch.uint8)
    hidden = torch.arange(12).expand(3, 12) % 4 == 1
    logits = model(codes, Mask(hidden)).unflatten(0, (3, -1))
    other = model((3 - codes).flip(1), Mask(hidden.flip(1))).unflatten(0, (3, -1))
    # A is the complement of T, C of G; what no sequence holds has no probability.
    torch.testing.assert_close(logits[..., :4], other.flip(1)[..., [3, 2, 1, 0]])
    probabilities = logits.softmax(-1)
    torch.testing.assert_close(probabilities[..., :4].sum(-1), torch.ones(3, 3))
