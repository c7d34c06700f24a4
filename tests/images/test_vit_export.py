"""Encoders of images as timm and transformers load them, and back."""

import functools
import json

import pytest
import torch
from torch import nn

from maskwise.errors import UserError
from maskwise.exports.folder import write
from maskwise.images.images import array_source, describe
from maskwise.images.record import RECORD
from maskwise.images.vit_export import timm_name, to_hf_vit, to_hf_vitmae, to_timm
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.patches.model import PatchModel, PatchModelSettings
from tests.images.vits import PICTURES, raw, shaken, started
from tests.peers import peer

SMALL = {"width": 32, "depth": 2, "heads": 2, "mlp_ratio": 3.0}
SMALL |= {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
HIDDEN = torch.zeros(6, 16, dtype=torch.bool)
HIDDEN[:, 1::3] = True
WRITERS = {"timm": to_timm, "hf-vit": to_hf_vit, "hf-vitmae": to_hf_vitmae}


@functools.cache
def model_of(channels=3, target="normalised", patch=(4, 4), **changes):
    """A model whose weights are nowhere 0 or 1, of images of 16 x 16."""
    images = describe(array_source(PICTURES[..., :channels]), patch, target)
    return shaken(build, images, PatchModelSettings(**(SMALL | changes)), seed=0)


def standardised(model):
    images = model.tokenizer
    mean, std = (torch.tensor(each)[:, None, None] for each in (images.mean, images.std))
    return (raw(PICTURES[..., : images.channels]) - mean) / std


def same(model, theirs, most=1e-5):
    """Hold their tokens, the class token first if there is one, against ours."""
    pictures = raw(PICTURES[..., : model.tokenizer.channels])
    with torch.no_grad():
        patches = model.encode(pictures, "none")
        assert (patches - theirs[:, -patches.shape[1] :]).abs().max() < most
        if model.has_class_token:
            assert (model.encode(pictures, "class") - theirs[:, 0]).abs().max() < most


@pytest.mark.parametrize("changes", [{}, {"positions": "learned", "channels": 1}])
def test_timm_loads_an_encoder(changes, tmp_path):
    timm, model = peer("timm"), model_of(**changes)
    write(model, tmp_path / "out", RECORD.exports, "timm")
    says = json.loads((tmp_path / "out" / "config.json").read_text())
    path = tmp_path / "out" / "model.safetensors"
    args = {"num_classes": 0, **says["model_args"]}
    vit = timm.create_model(says["architecture"], checkpoint_path=path, **args).eval()
    assert says["pretrained_cfg"]["mean"][0] * 255 == pytest.approx(model.tokenizer.mean[0])
    with torch.no_grad():
        same(model, vit.forward_features(standardised(model)))
        found = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
        same(model, found.forward_features(standardised(model)))


def test_timm_loads_an_encoder_without_class_token_and_of_another_eps(tmp_path, caplog):
    timm, model = peer("timm"), model_of(class_token=False, mode="replace", eps=1e-3, patch=(4, 2))
    to_timm(model, tmp_path)
    assert "norm_layer=functools.partial(torch.nn.LayerNorm, eps=0.001)" in caplog.text
    says = json.loads((tmp_path / "config.json").read_text())
    args = {"num_classes": 0, **says["model_args"]}
    args["norm_layer"] = functools.partial(nn.LayerNorm, eps=0.001)
    path = tmp_path / "model.safetensors"
    vit = timm.create_model(says["architecture"], checkpoint_path=path, **args).eval()
    with torch.no_grad():
        same(model, vit.forward_features(standardised(model)))
        mean = model.encode(raw(PICTURES))
        assert (vit(standardised(model)) - mean).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("width", "depth", "heads", "patch", "name"),
    [
        (768, 12, 12, 16, "vit_base_patch16_224"),
        (384, 12, 6, 8, "vit_small_patch8_224"),
        (1280, 32, 16, 14, "vit_huge_patch14_224"),
        (1280, 32, 20, 14, "vit_tiny_patch16_224"),
        (768, 12, 12, 4, "vit_base_patch16_224"),
    ],
)
def test_usual_shapes_have_the_name_that_timm_gives_them(width, depth, heads, patch, name):
    images = describe(array_source(PICTURES), (4, 4), "raw")
    with torch.device("meta"):
        shape = {"width": width, "depth": depth, "heads": heads}
        model = PatchModel(images, PatchModelSettings(**shape))
    model.tokenizer = describe(
        array_source(PICTURES.repeat(14, 1).repeat(14, 2)), (patch,) * 2, "raw"
    )
    assert timm_name(model) == name
    assert name in peer("timm").list_models("vit_*")


@pytest.mark.slow
def test_timm_loads_its_usual_models_by_their_name_alone(tmp_path):
    large = describe(array_source(PICTURES.repeat(14, 1).repeat(14, 2)), (16, 16), "normalised")
    shape = {"width": 192, "depth": 12, "heads": 3, "decoder_depth": 1}
    model = build(large, PatchModelSettings(**shape), seed=0)
    to_timm(model, tmp_path)
    path = tmp_path / "model.safetensors"
    vit = peer("timm").create_model("vit_tiny_patch16_224", checkpoint_path=path, num_classes=0)
    pictures = torch.randint(256, (1, 3, 224, 224), dtype=torch.uint8)
    mean, std = (torch.tensor(each)[:, None, None] for each in (large.mean, large.std))
    with torch.no_grad():
        theirs = vit.eval().forward_features((pictures - mean) / std)
        assert (model.encode(pictures, "none") - theirs[:, 1:]).abs().max() < 1e-5


@pytest.mark.parametrize("changes", [{}, {"positions": "learned", "channels": 1, "eps": 1e-12}])
def test_transformers_loads_an_encoder_and_its_pixels(changes, tmp_path):
    transformers, model = peer("transformers"), model_of(**changes)
    write(model, tmp_path / "out", RECORD.exports, "hf-vit")
    more = {"add_pooling_layer": False, "output_loading_info": True}
    vit, info = transformers.ViTModel.from_pretrained(tmp_path / "out", **more)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        same(model, vit(standardised(model)).last_hidden_state)


def test_processor_of_transformers_makes_the_pixels(tmp_path):
    transformers, model = peer("transformers"), model_of()
    to_hf_vit(model, tmp_path)
    processor = transformers.ViTImageProcessor.from_pretrained(tmp_path)
    pixels = processor(images=list(PICTURES), return_tensors="pt")["pixel_values"]
    assert torch.allclose(pixels, standardised(model), atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"target": "raw", "channels": 1, "eps": 1e-12}])
def test_transformers_loads_encoder_and_decoder(changes, tmp_path):
    transformers, model = peer("transformers"), model_of(**changes)
    write(model, tmp_path / "out", RECORD.exports, "hf-vitmae")
    mae, info = transformers.ViTMAEForPreTraining.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    # A model made of config.json alone would have none.
    assert torch.equal(mae.vit.embeddings.position_embeddings[:, 1:], model.positions)
    assert torch.equal(mae.decoder.decoder_pos_embed[:, 1:], model.decoder_positions)
    mae.config.mask_ratio = 5 / 16
    noise = HIDDEN + torch.linspace(0, 0.5, 16)
    channels = model.tokenizer.channels
    pictures = raw(PICTURES[..., :channels])
    with torch.no_grad():
        found = mae.eval()(standardised(model), noise=noise)
        tokens = model.tokenizer.tokenize(pictures)
        mine = model(tokens, Mask(HIDDEN))
        theirs = found.logits[HIDDEN].view(6, 5, 16, channels).transpose(2, 3).flatten(2)
        assert (mine - theirs).abs().max() < 1e-5
        target = model.tokenizer.target_of(tokens[HIDDEN].view(6, 5, -1))
        assert (mine - target).square().mean().item() == pytest.approx(found.loss.item(), abs=1e-5)


@pytest.mark.parametrize("name", list(WRITERS))
@pytest.mark.parametrize("changes", [{}, {"positions": "learned", "eps": 1e-12, "target": "raw"}])
def test_there_and_back_is_exact(name, changes, tmp_path):
    model = model_of(**changes)
    WRITERS[name](model, tmp_path)
    given = {"heads": 2, "decoder_heads": 2}
    again, _ = started(tmp_path, model={} if name == "hf-vitmae" else given)
    decoder = name == "hf-vitmae"
    for key, value in model.state_dict().items():
        encoder = key.startswith(("encoder.", "embed.", "class_token", "positions"))
        if encoder or (decoder and not key.startswith("log_")):
            assert torch.equal(again.state_dict()[key], value), key
    assert torch.equal(again.positions, model.positions)
    mine, theirs = again.tokenizer, model.tokenizer
    assert mine.mean == pytest.approx(theirs.mean, rel=1e-12)
    assert (again.config.eps, again.config.mlp_ratio) == (model.config.eps, 3.0)
    assert again.config.heads == 2
    if decoder:
        assert mine.target == theirs.target
        assert again.config.decoder_depth == 1


@pytest.mark.parametrize(
    ("name", "changes", "match"),
    [
        ("hf-vit", {"class_token": False}, "needs a class token.* as timm"),
        ("hf-vitmae", {"mode": "replace"}, "needs a decoder"),
        ("hf-vitmae", {"patch": (4, 2)}, "takes squares: .*16x16 pixels and patches 4x2"),
    ],
)
def test_what_a_format_does_not_have_is_refused(name, changes, match, tmp_path):
    with pytest.raises(UserError, match=match):
        write(model_of(**changes), tmp_path / "out", RECORD.exports, name)
    assert not (tmp_path / "out").exists()


def test_an_encoder_of_somebody_else_is_not_exported(tmp_path):
    images = describe(array_source(PICTURES), (4, 4), "raw")
    shape = PatchModelSettings(width=8, heads=1, mode="replace", class_token=False)
    model = PatchModel(images, shape, encoder=nn.Identity())
    for writer in WRITERS.values():
        with pytest.raises(UserError, match="this encoder is your own"):
            writer(model, tmp_path)
