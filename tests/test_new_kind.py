"""A kind of data that is one file and one line: the example's, which edits nothing of src."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import maskwise as mw
from maskwise import modalities
from tests.kind_conformance import check

EXAMPLE = Path(__file__).parents[1] / "examples" / "new_kind.py"
SMALL = {
    "train.steps": 6,
    "train.batch_size": 16,
    "model.width": 16,
    "model.depth": 1,
    "model.heads": 2,
    "model.decoder_width": 16,
    "model.decoder_depth": 1,
    "diagnose.num_samples": 30,
    "efficiency.accelerator": "cpu",
}


@pytest.fixture(scope="module")
def example():
    """The example's module, whose kind of data is known while these tests run."""
    spec = importlib.util.spec_from_file_location("new_kind", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del modalities.KINDS["sounds"]


@pytest.fixture(scope="module")
def run(example, tmp_path_factory):
    """A run that passed what every kind of data must."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("sounds")
        yield check(example.SOUNDS, example.make_waves(120), SMALL, folder, patch)


def test_it_is_short_and_edits_nothing():
    lines = EXAMPLE.read_text("utf-8").splitlines()
    assert len(lines) < 150
    assert [line for line in lines if line.startswith("modalities.KINDS[")] == [
        'modalities.KINDS["sounds"] = SOUNDS'
    ]


def test_probes_stand_beside_baselines(run):
    probes = run.result["probes"]
    assert {probe["features"] for probe in probes} == {
        *("encoder", "untrained encoder", "log-mel frames"),
    }
    assert {probe["num_test"] for probe in probes} == {30}


def test_the_report_has_a_section_of_its_own(run):
    page = run.report.read_text("utf-8")
    assert "Loudness" in page
    assert "A section of this kind&#39;s own." in page
    assert "log energy" in page or "By time" in page
    out = mw.report.write([run.path, run.path.parent / "broken"], run.path / "both.html")
    assert "Loudness" in out.read_text("utf-8")


def test_what_a_model_is_used_for(run, example):
    waves, _ = example.make_waves(5)
    assert run.embed(waves).shape == (5, 16)
    found = mw.measure_likelihood(run, example.make_waves(120), num_samples=4, passes=4)
    assert np.isfinite(found.likelihood["area"]["nats"])
    with pytest.raises(mw.UserError, match="models of sounds do not impute"):
        run.impute(waves)


def test_the_command_line_knows_it(run, example, cli, tmp_path):
    assert "sounds: waves as an array" in cli("list")[1]
    words = [f"--{key}={value}" for key, value in SMALL.items()]
    status, out, err = cli("pretrain", "tones", "--out", tmp_path / "run", *words)
    assert status == 0, err
    assert "probe" in out or "%" in out
    assert json.loads((tmp_path / "run/config.json").read_text())["modality"] == "sounds"
    status, _, err = cli("pretrain", "tones", "--data.patch", 2, "--out", tmp_path / "other")
    assert status == 2
    assert "unknown key 'data.patch'" in err


def test_mistakes_are_one_line(example, tmp_path):
    with pytest.raises(mw.UserError, match="is no source of sounds: give waves, or tones"):
        mw.pretrain("tones", out=tmp_path / "run", **{"data.source": "noise"})
    assert not (tmp_path / "run").exists()
