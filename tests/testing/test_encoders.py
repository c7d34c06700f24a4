"""The checks of an encoder of one's own: what passes, and what each of them finds."""

import numpy as np
import pytest
import torch
from torch import nn

from maskwise.errors import UserError
from maskwise.testing import check_encoder
from maskwise.testing.checks import CHECKS
from tests.peers import peer

WIDTH = 16
TOKENS = {"model": {"width": WIDTH, "mode": "replace", "class_token": False}}
# Pictures of 8 x 8, so that each check takes a moment.
PICTURES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)


class Mixer(nn.Module):
    """What passes: it mixes positions, then channels."""

    def __init__(self):
        super().__init__()
        self.space, self.channels = nn.Linear(16, 16), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        x = x + self.space(x.transpose(1, 2)).transpose(1, 2).tanh()
        return x + self.channels(x).tanh()


class Remembers(Mixer):
    """It saw the whole picture, and tells."""

    def forward(self, x):
        found = super().forward(x)
        before = getattr(self, "before", found)
        self.before = found.detach()
        return found + before if before.shape == found.shape else found


class Counts(Mixer):
    """It remembers how often it was asked."""

    def __init__(self):
        super().__init__()
        self.times = 0

    def forward(self, x):
        self.times += 1
        return super().forward(x) * (1 + 0.01 * self.times)


class Draws(Mixer):
    def forward(self, x):
        return super().forward(x) + 0.1 * torch.randn(x.shape)


class Normalises(Mixer):
    """Over the samples of a batch, also in eval mode."""

    def forward(self, x):
        return super().forward(x - x.mean(0))


class NormalisesInTraining(Mixer):
    def forward(self, x):
        return super().forward(x - x.mean(0) if self.training else x)


class OfChance(Mixer):
    """Its weights come from a generator that no seed reaches."""

    def __init__(self):
        super().__init__()
        noise = np.random.default_rng().normal(size=(16, 16))
        self.space.weight = nn.Parameter(torch.from_numpy(noise).float() / 4)


class Dead(Mixer):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(3, 3)


class Cut(Mixer):
    """No gradient passes its second half."""

    def forward(self, x):
        return x + self.channels(x + self.space(x.transpose(1, 2)).detach().transpose(1, 2))


class KeepsOutside(Mixer):
    """Its scale is drawn when it is made, and is no buffer."""

    def __init__(self):
        super().__init__()
        self.scale = torch.rand(1)

    def forward(self, x):
        return super().forward(x) * self.scale


class Shares(Mixer):
    """Two weights in one memory."""

    def __init__(self):
        super().__init__()
        self.space.weight = self.channels.weight


class Drops(Mixer):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.1, self.training)


class DropsByModule(Mixer):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        return self.dropout(super().forward(x))


def checked(factory, **settings):
    return check_encoder(factory, PICTURES, **({"data.patch": (2, 2)} | TOKENS | settings))


def test_what_passes_says_so():
    report = checked(Mixer)
    assert report.passed == tuple(CHECKS)
    assert report.notes == ()
    lines = str(report).splitlines()
    assert lines[0] == "Mixer in a model of images, 544 weights: all is well"
    assert lines[1:] == [f"  ok: {each}" for each in CHECKS]


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (Remembers, "predictions change with what is hidden: the module knows hidden values"),
        (Counts, "predictions change with what is hidden|it says something else the second time"),
        (Draws, "predictions change with what is hidden|it draws random numbers in eval mode"),
        (Normalises, r"changes by up to .* with the others in its batch, in eval mode"),
        (NormalisesInTraining, "in training .* with the others in its batch, and it has no batch"),
        (OfChance, r"not decided by the seed: encoder\.space\.weight"),
        (Dead, r"no gradient reaches 2 of 6 weights: encoder\.unused\.weight, encoder\.unused\."),
        (Cut, r"no gradient reaches 2 of 4 weights: encoder\.space\.weight, encoder\.space\.bias"),
        (KeepsOutside, "another one when it was saved and read: keep what it needs in parameters"),
        (Shares, r"cannot be saved and read: .*share memory"),
        (Drops, r"does not go on .* the loss of step \d is .* draw no random numbers"),
        (DropsByModule, r"does not go on .*; Dropout draws random numbers: set it to 0"),
    ],
)
def test_each_fault_is_found_and_said_in_a_line(encoder, said):
    with pytest.raises(AssertionError, match=said) as error:
        checked(encoder)
    assert "\n" not in str(error.value)


def test_random_numbers_and_memory_are_told_apart():
    class DrawsOnce(Mixer):
        """Random, but the same for what is hidden and what is not: seen by the second check."""

        def forward(self, x):
            return super().forward(x) + torch.rand(1)

    # The first check sees that, too: two calls differ.
    with pytest.raises(AssertionError):
        checked(DrawsOnce)


def test_one_module_for_two_models_is_refused():
    module = Mixer()
    with pytest.raises(AssertionError, match="the factory gives the same module twice"):
        checked(lambda: module)


def test_what_is_no_module_or_does_not_fit_is_a_users_mistake():
    with pytest.raises(UserError, match="makes a module, not 3"):
        checked(lambda: 3)
    with pytest.raises(UserError, match=r"embedded patches \[2, 16, 192\]"):
        check_encoder(Mixer, PICTURES, **{"data.patch": (2, 2)})
    with pytest.raises(UserError, match=r"needs model.mode='replace'"):
        checked(Mixer, **{"model.mode": "drop"})
    with pytest.raises(UserError, match=r"modality 'sounds' is none of"):
        check_encoder(Mixer, kind="sounds")


class Pictures(nn.Sequential):
    def __init__(self, frozen=False):
        super().__init__(
            nn.Conv2d(1, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.GELU(), nn.Conv2d(6, 8, 1)
        )
        self[0].weight.requires_grad = not frozen


def test_what_is_allowed_is_said():
    """Settings that were chosen, batch norm, and frozen weights."""
    report = check_encoder(lambda: Pictures(frozen=True), PICTURES, **{"data.patch": (2, 2)})
    assert [note[:42] for note in report.notes] == [
        "it needs the settings model.mode=replace, ",
        "batch norm mixes the samples of a batch in",
        "1 of 6 weights are frozen: encoder.network",
    ]


def test_weights_that_no_seed_changes_are_said():
    class Fixed(Mixer):
        def __init__(self):
            super().__init__()
            for each in self.parameters():
                nn.init.constant_(each, 0.1)

    assert checked(Fixed).notes == ("its first weights are the same for every seed",)


def tokens(width=WIDTH):
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))


def features():
    return nn.Sequential(nn.LazyLinear(WIDTH), nn.Tanh())


@pytest.mark.parametrize(
    ("kind", "encoder", "needs"),
    [
        ("text", tokens, "tokenizers"),
        ("dna", tokens, None),
        ("cells", features, "anndata"),
        ("tables", features, None),
    ],
)
def test_every_kind_brings_samples_of_its_own(kind, encoder, needs):
    if needs:
        pytest.importorskip(needs)
    report = check_encoder(encoder, kind=kind, model={"width": WIDTH})
    assert report.passed == tuple(CHECKS)


def test_a_vision_transformer_of_timm_passes():
    timm = peer("timm")
    made = {"img_size": 8, "patch_size": 2, "in_chans": 1, "depth": 1, "embed_dim": 32}
    report = check_encoder(
        lambda: timm.create_model("vit_tiny_patch16_224", num_heads=2, **made),
        PICTURES,
        **{"data.patch": (2, 2)},
    )
    assert report.passed == tuple(CHECKS)
    assert report.notes == ()
