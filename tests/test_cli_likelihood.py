import json
import shutil

import numpy as np
import pytest

import maskwise as mw
from maskwise.cli import main
from maskwise.errors import UserError
from maskwise.run import Run

TINY = [
    *("--model.width", "16", "--model.depth", "1", "--model.heads", "2"),
    *("--model.decoder_width", "8", "--model.decoder_heads", "2", "--train.steps", "2"),
    *("--train.batch_size", "16", "--evaluate.protocols", "knn", "--evaluate.ratios", "0.5"),
    *("--evaluate.baselines", "false", "--evaluate.num_train", "100"),
    *("--efficiency.accelerator", "cpu"),
]
FEW = ["--num-samples", "9", "--passes", "5"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "finished"
    assert main(["pretrain", "digits", "--out", str(out), *TINY]) == 0
    return out


def test_the_likelihood_of_a_run(cli, finished):
    with pytest.raises(UserError, match="has no likelihood yet: run maskwise likelihood on it"):
        Run(finished).likelihood  # noqa: B018
    assert f"maskwise likelihood {finished}" in (finished / "report.html").read_text("utf-8")
    status, out, err = cli("likelihood", finished, *FEW)
    assert (status, err) == (0, "")
    values = Run(finished).likelihood
    assert values == json.loads((finished / "likelihood.json").read_text("utf-8"))
    lines = out.splitlines()
    assert lines[0] == str(finished)
    points = [line.split()[:3] for line in lines[2:18]]
    assert points == [
        [str(point["size"]), f"{point['ratio']:.3f}", f"{point['score']:.2f}"]
        for point in values["curve"]
    ]
    area = values["area"]
    assert f"any-order lower bound: {area['nats']:.1f} nats per image" in lines[18]
    assert f"{area['bits_per_dim']:.3f} bits per dimension" in lines[18]
    assert "over 9 test images of digits" in lines[19]
    assert "independent normals" in lines[20]
    assert lines[21].startswith("warning: 7 of 16 sizes were never hidden in training with")
    assert lines[22:] == [f"report: {finished / 'report.html'}"]
    page = (finished / "report.html").read_text("utf-8")
    assert f"{area['nats']:.1f} ± {area['stderr']:.1f}" in page


def test_several_runs_and_a_picture(cli, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    words = ("likelihood", "--data.holdout", 0.1, finished, tmp_path / "copy", *FEW, "--seed", 3)
    status, out, _ = cli(*words, "-o", tmp_path / "made" / "curves.png")
    assert status == 0
    assert out.splitlines()[-1] == f"picture: {tmp_path / 'made' / 'curves.png'}"
    assert (tmp_path / "made" / "curves.png").read_bytes().startswith(b"\x89PNG")
    first, second = Run(finished).likelihood, Run(tmp_path / "copy").likelihood
    assert first == second
    assert (first["seed"], first["num_samples"], first["passes"]) == (3, 9, 5)


def test_in_python(finished, tmp_path):
    run = mw.measure_likelihood(finished, num_samples=9, passes=5)
    assert run.likelihood["num_samples"] == 9
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "noise.npy", images)
    other = mw.measure_likelihood(
        run, num_samples=8, passes=5, **{"data.source": str(tmp_path / "noise.npy")}
    )
    assert other.likelihood["data"] == "noise"
    assert other.likelihood["num_samples"] == 8


def no_model(folder):
    shutil.rmtree(folder / "model")


def no_noise(folder):
    from maskwise.storage import load_model, save_model

    model = load_model(folder / "model")
    model.log_variance.fill_(np.inf)
    save_model(folder / "model", model)


@pytest.mark.parametrize(
    ("words", "says", "prepare"),
    [
        ("{run} --num-samples 0", "0 test samples give no standard error", None),
        ("{run} --num-samples some", "invalid int value: 'some'", None),
        ("{run} --passes 1", "passes 1 give no standard error: take 2 or more", None),
        (
            "{run} --train.steps 3",
            "evaluation cannot change 'train.steps': give data.* keys",
            None,
        ),
        ("{run} --evaluate.seed 3", "evaluation cannot change 'evaluate.seed'", None),
        ("{run} --data.source none.npy", "none.npy", None),
        ("elsewhere", "elsewhere is not a run folder", None),
        ("", "RUN", None),
        ("{run}", "has no model yet", no_model),
        ("{run}", "no likelihood yet", no_noise),
    ],
)
def test_bad_input_is_one_line(cli, finished, tmp_path, words, says, prepare):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "likelihood.json").unlink(missing_ok=True)
    if prepare:
        prepare(run)
    status, _, err = cli("likelihood", *words.format(run=run).split(), "-o", tmp_path / "made.png")
    assert status == 2
    assert says in err
    assert err.startswith("maskwise: ")
    assert err.count("\n") == 1
    assert not (run / "likelihood.json").exists()
    assert not (tmp_path / "made.png").exists()
