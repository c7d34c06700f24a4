"""Laws in models of time series."""

from argparse import Namespace

import pytest
import torch
import transformers as tf

import maskwise as mw
from tests.peers import peer

X = torch.randn(3, 32, 2, generator=torch.Generator().manual_seed(0))
SMALL = {
    "num_input_channels": 2,
    "context_length": 32,
    "patch_length": 4,
    "patch_stride": 4,
    "d_model": 8,
}


def patchtst(**more):
    layers = {"ffn_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return tf.PatchTSTForPretraining(tf.PatchTSTConfig(**SMALL | layers | more))


def mixer(**more):
    return tf.PatchTSMixerForPretraining(tf.PatchTSMixerConfig(**SMALL, num_layers=1, **more))


@pytest.mark.parametrize("make", [patchtst, mixer])
def test_patches_hide_what_each_step_says(make):
    model, masks = make(), []
    model.model.masking.register_forward_hook(lambda its, args, out: masks.append(out[1]))
    with mw.attach(model, "uniform:0.1,0.95") as attached:
        for _ in range(5):
            assert model(past_values=X).loss.isfinite()
    assert [step.realised for step in attached.log] == [float(m.float().mean()) for m in masks]
    for mask, step in zip(masks, attached.log, strict=True):
        assert bool((mask.sum(2) == 8 - int(8 * (1 - step.asked))).all())
    assert model.model.masking.random_mask_ratio == 0.5


def test_a_ratio_next_to_one_leaves_a_patch():
    model = patchtst()
    with mw.attach(model, 0.999) as attached:
        model(past_values=X)
    assert attached.log[0].realised == 7 / 8


@pytest.mark.parametrize("make", [patchtst, mixer])
def test_other_masks_have_no_ratio(make):
    with pytest.raises(mw.UserError, match=r"mask_type='forecast', which has no ratio: make it"):
        mw.attach(make(mask_type="forecast"), 0.5)


def moment():
    peer("momentfm")
    from momentfm.models.moment import MOMENT

    size = {"d_model": 16, "d_ff": 32, "d_kv": 8, "num_heads": 2, "num_layers": 1, "vocab_size": 8}
    config = Namespace(
        task_name="reconstruction",
        transformer_backbone="google/flan-t5-small",
        transformer_type="encoder_only",
        d_model=None,
        seq_len=64,
        patch_len=8,
        patch_stride_len=8,
        t5_config=size,
        enable_gradient_checkpointing=False,
    )
    return MOMENT(config)


def test_moment_hides_what_each_step_says():
    model, x = moment(), torch.randn(3, 1, 64)
    with mw.attach(model, "uniform:0.1,0.95") as attached:
        masks = [model(x_enc=x).pretrain_mask for _ in range(5)]
    for mask, step in zip(masks, attached.log, strict=True):
        hidden = 1 - mask.view(3, 8, 8).float().mean(2)
        assert bool((hidden.sum(1) == int(8 * step.asked)).all())
        assert step.realised == pytest.approx(float(hidden.mean()))
    assert type(model).__call__ is not torch.nn.Module.__call__


def test_moment_takes_masks_of_what_is_observed():
    model, x = moment(), torch.randn(3, 1, 64)
    observed = torch.ones(3, 64)
    observed[1, :20] = 0  # two patches and a half
    with mw.attach(model, "uniform:0.1,0.9", pattern="spans", scope="sample") as attached:
        mask = model(x_enc=x, input_mask=observed).pretrain_mask
    assert torch.equal(mask.view(3, 8, 8).bool(), ~attached.hidden[..., None].expand(-1, -1, 8))
    assert not attached.hidden[1, :3].any()
    assert attached.hidden.any(dim=1).all()


def test_moment_that_forecasts_masks_nothing():
    model = moment()
    model.task_name = "forecasting"
    with pytest.raises(mw.UserError, match=r"of task 'forecasting' masks nothing"):
        mw.attach(model, 0.5)
