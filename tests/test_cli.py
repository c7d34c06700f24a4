import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import maskwise
from maskwise.cli import main
from maskwise.errors import UserError
from maskwise.run import Run
from tests.fixtures.runs import FAST, MODEL, TINY


def command(*words):
    return [sys.executable, "-m", "maskwise.cli", *map(str, words)]


def test_pretraining_leaves_a_whole_run_folder(finished):
    files = sorted(str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file())
    assert [name for name in files if not name.startswith("tensorboard")] == [
        "checkpoint/config.json",
        "checkpoint/state.safetensors",
        "config.json",
        "env.json",
        "metrics.jsonl",
        "model/config.json",
        "model/weights.safetensors",
        "report.html",
        "result.json",
        "samples.npz",
        "words.json",
    ]
    for name in ("config.json", "env.json", "result.json", "model/config.json"):
        json.loads((finished / name).read_text("utf-8"))
    environment = json.loads((finished / "env.json").read_text("utf-8"))
    assert environment["maskwise"] == maskwise.__version__
    assert environment["torch"] == torch.__version__
    with np.load(finished / "samples.npz", allow_pickle=False) as samples:
        assert set(samples) == {"images", "ratios", "hidden", "filled_visible", "filled_true"}


def test_what_pretraining_prints(cli, tmp_path):
    status, out, err = cli(
        "pretrain", "--train.steps", 2, *MODEL, "digits", *FAST, "--out", tmp_path / "run",
        "--law", "uniform:0.2,0.8", "--train.scope", "sample", "--train.reduction", "token_mean",
        "--seed=5", "--pattern", "units:2",
    )  # fmt: skip
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith("law uniform:0.2,0.8 (one ratio per sample): mean 0.500, effective")
    # Token means weight a ratio by itself: E[r^2] / E[r] = (0.25 + 0.6^2 / 12) / 0.5.
    assert "effective mean 0.560 under token_mean" in lines[0]
    assert "encoder, mean" in lines[1]
    assert "knn" in lines[1]
    assert lines[-1] == f"report: {tmp_path / 'run' / 'report.html'}"
    assert "2/2 loss" in err
    assert " samples/s ETA " in err
    config = Run(tmp_path / "run").config
    assert (config.seed, config.pattern, config.train.scope) == (5, "units:2", "sample")
    assert (config.train.steps, config.evaluate.ratios) == (2, (0.5,))


def test_answers_from_parts_of_a_run_from_before_they_were_measured(cli, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    config = json.loads((run / "config.json").read_text("utf-8"))
    for key in ("visible", "visible_patterns"):
        del config["evaluate"][key]
    (run / "config.json").write_text(json.dumps(config))
    status, _, err = cli("evaluate", run, "--evaluate.visible_patterns", "random,sideways")
    assert (status, "unknown pattern 'sideways'" in err) == (2, True)
    asked = ["--evaluate.visible", "0.25,1", "--evaluate.visible_patterns", "random"]
    assert cli("evaluate", run, *asked)[0] == 0
    rows = Run(run).result["partial"]
    assert [(row["method"], row["share"]) for row in rows] == [
        (method, share) for share in (0.25, 1.0) for method in ("encoder", "class frequencies")
    ]
    assert "From part of the input" in (run / "report.html").read_text("utf-8")


def test_evaluating_again(cli, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "finished")
    before = json.loads((run / "result.json").read_text("utf-8"))
    (run / "report.html").unlink()
    status, out, _ = cli("evaluate", run, "--evaluate.ratios", "0.3,0.6")
    assert status == 0
    after = json.loads((run / "result.json").read_text("utf-8"))
    assert [row["ratio"] for row in after["reconstruction"]["curve"]] == [0.3, 0.6]
    assert after["probes"] == before["probes"]
    assert after["train"] == before["train"]
    assert out.splitlines()[-1] == f"report: {run / 'report.html'}"
    assert (run / "report.html").exists()


@pytest.mark.parametrize("pool", ["mean", "class", "both"])
def test_embedding(cli, finished, tmp_path, pool):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    words = ("embed", finished, tmp_path / "images.npy", "--pool", pool, "--layer", 0)
    status, out, _ = cli(*words, "-o", tmp_path / "new" / "features.npy")
    width = 32 if pool == "both" else 16
    assert status == 0
    assert out == f"{tmp_path / 'new' / 'features.npy'}: 6 x {width}, float32\n"
    features = np.load(tmp_path / "new" / "features.npy", allow_pickle=False)
    np.testing.assert_array_equal(features, Run(finished).embed(images, pool=pool))
    assert features.dtype == np.float32


def test_embedding_covers_train_and_test(cli, finished, tmp_path):
    status, _, _ = cli("embed", finished, "digits", "-o", tmp_path / "z.npy")
    assert status == 0
    assert np.load(tmp_path / "z.npy").shape == (1797, 16)


def test_reports_of_one_run_and_of_several(cli, finished, tmp_path):
    status, out, _ = cli("report", finished)
    assert (status, out) == (0, f"report: {finished / 'report.html'}\n")
    status, out, _ = cli("report", finished, finished, "-o", tmp_path / "both.html")
    assert (status, out) == (0, f"report: {tmp_path / 'both.html'}\n")
    assert (tmp_path / "both.html").read_text("utf-8").count("finished") > 1


def test_listing(cli, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "runs" not in cli("list")[1].splitlines()
    (tmp_path / "runs" / "half").mkdir(parents=True)
    (tmp_path / "runs" / "half" / "config.json").write_text("{}")
    (tmp_path / "runs" / "whole").symlink_to(finished)
    status, out, _ = cli("list")
    assert status == 0
    for word in ("digits", "cifar10-fixed", "uniform:LOW,HIGH", "inverse-block", "hf:NAME"):
        assert word in out
    assert "  runs/half  (not finished)" in out.splitlines()
    (tmp_path / "runs/half/predictor").mkdir()
    (tmp_path / "runs/half/predictor/config.json").write_text('{"label": "age"}')
    assert "  runs/half  (not finished, predicts age)" in cli("list")[1].splitlines()
    (tmp_path / "runs/half/predictor/config.json").write_text("{")
    assert "  runs/half  (not finished)" in cli("list")[1].splitlines()
    assert "  runs/whole" in out.splitlines()


def test_every_setting_is_listed_with_what_it_does(cli):
    from maskwise.modalities import kinds
    from maskwise.settings import flatten, to_dict

    status, out, _ = cli("list", "settings")
    assert status == 0
    titles = [f"{kind.name}:" for kind in kinds()] + ["all:"]
    lines = out.splitlines()
    borders = [*map(lines.index, titles), len(lines)]
    parts = [lines[a + 1 : b] for a, b in itertools.pairwise(borders)]
    for part, config in zip(parts, (kind.settings for kind in kinds()), strict=False):
        keys = {line.split()[0].removeprefix("--") for line in [*part, *parts[-1]][::2]}
        assert keys == set(flatten(to_dict(config()))) - {"modality"}
    settings = list(itertools.chain(*parts))
    for key, text in zip(settings[::2], settings[1::2], strict=True):
        assert key.startswith("--")
        assert text.startswith("      ")
        assert text.strip(), key


def test_showing_masks(cli, tmp_path):
    words = ("show-mask", "fixed:0.5", "columns", "--grid", "4x6", "--num", 2, "--seed", 3)
    status, out, _ = cli(*words)
    assert status == 0
    title, *rows = out.splitlines()
    assert title.split() == ["50", "%", "50", "%"]
    assert len(rows) == 4
    assert len(set(rows)) == 1
    assert rows[0].count("██") == rows[0].count("··") == 6
    assert cli(*words)[1] == out
    status, out, _ = cli(*words, "-o", tmp_path / "mask.png")
    assert (tmp_path / "mask.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert out.splitlines()[-1] == f"picture: {tmp_path / 'mask.png'}"


def test_help_and_version(capsys):
    for words in (["--help"], ["pretrain", "--help"], ["show-mask", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "RECIPE-OR-DATA" in out
    assert f"maskwise {maskwise.__version__}" in out


def test_debug_gives_the_traceback(cli, tmp_path):
    done = subprocess.run(
        command("report", "x", "--debug"), capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode != 0
    assert "Traceback (most recent call last)" in done.stderr
    assert "UserError: x is not a run folder" in done.stderr
    with pytest.raises(UserError, match="x is not a run folder"):
        cli("--debug", "report", "x")
    status, _, err = cli("report", "x")
    assert status == 2
    assert err.startswith("maskwise: x is not a run folder")
    assert len(err.splitlines()) == 1


def test_ctrl_c_saves_and_resuming_gives_the_same_weights(cli, tmp_path):
    words = ["pretrain", "digits", *MODEL, *FAST, "--train.steps", "80"]
    metrics = tmp_path / "run" / "metrics.jsonl"
    with subprocess.Popen(
        command(*words, "--out", tmp_path / "run"), stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (metrics.exists() and metrics.stat().st_size):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"training did not start: {process.communicate()[1]}")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.splitlines()[-1]
    assert last == "maskwise: stopped; continue with the same command and --resume"
    assert "Traceback" not in err
    done = len(metrics.read_text().splitlines())
    assert 0 < done < 80
    assert not (tmp_path / "run" / "model").exists()
    assert cli(*words, "--out", tmp_path / "run", "--resume")[0] == 0
    assert cli(*words, "--out", tmp_path / "straight")[0] == 0
    for name in ("checkpoint/state.safetensors", "model/weights.safetensors"):
        first, second = (load_file(tmp_path / run / name) for run in ("run", "straight"))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    losses = [[row["loss"] for row in Run(tmp_path / run).metrics] for run in ("run", "straight")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 80


@pytest.mark.slow
def test_two_processes_train_as_one(cli, tmp_path):
    words = ["pretrain", "digits", *MODEL, *FAST, "--train.steps", "4"]
    words += ["--train.scope", "sample", "--train.reduction", "token_mean"]
    words += ["--train.sampling", "stratified", "--train.accumulate", "2"]
    assert cli(*words, "--out", tmp_path / "one")[0] == 0
    two = ["--efficiency.devices", "2", "--efficiency.strategy", "ddp"]
    done = subprocess.run(
        command(*words, *two, "--out", tmp_path / "two"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    one, both = (Run(tmp_path / name).metrics for name in ("one", "two"))
    for key in ("step", "epoch", "loss", "grad_norm", "lr", "samples"):
        np.testing.assert_allclose(
            [row[key] for row in both], [row[key] for row in one], rtol=1e-5, err_msg=key
        )
    weights = [Run(tmp_path / name).model().state_dict() for name in ("one", "two")]
    for key in weights[0]:
        first, second = (each[key] for each in weights)
        if key.endswith("qkv.bias"):
            # Softmax does not see the bias of keys: its gradient is what rounding leaves of 0, of
            # which Adam makes whole steps.
            keys = slice(len(first) // 3, 2 * len(first) // 3)
            most = 2 * sum(row["lr"] for row in one)
            assert (first[keys] - second[keys]).abs().max() <= most
            first[keys] = second[keys]
        torch.testing.assert_close(first, second, atol=2e-4, rtol=1e-3)


@pytest.mark.slow
def test_bad_input_to_two_processes_is_one_line(tmp_path):
    words = ["pretrain", "digits", *TINY, "--efficiency.devices", "2", "--model.heads", "3"]
    done = subprocess.run(
        command(*words, "--efficiency.strategy", "ddp", "--out", tmp_path / "run"),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert done.stderr == "maskwise: width 16 is not a multiple of 3 heads\n"
    assert not (tmp_path / "run").exists()


def test_characters_that_an_encoding_lacks_are_question_marks():
    found = subprocess.run(
        command("show-mask", "fixed:0.5", "--grid", "1x2", "--num", "1"),
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout.split()[-1] == b"????"


def test_a_reader_that_stops_reading_is_no_error():
    words = command("show-mask", "fixed:0.5", "--grid", "4x4")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_names_with_new_lines_take_one_line(cli, finished, tmp_path):
    status, _, err = cli("embed", finished, "two\nlines.npz", "-o", tmp_path / "z.npy")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("maskwise: no file or folder 'two lines.npz'")


@pytest.mark.slow
def test_nobody_waits_for_an_evaluation(tmp_path):
    words = ["-m", "tests.train.slow_evaluation", "pretrain", "digits", *TINY]
    several = ["--efficiency.devices", "2", "--efficiency.timeout", "15"]
    done = subprocess.run(
        [sys.executable, *words, *several, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert Run(tmp_path / "run").result["probes"]
