import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maskwise.errors import UserError
from maskwise.files import read_json_lines
from maskwise.images.recipes import ImageRunSettings
from maskwise.train import checkpoint

GOLDEN = [
    2.11221, 1.84937, 1.61509, 1.48893, 1.26228,
    1.28356, 1.11163, 1.01212, 0.95937, 0.89507,
    0.85602, 0.85729, 0.80865, 0.81721, 0.80248,
    0.80508, 0.77543, 0.76258, 0.74924, 0.79711,
]  # fmt: skip


def losses(folder):
    return [row["loss"] for row in read_json_lines(folder / "metrics.jsonl")]


def tensors(folder):
    return load_file(folder / checkpoint.NAME)


def same(first, second):
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])] == []


def test_the_loss_of_the_first_twenty_steps(run, tiny, tmp_path):
    """A guard for refactoring: what training computes has not changed."""
    run(tmp_path / "run", tiny({"train.steps": 20, "train.batch_size": 32}))
    np.testing.assert_allclose(losses(tmp_path / "run"), GOLDEN, atol=1e-4)


def test_the_loss_falls(run, tiny, tmp_path):
    config = tiny({"train.steps": 80, "train.lr": 5e-3})
    run(tmp_path / "run", config)
    values = losses(tmp_path / "run")
    assert np.mean(values[-20:]) < 0.8 * np.mean(values[:5])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train.ema": 0.9},
        {"efficiency.workers": 2},
        {"train.scope": "sample", "train.sampling": "stratified", "train.accumulate": 2},
        {"data.crop_scale": (0.3, 1.0), "data.flip": True, "model.predict_fraction": 0.5},
        {"law": "scheduled:cosine,0.2..0.9", "model.mode": "replace", "train.log_every": 4},
    ],
    ids=lambda changes: ",".join(changes) or "plain",
)
def test_resuming_is_exact(run, tiny, tmp_path, changes):
    config = tiny({"train.steps": 8} | changes)
    straight, summary = run(tmp_path / "straight", config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", config, stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", config, resume=True, stop_at=4)
    assert len(tensors(tmp_path / "broken")) > 50
    resumed, again = run(tmp_path / "broken", config, resume=True)
    assert same(straight.state_dict(), resumed.state_dict())
    assert same(tensors(tmp_path / "straight"), tensors(tmp_path / "broken"))
    if config.train.log_every == 1:
        assert losses(tmp_path / "straight") == losses(tmp_path / "broken")
        assert summary["final_loss"] == again["final_loss"]
    for key in ("num_samples", "encoder_tokens", "steps", "num_parameters"):
        assert summary[key] == again[key]
    rows = [read_json_lines(tmp_path / name / "metrics.jsonl") for name in ("straight", "broken")]
    assert rows[0][-1]["samples"] == rows[1][-1]["samples"] == 8 * 16


def test_resuming_falls_back_to_the_last_checkpoint(run, tiny, tmp_path):
    """Killed, not interrupted: steps after the last checkpoint are trained again."""
    config = tiny({"train.checkpoint_every": 3})
    straight, _ = run(tmp_path / "straight", config)

    class Killed(Exception):
        pass

    def kill(*arguments):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        real = checkpoint.save
        patch.setattr(checkpoint, "save", lambda *a: real(*a) if a[2] == 3 else kill())
        with pytest.raises(Killed):
            run(tmp_path / "killed", config)
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    assert len(losses(tmp_path / "killed")) == 6
    resumed, _ = run(tmp_path / "killed", config, resume=True)
    assert same(straight.state_dict(), resumed.state_dict())
    assert losses(tmp_path / "killed") == losses(tmp_path / "straight")


def test_resuming_a_finished_run_trains_no_more(run, tiny, tmp_path):
    config = tiny()
    first, summary = run(tmp_path / "run", config)
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    second, again = run(tmp_path / "run", config, resume=True)
    assert same(first.state_dict(), second.state_dict())
    assert summary == again
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_resuming_without_a_checkpoint_starts_anew(run, tiny, tmp_path):
    first, _ = run(tmp_path / "straight", tiny())
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "metrics.jsonl").write_text('{"step": 1}\n')
    second, _ = run(tmp_path / "new", tiny(), resume=True)
    assert same(first.state_dict(), second.state_dict())
    assert losses(tmp_path / "new") == losses(tmp_path / "straight")


def test_efficiency_does_not_change_what_is_learned(run, tiny, tmp_path):
    first, _ = run(tmp_path / "first", tiny())
    for number, changes in enumerate(
        [{"efficiency.workers": 2}, {"train.checkpoint_every": 2}, {"train.log_every": 5}]
    ):
        other, _ = run(tmp_path / str(number), tiny(changes))
        assert same(first.state_dict(), other.state_dict())
    run(tmp_path / "parts", tiny({"train.accumulate": 4}))
    np.testing.assert_allclose(losses(tmp_path / "parts"), losses(tmp_path / "first"), rtol=1e-4)


@pytest.mark.parametrize("attention", ["plain", "sdpa"])
def test_bf16_comes_close(run, tiny, tmp_path, attention):
    run(tmp_path / "exact", tiny())
    changes = {"efficiency.precision": "bf16", "efficiency.attention": attention}
    model, _ = run(tmp_path / "bf16", tiny(changes | {"train.scope": "step"}))
    np.testing.assert_allclose(losses(tmp_path / "bf16"), losses(tmp_path / "exact"), rtol=0.02)
    assert losses(tmp_path / "bf16") != losses(tmp_path / "exact")
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


def test_the_average_of_weights(run, tiny, tmp_path):
    config = tiny({"train.ema": 0.7, "train.steps": 5, "train.lr": 0.02})
    expected = None
    for step in range(4):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", config, resume=step > 0, stop_at=step)
        state = tensors(tmp_path / "run")
        weight = state["model.head.weight"]
        expected = weight if expected is None else 0.7 * expected + 0.3 * weight
        torch.testing.assert_close(state["average.module.head.weight"], expected)
    kept, _ = run(tmp_path / "run", config, resume=True)
    state = tensors(tmp_path / "run")
    assert torch.equal(kept.head.weight, state["average.module.head.weight"])
    assert not torch.allclose(kept.head.weight, state["model.head.weight"], atol=1e-4)


def test_what_metrics_say(run, tiny, tmp_path):
    config = tiny({"train.log_every": 4, "train.steps": 10, "law": "fixed:0.5"})
    _, summary = run(tmp_path / "few", config)
    run(tmp_path / "all", tiny({"train.steps": 10, "law": "fixed:0.5"}))
    rows = read_json_lines(tmp_path / "few" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [4, 8, 10]
    every = losses(tmp_path / "all")
    means = [np.mean(every[0:4]), np.mean(every[4:8]), np.mean(every[8:10])]
    np.testing.assert_allclose([row["loss"] for row in rows], means)
    for row in rows:
        assert row["ratio"] == 0.5
        assert row["encoder_tokens"] == row["step"] * 16 * 8
        assert row["samples"] == row["step"] * 16
        assert row["samples_per_s"] > 0
        assert row["encoder_tokens_per_s"] == pytest.approx(8 * row["samples_per_s"])
        assert math.isfinite(row["grad_norm"])
    assert summary["encoder_tokens"] == 10 * 16 * 8
    assert summary["num_samples"] == 160


def test_clipping(run, tiny, tmp_path):
    first, _ = run(tmp_path / "none", tiny({"train.clip": None}))
    loose, _ = run(tmp_path / "loose", tiny({"train.clip": 1e6}))
    tight, _ = run(tmp_path / "tight", tiny({"train.clip": 1e-9}))
    assert same(first.state_dict(), loose.state_dict())
    assert not same(first.state_dict(), tight.state_dict())
    norms = [read_json_lines(tmp_path / name / "metrics.jsonl")[0] for name in ("none", "tight")]
    assert norms[0]["grad_norm"] == norms[1]["grad_norm"] > 0.01


def poisoned(digits, step_rows):
    def read(rows):
        images = digits.read(rows).astype(np.float32)
        images[np.isin(rows, step_rows)] = np.nan
        return images

    return dataclasses.replace(digits, read=read)


def test_a_loss_that_is_not_finite(run, tiny, digits, tmp_path):
    from maskwise.train.batches import Batches

    config = tiny({"train.checkpoint_every": 2})
    batch = next(Batches(digits, batch_size=16, seed=0).read(4, 5, 0))
    bad = poisoned(digits, digits.rows[batch.ids.numpy()][:1])
    with pytest.raises(UserError, match=r"^step 5: loss nan") as error:
        run(tmp_path / "run", config, source=bad)
    message = str(error.value)
    assert "\n" not in message
    assert ", ".join(map(str, batch.ids.tolist()[:8])) in message
    [saved] = (tmp_path / "run" / "failure").iterdir()
    assert str(saved) in message
    content = load_file(saved)
    assert torch.equal(content["ids"], batch.ids)
    assert content["hidden"].shape == (16, 16)
    torch.testing.assert_close(content["samples"][1:], batch.samples[1:].float())
    assert content["samples"][0].isnan().all()
    assert [row["step"] for row in read_json_lines(tmp_path / "run" / "metrics.jsonl")] == [
        1, 2, 3, 4
    ]  # fmt: skip
    # The checkpoint is that of step 4, and with good data the run goes on as if nothing happened.
    resumed, _ = run(tmp_path / "run", config, resume=True)
    straight, _ = run(tmp_path / "straight", config)
    assert same(resumed.state_dict(), straight.state_dict())


def test_a_second_interrupt_stops_at_once():
    import signal

    from maskwise.train.loop import StopRequest

    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.steps": 0}, "train.steps=0"),
        ({"train.lr": -1}, "train.lr=-1"),
        ({"train.ema": 1.0}, "train.ema=1.0"),
        ({"train.warmup": 1.5}, "train.warmup=1.5"),
        ({"train.scope": "epoch"}, "train.scope='epoch'"),
        ({"train.batch_size": 10, "train.accumulate": 4}, "10 is not a multiple of 1 devices x 4"),
        ({"efficiency.devices": 3}, "16 is not a multiple of 3 devices"),
        ({"law": "fixed:1.2"}, r"ratio 1\.2 is outside \(0, 1\)"),
        ({"pattern": "stripes"}, "unknown pattern 'stripes'"),
        ({"train.batchsize": 3}, "did you mean 'train.batch_size'"),
        ({"evaluate.layer": 1}, r"evaluate\.layer 1 is outside 0\.\.0"),
        ({"model.class_token": False, "evaluate.pools": ["class"]}, "evaluate.pools without"),
    ],
)
def test_bad_configurations(tiny, changes, message):
    with pytest.raises(UserError, match=message) as error:
        tiny(changes)
    assert "\n" not in str(error.value)


def test_a_configuration_is_what_its_dictionary_says(tiny):
    from maskwise.settings import from_dict, to_dict

    config = tiny({"train.ema": 0.99, "data.crop_scale": (0.2, 1.0), "data.patch": 4})
    assert from_dict(ImageRunSettings, to_dict(config)) == config
