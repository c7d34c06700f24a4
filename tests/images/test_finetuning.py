import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from maskwise.errors import UserError
from maskwise.images import data as image_data
from maskwise.images.evaluation import Evaluate, evaluate
from maskwise.images.finetuning import (
    Classifier,
    ImageFineTune,
    finetune_images,
    image_finetune_table,
    learning_rate,
)
from maskwise.images.images import describe
from maskwise.images.source import Source, Splits
from maskwise.patches.model import MaskedModel, Model

Make = Callable[..., MaskedModel]
PLAIN = {"mixup": 0.0, "cutmix": 0.0, "erase": 0.0, "drop_path": 0.0, "smoothing": 0.0}
QUICK = ImageFineTune(seeds=(0, 1), epochs=3, warmup=1, batch_size=16, lr=2e-2)


def test_whole_digits_are_learnt_where_the_first_head_knows_nothing() -> None:
    splits = image_data.load(image_data.ImageData(source="digits", limit=400))
    small = Model(width=16, depth=2, heads=2, decoder_width=8, decoder_depth=1)
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        model = MaskedModel(describe(splits.train, (2, 2), "raw"), small)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    config = ImageFineTune(epochs=12, warmup=1, batch_size=20, lr=0.1, **PLAIN)
    scores = finetune_images(model, splits.train, splits.test, config, seed=0)
    assert scores.dtype == np.float32
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (scores.argmax(axis=1) == splits.test.labels).mean() > 0.6
    # With a rate of nothing the head stays where it starts.
    still = dataclasses.replace(config, epochs=2, lr=1e-12)
    first = finetune_images(model, splits.train, splits.test, still, seed=0)
    assert (first.argmax(axis=1) == splits.test.labels).mean() < 0.3
    # The model that was given, and the global generator, are as they were.
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_depends_on_the_seed_alone(make_model: Make, splits: Splits) -> None:
    parts = splits.train, splits.test
    found = [finetune_images(make_model(), *parts, QUICK, seed) for seed in (0, 0, 1)]
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
    change: dict[str, object], make_model: Make, splits: Splits
) -> None:
    base = ImageFineTune(epochs=1, warmup=0, batch_size=20, lr=1e-2, **PLAIN)
    settings = (base, dataclasses.replace(base, **change))
    parts = splits.train, splits.test
    plain, other = (finetune_images(make_model(), *parts, each, seed=0) for each in settings)
    assert (plain != other).any()


def test_features_are_a_norm_of_the_mean_of_patches(make_model: Make, source: Source) -> None:
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
    trained = [parameter for group in tuned.groups(QUICK) for parameter in group["params"]]
    tuned(images).sum().backward()
    assert {id(p) for p in tuned.parameters() if p.grad is not None} == set(map(id, trained))


def test_the_rate_rises_and_falls_to_its_end() -> None:
    config = ImageFineTune(epochs=20, warmup=4, batch_size=128, lr=2e-3)
    assert [learning_rate(epoch, config) for epoch in (0, 1, 4)] == [0, 2.5e-4, 1e-3]
    assert learning_rate(8, config) == pytest.approx(1e-6 + (1e-3 - 1e-6) * (1 + 0.5**0.5) / 2)
    assert learning_rate(20, config) == pytest.approx(1e-6)
    assert learning_rate(0, dataclasses.replace(config, warmup=0)) == 1e-3


def test_an_encoder_of_your_own(splits: Splits, make_model: Make) -> None:
    config = Model(mode="replace", class_token=False, width=16)
    model = MaskedModel(make_model().modality, config, encoder=torch.nn.Linear(16, 16))
    [row] = image_finetune_table({"encoder": model}, splits, QUICK)
    assert row["note"] == "no drop path in an encoder of your own"
    assert 0 <= row["accuracy"]["mean"] <= 1


def test_table(make_model: Make, splits: Splits) -> None:
    train = splits.train.take(np.flatnonzero(splits.train.labels != 1))
    splits = dataclasses.replace(splits, train=train)
    config = Evaluate(finetune=QUICK, protocols=(), ratios=(0.5,), num_train=32, num_test=24)
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
    nothing = dataclasses.replace(config, finetune=ImageFineTune())
    assert evaluate(make_model(), splits, nothing, pattern="scattered")["finetuning"] == []


def test_refuses_images_that_cannot_be_used(make_model: Make, splits: Splits) -> None:
    def fails(match: str, train: Source, test: Source = splits.test) -> None:
        with pytest.raises(UserError, match=match):
            image_finetune_table({"encoder": make_model()}, Splits(train, test, "made up"), QUICK)

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
        *({"epochs": 5}, {"epochs": 0}, {"lr": 0.0}, {"batch_size": 0}, {"layer_decay": 0.0}),
        *({"layer_decay": 1.1}, {"drop_path": 1.0}, {"mixup": -1.0}, {"erase": 1.1}),
        *({"smoothing": 1.0}, {"crop_scale": (0.9, 0.5)}),
    ],
    ids=str,
)
def test_refuses_settings_that_cannot_work(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(change))):
        ImageFineTune(seeds=(0,), **change)  # type: ignore[arg-type]
