"""Laws in image and video models of transformers."""

import pytest
import torch
import transformers as tf
from torch import nn
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

import maskwise as mw

X = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 4,
}
DECODER = {
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
}
SWIN = {
    "image_size": 16,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [1, 2],
    "window_size": 2,
    "encoder_stride": 4,
}
FOCAL = {
    "image_size": 16,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": [1, 1],
    "hidden_sizes": [8, 16],
    "focal_levels": [1, 1],
    "focal_windows": [3, 3],
    "encoder_stride": 4,
}
TOKEN = {"use_mask_token": True}


def vit_mae(**more):
    return tf.ViTMAEForPreTraining(tf.ViTMAEConfig(**SMALL | DECODER | more))


def hiera():
    config = tf.HieraConfig(
        embed_dim=8,
        image_size=[32, 32],
        depths=[1, 1, 1],
        num_heads=[1, 2, 4],
        masked_unit_size=[4, 4],
        num_query_pool=2,
        decoder_hidden_size=16,
        decoder_depth=1,
        decoder_num_heads=2,
    )
    return tf.HieraForPreTraining(config)


def videomae():
    config = tf.VideoMAEConfig(**SMALL, **DECODER, num_frames=4, tubelet_size=2)
    return tf.VideoMAEForPreTraining(config)


# Made from what; each takes `bool_masked_pos`.
MASKED = {
    "BeitModel": lambda: tf.BeitModel(tf.BeitConfig(**SMALL, **TOKEN)),
    "BeitForMaskedImageModeling": lambda: tf.BeitForMaskedImageModeling(
        tf.BeitConfig(**SMALL, **TOKEN, vocab_size=32)
    ),
    "Data2VecVisionModel": lambda: tf.Data2VecVisionModel(
        tf.Data2VecVisionConfig(**SMALL, **TOKEN)
    ),
    "Dinov2Model": lambda: tf.Dinov2Model(tf.Dinov2Config(**SMALL, mlp_ratio=2)),
    "Dinov2WithRegistersModel": lambda: tf.Dinov2WithRegistersModel(
        tf.Dinov2WithRegistersConfig(**SMALL, mlp_ratio=2)
    ),
    "DINOv3ViTModel": lambda: tf.DINOv3ViTModel(tf.DINOv3ViTConfig(**SMALL)),
    "IJepaModel": lambda: tf.IJepaModel(tf.IJepaConfig(**SMALL), **TOKEN),
    "ViTMSNModel": lambda: tf.ViTMSNModel(tf.ViTMSNConfig(**SMALL), **TOKEN),
    "ViTForMaskedImageModeling": lambda: tf.ViTForMaskedImageModeling(
        tf.ViTConfig(**SMALL, encoder_stride=4)
    ),
    "DeiTForMaskedImageModeling": lambda: tf.DeiTForMaskedImageModeling(
        tf.DeiTConfig(**SMALL, encoder_stride=4)
    ),
    "SwinForMaskedImageModeling": lambda: tf.SwinForMaskedImageModeling(tf.SwinConfig(**SWIN)),
    "Swinv2ForMaskedImageModeling": lambda: tf.Swinv2ForMaskedImageModeling(
        tf.Swinv2Config(**SWIN)
    ),
    "FocalNetForMaskedImageModeling": lambda: tf.FocalNetForMaskedImageModeling(
        tf.FocalNetConfig(**FOCAL)
    ),
}


def given(model, name):
    """Return a list of what the model's forwards get as one argument, behind the law's hook."""
    found = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: found.append(kwargs[name]), with_kwargs=True
    )
    return found


def paint(hidden, patch, side=16):
    """Return which pixels lie in the patches, [B, 1, side, side]."""
    size = side // patch
    pixels = hidden.view(-1, 1, size, size).repeat_interleave(patch, 2)
    return pixels.repeat_interleave(patch, 3)


def test_vit_mae_hides_what_each_step_says():
    model = vit_mae(norm_pix_loss=True)
    with mw.attach(model, "uniform:0.1,0.95", seed=2, mend=True) as attached:
        masks = [model(X).mask for _ in range(6)]
    for mask, step in zip(masks, attached.log, strict=True):
        assert bool((mask.sum(1) == 16 - int(16 * (1 - step.asked))).all())
        assert step.realised == mask.mean().item()
    assert len({step.realised for step in attached.log}) > 3
    assert model.config.mask_ratio == 0.75
    assert float(model.eval()(X).mask.mean()) == 0.75


@pytest.mark.parametrize("pattern", ["block", "scattered", "units:2"])
def test_vit_mae_takes_masks_of_ours(pattern):
    model = vit_mae()
    with mw.attach(model, "uniform:0.1,0.95", pattern=pattern, mend=True) as attached:
        for step in range(4):
            mask = model(X).mask.bool()
            assert torch.equal(mask, attached.hidden)
            drawn = mw.masks.draw(
                *("uniform:0.1,0.95", (4, 4)),
                sample_ids=torch.arange(3),
                seed=0,
                epoch=step,
                step=step,
                pattern=pattern,
            )
            assert torch.equal(mask, drawn.hidden)


def test_vit_mae_never_hides_all_or_nothing():
    model = vit_mae()
    with mw.attach(model, "choice:0.001,0.999", mend=True) as attached:
        found = {float(model(X).mask.mean()) for _ in range(12)}
    assert found == {1 / 16, 15 / 16} == {step.realised for step in attached.log}


def test_vit_mae_from_a_configuration_is_told_of_and_mended(caplog):
    model = vit_mae()
    mw.attach(model, 0.5).detach()
    [told] = [each.getMessage() for each in caplog.records if each.name == "maskwise"]
    assert "positions of zeros only" in told
    assert told.endswith("give mend=True to mend it")
    assert "\n" not in told
    caplog.clear()
    mw.attach(model, 0.5, mend=True).detach()
    mw.attach(model, 0.5).detach()
    assert not caplog.records

    # Columns come first, as in published weights: transformers turns its own table so, too.
    tables = (model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed)
    rows_first = build_2d_sinusoidal_position_embedding(4, 4, 16, cls_token=True)
    theirs = torch.cat([rows_first[:, 8:], rows_first[:, :8]], dim=1)
    for table in tables:
        assert torch.allclose(table[0], theirs, atol=1e-6)
    again = tables[1].detach().clone()
    model.decoder.initialize_weights(16)
    assert torch.allclose(tables[1], again, atol=1e-6)
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            fan = module.weight[0].numel() + len(module.weight)
            assert module.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.15)
    assert 0.006 < model.decoder.mask_token.std() < 0.04


def test_mending_trained_weights_fills_in_positions_only():
    model = vit_mae()
    with torch.no_grad():
        model.decoder.decoder_pred.bias.fill_(0.5)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    mw.attach(model, 0.5, mend=True)
    changed = {n for n, each in model.state_dict().items() if not torch.equal(each, before[n])}
    assert changed == {"vit.embeddings.position_embeddings", "decoder.decoder_pos_embed"}


def test_mending_knows_grids_that_are_no_squares():
    model = tf.ViTMAEModel(tf.ViTMAEConfig(**SMALL | {"image_size": [8, 24]}))
    mw.attach(model, 0.5, mend=True)
    rows_first = build_2d_sinusoidal_position_embedding(2, 6, 16)
    found = model.embeddings.position_embeddings[0, 1:]
    assert torch.allclose(found.roll(8, dims=1), rows_first, atol=1e-6)


def test_loaded_weights_have_no_fault(tmp_path, caplog):
    model = vit_mae()
    mw.attach(model, 0.5, mend=True).detach()
    model.save_pretrained(tmp_path)
    mw.attach(tf.ViTMAEForPreTraining.from_pretrained(tmp_path), 0.5)
    assert not [each for each in caplog.records if each.name == "maskwise"]


def test_hiera_says_that_it_rounds_up(caplog):
    model, x = hiera(), torch.randn(2, 3, 32, 32)
    with mw.attach(model, 0.6) as attached:
        seen = model(x)
    [told] = [each.getMessage() for each in caplog.records if each.name == "maskwise"]
    assert "4 positions" in told
    assert "where 0.6 is asked for it hides 0.75; pattern='scattered' rounds" in told
    # The configuration has the ratio, too, but is read when a model is made.
    patches = model.hiera.embeddings.patch_embeddings
    assert (model.config.mask_ratio, patches.mask_ratio) == (0.6, 0.6)
    assert attached.log[0].realised == 0.75
    kept = patches.random_masking(x, None)[0]
    assert seen.bool_masked_pos.float().mean() == 0.25
    assert kept.float().mean() == 0.25


def test_hiera_takes_masks_of_its_units(caplog):
    model = hiera()
    with mw.attach(model, 0.5, pattern="columns") as attached:
        seen = model(torch.randn(2, 3, 32, 32))
    assert not [each for each in caplog.records if each.name == "maskwise"]
    units = attached.hidden.view(-1, 2, 2)
    assert torch.equal(units.all(1), units.any(1))
    # It says where each unit's final positions are seen; there is one of each unit here.
    assert torch.equal(~seen.bool_masked_pos, attached.hidden)


def test_videomae_hides_tubes_unless_told_otherwise():
    model, x = videomae(), torch.randn(2, 4, 3, 16, 16)
    with mw.attach(model, "uniform:0.3,0.9") as attached:
        seen = model(x)
    tubes = attached.hidden.view(2, 2, 16)
    assert torch.equal(tubes[:, 0], tubes[:, 1])
    assert seen.logits.shape[1] == attached.hidden[0].sum()
    with mw.attach(model, "uniform:0.3,0.9", pattern="scattered") as attached:
        model(x)
    assert not torch.equal(*attached.hidden.view(2, 2, 16).unbind(1))
    attach = mw.attach(model, "uniform:0.3,0.9", scope="sample")
    with attach, pytest.raises(mw.UserError, match="needs equal counts in a minibatch"):
        model(x)


@pytest.mark.parametrize("name", MASKED)
def test_what_is_hidden_does_not_matter(name):
    """In eval mode with a ratio, where nothing else is random: two evaluations, one mask."""
    model = MASKED[name]().eval()
    assert type(model).__name__ == name
    for parameter in model.parameters():  # mask tokens of zeros, and last layers
        nn.init.normal_(parameter, std=0.2)

    def run(x):
        with torch.no_grad(), mw.attach(model, 0.5, eval_ratio=0.5):
            found = given(model, "bool_masked_pos")
            seen = model(x)
        [hidden] = found
        model._forward_pre_hooks.clear()
        return hidden, next(v for k, v in seen.items() if k != "loss")

    hidden, seen = run(X)
    patch = round((256 / hidden.shape[1]) ** 0.5)
    assert hidden.float().mean() == 0.5
    changed = torch.where(paint(hidden, patch), torch.randn_like(X), X)
    again, unseen = run(changed)
    assert torch.equal(hidden, again)
    assert torch.allclose(seen, unseen, atol=1e-5)
    _, other = run(torch.where(paint(hidden, patch), X, torch.randn_like(X)))
    assert not torch.allclose(seen, other, atol=1e-3)


def test_counts_may_differ_between_samples():
    model = MASKED["Dinov2Model"]()
    with mw.attach(model, "uniform:0.1,0.9", scope="sample") as attached:
        found = given(model, "bool_masked_pos")
        for _ in range(3):
            model(X)
    assert len({int(num) for hidden in found for num in hidden.sum(1)}) > 3
    assert torch.equal(found[-1], attached.hidden)
    assert attached.log[-1].realised == pytest.approx(float(found[-1].float().mean()))


def test_beit_keeps_the_labels_of_hidden_patches():
    model = MASKED["BeitForMaskedImageModeling"]()
    labels = torch.arange(48).view(3, 16) % 32
    with mw.attach(model, 0.5) as attached:
        found = given(model, "labels")
        loss = model(X, labels=labels).loss
        assert torch.equal(found[0], labels[attached.hidden])
        assert loss.item() == pytest.approx(torch.tensor(32.0).log().item(), abs=0.5)
        with pytest.raises(mw.UserError, match=r"labels are \[7\]: give .* \[3, 16\]"):
            model(X, labels=torch.zeros(7, dtype=torch.int64))


def test_in_eval_mode_a_mask_that_is_given_stays():
    model = MASKED["ViTForMaskedImageModeling"]().eval()
    mine = torch.arange(16).expand(3, -1) < 3
    with mw.attach(model, 0.5, eval_ratio=0.5):
        found = given(model, "bool_masked_pos")
        model(X, bool_masked_pos=mine)
        assert torch.equal(found[0], mine)
        with pytest.raises(mw.UserError, match="the call gives bool_masked_pos itself"):
            model.train()(X, bool_masked_pos=mine)


def test_a_model_without_a_mask_token_is_refused():
    with pytest.raises(mw.UserError, match=r"BeitModel has no mask token: .*use_mask_token=True"):
        mw.attach(tf.BeitModel(tf.BeitConfig(**SMALL)), 0.5)
