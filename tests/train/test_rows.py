"""Weights of a run that are copied into a model of other data."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from maskwise.errors import UserError
from maskwise.layers.weights import open_weights
from maskwise.train.config import RunSettings
from maskwise.train.rows import copy_rows
from maskwise.train.start import Start, completed, run_at


class Net(nn.Module):
    def __init__(self, values, width=2):
        super().__init__()
        self.embed = nn.Parameter(torch.tensor(values))
        self.mix = nn.Parameter(torch.zeros(len(values), len(values)))
        self.out = nn.Parameter(torch.zeros(width))
        self.log_spread = nn.Buffer(torch.zeros(3))


def start_of(net, tmp_path, **more):
    save_file({**net.state_dict(), **more}, tmp_path / "w.safetensors")
    return Start(tmp_path, tmp_path, {}, open_weights(tmp_path / "w.safetensors"))


def slots(labels):
    return {"embed": {0: labels}, "mix": {0: labels, 1: labels}}


def test_rows_of_the_same_label_are_copied_wherever_they_stand(tmp_path):
    theirs, mine = Net([[1.0], [2.0], [3.0]]), Net([[10.0], [20.0]])
    theirs.mix.data = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    theirs.out.data = torch.tensor([5.0, 6.0])
    theirs.log_spread.fill_(9)
    start = start_of(theirs, tmp_path, extra=torch.ones(1))
    told = copy_rows(mine, start, slots(["c", "a"]), slots(["a", "b", "c"]), "tokens")
    assert mine.embed.tolist() == [[3.0], [1.0]]
    assert mine.mix.tolist() == [[9.0, 7.0], [3.0, 1.0]]
    assert mine.out.tolist() == [5.0, 6.0]
    assert mine.log_spread.tolist() == [0.0] * 3  # fitted to each data anew
    assert told.splitlines()[1:] == [
        "  tokens: 2 of 2 are those of the run; 1 of the run are not there",
        "  left: extra (1 tensors)",
    ]


def test_rows_without_a_match_stay(tmp_path):
    theirs, mine = Net([[1.0], [2.0]]), Net([[10.0], [20.0]], width=3)
    told = copy_rows(
        mine, start_of(theirs, tmp_path), slots(["x", "b"]), slots(["a", "b"]), "genes"
    )
    assert mine.embed.tolist() == [[10.0], [2.0]]
    assert "genes: 1 of 2 are those of the run, new ones are x; 1 of the run are not there" in told
    assert "left: out" in told
    assert "new: out" in told
    told = copy_rows(
        mine, start_of(theirs, tmp_path), slots(["x", "y"]), slots(["a", "b"]), "genes"
    )
    assert mine.embed.tolist() == [[10.0], [2.0]]
    assert "left: embed, mix, out" in told


def test_settings_that_weights_decide():
    config = RunSettings(modality="tables", data=None, model=None, evaluate=None)
    assert completed(config, {"train.lr": 0.5}, (), "place").train.lr == 0.5
    with pytest.raises(UserError, match=r"seed=0: place has 3: leave it out"):
        completed(config, {"seed": 3}, {"seed"}, "place")


def test_places_without_a_run_are_none(tmp_path):
    assert run_at(tmp_path, "text") is None
    assert run_at(tmp_path / "nowhere", "text") is None
