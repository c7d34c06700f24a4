"""Laws in models of timm, stable-pretraining and arc-stack, and of forwards with an argument."""

import pytest
import torch
from torch import nn

import maskwise as mw
from tests.peers import peer

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class MAE(nn.Module):
    """As facebookresearch's MAE and terratorch's Prithvi take their ratio."""

    def forward(self, imgs, mask_ratio=0.75):
        if not mask_ratio:
            raise ValueError("nothing to do")
        return mask_ratio


def test_a_ratio_may_be_an_argument():
    model = MAE()
    with mw.attach(model, "uniform:0.3,0.9", eval_ratio=0.5) as attached:
        # Training scripts give it themselves: the law's takes its place.
        found = [model(X), model(X, mask_ratio=0.75), model(X, 0.75), model(imgs=X)]
        assert found == [step.asked for step in attached.log]
        assert len(set(found)) == 4
        assert model.eval()(X, 0.75) == 0.5
    assert model(X) == 0.75
    with mw.attach(model, "uniform:0.3,0.9"):
        assert model(X, 0.7) == 0.7


class Clay(nn.Module):
    """Has copies of its ratio in encoder, decoder and itself, which must agree."""

    def __init__(self):
        super().__init__()
        self.mask_ratio = 0.75
        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.encoder.mask_ratio = self.decoder.mask_ratio = 0.75

    def forward(self):
        assert self.mask_ratio == self.encoder.mask_ratio == self.decoder.mask_ratio
        return self.mask_ratio


def test_copies_of_a_ratio_are_named_and_set():
    model = Clay()
    with pytest.raises(mw.UserError, match=r"mask_ratio, encoder.mask_ratio, decoder.mask_ratio"):
        mw.attach(model, 0.5)
    names = ["mask_ratio", "encoder.mask_ratio", "decoder.mask_ratio"]
    with mw.attach(model, "uniform:0.3,0.9", set_ratio=names) as attached:
        assert model() == attached.log[0].asked
    assert model() == 0.75


def vit(**more):
    timm = peer("timm")
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    return timm.models.vision_transformer.VisionTransformer(**small, num_classes=2, **more)


def test_patches_that_timm_drops_have_a_law():
    model, seen = vit(patch_drop_rate=0.5), []
    model.patch_drop.register_forward_hook(lambda its, args, out: seen.append(out.shape[1] - 1))
    with mw.attach(model, "uniform:0,1") as attached:
        for _ in range(8):
            model(X)
    assert [1 - num / 16 for num in seen] == [step.realised for step in attached.log]
    assert len(set(seen)) > 4
    assert model.patch_drop.prob == 0.5
    with pytest.raises(mw.UserError, match=r"make it with patch_drop_rate above 0"):
        mw.attach(vit(), 0.5)


def hiera(**more):
    timm = peer("timm")
    return timm.models.hiera.Hiera(
        img_size=(32, 32),
        embed_dim=8,
        num_heads=1,
        stages=(1, 1),
        q_pool=1,
        mask_unit_size=(2, 2),
        mask_unit_attn=(True, False),
        num_classes=2,
        **more,
    )


def test_hiera_of_timm_takes_ratios_and_masks():
    model, seen = hiera(patch_drop_rate=0.25), []
    model.blocks[0].register_forward_pre_hook(lambda its, args: seen.append(args[0].shape[1]))
    with mw.attach(model, "uniform:0.1,0.9") as attached:
        outs = [model(X).shape for _ in range(4)]
    assert outs == [(2, 2)] * 4
    assert [1 - num / 64 for num in seen] == [step.realised for step in attached.log]
    seen.clear()
    model.register_forward_pre_hook(
        lambda its, args, kwargs: seen.append(kwargs["mask"]), with_kwargs=True
    )
    with mw.attach(model, "uniform:0.1,0.9", pattern="block") as attached:
        model._forward_pre_hooks.move_to_end(next(iter(model._forward_pre_hooks)))
        assert model(X).dim() == 3
    [mask] = [each for each in seen if isinstance(each, torch.Tensor)]
    assert torch.equal(mask, ~attached.hidden)
    assert model.patch_drop_rate == 0.25


def test_methods_of_stable_pretraining():
    peer("stable_pretraining")
    from stable_pretraining.methods import MAE as Theirs

    timm = peer("timm")
    encoder = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=1)
    model = Theirs(encoder, decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2)
    with mw.attach(model, "uniform:0.2,0.9") as attached:
        found = [model.train()(X) for _ in range(4)]
    for out, step in zip(found, attached.log, strict=True):
        assert out.num_masked == int(16 * step.asked)
        assert bool((out.mask.sum(1) == out.num_masked).all())
    assert model.masking.mask_ratio == 0.75


def test_arc_stack_has_one_ratio_instead_of_two_ends():
    peer("stack")
    from stack.models.core import StateICLModel

    model = StateICLModel(
        n_genes=20, n_hidden=4, token_dim=2, n_cells=5, n_layers=1, n_heads=1, n_proj=2
    )
    found = []
    inner = model.apply_mask

    def spy(features):
        features, mask = inner(features)
        found.append(mask)
        return features, mask

    model.apply_mask = spy
    counts = torch.randint(0, 9, (2, 5, 20)).float()
    with mw.attach(model, "uniform:0,1") as attached:
        for _ in range(6):
            model(counts)
    shares = [float(mask.float().mean()) for mask in found]
    assert shares == pytest.approx([step.realised for step in attached.log])
    assert all(int(20 * s.asked) in (0, round(20 * s.realised)) for s in attached.log)
    assert len({step.realised for step in attached.log}) > 3
    assert (model.mask_rate_min, model.mask_rate_max) == (0.2, 0.8)
    model.apply_finetune_mask = None
    with pytest.raises(mw.UserError, match=r"hides .1 to .3 of the genes in fine-tuning"):
        mw.attach(model, 0.5)
