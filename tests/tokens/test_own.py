"""A module of one's own between the embedding and the head of a language model."""

import pytest
import torch
from torch import nn

from maskwise.errors import UserError
from maskwise.tokens.own import OwnNetwork


class Mean(nn.Module):
    """Adds what the tokens of a row say together, so that each of them is seen by all."""

    def __init__(self, width=8):
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x):
        return x + self.layer(x).mean(1, keepdim=True)


class Told(Mean):
    """The same of each document, which it is told of."""

    def forward(self, x, documents=None):
        if documents is None:
            return super().forward(x)
        same = (documents[:, :, None] == documents[:, None]).to(x.dtype)
        return x + same @ self.layer(x) / same.sum(2, keepdim=True)


def make(cls, **changes):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return OwnNetwork(20, cls(), **({"width": 8, "length": 6} | changes)).eval()


IDS = torch.arange(18).view(3, 6)
# Whole rows, padding behind, two documents with padding between and behind.
DOCUMENTS = torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0], [1, 1, 0, 2, 2, 0]])


@torch.no_grad()
@pytest.mark.parametrize("cls", [Mean, Told])
def test_each_document_is_read_by_itself(cls):
    network = make(cls)
    found = network.features(IDS, DOCUMENTS)
    assert found.shape == (3, 6, 8)
    for row, start, stop in ((0, 0, 6), (1, 0, 3), (2, 0, 2), (2, 3, 5)):
        alone = network.features(IDS[row : row + 1, start:stop])
        torch.testing.assert_close(found[row, start:stop], alone[0])


def test_gradients_reach_the_module_through_documents():
    network = make(Mean)
    network.features(IDS, DOCUMENTS)[2, 3:5].sum().backward()
    assert network.module.layer.weight.grad.any()
    read = network.embed.weight.grad.abs().sum(1) > 0
    assert read.nonzero()[:, 0].tolist() == [15, 16]  # of the same document alone


@torch.no_grad()
def test_it_is_one_layer_of_which_some_tokens_may_be_wanted():
    network = make(Mean)
    assert (network.num_layers, network.width) == (1, 8)
    wanted = torch.tensor([[0, 5], [1, 1], [2, 3]])
    whole = network.features(IDS)
    [some] = network.outputs(IDS, None, [-1], wanted)
    assert torch.equal(some[0], whole[0, [0, 5]])
    first, last = network.outputs(IDS, None, [0, -1])
    assert torch.equal(first, last)
    by_hand = network.norm(network.module(network.embed_norm(network.embed(IDS))))
    assert torch.equal(whole, by_hand)


def test_the_first_weights_of_the_module_are_its_own():
    module = Mean()
    before = module.layer.weight.clone()
    assert torch.equal(OwnNetwork(20, module, width=8, length=6).module.layer.weight, before)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Linear(9, 9), r"read embedded tokens \[2, 6, 8\] .* is 8\): RuntimeError: mat1"),
        (nn.Linear(8, 7), r"turned \[2, 6, 8\] into \[2, 6, 7\] instead of \[2, 6, 8\]"),
        (nn.LSTM(8, 8, batch_first=True), r"into tuple instead of \[2, 6, 8\]"),
    ],
)
def test_what_reads_something_else_is_refused(module, said):
    with pytest.raises(UserError, match=said):
        OwnNetwork(20, module, width=8, length=6)
