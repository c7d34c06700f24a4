import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from maskwise.errors import UserError
from maskwise.images import data as image_data
from maskwise.images.evaluation import ImageEvaluateSettings, evaluate
from maskwise.images.finetuning import (
    Classifier,
    ImageFineTuneSettings,
    dropped_paths,
    finetune_images,
    image_finetune_table,
    learning_rate,
    parameter_groups,
)
from maskwise.images.images import Images, ImageSource, ImageSplits, describe
from maskwise.images.recipes import ImageRunSettings
from maskwise.layers.transformer import Block, Transformer
from maskwise.patches.model import PatchModel, PatchModelSettings
from maskwise.settings import override

Make = Callable[..., PatchModel]
PLAIN = {"mixup": 0.0, "cutmix": 0.0, "erase": 0.0, "drop_path": 0.0, "smoothing": 0.0}
IMAGES = Images(patch=(2, 2), channels=1, height=4, width=4, mean=(0.0,), std=(1.0,))
SMALL = {"width": 8, "depth": 3, "heads": 2, "decoder_width": 8, "decoder_depth": 1}
QUICK = ImageFineTuneSettings(seeds=(0, 1), epochs=3, warmup=1, batch_size=16, lr=2e-2)


def test_whole_digits_are_learnt_where_the_first_head_knows_nothing() -> None:
    splits = image_data.load(image_data.ImageDataSettings(source="digits", limit=400))
    small = PatchModelSettings(width=16, depth=2, heads=2, decoder_width=8, decoder_depth=1)
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        model = PatchModel(describe(splits.train, (2, 2), "raw"), small)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    config = ImageFineTuneSettings(epochs=12, warmup=1, batch_size=20, lr=0.1, **PLAIN)
    scores = finetune_images(model, splits, config, seed=0)
    assert scores.dtype == np.float32
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (scores.argmax(axis=1) == splits.test.labels).mean() > 0.6
    # With a rate of nothing the head stays where it starts.
    still = dataclasses.replace(config, epochs=2, lr=1e-12)
    first = finetune_images(model, splits, still, seed=0)
    assert (first.argmax(axis=1) == splits.test.labels).mean() < 0.3
    # The model that was given, and the global generator, are as they were.
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_depends_on_the_seed_alone(make_model: Make, splits: ImageSplits) -> None:
    found = [finetune_images(make_model(), splits, QUICK, seed) for seed in (0, 0, 1)]
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize(
    "change",
    [
        *({"mixup": 0.8}, {"cutmix": 1.0}, {"erase": 0.5}, {"drop_path": 0.5}, {"smoothing": 0.1}),
        *({"flip": True}, {"crop_scale": (0.5, 0.9)}, {"layer_decay": 0.5}),
        {"precision": "bf16"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_the_protocol_does_something(
    change: dict[str, object], make_model: Make, splits: ImageSplits
) -> None:
    base = ImageFineTuneSettings(epochs=1, warmup=0, batch_size=20, lr=1e-2, **PLAIN)
    settings = (base, dataclasses.replace(base, **change))
    plain, other = (finetune_images(make_model(), splits, each, seed=0) for each in settings)
    assert (plain != other).any()


def test_features_are_a_norm_of_the_mean_of_patches(make_model: Make, source: ImageSource) -> None:
    model = make_model()
    images = source.get(range(5))
    tokens = []
    hook = model.encoder.norm.register_forward_hook(lambda _, given, out: tokens.append(given[0]))
    model.encode(images)
    hook.remove()
    tuned = Classifier(model, 3, np.random.default_rng(0))
    # Without the class token, which comes first.
    want = F.linear(F.layer_norm(tokens[0][:, 1:].mean(1), (16,), eps=1e-6), tuned.weight)
    torch.testing.assert_close(tuned(images), want)
    assert float(tuned.weight.detach().std()) == pytest.approx(2e-5, rel=0.5)
    trained = [
        parameter for group in parameter_groups(tuned, 0.75) for parameter in group["params"]
    ]
    tuned(images).sum().backward()
    assert {id(p) for p in tuned.parameters() if p.grad is not None} == set(map(id, trained))


def test_the_rate_rises_and_falls_to_its_end() -> None:
    config = ImageFineTuneSettings(epochs=20, warmup=4, batch_size=128, lr=2e-3)
    assert [learning_rate(epoch, config) for epoch in (0, 1, 4)] == [0, 2.5e-4, 1e-3]
    assert learning_rate(8, config) == pytest.approx(1e-6 + (1e-3 - 1e-6) * (1 + 0.5**0.5) / 2)
    assert learning_rate(20, config) == pytest.approx(1e-6)
    assert learning_rate(0, dataclasses.replace(config, warmup=0)) == 1e-3


def test_an_encoder_of_your_own(splits: ImageSplits, make_model: Make) -> None:
    config = PatchModelSettings(mode="replace", class_token=False, width=16)
    model = PatchModel(make_model().tokenizer, config, encoder=torch.nn.Linear(16, 16))
    [row] = image_finetune_table({"encoder": model}, splits, QUICK)
    assert row["note"] == "no drop path in an encoder of your own"
    assert 0 <= row["accuracy"]["mean"] <= 1


def test_table(make_model: Make, splits: ImageSplits) -> None:
    train = splits.train.take(np.flatnonzero(splits.train.labels != 1))
    splits = dataclasses.replace(splits, train=train)
    config = ImageEvaluateSettings(
        finetune=QUICK, protocols=(), ratios=(0.5,), visible=(), num_train=32, num_test=24
    )
    result = evaluate(
        make_model(), splits, config, pattern="scattered", untrained=make_model(width=8)
    )
    rows = result["finetuning"]
    assert [row["model"] for row in rows] == ["encoder", "untrained encoder"]
    for row in rows:
        assert (row["task"], row["num_train"], row["num_test"]) == ("made up", 32, 24)
        assert (row["epochs"], row["batch_size"], row["lr"]) == (3, 16, 2e-2 * 16 / 256)
        assert row["protocol"].startswith("mae-finetune (layer decay 0.75, drop path 0.1, mixup")
        assert row["note"].endswith("test samples of classes without training samples")
        assert [each["seed"] for each in row["seeds"]] == [0, 1]
        values = [each["accuracy"] for each in row["seeds"]]
        assert row["accuracy"]["mean"] == pytest.approx(np.mean(values))
    assert json.loads(json.dumps(rows)) == rows
    nothing = dataclasses.replace(config, finetune=ImageFineTuneSettings())
    assert evaluate(make_model(), splits, nothing, pattern="scattered")["finetuning"] == []


def test_refuses_images_that_cannot_be_used(make_model: Make, splits: ImageSplits) -> None:
    def fails(match: str, train: ImageSource, test: ImageSource = splits.test) -> None:
        with pytest.raises(UserError, match=match):
            image_finetune_table(
                {"encoder": make_model()}, ImageSplits(train, test, "made up"), QUICK
            )

    bare = dataclasses.replace(splits.train, labels=None)
    fails("made up: fine-tuning needs labels", bare)
    fails("made up: fine-tuning needs labels", splits.train, bare)
    fails("needs two classes", splits.train.take(np.arange(0, 60, 3)))
    fails(
        "15 labelled training images are fewer than a batch of 16",
        splits.train.take(np.arange(15)),
    )


@pytest.mark.parametrize(
    "change",
    [
        *({"epochs": 0}, {"lr": 0.0}, {"batch_size": 0}, {"layer_decay": 0.0}),
        *({"layer_decay": 1.1}, {"drop_path": 1.0}, {"mixup": -1.0}, {"erase": 1.1}),
        *({"smoothing": 1.0}, {"crop_scale": (0.9, 0.5)}),
    ],
    ids=str,
)
def test_refuses_settings_that_cannot_work(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(change))):
        ImageFineTuneSettings(seeds=(0,), **change)  # type: ignore[arg-type]


def test_refuses_to_rise_until_the_end() -> None:
    def config(**values: object) -> ImageRunSettings:
        tuning = {f"evaluate.finetune.{name}": value for name, value in values.items()}
        return override(ImageRunSettings(), tuning)

    with pytest.raises(UserError, match=r"finetune\.warmup 5 leaves nothing of 5 epochs"):
        config(seeds=(0,), epochs=5)
    assert config(seeds=(0,), epochs=6)
    assert config(epochs=5)  # of nothing


CLASSIFIER = {
    "weight": (1.0, 0.05),
    "bias": (1.0, 0.0),
    "norm.weight": (1.0, 0.0),
    "norm.bias": (1.0, 0.0),
}


def settings_of(model: PatchModel) -> dict[str, tuple[float, float]]:
    """The scale and the weight decay of each parameter that is trained."""
    tuned = Classifier(model, 3, np.random.default_rng(0))
    names = {parameter: name for name, parameter in tuned.named_parameters()}
    found = [
        (names[parameter].removeprefix("model."), (group["scale"], group["weight_decay"]))
        for group in parameter_groups(tuned, 0.5)
        for parameter in group["params"]
    ]
    assert len(found) == len(dict(found))
    return dict(found)


def test_every_parameter_of_the_encoder_has_the_rate_of_its_layer() -> None:
    found = settings_of(PatchModel(IMAGES, PatchModelSettings(positions="learned", **SMALL)))
    # Three blocks: the input is layer 0 of 4.
    assert found.pop("embed.weight") == (1 / 16, 0.05)
    for name in ("embed.bias", "class_token", "positions"):
        assert found.pop(name) == (1 / 16, 0.0)
    for block, scale in enumerate((1 / 8, 1 / 4, 1 / 2)):
        for name in ("qkv", "project", "mlp.0", "mlp.2"):
            assert found.pop(f"encoder.blocks.{block}.{name}.weight") == (scale, 0.05)
            assert found.pop(f"encoder.blocks.{block}.{name}.bias") == (scale, 0.0)
        for name in ("norm1", "norm2"):
            assert found.pop(f"encoder.blocks.{block}.{name}.weight") == (scale, 0.0)
            assert found.pop(f"encoder.blocks.{block}.{name}.bias") == (scale, 0.0)
    # The classifier and its norm; the decoder, the head and the mask token are left out.
    assert found == CLASSIFIER


def test_layers_of_an_encoder_of_your_own_are_one_block() -> None:
    config = PatchModelSettings(mode="replace", class_token=False, **SMALL)
    found = settings_of(PatchModel(IMAGES, config, encoder=torch.nn.Linear(8, 8)))
    assert found == {
        "embed.weight": (0.25, 0.05),
        "embed.bias": (0.25, 0.0),
        "encoder.weight": (0.5, 0.05),
        "encoder.bias": (0.5, 0.0),
        **CLASSIFIER,
    }


def test_without_decay_all_layers_learn_alike() -> None:
    model = PatchModel(IMAGES, PatchModelSettings(**SMALL))
    tuned = Classifier(model, 3, np.random.default_rng(0))
    assert {group["scale"] for group in parameter_groups(tuned, 1.0)} == {1.0}


def make_blocks(num: int) -> list[Block]:
    """Blocks with weights large enough for their branches to matter."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        blocks = Transformer(8, num, 2, 2.0, "plain").blocks
    return [block.requires_grad_(False) for block in blocks]


def test_each_sample_keeps_or_loses_each_branch_whole() -> None:
    [_, block] = make_blocks(2)
    x = torch.randn(400, 3, 8, generator=torch.Generator().manual_seed(1))
    first = nn.Identity()
    first.project, first.mlp = nn.Identity(), nn.Identity()
    with dropped_paths([first, block], 0.4, np.random.default_rng(0)):
        found = block(x)
    # What each of the four outcomes is, with branches over 1 - p.
    heads = block.qkv(block.norm1(x)).view(400, 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
    q, k, v = heads
    weights = (q @ k.transpose(-2, -1) / 2).softmax(-1)
    attended = block.project((weights @ v).transpose(1, 2).flatten(2))
    outcomes = []
    for attention in (0, 1 / 0.6):
        middle = x + attention * attended
        outcomes += [middle + mlp * block.mlp(block.norm2(middle)) for mlp in (0, 1 / 0.6)]
    match = torch.stack([(found - each).abs().amax((1, 2)) < 1e-5 for each in outcomes])
    assert (match.sum(dim=0) == 1).all()
    shares = match.float().mean(dim=1)
    # .4 x .4, .4 x .6, .6 x .4, .6 x .6, within four standard errors.
    for share, expected in zip(shares, (0.16, 0.24, 0.24, 0.36), strict=True):
        assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 400) ** 0.5)


def test_the_mean_of_a_branch_stays() -> None:
    [_, block] = make_blocks(2)
    x = torch.ones(20_000, 1, 8)
    rng = np.random.default_rng(0)
    with dropped_paths([block, block], 0.3, rng):
        dropped = block.mlp(x)
    # Two hooks, of p = 0 (none) and .3.
    torch.testing.assert_close(dropped.mean(0), block.mlp(x)[0], atol=0.02, rtol=0.02)


def test_rates_rise_from_nothing_and_hooks_are_gone() -> None:
    blocks = make_blocks(3)
    x = torch.ones(500, 2, 8)
    before = [block(x) for block in blocks]
    with dropped_paths(blocks, 0.5, np.random.default_rng(0)):
        assert torch.equal(blocks[0](x), before[0])
        skipped = [float((block(x) == x).all(2).all(1).float().mean()) for block in blocks]
    # Both branches of a sample: p squared, with p = 0, .25, .5.
    assert skipped[0] == 0
    assert skipped[1:] == pytest.approx([0.0625, 0.25], abs=0.06)
    with pytest.raises(KeyError), dropped_paths(blocks, 0.5, np.random.default_rng(0)):
        raise KeyError
    assert all(torch.equal(block(x), y) for block, y in zip(blocks, before, strict=True))


def test_nothing_is_drawn_at_rate_zero_or_without_blocks() -> None:
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    with dropped_paths(make_blocks(2), 0.0, rng), dropped_paths([], 0.5, rng):
        pass
    assert rng.bit_generator.state == state
