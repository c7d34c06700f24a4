"""Models that start from weights of timm, transformers, MAE, and of runs on other images."""

import argparse
import copy
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import maskwise as mw
from maskwise.cli import main
from maskwise.errors import UserError
from maskwise.images.checkpoints import read_checkpoint, shapes_wanted
from maskwise.images.images import ImageSplits, array_source
from maskwise.images.init import as_one_channel, load_into, settings_for
from maskwise.images.recipes import ImageRunSettings
from maskwise.images.record import RECORD
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.preparing import scale_of
from maskwise.run import load_model, save_model
from maskwise.settings import override
from tests.images.vits import (
    HALF,
    IMAGENET,
    PICTURES,
    as_pixels,
    hf_mae,
    hf_vit,
    masked_autoencoder,
    raw,
    saved,
    started,
    timm_vit,
)

TINY = {"heads": 2, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
QUICK = {"evaluate": {"visible": (), "baselines": False, "protocols": "knn"}}
HIDDEN = torch.zeros(6, 16, dtype=torch.bool)
HIDDEN[:, 2::3] = True
HIDDEN[1::2] = HIDDEN[1::2].roll(1, dims=1)


def near(mine, theirs, most=1e-5):
    assert mine.shape == theirs.shape
    assert (mine - theirs).abs().max() < most


@pytest.fixture(scope="module")
def vit():
    return timm_vit(num_classes=3)


@pytest.fixture
def vit_file(vit, tmp_path):
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


def features(model, pictures=PICTURES):
    with torch.no_grad():
        return model.encode(raw(pictures), "none"), model.encode(raw(pictures), "class")


def same_features(model, theirs, most=1e-5):
    patches, token = features(model)
    near(patches, theirs[:, 1:], most)
    near(token, theirs[:, 0], most)


@pytest.mark.parametrize("form", ["safetensors", "pth", "model", "module", "old", "bf16"])
def test_vit_of_timm_gives_the_same_features(form, vit, tmp_path):
    state, kind = vit.state_dict(), torch.float32
    path = tmp_path / ("vit.pth" if form != "safetensors" else "vit.safetensors")
    if form == "safetensors":
        save_file(state, path)
    elif form == "model":
        torch.save({"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)}, path)
    elif form == "module":
        torch.save({"state_dict": {f"module.{name}": each for name, each in state.items()}}, path)
    elif form == "bf16":
        kind = torch.bfloat16
        torch.save({name: each.to(kind) for name, each in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form != "old")
    model, told = started(path, model=TINY)
    assert model.config.positions == "learned"
    with torch.no_grad():
        theirs = vit.forward_features(as_pixels(PICTURES, IMAGENET))
        if kind == torch.bfloat16:
            vit = copy.deepcopy(vit).to(kind).float()
            theirs = vit.forward_features(as_pixels(PICTURES, IMAGENET))
    same_features(model, theirs)
    assert "left: head.weight, head.bias" in told or "left: head.bias, head.weight" in told
    assert "taken: 30 tensors, learned positions" in told


def test_features_are_the_same_in_bf16(vit, vit_file):
    model, _ = started(vit_file, model=TINY)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        theirs = vit.forward_features(as_pixels(PICTURES, IMAGENET)).float()
        mine = model.encode(raw(PICTURES)).float()
    near(mine, theirs[:, 1:].mean(1), 2e-3)


def test_vit_without_class_token(tmp_path):
    vit = timm_vit(class_token=False, global_pool="avg", fc_norm=False)
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    model, _ = started(tmp_path / "vit.safetensors", model=TINY)
    assert not model.has_class_token
    with torch.no_grad():
        theirs = vit.forward_features(as_pixels(PICTURES, IMAGENET))
        near(model.encode(raw(PICTURES), "none"), theirs)


def test_class_token_without_a_position(tmp_path):
    vit = timm_vit(no_embed_class=True)
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    model, _ = started(tmp_path / "vit.safetensors", model=TINY)
    with torch.no_grad():
        same_features(model, vit.forward_features(as_pixels(PICTURES, IMAGENET)))


@pytest.mark.parametrize("form", ["folder", "running", "classifier"])
def test_vit_of_transformers_gives_the_same_features(form, tmp_path):
    """As it is written, under the names that it has in memory, and in front of a classifier."""
    vit = hf_vit(tmp_path)
    state = vit.state_dict()
    if form == "running":
        save_file(state, tmp_path / "model.safetensors")
    elif form == "classifier":
        state = {f"vit.{name}": each for name, each in state.items()}
        state["classifier.weight"] = torch.zeros(2, 32)
        save_file(state, tmp_path / "model.safetensors")
    model, told = started(tmp_path)
    assert model.config.eps == 1e-12
    assert model.config.heads == 2
    assert "a ViT of transformers: 2 blocks of width 32, 2 heads, patches of 4x4" in told
    with torch.no_grad():
        same_features(model, vit(as_pixels(PICTURES, HALF)).last_hidden_state)


def test_masked_autoencoder_of_transformers_predicts_the_same(tmp_path):
    mae = hf_mae(tmp_path)
    model, told = started(tmp_path)
    assert (model.config.positions, model.tokenizer.target) == ("fixed", "raw")
    assert "a ViTMAE of transformers" in told
    assert "new" not in told
    noise = HIDDEN.float() + torch.linspace(0, 0.5, 16)
    mae.config.mask_ratio = 5 / 16
    with torch.no_grad():
        found = mae(as_pixels(PICTURES, IMAGENET), noise=noise)
        assert torch.equal(found.mask.bool(), HIDDEN)
        tokens = model.tokenizer.tokenize(raw(PICTURES))
        mine = model(tokens, Mask(HIDDEN))
        theirs = found.logits[HIDDEN].view(6, 5, 16, 3).transpose(2, 3).flatten(2)
        near(mine, theirs)
        target = model.tokenizer.target_of(tokens[HIDDEN].view(6, 5, 48))
        near((mine - target).square().mean(), found.loss)
        hidden = mae.vit(as_pixels(PICTURES, IMAGENET), noise=noise)
        seen = hidden.last_hidden_state[:, 1:].mean(1)
        near(model.visible_features(raw(PICTURES), Mask(HIDDEN)), seen)


def test_positions_that_are_all_zero_are_said(tmp_path):
    """As transformers makes them of a configuration alone."""
    mae = hf_mae(tmp_path)
    with torch.no_grad():
        mae.vit.embeddings.position_embeddings.zero_()
    saved(mae, tmp_path)
    assert "beware: all positions are 0" in started(tmp_path)[1]


def test_masked_autoencoder_as_mae_keeps_it_predicts_the_same(tmp_path):
    mae = masked_autoencoder()
    given = argparse.Namespace(mask_ratio=0.75, norm_pix_loss=True)
    torch.save({"model": mae.state_dict(), "args": given, "epoch": 800}, tmp_path / "mae.pth")
    model, told = started(tmp_path / "mae.pth", model={"heads": 2, "decoder_heads": 2})
    assert model.config.positions == "fixed"
    assert "a masked autoencoder" in told
    assert "those of ImageNet" in told
    with torch.no_grad():
        theirs = mae(as_pixels(PICTURES, IMAGENET), HIDDEN)
        mine = model(model.tokenizer.tokenize(raw(PICTURES)), Mask(HIDDEN))
        near(mine, theirs.view(6, 5, 16, 3).transpose(2, 3).flatten(2))
        same_features(model, mae.features(as_pixels(PICTURES, IMAGENET)))


def test_encoder_of_mae_alone_keeps_its_positions_fixed(tmp_path):
    state = masked_autoencoder().state_dict()
    state = {n: v for n, v in state.items() if "decoder" not in n and n != "mask_token"}
    torch.save({"model": state}, tmp_path / "mae.pth")
    model, told = started(tmp_path / "mae.pth", model=TINY)
    assert model.config.positions == "fixed"
    assert not [name for name, _ in model.named_parameters() if "positions" in name]
    assert "new: mask_token, decoder_positions, to_decoder.weight" in told
    assert model.decoder_positions.std() > 0.1  # by the formula, as none came along


def test_model_folder_needs_the_weights_no_more(tmp_path):
    torch.save({"model": masked_autoencoder().state_dict()}, tmp_path / "mae.pth")
    model, _ = started(tmp_path / "mae.pth", model={"heads": 2, "decoder_heads": 2})
    save_model(tmp_path / "model", model)
    (tmp_path / "mae.pth").unlink()
    again = load_model(tmp_path / "model")
    for mine, other in zip(features(again), features(model), strict=True):
        assert torch.equal(mine, other)


def test_settings_come_from_the_weights(vit_file):
    model, _ = started(vit_file, model={"heads": 2})
    config, images = model.config, model.tokenizer
    assert (config.width, config.depth, config.mlp_ratio, config.heads) == (32, 2, 4.0, 2)
    assert (images.patch, images.white) == ((4, 4), 255.0)
    assert images.mean == pytest.approx((123.675, 116.28, 103.53))
    assert config.decoder_width == 128  # which no weights say


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"width": 64, "heads": 2}, r'"width": 64.*has 32: leave it out'),
        ({"depth": 3, "heads": 2}, r'"depth": 3.*has 2'),
        ({"class_token": False, "heads": 2}, "class_token.*has true"),
        ({"positions": "sincos", "heads": 2}, "positions.*sincos.*has learned"),
        ({}, "does not say its heads: give"),
        ({"heads": 5}, "width 32 is not a multiple of 5 heads"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given, match, vit_file):
    with pytest.raises(UserError, match=match):
        started(vit_file, model=given)


def test_shapes_that_are_asked_for_are_those_of_a_model(tmp_path):
    hf_mae(tmp_path)
    model, _ = started(tmp_path)
    there = {name: tuple(each.shape) for name, each in model.state_dict().items()}
    for name in ("positions", "decoder_positions"):  # and one of the class token
        there[name] = (1, there[name][1] + 1, there[name][2])
    wanted = shapes_wanted(read_checkpoint(tmp_path))
    assert wanted == {name: there[name] for name in there if not name.startswith("log_")}


def test_decoder_of_another_shape_is_a_new_one(tmp_path):
    hf_mae(tmp_path)
    model, told = started(tmp_path, model={"decoder_width": 24})
    assert model.config.decoder_width == 24
    assert "16 tensors, the decoder is to be another" in told or "decoder is to be another" in told
    assert "new: mask_token, decoder_positions, to_decoder.weight" in told


def test_decoder_with_wider_mlps_is_left(tmp_path):
    mae = hf_mae(tmp_path, decoder_intermediate_size=64)
    model, told = started(tmp_path)
    assert model.config.decoder_width == 128
    assert "not needed" in told
    mae.config.mask_ratio = 0.0
    noise = torch.arange(16.0).expand(6, -1)
    with torch.no_grad():
        theirs = mae.vit(as_pixels(PICTURES, IMAGENET), noise=noise).last_hidden_state
    same_features(model, theirs)


def test_larger_images_and_patches_are_resized(vit, vit_file):
    """Images enlarged with their patches say what the small ones did."""
    pictures = np.random.default_rng(1).integers(0, 256, (4, 32, 24, 3), dtype=np.uint8)
    model, told = started(vit_file, pictures, model=TINY, data={"patch": (8, 6)})
    assert model.tokenizer.grid == (4, 4)
    assert "resized: patches from 4x4 to 8x6" in told
    resize = torch.nn.functional.interpolate
    patch = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    large = resize(patch, (8, 6), mode="bicubic", antialias=True)
    with torch.no_grad():
        near(model.embed(large.flatten(1)), vit.patch_embed.proj(patch)[:, :, 0, 0], 1e-4)


def test_another_grid_interpolates_positions(vit, vit_file):
    pictures = np.zeros((4, 32, 24, 3), np.uint8)
    model, told = started(vit_file, pictures, model=TINY)
    assert "resized: positions from 4x4 to 8x6" in told
    assert model.positions.shape == (1, 48, 32)
    assert torch.allclose(model.positions.mean(), vit.pos_embed[:, 1:].mean(), atol=2e-2)


def test_grey_images_give_what_the_same_grey_in_three_channels_did(vit, vit_file):
    grey = PICTURES[..., :1]
    model, told = started(vit_file, grey, model=TINY)
    assert "channels from 3 to 1" in told
    with torch.no_grad():
        theirs = vit.forward_features(as_pixels(np.repeat(grey, 3, axis=3), IMAGENET))
        near(model.encode(raw(grey), "none"), theirs[:, 1:], 2e-5)


def test_one_channel_of_an_embedding_by_hand():
    weight = torch.tensor([[[[2.0]], [[3.0]]]])
    weight, bias = as_one_channel(weight, torch.tensor([1.0]), (0.0, 1.0), (1.0, 3.0))
    # x = 4: 2 (4 - 0) / 1 + 3 (4 - 1) / 3 + 1 = 12; standardised as both it is (4 - 0.5) / 2.
    assert (weight.sum() * (4 - 0.5) / 2 + bias).item() == pytest.approx(12)


def test_pixels_are_standardised_as_a_folder_says(tmp_path):
    vit = hf_vit(tmp_path)
    says = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "rescale_factor": 1 / 255}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(says))
    model, told = started(tmp_path)
    assert "mean 0.1, 0.2, 0.3 and deviation 0.4, 0.5, 0.6 of 255, as preprocessor_config" in told
    with torch.no_grad():
        pixels = as_pixels(
            PICTURES, (torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6]))
        )
        same_features(model, vit(pixels).last_hidden_state)


def test_pixels_may_be_given_otherwise(vit_file):
    model, told = started(vit_file, model=TINY, data={"mean": (0.5,), "std": (0.25,)})
    assert model.tokenizer.mean == (127.5,) * 3
    assert "not those that the weights know" in told


def test_images_of_other_channels_have_their_own_statistics(vit, vit_file):
    four = np.random.default_rng(4).integers(0, 256, (6, 16, 16, 4), dtype=np.uint8)
    given = {"model.heads": 2, "model.init": str(vit_file)}
    config = settings_for(override(ImageRunSettings(), given), vit_file, given)
    images, _ = RECORD.describe(ImageSplits(array_source(four), array_source(four), "x"), config)
    assert images.mean == pytest.approx(four.mean((0, 1, 2)))
    model = build(images, config.model, seed=0)
    told = load_into(model, vit_file)
    assert "channels from 3 to 4" in told
    assert "not those that the weights know" in told


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"mean": (0.5, 0.5), "std": (0.5, 0.5)}, "have 2 numbers, and images 3 channels"),
        ({"mean": (0.5,)}, "go together: give both or none"),
        ({"mean": (0.5,), "std": (0.0,)}, "greater than 0"),
    ],
)
def test_statistics_that_cannot_be_are_refused(given, match, vit_file):
    with pytest.raises(UserError, match=match):
        started(vit_file, model=TINY, data=given)


def test_floats_are_read_as_shares_of_white(vit, vit_file):
    floats = (PICTURES / 255).astype(np.float32)
    model, _ = started(vit_file, floats, model=TINY)
    assert model.tokenizer.mean == pytest.approx((0.485, 0.456, 0.406))
    with torch.no_grad():
        theirs = vit.forward_features(as_pixels(PICTURES, IMAGENET))
        near(model.encode(raw(floats), "none"), theirs[:, 1:])


def test_floats_of_another_scale_are_refused(vit_file):
    with pytest.raises(UserError, match=r"leave channel 2 of the images at .*scale the images"):
        started(vit_file, PICTURES.astype(np.float32), model=TINY)


def changed(vit, tmp_path, drop=(), **more):
    state = {name: each for name, each in vit.state_dict().items() if name not in drop}
    save_file(state | more, tmp_path / "other.safetensors")
    return tmp_path / "other.safetensors"


@pytest.mark.parametrize(
    ("drop", "more", "match"),
    [
        ((), {"blocks.0.ls1.gamma": (32,)}, r"also has blocks.0.ls1.gamma; a vision transformer"),
        ((), {"reg_token": (1, 4, 32)}, "also has reg_token"),
        ((), {"fc_norm.weight": (32,)}, "also has fc_norm.weight"),
        ((), {"blocks.1.attn.q_norm.weight": (16,)}, "also has blocks.1.attn.q_norm.weight"),
        (("blocks.0.attn.qkv.bias",), {}, "lacks blocks.0.attn.qkv.bias"),
        (("norm.weight", "norm.bias"), {}, "lacks norm.weight, norm.bias"),
        ((), {"blocks.0.mlp.fc1.weight": (256, 32)}, "shapes do not fit: blocks.0.mlp.fc1.weight"),
        ((), {"pos_embed": (1, 4, 4, 32)}, "shapes do not fit: pos_embed"),
        ((), {"pos_embed": (1, 14, 32)}, "14 positions, which are of no square grid"),
    ],
)
def test_encoders_that_ours_is_not_are_refused(drop, more, match, vit, tmp_path):
    tensors = {name: torch.ones(shape) for name, shape in more.items()}
    with pytest.raises(UserError, match=match):
        started(changed(vit, tmp_path, drop, **tensors), model=TINY)


def test_another_architecture_names_ten_keys(tmp_path):
    state = {f"layer{n}.conv1.weight": torch.ones(1) for n in range(12)}
    save_file(state, tmp_path / "resnet.safetensors")
    with pytest.raises(UserError) as error:
        started(tmp_path / "resnet.safetensors")
    assert str(error.value).count("conv1.weight") == 10
    assert "and 2 more" in str(error.value)
    assert "\n" not in str(error.value)


def test_another_activation_is_refused(tmp_path):
    hf_vit(tmp_path, hidden_act="gelu_new")
    with pytest.raises(UserError, match="hidden_act 'gelu_new'"):
        started(tmp_path)


def test_numbers_that_are_none_are_refused(vit, tmp_path):
    path = changed(vit, tmp_path, **{"norm.bias": torch.full((32,), torch.nan)})
    with pytest.raises(UserError, match=r"norm\.bias has values that are no numbers"):
        started(path, model=TINY)


class Own:
    """What only pickle brings back."""


@pytest.mark.parametrize(
    ("prepare", "match"),
    [
        (lambda path: torch.save({"model": Own()}, path), "holds .*Own.*needs pickle.*save_file"),
        (lambda path: path.write_bytes(b""), "damaged: there is nothing in it"),
        (lambda path: path.write_bytes(b"no weights"), "damaged"),
        (lambda path: torch.save({"epoch": 3}, path), "holds no weights, but epoch"),
        (lambda path: None, "no file or folder of weights"),
        (lambda path: path.mkdir(), "holds no weights: it has none of model.safetensors"),
    ],
)
def test_files_that_are_no_weights_are_refused(prepare, match, tmp_path):
    prepare(tmp_path / "w.pth")
    with pytest.raises(UserError, match=match) as error:
        started(tmp_path / "w.pth")
    assert "\n" not in str(error.value)


def test_folder_without_a_config_is_refused(vit, tmp_path):
    save_file(vit.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"has no config.json, which says"):
        started(tmp_path)


def test_weights_in_several_files(tmp_path):
    vit = hf_vit(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    names = sorted(state)
    parts = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for part, own in parts.items():
        save_file({name: state[name] for name in own}, tmp_path / part)
    listed = {"weight_map": {name: part for part, own in parts.items() for name in own}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(listed))
    (tmp_path / "model.safetensors").unlink()
    model, _ = started(tmp_path)
    with torch.no_grad():
        same_features(model, vit(as_pixels(PICTURES, HALF)).last_hidden_state)


PHOTOS = np.random.default_rng(2).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)


STEPS = {"steps": 2, "batch_size": 8, "checkpoint_every": 1, "lr": 1e-12, "weight_decay": 0}


@pytest.fixture(scope="module")
def begun(vit, tmp_path_factory):
    """A run that started from a ViT and learned next to nothing; the file of that is gone."""
    folder = tmp_path_factory.mktemp("runs")
    save_file(vit.state_dict(), folder / "vit.safetensors")
    first, _ = started(folder / "vit.safetensors", model=TINY)
    settings = {
        "model": {"init": str(folder / "vit.safetensors"), **TINY},
        "train": STEPS,
        **QUICK,
    }
    run = mw.pretrain(PHOTOS, law="uniform:0.2,0.8", out=folder / "run", **settings)
    (folder / "vit.safetensors").unlink()
    return run, settings, first


def test_pretraining_goes_on_from_a_vit(begun):
    run, _, first = begun
    assert run.config.data.mean == pytest.approx((0.485, 0.456, 0.406))
    near(torch.from_numpy(run.embed(PICTURES)), features(first)[0].mean(1))


def test_a_run_goes_on_without_the_weights_that_it_began_with(begun, tmp_path, caplog):
    run, settings, first = begun
    out = shutil.copytree(run.path, tmp_path / "run")
    shutil.rmtree(out / "model")
    caplog.set_level("INFO")
    again = mw.pretrain(PHOTOS, law="uniform:0.2,0.8", out=out, resume=True, **settings)
    assert again.config == run.config
    assert "starts from" not in caplog.text
    near(torch.from_numpy(again.embed(PICTURES)), features(first)[0].mean(1))
    for checkpoint in (out / "checkpoint").glob("*.safetensors"):
        checkpoint.unlink()
    (out / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match="no file or folder of weights"):  # begins anew
        mw.pretrain(PHOTOS, law="uniform:0.2,0.8", out=out, resume=True, **settings)


def test_a_budget_keeps_the_shape_of_the_weights(begun):
    config = begun[0].config
    assert scale_of(RECORD, "photos", None, config).smaller == ()
    config = override(config, {"model.init": None})
    assert scale_of(RECORD, "photos", None, config).smaller


@pytest.mark.parametrize("part", ["run", "model", "checkpoint"])
def test_a_run_on_other_images_goes_on_here(part, begun, tmp_path):
    """Also its model's folder alone, and a run that was stopped."""
    run, _, _ = begun
    place = shutil.copytree(run.path, tmp_path / "run")
    if part == "model":
        place = place / "model"
    elif part == "checkpoint":
        shutil.rmtree(place / "model")
    there = run.model()
    same, _ = started(place, PHOTOS)
    for mine, kept in zip(features(same), features(there), strict=True):
        assert torch.equal(mine, kept)
    wide = np.random.default_rng(3).integers(0, 256, (12, 16, 24, 3), dtype=np.uint8)
    model, told = started(place, wide)
    assert "a run: 2 blocks of width 32, 2 heads" in told
    assert "resized: positions from 4x4 to 4x6" in told
    assert model.tokenizer.mean == there.tokenizer.mean
    assert torch.equal(model.decoder.norm.weight, there.decoder.norm.weight)
    assert torch.equal(model.embed.weight, there.embed.weight)


def test_the_command_refuses_in_one_line_before_it_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Own()}, "own.pth")
    for place in ("own.pth", "none.pth", "."):
        assert main(["pretrain", "digits", "--model.init", place, "--out", "run"]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_own_encoders_start_from_themselves(vit_file):
    with pytest.raises(UserError, match="an encoder of your own starts from"):
        mw.pretrain(PHOTOS, model={"init": str(vit_file)}, encoder=torch.nn.Identity)
