"""Networks of timm by name, as encoders of images."""

import dataclasses

import numpy as np
import pytest
import torch

import maskwise as mw
from maskwise.errors import UserError
from maskwise.images.finetuning import Classifier, parameter_groups
from maskwise.images.images import Images
from maskwise.images.timm_encoder import Asked, asked, images_model, patch_of, to_timm
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.model_folder import load_model, save_model, untrained
from maskwise.patches.model import PatchModelSettings
from maskwise.patches.sizes import on_grid
from maskwise.settings import override, to_dict
from tests.fixtures.runs import TINY
from tests.peers import peer

timm = peer("timm")

SMALL = "depth=2,embed_dim=32,num_heads=2"
VIT = f"timm:vit_tiny_patch16_224,{SMALL}"
VITS = {
    "class token": VIT,
    "registers, no class token": f"timm:vit_medium_patch16_reg1_gap_256,{SMALL}",
    "rotary positions": f"timm:vit_small_patch16_dinov3,{SMALL}",
    "no prefix": f"timm:vit_base_patch16_rpn_224,{SMALL}",
}
CONV = "timm:resnet10t,channels=4+4+4+4,out_indices=1+2"
IMAGES = Images(
    patch=(4, 4), channels=2, height=16, width=24, mean=(90.0, 110.0), std=(50.0, 60.0)
)
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 2, 16, 24), generator=rng).to(torch.uint8)


@pytest.fixture
def ragged():
    return torch.rand(3, 24, generator=torch.Generator().manual_seed(1)) < 0.6


def model_of(name, images=IMAGES, seed=0, **changes):
    shape = PatchModelSettings(encoder=name, **(DECODER | changes))
    return build(images, shape, seed=seed).eval()


@pytest.mark.parametrize("name", VITS)
@torch.no_grad()
def test_blocks_of_a_vision_transformer_see_visible_patches_only(name, batch, ragged):
    model, mask = model_of(VITS[name]), Mask(ragged)
    seen = []
    model.encoder.network.blocks[0].register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    before, _ = model.predict(batch, mask)
    most = int((~ragged).sum(1).max())
    assert seen[0].shape == (3, model.num_prefix + most, 32)
    assert model.num_encoded(mask) == int((~ragged).sum())
    own = mask.hidden_valid
    after, _ = model.predict(model.mix(batch, 255 - batch, ragged), mask)
    assert torch.equal(before[own], after[own])
    other, _ = model.predict(model.mix(batch, 255 - batch, ~ragged), mask)
    assert (before - other)[own].abs().max() > 1e-4
    # Padding of a ragged batch is not seen.
    for row in range(3):
        alone, _ = model.predict(batch[row : row + 1], Mask(ragged[row : row + 1]))
        num = int(ragged[row].sum())
        torch.testing.assert_close(before[row, :num], alone[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_whole_images_have_the_features_of_timm(batch):
    """Of the network of timm by itself, fed with standardised images."""
    model = model_of(VIT)
    theirs = timm.create_model(
        "vit_tiny_patch16_224",
        **{"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": (16, 24), "patch_size": 4},
        in_chans=2,
        num_classes=0,
    ).eval()
    theirs.load_state_dict(model.encoder.network.state_dict())
    pictures = (batch - torch.tensor([90, 110])[:, None, None]) / torch.tensor([50, 60])[
        :, None, None
    ]
    found = theirs.forward_features(pictures)
    torch.testing.assert_close(model.encode(batch, "class"), found[:, 0])
    torch.testing.assert_close(model.encode(batch, "none"), found[:, 1:])
    torch.testing.assert_close(model.encode(batch), found[:, 1:].mean(1))
    blocks = theirs.forward_intermediates(pictures, indices=[0], norm=True, output_fmt="NLC")[1]
    assert model.num_layers == 2
    torch.testing.assert_close(model.encode(batch, "none", layer=0), blocks[0])


@torch.no_grad()
def test_visible_patches_are_encoded_as_by_hand(batch):
    """A twin: embed, add positions, choose, put the class token in front, run the blocks."""
    model = model_of(VIT)
    vit, hidden = model.encoder.network, torch.arange(24) % 3 > 0
    mask = Mask(hidden.expand(3, 24))
    pictures = IMAGES.picture(IMAGES.tokenize(batch))
    patches = vit.patch_embed(pictures) + vit.pos_embed[:, 1:]
    first = (vit.cls_token + vit.pos_embed[:, :1]).expand(3, -1, -1)
    x = torch.cat([first, patches[:, ~hidden]], dim=1)
    for block in vit.blocks:
        x = block(x)
    found = vit.norm(x)
    torch.testing.assert_close(model.visible_features(batch, mask, "class"), found[:, 0])
    torch.testing.assert_close(model.visible_features(batch, mask), found[:, 1:].mean(1))


@torch.no_grad()
def test_a_vision_transformer_may_also_see_all_patches(batch, ragged):
    model, mask = model_of(VIT, mode="replace"), Mask(ragged)
    assert not hasattr(model, "decoder")
    before, _ = model.predict(batch, mask)
    after, _ = model.predict(model.mix(batch, 255 - batch, ragged), mask)
    assert before.shape == (3, int(ragged.sum(1).max()), 32)
    assert torch.equal(before, after)
    assert model.num_encoded(mask) == 72


@torch.no_grad()
def test_a_network_without_tokens_sees_pictures_with_filled_patches(batch, ragged):
    model, mask = model_of(CONV), Mask(ragged)
    assert (model.config.mode, model.config.class_token) == ("replace", False)
    before, _ = model.predict(batch, mask)
    after, _ = model.predict(model.mix(batch, 255 - batch, ragged), mask)
    assert torch.equal(before, after)
    assert model.num_layers == 2
    assert model.encode(batch).shape == model.encode(batch, layer=0).shape == (3, 4)


@torch.no_grad()
def test_maps_with_channels_last_are_understood(batch):
    name = "timm:swin_tiny_patch4_window7_224,depths=1+1,num_heads=1+2,embed_dim=8,out_indices=0+1"
    assert model_of(name).encode(batch).shape == (3, 16)


@pytest.mark.parametrize("name", [VIT, CONV])
def test_a_folder_reads_without_encoder(name, batch, tmp_path):
    model = model_of(name)
    save_model(tmp_path, model)
    read = load_model(tmp_path)
    assert read.config == model.config
    torch.testing.assert_close(read.encode(batch), model.encode(batch))
    with pytest.raises(UserError, match="give one of them"):
        load_model(tmp_path, encoder=lambda: torch.nn.Linear(2, 2))
    fresh = untrained(model, seed=0)
    assert torch.equal(fresh.encode(batch), model.encode(batch))
    assert not torch.equal(untrained(model, seed=1).encode(batch), model.encode(batch))


def test_an_encoder_from_a_function_may_be_a_vision_transformer(batch):
    made = {"img_size": (16, 24), "patch_size": 4, "in_chans": 2, "depth": 1, "embed_dim": 32}
    model = build(
        IMAGES,
        PatchModelSettings(**DECODER),
        seed=0,
        encoder=lambda: timm.create_model("vit_tiny_patch16_224", num_heads=2, **made),
    )
    assert model.has_class_token
    assert model.encode(batch).shape == (3, 32)
    assert not any("head" in name for name, _ in model.encoder.named_parameters())


@torch.no_grad()
def test_patches_that_are_embedded_with_their_neighbours_do_not_leak(batch):
    """A network whose first layers are convolutions that look beyond a patch."""
    images = Images(
        patch=(32, 32), channels=2, height=64, width=64, mean=(0.0,) * 2, std=(1.0,) * 2
    )
    model = model_of(f"timm:vit_tiny_r_s16_p8_224,{SMALL}", images)
    hidden, large = (
        torch.arange(4).expand(3, 4) < 2,
        batch[:, :, :, :16].repeat(1, 1, 4, 4).float(),
    )
    before, _ = model.predict(large, Mask(hidden))
    after, _ = model.predict(model.mix(large, -large, hidden), Mask(hidden))
    assert torch.equal(before, after)


def test_a_run_from_the_command_line_to_features(tmp_path, cli, no_report):
    out = tmp_path / "run"
    assert cli("pretrain", "digits", "--out", out, *TINY, "--model.encoder", VIT)[0] == 0
    run = mw.Run(out)
    assert run.config.model.encoder == VIT
    assert run.embed(np.zeros((5, 8, 8), np.uint8)).shape == (5, 32)
    assert run.model().encoder.network.patch_embed.patch_size == (2, 2)
    assert any("class" in row["features"] for row in run.result["probes"])


@torch.no_grad()
def test_a_vision_transformer_goes_back_to_timm(batch, tmp_path):
    model = model_of(VITS["registers, no class token"])
    to_timm(model, tmp_path)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    found = theirs.forward_features(IMAGES.picture(IMAGES.tokenize(batch)))
    torch.testing.assert_close(theirs.fc_norm(found)[:, 1:], model.encode(batch, "none"))
    with pytest.raises(UserError, match=r"was trained without its head.*model\.encoder\.network"):
        to_timm(model_of(CONV), tmp_path)


def test_weights_to_start_from_and_a_network_exclude_each_other():
    with pytest.raises(UserError, match=r"model\.init a\.pth .* model\.encoder timm:b is another"):
        PatchModelSettings(init="a.pth", encoder="timm:b")


def test_fine_tuning_gives_rates_to_the_blocks_of_a_vision_transformer(batch):
    tuned = Classifier(model_of(VIT), 3, np.random.default_rng(0))
    assert tuned(batch).shape == (3, 3)
    # The last norm is behind the mean.
    assert isinstance(tuned.model.encoder.network.norm, torch.nn.Identity)
    scales = {}
    for group in parameter_groups(tuned, 0.5):
        for parameter in group["params"]:
            scales[id(parameter)] = group["scale"]
    vit = tuned.model.encoder.network
    assert scales[id(vit.patch_embed.proj.weight)] == scales[id(vit.pos_embed)] == 1 / 8
    assert scales[id(vit.blocks[0].attn.qkv.weight)] == 1 / 4
    assert scales[id(vit.blocks[1].mlp.fc1.weight)] == 1 / 2
    assert scales[id(tuned.weight)] == 1
    assert id(tuned.model.head.weight) not in scales
    whole = Classifier(model_of(CONV), 3, np.random.default_rng(0))
    assert {group["scale"] for group in parameter_groups(whole, 0.5)} == {1, 1 / 2}


def test_the_setting_is_read_and_written():
    assert asked("timm:a,depth=2,x=1+2,f=0.5,s=relu,b=true,pretrained=true") == Asked(
        "a", {"depth": 2, "x": (1, 2), "f": 0.5, "s": "relu", "b": True}, pretrained=True
    )
    assert (
        str(asked("timm:a,depth=2,x=1+2,b=true,pretrained=true")) == "timm:a,depth=2,x=1+2,b=true"
    )
    config = PatchModelSettings()
    changed = override(config, {"encoder": "timm:a,depth=2"})
    assert to_dict(changed)["encoder"] == "timm:a,depth=2"


def test_patches_of_the_data_are_those_of_the_network_where_none_are_given():
    assert patch_of(VIT) == (16, 16)
    assert patch_of(f"{VIT},patch_size=8") == (8, 8)
    assert patch_of(CONV) is None
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    from maskwise.images.record import RECORD

    config = override(RECORD.own("array"), {"model.encoder": f"{VIT},patch_size=8"})
    tokenizer, config = RECORD.describe(RECORD.load(pictures, config), config)
    assert tokenizer.patch == config.data.patch == (8, 8)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("convnext_atto", r"give timm:NAME, such as"),
        ("timm:convnext_attoo", r"no network 'convnext_attoo'; did you mean convnext_atto or"),
        ("timm:zzzzzz", r"no network 'zzzzzz'; timm.list_models\(\) names them"),
        ("timm:resnet10t,bogus=3", "has no argument 'bogus'"),
        ("timm:resnet10t,bogus", "'bogus' is no argument=value"),
        ("timm:resnet10t,in_chans=3", "in_chans follows from the data; leave it out"),
        ("timm:resnet10t,pretrained=3", "pretrained is true or false, not 3"),
        (f"{VIT},patch_size=8", r"into 2x3 patches, and data.patch cuts those of 16x24 into 4x6"),
        (f"{VIT},out_indices=1", "a vision transformer has no out_indices"),
        (f"{VIT},embed_dim=31", "cannot be made so"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(name, said):
    with pytest.raises(UserError, match=said) as error:
        model_of(name)
    assert "\n" not in str(error.value)


def test_networks_that_compute_while_they_are_made_are_made_for_real(monkeypatch, batch):
    real = timm.create_model

    def create(*names, **more):
        made = real(*names, **more)
        next(made.parameters()).sum().item()
        return made

    monkeypatch.setattr(timm, "create_model", create)
    assert model_of(f"{VIT},init_values=0.1").encode(batch).shape == (3, 32)


def test_images_of_another_size_are_for_networks_without_positions(batch):
    wide = dataclasses.replace(IMAGES, height=32)
    with pytest.raises(UserError, match="the run's encoder reads images of one size"):
        on_grid(model_of(VIT), wide)
    moved = on_grid(model_of(CONV), wide)
    assert moved.encode(torch.cat([batch, batch], dim=2)).shape == (3, 4)


def test_images_that_are_too_small_are_said_with_a_way_out():
    tiny = Images(patch=(2, 2), channels=1, height=8, width=8, mean=(0.0,), std=(1.0,))
    with pytest.raises(UserError, match=r"pictures \[2, 1, 8, 8\].*early maps: out_indices=0\+1"):
        model_of("timm:convnext_atto,depths=1+1+1+1,dims=8+8+8+8", tiny)


def test_pretrained_weights_are_read_once_and_refused_in_words(monkeypatch, batch):
    made, real = [], timm.create_model

    def create(name, pretrained=False, **more):
        made.append(pretrained)
        if pretrained and len(made) > 3:
            raise OSError("offline\nand more")
        return real(name, pretrained=False, **more)

    monkeypatch.setattr(timm, "create_model", create)
    model = model_of(f"{VIT},pretrained=true")
    assert True in made
    assert model.config.encoder == VIT  # the folder holds the weights
    made[:] = [False] * 3
    with pytest.raises(UserError, match=r"weights cannot be had \(offline and more\)"):
        model_of(f"{VIT},pretrained=true", seed=1)


def test_without_timm_the_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match=r'needs timm: pip install "maskwise\[timm\]"'):
        images_model(IMAGES, PatchModelSettings(encoder="timm:missing"), "auto", None)
