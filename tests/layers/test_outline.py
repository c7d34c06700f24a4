import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from maskwise.errors import UserError
from maskwise.layers.outline import outline, require_memory, require_same, shapes_of


def test_an_outline_is_what_the_model_has():
    def make():
        return nn.Sequential(nn.Embedding(50, 8), nn.LayerNorm(8), nn.Conv1d(8, 3, 5))

    before = torch.get_rng_state()
    found, real = outline(make), make().state_dict()
    torch.set_rng_state(before)
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in real.items()
    }
    assert all(value.device.type == "meta" for value in found.values())


@pytest.mark.parametrize("size", [10**12, 10**18, 10**300])
def test_sizes_that_cannot_be_counted(size):
    with pytest.raises(UserError, match="the model has more weights than can be counted"):
        outline(lambda: nn.Linear(size, 10**12))


def test_a_model_that_reads_its_weights_has_no_outline():
    class Peeking(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.largest = float(self.weight.max())

    assert outline(Peeking) is None


def test_what_is_larger_than_the_memory():
    require_memory(outline(lambda: nn.Linear(1000, 1000)))
    with pytest.raises(UserError, match=r"the model has 37,252,[\d,]+ GiB of weights and this"):
        require_memory(outline(lambda: nn.Linear(10**7, 10**9, bias=False)))


def test_shapes_of_a_file(tmp_path):
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(4)}, tmp_path / "some")
    found = shapes_of(tmp_path / "some")
    assert found == {"a": [2, 3], "b": [4]}
    weights = {"a": torch.zeros(2, 3), "c": torch.zeros(7)}
    require_same(weights, found)
    weights["b"] = torch.zeros(5)
    with pytest.raises(UserError, match=r"b is \[4\] in the file and \[5\] in the model"):
        require_same(weights, found)
