"""The same model of patches on another grid."""

import copy
import dataclasses

import pytest
import torch

from maskwise.errors import UserError
from maskwise.layers.resize import resize_positions
from maskwise.layers.transformer import sincos_positions
from maskwise.masks import Mask
from maskwise.patches.sizes import on_grid


def larger(model, height=8, width=12):
    return dataclasses.replace(model.tokenizer, height=height, width=width)


def test_scaled_positions_of_a_finer_grid_lie_between_the_old_ones():
    """Of a ramp a position is its place: those of twice as many cells are a quarter off."""
    places = sincos_positions((8,), 2, (4,))
    assert places[:, 0].tolist() == pytest.approx(
        torch.sin(torch.tensor([-0.25, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25])).tolist()
    )
    torch.testing.assert_close(
        sincos_positions((3, 2), 8, (3.0, 2.0)), sincos_positions((3, 2), 8)
    )
    # Every second one of three times as many is an old one.
    torch.testing.assert_close(sincos_positions((9,), 4, (3,))[1::3], sincos_positions((3,), 4))
    with pytest.raises(UserError, match="over 1 axes do not fit a grid of 2"):
        sincos_positions((3, 2), 8, (3,))


@pytest.mark.parametrize("mode", ["drop", "replace"])
@pytest.mark.parametrize("positions", ["sincos", "learned"])
def test_the_copy_has_the_same_weights_and_positions_of_the_new_grid(make_model, mode, positions):
    model = make_model(mode=mode, positions=positions)
    before = copy.deepcopy(model.state_dict())
    made = on_grid(model, larger(model))
    names = ["positions", "decoder_positions"][: 2 if mode == "drop" else 1]
    for name in names:
        old, new = getattr(model, name), getattr(made, name)
        if positions == "learned":
            expected = resize_positions(old, (2, 3), (4, 6))
            assert isinstance(new, torch.nn.Parameter)
        else:
            expected = sincos_positions((4, 6), old.shape[-1], (2, 3))[None]
        torch.testing.assert_close(new, expected)
    other = {*names, "log_variance", "log_spread"}
    for name, value in made.state_dict().items():
        if name not in other:
            assert torch.equal(value, before[name])
    with torch.no_grad():
        made.embed.weight.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_samples_that_are_constant_are_the_same_at_any_size_without_positions(make_model):
    """Attention over equal tokens is one token: only positions tell the grids apart."""
    model = make_model(positions="learned", class_token=False)
    torch.nn.init.constant_(model.positions, 0.3)
    made = on_grid(model, larger(model, 12, 6))
    level = torch.full((2, 2, 4, 6), 77.0)
    found = made.encode(torch.full((2, 2, 12, 6), 77.0))
    torch.testing.assert_close(found, model.encode(level))


def test_hidden_positions_are_predicted_on_the_new_grid(make_model):
    made = on_grid(model := make_model(), larger(model))
    samples = torch.rand(2, 2, 8, 12)
    hidden = torch.zeros(2, 24, dtype=torch.bool)
    hidden[:, ::3] = True
    assert made(made.tokenizer.tokenize(samples), Mask(hidden)).shape == (2, 8, 8)
    with pytest.raises(UserError, match="no likelihood yet"):
        made.conditional_log_prob(samples, hidden)


def test_a_model_on_its_own_grid_keeps_what_it_knows_of_the_noise(make_model):
    model = make_model()
    model.log_variance.zero_()
    made = on_grid(model, model.tokenizer)
    assert made is not model
    assert torch.equal(made.log_variance, torch.zeros(6))
    assert made.config == model.config


def test_fixed_positions_that_go_further_keep_their_step(make_model):
    model = make_model()
    made = on_grid(model, larger(model), "further")
    torch.testing.assert_close(made.positions, sincos_positions((4, 6), 16)[None])
    # From a grid between the old cells it goes on between them.
    fine = on_grid(model, larger(model))
    wide = on_grid(fine, larger(model, 16, 24), "further")
    corner = wide.positions.view(8, 12, 16)[:4, :6]
    torch.testing.assert_close(corner.reshape(1, 24, 16), fine.positions)
    # And back to where it came from.
    back = on_grid(fine, model.tokenizer)
    torch.testing.assert_close(back.positions, model.positions)


def test_what_does_not_fit_is_refused(make_model):
    model = make_model(positions="learned")
    with pytest.raises(UserError, match="learned positions end with their grid"):
        on_grid(model, larger(model), "further")
    other = dataclasses.replace(model.tokenizer, patch=(2, 3))
    with pytest.raises(UserError, match=r"tokens of 12 values on a grid \(2, 2\) are none of"):
        on_grid(model, other)
