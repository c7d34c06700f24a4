"""Modules of one's own in models of features."""

import pytest
import torch
from torch import nn

from maskwise.columns.networks import MLP, FeatureTransformer, Reading
from maskwise.columns.tabular import TabularModelSettings
from maskwise.errors import UserError

SIZES = (0, 0, 3)
SHAPE = TabularModelSettings(width=8, code=4)
SHOWN = Reading(
    torch.randn(5, 3, generator=torch.Generator().manual_seed(0)),
    torch.eye(3)[[0, 1, 2, 0, 1]],
    torch.tensor([[True, False, False]]).expand(5, 3),
    None,
)


@torch.no_grad()
def test_an_mlp_hands_it_values_categories_and_what_is_blank():
    seen = []

    class Seeing(nn.Linear):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    network = MLP(SIZES, 1, 0, SHAPE, Seeing(9, 8))
    output, code, [features] = network.said(SHOWN, [0])
    assert network.own
    assert network.num_layers == 2
    wanted = torch.cat([SHOWN.values, SHOWN.categories, SHOWN.blank.float()], dim=1)
    assert torch.equal(seen[-1], wanted)
    assert torch.equal(features, network.encoder[0](wanted))
    assert torch.equal(code, network.code(features))
    assert torch.equal(output.numbers, network.decode(code).numbers)


@torch.no_grad()
def test_a_transformer_hands_it_the_tokens_of_features():
    module = nn.Linear(8, 8)
    own = FeatureTransformer(SIZES, 1, 0, SHAPE, "plain", module)
    [tokens] = own.tokens(SHOWN, [-1])
    assert own.num_layers == 1
    own.encoder = nn.Identity()
    torch.testing.assert_close(tokens, module(own.tokens(SHOWN, [0])[0]))


def test_weights_without_a_size_get_one():
    network = MLP(SIZES, 1, 0, SHAPE, nn.LazyLinear(8))
    assert network.encoder[0].weight.shape == (8, 9)


def test_what_reads_something_else_is_refused():
    with pytest.raises(UserError, match=r"3 values, 3 categories, 3 blanks \[2, 9\] .* is 8\)"):
        MLP(SIZES, 1, 0, SHAPE, nn.Linear(4, 8))
    permuted = TabularModelSettings(width=8, code=4, corruption="permute")
    with pytest.raises(UserError, match=r"3 values, 3 categories \[2, 6\]"):
        MLP(SIZES, 1, 0, permuted, nn.Linear(4, 8))
    with pytest.raises(UserError, match=r"it turned \[2, 9\] into \[2, 7\] instead of \[2, 8\]"):
        MLP(SIZES, 1, 0, SHAPE, nn.Linear(9, 7))
    with pytest.raises(UserError, match=r"does not read tokens \[2, 3, 8\]"):
        FeatureTransformer(SIZES, 1, 0, SHAPE, "plain", nn.Linear(4, 8))
