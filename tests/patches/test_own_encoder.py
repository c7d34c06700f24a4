"""Networks of pictures as encoders: what they are handed, and what becomes of their maps."""

import pytest
import torch
from torch import nn

from maskwise.errors import UserError
from maskwise.images.images import Images
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.model_folder import load_model, save_model
from maskwise.patches.model import PatchModelSettings
from maskwise.patches.own_encoder import PictureReader, _fitted
from maskwise.patches.sizes import on_grid

IMAGES = Images(
    patch=(2, 2),
    channels=2,
    height=8,
    width=12,
    mean=(90.0, 110.0),
    std=(50.0, 60.0),
    target="raw",
)
OWN = {"mode": "replace", "class_token": False, "decoder_width": 5, "width": 16}
HIDDEN = torch.arange(24).expand(3, 24) % 3 > 0


class Pictures(nn.Module):
    """Convolutions with a stride; several maps, channels of which are 6 and 7."""

    def __init__(self, stride=1, form="last"):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 7, 3, padding=1, stride=stride)
        self.form = form

    def forward(self, x):
        first = self.first(x).tanh()
        second = self.second(first)
        forms = {"last": second, "list": [first, second], "dict": {"a": first, "b": second}}
        return forms[self.form]


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 2, 8, 12), generator=rng).to(torch.uint8)


def model_of(encoder, images=IMAGES, **changes):
    shape = PatchModelSettings(**(OWN | changes))
    model = build(images, shape, seed=0, encoder=encoder).eval()
    with torch.no_grad():
        model.mask_token.mul_(30)
    return model


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_predictions_see_what_is_visible_and_nothing_else(batch, stride):
    model, mask = model_of(lambda: Pictures(stride)), Mask(HIDDEN)
    assert (model.num_layers, model.has_class_token, model.num_prefix) == (1, False, 0)
    before, _ = model.predict(batch, mask)
    assert before.shape == (3, 16, 8)
    after, _ = model.predict(model.mix(batch, 255 - batch, HIDDEN), mask)
    assert torch.equal(before, after)
    other, _ = model.predict(model.mix(batch, 255 - batch, ~HIDDEN), mask)
    assert (before - other).abs().amax((1, 2)).min() > 1e-3
    # Patches of one cell are told apart.
    assert (before[:, 0] - before[:, 1]).abs().amax(1).min() > 1e-4


def test_hidden_patches_are_filled_with_a_learned_patch(batch):
    seen = []

    class Kept(Pictures):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    model = model_of(Kept)
    assert model.mask_token.shape == (1, 1, 8)
    model.predict(batch, Mask(HIDDEN))
    tokens = torch.where(HIDDEN[..., None], model.mask_token, IMAGES.tokenize(batch))
    assert torch.equal(seen[-1], IMAGES.picture(tokens))
    assert torch.allclose(
        seen[-1][:, :, :2, :2],
        (batch.float() - torch.tensor([90, 110])[:, None, None])[:, :, :2, :2]
        / torch.tensor([50, 60])[:, None, None],
    )


def test_features_of_a_position_are_those_of_its_cells(batch):
    network = Pictures()
    reader = PictureReader(network, IMAGES, states=5)
    tokens = IMAGES.tokenize(batch)
    cells = network(IMAGES.picture(tokens))
    [found] = reader.outputs(tokens, None, [-1])
    assert found.shape == (3, 24, 28)  # 2 x 2 cells of 7 features
    assert reader.spread(found) is found
    for position in (0, 5, 6, 23):
        row, column = 2 * (position // 6), 2 * (position % 6)
        wanted = cells[:, :, row : row + 2, column : column + 2]
        assert torch.equal(found[:, position], wanted.flatten(1))


def test_a_cell_predicts_each_patch_that_it_covers_by_a_map_of_its_own(batch):
    """A twin of SimMIM's: one cell, a linear layer, and its parts shuffled to their places."""
    network = Pictures(stride=4)
    reader = PictureReader(network, IMAGES, states=5)
    assert (reader.covered, reader.width, reader.num_states) == ([2, 2], 7, 5)
    tokens = IMAGES.tokenize(batch)
    cells = network(IMAGES.picture(tokens))  # [3, 7, 2, 3]
    [found] = reader.outputs(tokens, None, [-1])
    states = reader.spread(found)
    for position in range(24):
        row, column = position // 6, position % 6
        cell = cells[:, :, row // 2, column // 2]
        assert torch.equal(found[:, position], cell)
        place = 2 * (row % 2) + column % 2
        wanted = reader.by_patch(cell)[:, 5 * place : 5 * place + 5]
        torch.testing.assert_close(states[:, position], wanted)


@pytest.mark.parametrize(
    ("side", "grid", "wanted"),
    [(8, 8, 8), (3, 8, 4), (1, 8, 1), (16, 8, 16), (17, 8, 16), (7, 10, 5), (6, 7, 7)],
)
def test_a_map_gets_a_size_that_goes_with_the_grid(side, grid, wanted):
    assert _fitted(side, grid) == wanted


def test_maps_of_any_size_are_laid_over_the_grid(batch):
    # A map of 3 x 4 becomes 4 x 3 or the like on a grid of 4 x 6; constant maps stay constant.
    class Constant(nn.Module):
        def forward(self, x):
            return torch.arange(3.0)[:, None, None].expand(len(x), 3, 3, 5)

    reader = PictureReader(Constant(), IMAGES, states=5)
    [found] = reader.outputs(IMAGES.tokenize(batch), None, [-1])
    torch.testing.assert_close(found, torch.arange(3.0).expand(3, 24, 3))


@pytest.mark.parametrize("form", ["list", "dict"])
def test_several_maps_are_layers(batch, form):
    model = model_of(lambda: Pictures(stride=2, form=form))
    assert (model.num_layers, model.width) == (2, 7)
    assert model.encode(batch, layer=0).shape == (3, 24)  # 6 features of 4 cells
    assert model.encode(batch).shape == model.encode(batch, layer=1).shape == (3, 7)
    assert model.encode(batch, pool="none").shape == (3, 24, 7)
    seen = model.visible_features(batch, Mask(HIDDEN))
    assert seen.shape == (3, 7)
    with pytest.raises(UserError, match=r"layer 2 is outside 0\.\.1"):
        model.encode(batch, layer=2)
    with pytest.raises(UserError, match="needs a class token"):
        model.encode(batch, pool="class")


def test_it_is_saved_and_read_with_its_function(batch, tmp_path):
    model = model_of(lambda: Pictures(4))
    save_model(tmp_path, model)
    with pytest.raises(UserError, match="give encoder= again"):
        load_model(tmp_path)
    read = load_model(tmp_path, encoder=lambda: Pictures(4))
    assert torch.equal(read.encode(batch), model.encode(batch))


def test_pictures_of_another_size(batch):
    model = model_of(lambda: Pictures(4))
    wide = Images(**{**vars(IMAGES), "height": 16})
    moved = on_grid(model, wide)
    found = moved.encode(torch.cat([batch, batch], dim=2), pool="none")
    assert found.shape == (3, 48, 7)
    # Away from the seam and the edges they are what they were.
    was = model.encode(batch, pool="none").unflatten(1, (4, 6))
    torch.testing.assert_close(found.unflatten(1, (8, 6))[:, :2], was[:, :2])


def test_what_it_reads_is_tried_or_told():
    class Either(nn.Module):
        """Reads everything."""

        def __init__(self, reads=None):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            if reads:
                self.reads = reads

        def forward(self, x):
            return self.scale * x

    assert model_of(Either).reader is None
    assert model_of(lambda: Either("tokens")).reader is None
    assert isinstance(model_of(lambda: Either("pictures")).reader, PictureReader)
    with pytest.raises(UserError, match="reads='images' of an encoder of your own is none of tok"):
        model_of(lambda: Either("images"))


class Vector(Pictures):
    def forward(self, x):
        return super().forward(x).mean((2, 3))


class Double(nn.Linear):
    def forward(self, x):
        return super().forward(x).double()


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (
            lambda: nn.Linear(9, 9),
            r"patches \[2, 24, 16\] .* is 16\).*nor pictures \[2, 2, 8, 12\]",
        ),
        (Vector, r"turned pictures \[2, 2, 8, 12\] into \[2, 7\] instead of a feature map"),
        (lambda: Double(16, 16), r"into \[2, 24, 16\] of float64 instead of \[2, 24, 16\]"),
    ],
)
def test_what_reads_neither_is_refused_in_a_line(encoder, said):
    with pytest.raises(UserError, match=said) as error:
        model_of(encoder)
    assert "\n" not in str(error.value)


def test_settings_that_go_with_it_are_said():
    with pytest.raises(
        UserError, match=r"needs model.mode='replace' and model.class_tok"
    ) as error:
        model_of(Pictures, mode="drop")
    assert error.value.settings == {"model.mode": "replace", "model.class_token": "false"}


def test_trying_leaves_a_module_as_it_was():
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4))
    network[1].eval()  # frozen by its owner
    before = {name: value.clone() for name, value in network.state_dict().items()}
    PictureReader(network, IMAGES, states=5)
    assert network[0].training
    assert not network[1].training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
