import json
import shutil

import numpy as np
import pytest

import maskwise as mw
from maskwise.errors import UserError
from maskwise.run import Run

FEW = ["--num-samples", "9", "--passes", "5"]


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """The folder of a run, to be written to."""
    return shutil.copytree(finished, tmp_path_factory.mktemp("runs") / "finished")


def test_the_likelihood_of_a_run(cli, run, finished):
    with pytest.raises(UserError, match="has no likelihood yet: run maskwise likelihood on it"):
        Run(run).likelihood  # noqa: B018
    page = (finished / "report.html").read_text("utf-8")
    assert f"maskwise likelihood {finished}" in page
    status, out, err = cli("likelihood", run, *FEW)
    assert (status, err) == (0, "")
    values = Run(run).likelihood
    assert values == json.loads((run / "likelihood.json").read_text("utf-8"))
    lines = out.splitlines()
    assert lines[0] == str(run)
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
    assert lines[22:] == [f"report: {run / 'report.html'}"]
    page = (run / "report.html").read_text("utf-8")
    assert f"{area['nats']:.1f} ± {area['stderr']:.1f}" in page


def test_several_runs_and_a_picture(cli, run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    words = ("likelihood", "--data.holdout", 0.1, run, tmp_path / "copy", *FEW, "--seed", 3)
    status, out, _ = cli(*words, "-o", tmp_path / "made" / "curves.png")
    assert status == 0
    assert out.splitlines()[-1] == f"picture: {tmp_path / 'made' / 'curves.png'}"
    assert (tmp_path / "made" / "curves.png").read_bytes().startswith(b"\x89PNG")
    first, second = Run(run).likelihood, Run(tmp_path / "copy").likelihood
    assert first == second
    assert (first["seed"], first["num_samples"], first["passes"]) == (3, 9, 5)


def test_in_python(run, tmp_path):
    measured = mw.measure_likelihood(run, num_samples=9, passes=5)
    assert measured.likelihood["num_samples"] == 9
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "noise.npy", images)
    other = mw.measure_likelihood(
        measured, num_samples=8, passes=5, **{"data.source": str(tmp_path / "noise.npy")}
    )
    assert other.likelihood["data"] == "noise"
    assert other.likelihood["num_samples"] == 8


def no_model(folder):
    shutil.rmtree(folder / "model")


def no_noise(folder):
    from maskwise.run import load_model, save_model

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
def test_bad_input_is_one_line(cli, run, tmp_path, words, says, prepare):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "likelihood.json").unlink(missing_ok=True)
    if prepare:
        prepare(copy)
    status, _, err = cli(
        "likelihood", *words.format(run=copy).split(), "-o", tmp_path / "made.png"
    )
    assert status == 2
    assert says in err
    assert err.startswith("maskwise: ")
    assert err.count("\n") == 1
    assert not (copy / "likelihood.json").exists()
    assert not (tmp_path / "made.png").exists()
