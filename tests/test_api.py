import json
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import rich.style  # noqa: F401 - draws a number when it is imported
import torch
from safetensors.torch import load_file

import maskwise as mw
from maskwise import laws
from maskwise.errors import UserError
from maskwise.modalities import build
from maskwise.patches.model import PatchModel
from maskwise.settings import to_dict

SMALL = {
    "model": {
        "width": 16, "depth": 1, "heads": 2,
        "decoder_width": 8, "decoder_depth": 1, "decoder_heads": 2,
    },
    "train": {"steps": 3, "batch_size": 16, "log_every": 1},
    "evaluate": {"protocols": ["knn"], "baselines": False, "ratios": [0.5], "num_train": 100,
                 "visible": []},
    "efficiency.accelerator": "cpu",
    "diagnose.num_samples": 20,
}  # fmt: skip


@pytest.fixture
def finished(finished):
    return mw.Run(finished)


def global_state():
    numpy = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), numpy[1].tolist(), numpy[2:]


def test_a_run_leaves_global_generators_alone_and_ignores_them(tmp_path, no_report):
    before = global_state()
    changes = {"train.steps": 2, "data.flip": True, "data.crop_scale": (0.5, 1.0)}
    protocols = {"evaluate.protocols": ["logistic", "mae", "knn"], "evaluate.baselines": True}
    first = mw.pretrain("digits", out=tmp_path / "a", **SMALL, **changes, **protocols)
    assert global_state() == before
    torch.rand(5)
    second = mw.pretrain("digits", out=tmp_path / "b", **SMALL, **changes, **protocols)
    weights = [run.model().state_dict() for run in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert first.result["probes"] == second.result["probes"]
    assert first.result["reconstruction"] == second.result["reconstruction"]


def test_what_a_run_says(finished):
    assert finished.config.train.steps == 3
    assert finished.config.law == "uniform:0.4,0.9"
    assert finished.config.data.patch == (2, 2)
    assert [row["step"] for row in finished.metrics] == [1, 2, 3]
    result = finished.result
    assert result["name"] == "finished"
    assert result["train"]["steps"] == 3
    assert result["train"]["num_samples"] == 48
    assert result["law"]["mean"] == pytest.approx(0.65)
    assert result["law"]["effective_mean"] == pytest.approx(0.65)
    assert result["data"]["shape"] == [1, 8, 8]
    assert len(result["probes"]) == 2
    assert finished.report.read_text("utf-8").startswith("<!")
    saved = json.loads((finished.path / "config.json").read_text())
    assert saved == to_dict(finished.config)
    assert isinstance(finished.model(), PatchModel)
    assert finished.model().log_variance.isfinite().all()


def test_a_run_object_from_a_folder(finished):
    again = mw.Run(finished.path)
    assert again.result == finished.result
    with pytest.raises(UserError, match="is not a run folder"):
        mw.Run(finished.path.parent)


def test_loading_a_run_or_a_copied_model_folder(finished, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8)).astype(np.uint8)
    batch = torch.from_numpy(images)[:, None]
    shutil.copytree(finished.path / "model", tmp_path / "copy")
    features = [mw.load(path).encode(batch) for path in (finished.path, tmp_path / "copy")]
    features.append(mw.load(str(finished.path / "model")).encode(batch))
    assert torch.equal(features[0], features[1])
    assert torch.equal(features[0], features[2])
    np.testing.assert_array_equal(finished.embed(images), features[0].detach().numpy())
    with pytest.raises(UserError, match="is not a run folder"):
        mw.load(tmp_path / "nowhere")


def test_embedding(finished):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 8, 8)).astype(np.uint8)
    features = finished.embed(images)
    assert features.shape == (5, 16)
    assert features.dtype == np.float32
    for same in (images[..., None], torch.from_numpy(images)[:, None], images.astype(np.float32)):
        np.testing.assert_allclose(finished.embed(same), features, atol=1e-5)
    assert finished.embed(images, pool="both").shape == (5, 32)
    np.testing.assert_allclose(finished.embed(images[2:3]), features[2:3], atol=1e-5)
    assert finished.embed(np.zeros((5, 8, 6), np.uint8)).shape == (5, 16)  # another size
    with pytest.raises(UserError, match="8x7"):
        finished.embed(np.zeros((5, 8, 7), np.uint8))


@pytest.mark.parametrize("kind", ["numpy", "labelled", "torch", "float"])
def test_arrays_of_any_shape(tmp_path, no_report, kind):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 4, 6, 5)).astype(np.uint8)
    data = {
        "numpy": images,
        "labelled": (images, np.arange(60) % 3),
        "torch": torch.from_numpy(images).permute(0, 3, 1, 2),
        "float": (images / 255).astype(np.float32),
    }[kind]
    layout = {} if kind == "torch" else {"data.layout": "NHWC"}
    run = mw.pretrain(data, out=tmp_path / "run", **SMALL, **layout)
    assert run.config.data.source == "array"
    assert run.config.data.patch == (2, 2)
    assert run.result["data"]["shape"] == [5, 4, 6]
    assert (run.result["data"]["num_train"], run.result["data"]["num_test"]) == (48, 12)
    assert len(run.result["probes"]) == (2 if kind == "labelled" else 0)
    assert run.embed(images[:7].astype(data.dtype) if kind == "float" else images[:7]).shape == (
        7,
        16,
    )
    assert mw.load(run.path).tokenizer.grid == (2, 3)
    if kind == "numpy":
        with pytest.raises(UserError, match="give them again, as data="):
            mw.evaluate(run)
        again = mw.evaluate(run, data=images)
        assert again.result["reconstruction"] == run.result["reconstruction"]


def test_the_same_images_are_the_same_run(tmp_path, no_report):
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 6, 2)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", x=images)
    given = (images, torch.from_numpy(images).permute(0, 3, 1, 2), tmp_path / "images.npz")
    runs = [mw.pretrain(data, out=tmp_path / str(n), **SMALL) for n, data in enumerate(given)]
    weights = [run.model().state_dict() for run in runs]
    for name in weights[0]:
        assert torch.equal(weights[0][name], weights[1][name])
        assert torch.equal(weights[0][name], weights[2][name])


@pytest.mark.parametrize(
    ("law", "text"),
    [
        (0.5, "fixed:0.5"),
        ("0.5", "fixed:0.5"),
        ("uniform:0.10,0.8", "uniform:0.1,0.8"),
        (laws.Uniform(0.1, 0.8), "uniform:0.1,0.8"),
        (laws.Scheduled(laws.Fixed(0.9), laws.Fixed(0.2), "cosine"), None),
    ],
)
def test_a_law_is_a_number_a_string_or_a_law(tmp_path, no_report, law, text):
    run = mw.pretrain("digits", law=law, out=tmp_path / "run", **SMALL)
    assert run.config.law == (text or str(law))
    assert laws.parse(run.config.law) == laws.parse(text or law)


def test_overrides_nest_or_have_dots(tmp_path, no_report):
    changes = SMALL | {"train": SMALL["train"] | {"lr": 0.01, "scope": "sample"}}
    dotted = {"train.lr": 0.01, "train.scope": "sample"}
    first = mw.pretrain("digits", seed=3, out=tmp_path / "a", **changes)
    second = mw.pretrain("digits", seed=3, out=tmp_path / "b", **SMALL, **dotted)
    assert first.config == second.config
    assert (first.config.train.lr, first.config.seed) == (0.01, 3)
    with pytest.raises(UserError, match=r"unknown key 'train\.stps'; did you mean 'train\.steps'"):
        mw.pretrain("digits", out=tmp_path / "c", train={"stps": 3})
    with pytest.raises(UserError, match=r"unknown key 'lr'; did you mean 'train\.lr'"):
        mw.pretrain("digits", out=tmp_path / "c", lr=3)
    assert not (tmp_path / "c").exists()


def test_a_seed_decides_the_initial_weights(tmp_path, no_report):
    still = {"train.steps": 1, "train.lr": 1e-12}
    run = mw.pretrain("digits", seed=3, out=tmp_path / "run", **SMALL, **still)
    model = run.model()
    for seed in (3, 0):
        weights = build(model.tokenizer, model.config, seed=seed).head.weight
        assert torch.allclose(weights, model.head.weight, atol=1e-6) == (seed == 3)


def test_the_default_folder_says_what_the_run_is(tmp_path, no_report, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = mw.pretrain("digits", law="uniform:0.2,0.9", seed=7, **SMALL)
    assert str(run.path) == "runs/digits-uniform-0.2-0.9-s7"
    assert run.result["name"] == "digits-uniform-0.2-0.9-s7"


def test_evaluating_anew(finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    run = mw.evaluate(tmp_path / "run")
    assert run.report.exists()
    expected = finished.result | {"name": "run"}
    assert run.result == expected
    changed = mw.evaluate(run, evaluate={"ratios": [0.25, 0.75]}, **{"evaluate.num_test": 50})
    assert [row["ratio"] for row in changed.result["reconstruction"]["curve"]] == [0.25, 0.75]
    assert changed.result["train"] == finished.result["train"]
    with pytest.raises(UserError, match=r"evaluation cannot change 'train\.steps'"):
        mw.evaluate(run, train={"steps": 5})
    with pytest.raises(UserError, match="is not a run folder"):
        mw.evaluate(tmp_path)


def test_evaluating_other_images(finished, tmp_path, no_report):
    shutil.copytree(finished.path, tmp_path / "run")
    np.save(tmp_path / "few.npy", np.zeros((20, 8, 8), np.uint8))
    run = mw.evaluate(tmp_path / "run", **{"data.source": str(tmp_path / "few.npy")})
    assert run.result["data"]["num_test"] == 4


class Own(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(16, 16, generator=generator) / 4)

    def forward(self, x):
        return x + (x @ self.weight).relu() + x.mean(1, keepdim=True)


def test_an_encoder_of_ones_own(tmp_path, no_report):
    own = {"model.mode": "replace", "model.class_token": False}
    run = mw.pretrain("digits", out=tmp_path / "run", encoder=Own, **SMALL, **own)
    model = mw.load(run.path, encoder=Own)
    assert not torch.equal(model.encoder.weight, Own().weight)
    assert len(run.result["probes"]) == 1
    again = mw.evaluate(run, encoder=Own)
    assert again.result["reconstruction"] == run.result["reconstruction"]
    features = run.embed(np.zeros((2, 8, 8), np.uint8), encoder=Own)
    assert features.shape == (2, 16)


def test_an_interrupted_run_goes_on(tmp_path, no_report, monkeypatch):
    from maskwise.train import loop

    whole = mw.pretrain("digits", out=tmp_path / "whole", **SMALL)
    real = loop.prepare

    def interrupt(batch, *rest):
        if batch.step == 1:
            signal.raise_signal(signal.SIGINT)
        return real(batch, *rest)

    monkeypatch.setattr(loop, "prepare", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mw.pretrain("digits", out=tmp_path / "run", **SMALL)
    monkeypatch.setattr(loop, "prepare", real)

    for ask in (mw.evaluate, mw.measure_likelihood):
        with pytest.raises(UserError, match="has no model yet: continue its training with resume"):
            ask(tmp_path / "run")
    with pytest.raises(UserError, match="already exists: continue it with resume="):
        mw.pretrain("digits", out=tmp_path / "run", **SMALL)
    changed = {"train.lr": 0.5, "law": "fixed:0.5", "seed": 4}
    with pytest.raises(UserError) as error:
        mw.pretrain("digits", out=tmp_path / "run", resume=True, **SMALL, **changed)
    for difference in (
        "train.lr: 0.002 -> 0.5",
        "law: uniform:0.4,0.9 -> fixed:0.5",
        "seed: 0 -> 4",
    ):
        assert difference in str(error.value)
    assert "model.width" not in str(error.value)
    # What may change results by rounding only may change.
    run = mw.pretrain(
        "digits", out=tmp_path / "run", resume=True, **SMALL, **{"efficiency.workers": 1}
    )
    weights = [run.model().state_dict() for run in (whole, run)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert [row["loss"] for row in run.metrics] == [row["loss"] for row in whole.metrics]
    # And once more, with nothing left to do.
    again = mw.pretrain("digits", out=tmp_path / "run", resume=True, **SMALL)
    assert again.result["reconstruction"] == whole.result["reconstruction"]


@pytest.mark.parametrize("changes", [{}, {"train.ema": 0.5}])
def test_a_stopped_run_embeds(tmp_path, monkeypatch, caplog, changes):
    from maskwise.train import loop

    real = loop.prepare

    def interrupt(batch, *rest):
        if batch.step == 1:
            signal.raise_signal(signal.SIGINT)
        return real(batch, *rest)

    monkeypatch.setattr(loop, "prepare", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mw.pretrain("digits", out=tmp_path / "run", **SMALL, **changes)
    kept = load_file(tmp_path / "run/checkpoint/state.safetensors")
    prefix = "average.module." if changes else "model."
    run, images = mw.Run(tmp_path / "run"), np.zeros((5, 8, 8), np.uint8)
    weights = run.model().state_dict()
    assert all(torch.equal(kept[f"{prefix}{name}"], weights[name]) for name in weights)
    assert run.embed(images).shape == (5, 16)
    assert mw.load(tmp_path / "run").encode(torch.zeros(2, 1, 8, 8)).shape == (2, 16)
    said = f"{tmp_path / 'run'} was stopped at step 2 of 3: its newest checkpoint is used"
    assert said in caplog.text
    # One that says no model, as of older versions, or that has no checkpoint either.
    (tmp_path / "run/checkpoint/config.json").unlink()
    with pytest.raises(UserError, match="has no model yet: continue its training with resume"):
        run.model()


def test_importing_is_light():
    code = """
import sys, maskwise
print([name for name in ("torch", "numpy", "pydantic", "scipy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_exist():
    for name in mw.__all__:
        assert getattr(mw, name) is not None
        assert name in dir(mw)
    with pytest.raises(AttributeError, match="no attribute 'pretran'"):
        mw.pretran  # noqa: B018


def test_an_interrupted_evaluation_keeps_the_model(tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("maskwise.api.diagnose", stop)
        with pytest.raises(KeyboardInterrupt, match=r"mw\.evaluate") as caught:
            mw.pretrain("digits", out=tmp_path / "run", **SMALL)
    assert str(tmp_path / "run") in str(caught.value)
    run = mw.Run(tmp_path / "run")
    assert run.result.keys() == {"name", "train", "law"}
    mw.report.write([run.path])
    assert mw.evaluate(run).result.keys() > {"probes", "reconstruction", "features"}
