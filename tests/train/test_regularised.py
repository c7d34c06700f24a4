"""Training with terms against collapsed features."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maskwise.files import read_json_lines
from maskwise.masks.mask import sample_weights
from maskwise.modalities import build, config_of, find
from maskwise.objectives import regularisers
from maskwise.train.batches import Batches
from maskwise.train.config import connect
from maskwise.train.loop import (
    Learner,
    backward,
    learning_rate,
    make_optimizer,
    plan_of,
    prepare,
    setup,
)
from tests.train.ranked_steps import steps

TEXTS = [f"line {n} tells of {n * n} cats and some {n % 7} dogs that sat by" for n in range(60)]
TABLE = np.random.default_rng(0).normal(size=(60, 6))
SHAPE = {"model.width": 16, "model.depth": 2, "model.heads": 2}
KINDS = {
    "digits": ("digits", SHAPE | {"model.decoder_width": 8, "model.decoder_heads": 2}),
    "texts": (TEXTS, SHAPE | {"data.vocab_size": 300, "data.length": 24}),
    "table": (TABLE, {"model.width": 8, "model.depth": 1, "model.code": 4}),
}
TRAIN = {"train.batch_size": 12, "train.scope": "sample", "efficiency.accelerator": "cpu"}


def step_of(kind, changes):
    """One step of a model: its loss, its terms, its gradients and what it has learned from."""
    if kind == "texts":
        pytest.importorskip("tokenizers")
    data, shape = KINDS[kind]
    config = config_of(data, shape | TRAIN | changes, None)
    pipeline = find(config.modality)
    splits = pipeline.load(None if kind == "digits" else data, config)
    modality, config = pipeline.describe(splits, config)
    model = build(modality, config.model, seed=0)
    fabric = connect(config.efficiency)
    fabric.launch()
    wrapped, _ = setup(fabric, Learner(model), config.train)
    batch = next(Batches(splits.train, batch_size=12, seed=0).read(1, 2, 0))
    plan = plan_of(config)
    part = prepare(batch, model, plan, fabric.device)
    loss, terms = backward(fabric, wrapped, model, part, plan, progress=0.5)
    return config, model, part, loss, terms


def check(config, model, part, loss, added):
    """Compare the gradients of a step with those of its loss and what is added to it."""
    weights = sample_weights(part.mask, config.train.reduction)
    losses, _ = Learner(model).losses(part)
    expected = (weights * losses).sum() / weights.sum()
    torch.testing.assert_close(loss, expected.detach())
    parameters = dict(model.named_parameters())
    plain, wanted = (
        torch.autograd.grad(each, parameters.values(), retain_graph=True, allow_unused=True)
        for each in (expected, expected + added)
    )
    moved = 0.0
    for (name, parameter), gradient, without in zip(
        parameters.items(), wanted, plain, strict=True
    ):
        if gradient is None:
            assert parameter.grad is None, name
            continue
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-5, msg=name)
        moved += 0 if without is None else float((gradient - without).abs().sum())
    assert moved > 0.01


def test_a_step_of_images_with_uniformity_of_the_class_token():
    """U-MAE."""
    changes = {"regularise.uniformity": "0.3", "regularise.pool": "class"}
    config, model, part, loss, terms = step_of("digits", changes)
    z = model.visible_features(part.samples, part.mask, "class")
    term = regularisers.uniformity(z)
    check(config, model, part, loss, 0.3 * term)
    assert terms.keys() == {"uniformity", "cosine2"}
    assert float(terms["uniformity"]) == pytest.approx(float(term.detach()), rel=1e-5)


def test_a_step_of_texts_with_two_terms_of_an_earlier_layer():
    changes = {
        "regularise.koleo": "linear:0..0.4",  # half of it half way
        "regularise.variance": "0.1",
        "regularise.layer": 0,
        "model.corruption": (0.8, 0.1, 0.1),
    }
    config, model, part, loss, terms = step_of("texts", changes)
    _, [z] = Learner(model).losses(part, layers=[0])
    koleo, variance = regularisers.koleo(z), regularisers.variance(z)
    check(config, model, part, loss, 0.2 * koleo + 0.1 * variance)
    assert terms.keys() == {"variance", "koleo", "cosine2"}
    assert float(terms["koleo"]) == pytest.approx(float(koleo.detach()), rel=1e-5)


def test_a_step_of_a_table_with_magma_and_orthogonal_matrices():
    changes = {"regularise.magma": "2", "regularise.orthogonality": "0.01"}
    config, model, part, loss, _ = step_of("table", changes)
    _, [blocks, code] = Learner(model).losses(part, layers=[0, -1])
    assert (blocks.shape, code.shape) == ((12, 8), (12, 4))
    orthogonality = regularisers.orthogonality(model.trunk)
    check(config, model, part, loss, 2 * regularisers.magma(blocks, code) + 0.01 * orthogonality)


def test_micro_batches_compare_their_own_samples():
    changes = {"regularise.uniformity": "0.3", "train.accumulate": 3}
    config, model, part, loss, terms = step_of("digits", changes)
    z = model.visible_features(part.samples, part.mask)
    each = torch.stack([regularisers.uniformity(rows) for rows in z.chunk(3)])
    check(config, model, part, loss, 0.3 * each.mean())
    assert float(terms["uniformity"]) == pytest.approx(float(each.mean().detach()), rel=1e-5)
    assert float(terms["cosine2"]) == pytest.approx(float(terms["uniformity"]))
    assert float(each.detach().std()) > 1e-3


def by_hand(digits, new_model, config):
    """Train without anything that has to do with features."""
    model, settings = new_model(config), config.train
    optimizer = make_optimizer(model, settings)
    for batch in Batches(digits, batch_size=settings.batch_size, seed=0).read(0, settings.steps):
        part = prepare(batch, model, plan_of(config), torch.device("cpu"))
        weights = sample_weights(part.mask, settings.reduction)
        losses = Learner(model).losses(part)[0]
        ((weights * losses).sum() / weights.sum()).backward()
        groups = optimizer.param_groups
        torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        for group in groups:
            group["lr"] = learning_rate(batch.step, settings)
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_without_weight_training_is_what_it_was(digits, new_model, run, tiny, tmp_path):
    zero = {"regularise.uniformity": "0.0", "regularise.covariance": "linear:0..0"}
    plain = by_hand(digits, new_model, tiny())
    trained, _ = run(tmp_path / "zero", tiny(zero))
    assert same(plain, trained.state_dict())
    rows = read_json_lines(tmp_path / "zero" / "metrics.jsonl")
    assert not {"uniformity", "covariance", "cosine2"} & rows[0].keys()


def test_a_weight_that_is_still_zero_changes_nothing(run, tiny, tmp_path):
    waiting = {"regularise.uniformity": "step:0..5", "regularise.magma": "step:0..5"}
    for name, changes in {"plain": {}, "waiting": waiting}.items():
        run(tmp_path / name, tiny(changes))
    plain, waiting = (
        read_json_lines(tmp_path / name / "metrics.jsonl") for name in ("plain", "waiting")
    )
    # Six steps: the fourth is the first with a weight, which the loss of the fifth shows.
    for row, other in zip(plain[:3], waiting[:3], strict=True):
        assert {key: row[key] for key in ("loss", "grad_norm")} == {
            key: other[key] for key in ("loss", "grad_norm")
        }
    assert plain[3]["loss"] == waiting[3]["loss"]
    assert plain[3]["grad_norm"] < waiting[3]["grad_norm"]
    assert plain[4]["loss"] != waiting[4]["loss"]
    assert {"uniformity", "magma", "cosine2"} <= waiting[0].keys()


def test_uniformity_spreads_features(run, tiny, tmp_path):
    config = {"train.steps": 40, "train.lr": 5e-3}
    run(tmp_path / "plain", tiny(config | {"regularise.uniformity": "1e-9"}))
    run(tmp_path / "spread", tiny(config | {"regularise.uniformity": "1"}))
    plain, spread = (
        [row["cosine2"] for row in read_json_lines(tmp_path / name / "metrics.jsonl")[-10:]]
        for name in ("plain", "spread")
    )
    assert np.mean(spread) < 0.5 * np.mean(plain)


@pytest.mark.parametrize("average", [None, 0.9])
def test_resuming_with_terms_is_exact(run, tiny, tmp_path, average):
    config = tiny(
        {
            "train.ema": average,
            "train.accumulate": 2,
            "regularise.uniformity": "linear:0..1",
            "regularise.koleo": "0.1",
        }
    )
    straight, _ = run(tmp_path / "straight", config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", config, stop_at=2)
    resumed, _ = run(tmp_path / "broken", config, resume=True)
    assert same(straight.state_dict(), resumed.state_dict())
    rows = [read_json_lines(tmp_path / name / "metrics.jsonl") for name in ("straight", "broken")]
    for key in ("loss", "uniformity", "koleo", "cosine2"):
        assert [row[key] for row in rows[0]] == [row[key] for row in rows[1]]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder in which two processes have trained together."""
    folder = tmp_path_factory.mktemp("two")
    script = [sys.executable, "-m", "tests.train.ranked_steps", str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(script, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return folder


def weights_of(folder, name, rank=0):
    return load_file(folder / name / f"weights-{rank}.safetensors")


def metrics_of(folder, name, *keys):
    rows = read_json_lines(folder / name / "metrics.jsonl")
    return np.array([[row[key] for key in keys] for row in rows])


def largest_difference(first, second):
    found = 0.0
    for name, value in first.items():
        if not value.isfinite().all():  # of noise, which is not fitted yet
            continue
        difference = (value - second[name]).abs()
        if name.endswith("qkv.bias"):
            # A bias of keys adds a constant to the scores: its gradient is 0 but for rounding,
            # of which Adam makes a step.
            difference = torch.cat([difference.chunk(3)[0], difference.chunk(3)[2]])
        found = max(found, float(difference.max()))
    return found


@pytest.mark.parametrize("name", ["plain", "stream", "exact"])
def test_two_processes_train_as_one(two, tmp_path, name):
    assert same(weights_of(two, name), weights_of(two, name, rank=1))
    # Of a stream other samples come first, of which Adam divides smaller gradients.
    most = 1e-5 if name == "stream" else 1e-6
    assert largest_difference(steps(name, tmp_path), weights_of(two, name)) < most
    keys = ("loss", "grad_norm", *(["uniformity", "cosine2"] if name == "exact" else []))
    found, expected = (metrics_of(*each, *keys) for each in ((two, name), (tmp_path, ".")))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if name == "exact":
        assert largest_difference(weights_of(two, name), weights_of(two, "plain")) > 1e-4
        assert largest_difference(weights_of(two, "stream"), weights_of(two, "plain")) > 1e-5


def test_two_processes_train_in_half_precision(two):
    found, exact = (metrics_of(two, name, "loss", "uniformity") for name in ("bf16", "exact"))
    np.testing.assert_allclose(found, exact, rtol=0.02)
    assert not np.array_equal(found, exact)
    assert same(weights_of(two, "bf16"), weights_of(two, "bf16", rank=1))


def test_the_gradient_of_the_public_code_shrinks_with_the_number_of_devices(two, tmp_path):
    alone = steps("public", tmp_path)
    assert same(weights_of(two, "public"), weights_of(two, "public", rank=1))
    assert largest_difference(alone, weights_of(two, "public")) > 1e-4
    # The first step starts from the same weights.
    first, one = (metrics_of(*each, "uniformity", "grad_norm")[0] for each in (
        (two, "public"), (tmp_path, "."),
    ))  # fmt: skip
    assert first[0] == pytest.approx(one[0], rel=1e-6)
    assert first[1] < 0.9 * one[1]


def test_measuring_on_one_device_changes_nothing(two):
    rows = read_json_lines(two / "measured" / "metrics.jsonl")
    assert ["effective_rank" in row for row in rows] == [False, True, True]
    for rank in (0, 1):
        assert same(weights_of(two, "measured", rank), weights_of(two, "exact", rank))
