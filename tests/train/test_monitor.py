import dataclasses
import logging

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maskwise import diagnostics
from maskwise.errors import UserError
from maskwise.files import read_json_lines
from maskwise.measure.features import random_subset
from maskwise.measure.representation import DiagnoseSettings
from maskwise.modalities import build, config_of, find
from maskwise.train import checkpoint
from maskwise.train.batches import Batches
from maskwise.train.monitor import Monitor, OnlineProbe

TIMED = ("seconds", "samples_per_s", "encoder_tokens_per_s")
EVERY = {"diagnose.every": 4, "diagnose.probe_every": 1, "diagnose.num_samples": 120}


def rows_of(folder):
    rows = read_json_lines(folder / "metrics.jsonl")
    return [{key: value for key, value in row.items() if key not in TIMED} for row in rows]


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def labelled(source, labels):
    return dataclasses.replace(source, labels=labels)


@pytest.fixture
def monitor(digits, held, tiny, new_model):
    """A monitor of an untrained model."""

    def make(train=digits, test=held, **changes):
        config = DiagnoseSettings(**({"every": 1, "num_samples": 120} | changes))
        return Monitor(new_model(tiny()), train, test, config)

    return make


def test_what_is_measured_is_what_the_model_says_then(run, tiny, held, new_model, tmp_path):
    config = tiny(EVERY | {"diagnose.pool": "class", "diagnose.seed": 3})
    kept, _ = run(tmp_path / "run", config, held=held)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "early", config, held=held, stop_at=3)
    early = new_model(config)
    early.load_state_dict(
        {
            name.removeprefix("model."): value
            for name, value in load_file(tmp_path / "early" / checkpoint.NAME).items()
            if name.startswith("model.")
        }
    )
    rows = rows_of(tmp_path / "run")
    assert [row["step"] for row in rows if "effective_rank" in row] == [4, 6]
    samples = held.get(random_subset(len(held), 120, seed=3))
    for row, model in ((rows[3], early.eval()), (rows[5], kept)):
        z = model.encode(samples, "class").detach()
        assert row["effective_rank"] == pytest.approx(diagnostics.effective_rank(z), rel=1e-5)
        assert row["energy"] == pytest.approx(diagnostics.energy(z), rel=1e-5)
        assert 1 < row["effective_rank"] < 16
        assert 0 <= row["probe_accuracy"] <= 1
    assert rows[3]["effective_rank"] != rows[5]["effective_rank"]


def test_measuring_and_probing_change_nothing(run, tiny, held, tmp_path):
    config = tiny({"train.ema": 0.9, "data.flip": True, "regularise.uniformity": 0.1} | EVERY)
    plain, _ = run(tmp_path / "plain", config)
    measured, _ = run(tmp_path / "measured", config, held=held)
    assert same(plain.state_dict(), measured.state_dict())
    tensors = [load_file(tmp_path / name / checkpoint.NAME) for name in ("plain", "measured")]
    assert tensors[1].keys() > tensors[0].keys()
    assert all(name.startswith("probe.") for name in tensors[1].keys() - tensors[0].keys())
    assert same(tensors[0], {name: tensors[1][name] for name in tensors[0]})
    for row, other in zip(*map(rows_of, (tmp_path / "plain", tmp_path / "measured")), strict=True):
        assert {name: other[name] for name in row} == row


@pytest.mark.parametrize("stop_at", [2, 3, 4])
def test_resuming_is_exact_with_its_probe(run, tiny, held, tmp_path, stop_at):
    config = tiny(EVERY | {"diagnose.probe_every": 2, "train.steps": 8})
    run(tmp_path / "straight", config, held=held)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", config, held=held, stop_at=stop_at)
    run(tmp_path / "broken", config, held=held, resume=True)
    straight, broken = (
        load_file(tmp_path / name / checkpoint.NAME) for name in ("straight", "broken")
    )
    assert same(straight, broken)
    # What it learned at steps 0, 2, 4 and 6, counted from 0.
    assert float(straight["probe.optimizer.step.weight"]) == 4
    assert straight["probe.model.weight"].abs().max() > 1e-3
    assert int(straight["probe.model.norm.num_batches_tracked"]) == 4
    rows = rows_of(tmp_path / "straight")
    assert rows == rows_of(tmp_path / "broken")
    assert [row["step"] for row in rows if "probe_accuracy" in row] == [4, 8]


def test_lines_of_what_is_measured_between_those_of_the_log(run, tiny, held, tmp_path):
    config = tiny({"train.steps": 7, "train.log_every": 5, "diagnose.every": 3})
    run(tmp_path / "run", config, held=held)
    rows = rows_of(tmp_path / "run")
    assert [row["step"] for row in rows] == [3, 5, 6, 7]
    assert ["energy" in row for row in rows] == [True, False, True, True]


def test_without_labels_there_is_no_probe(run, tiny, digits, held, tmp_path):
    run(tmp_path / "run", tiny(EVERY), source=labelled(digits, None), held=labelled(held, None))
    last = rows_of(tmp_path / "run")[-1]
    assert {"effective_rank", "energy"} <= last.keys()
    assert "probe_accuracy" not in last
    assert not [k for k in load_file(tmp_path / "run" / checkpoint.NAME) if "probe" in k]


def test_texts_have_no_labels():
    pytest.importorskip("tokenizers")
    texts = [f"line {n} tells of {n * n} cats and some {n % 7} dogs that sat" for n in range(200)]
    shape = {"width": 8, "depth": 1, "heads": 2}
    changes = {f"model.{name}": value for name, value in shape.items()}
    changes |= {"data.vocab_size": 300, "data.length": 24, "data.holdout": 0.2}
    config = config_of(texts, changes, None)
    splits = find("text").load(texts, config)
    modality, config = find("text").describe(splits, config)
    model = build(modality, config.model, seed=0)
    monitor = Monitor(model, splits.train, splits.test, DiagnoseSettings(every=1))
    assert monitor.measure().keys() == {"effective_rank", "energy"}
    assert model.training


def test_labels_that_are_not_known_do_not_count(monitor, digits, held):
    unknown = np.full(len(digits), -1)
    for train, test in ((unknown, held.labels), (digits.labels, np.full(len(held), -1))):
        found = monitor(labelled(digits, train), labelled(held, test)).measure()
        assert found.keys() == {"effective_rank", "energy"}
    # An untrained probe says class 0 of all.
    some = held.labels.copy()
    some[::2] = -1
    index = random_subset(len(held), 120, seed=0)
    known = some[index][some[index] >= 0]
    found = monitor(test=labelled(held, some)).measure()
    assert found["probe_accuracy"] == pytest.approx(np.mean(known == 0))
    assert 0 < len(known) < 120


def clusters(num=300, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num) % 3
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    z = centres[labels] + 0.5 * torch.randn(num, 2, generator=generator)
    # Far from the origin and on scales of their own, as features are.
    return z * torch.tensor([300.0, 0.01]) + 50, labels


def test_the_probe_learns_what_can_be_told_apart():
    # The other probe sees one feature on another scale.
    probe, other = OnlineProbe(2, 3), OnlineProbe(2, 3)
    (z, labels), (others, truth) = clusters(), clusters(seed=1)
    for part in [slice(start, start + 30) for start in range(0, 300, 30)] * 20:
        probe.learn(z[part], labels[part])
        other.learn(z[part] * torch.tensor([1.0, 8.0]), labels[part])
    with torch.no_grad():
        predicted = probe.eval()(others).argmax(dim=1)
    assert (predicted == truth).float().mean() > 0.97
    torch.testing.assert_close(probe.weight, other.weight, atol=0.01, rtol=0.01)


def test_the_probe_learns_from_batches(monitor, digits):
    watching = monitor(num_samples=300)
    before = watching.measure()["probe_accuracy"]
    for batch in Batches(digits, batch_size=64, seed=0).read(0, 160, 0):
        watching.step(batch)
    # Features of an untrained model, one step in four.
    assert before < 0.2
    assert watching.measure()["probe_accuracy"] > 0.3


def test_the_probe_leaves_unknown_labels_out():
    z, labels = clusters(12)
    first, second = OnlineProbe(2, 3), OnlineProbe(2, 3)
    first.learn(z, torch.where(torch.arange(12) < 9, labels, -1))
    second.learn(z[:9], labels[:9])
    assert same(first.state_dict(), second.state_dict())
    # One sample has no batch statistics, none has no loss.
    for num in (0, 1):
        first.learn(z, torch.where(torch.arange(12) < num, labels, -1))
    assert same(first.state_dict(), second.state_dict())


def test_features_that_are_all_alike_do_not_stop_training(run, tiny, held, tmp_path, caplog):
    alike = dataclasses.replace(held, rows=np.zeros_like(held.rows))
    with caplog.at_level(logging.WARNING, "maskwise"):
        run(tmp_path / "run", tiny(EVERY), held=alike)
    assert len(caplog.messages) == 2
    rows = rows_of(tmp_path / "run")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert ["probe_accuracy" in row for row in rows] == [False] * 3 + [True, False, True]
    assert not any("effective_rank" in row for row in rows)


def test_fewer_samples_than_features_are_refused(monitor, held):
    says = r"diagnose.every: 15 held-out samples of 16 features have no rank to speak of: hold out"
    for changes in ({"num_samples": 15}, {"test": held.take(np.arange(15))}):
        with pytest.raises(UserError, match=says) as error:
            monitor(**changes)
        assert "\n" not in str(error.value)
    assert "effective_rank" in monitor(num_samples=16).measure()
