"""What cannot be asked of features: one line, exit status 2, nothing left behind."""

import numpy as np
import pytest
import torch
from torch import nn

import maskwise as mw
from maskwise.cli import main
from maskwise.errors import UserError

SHAPE = ["--model.width", 16, "--model.depth", 2, "--model.heads", 2]
FAST = ["--train.steps", 2, "--train.batch_size", 16, "--evaluate.baselines", "false"]
IMAGES = ["--model.decoder_width", 8, "--model.decoder_heads", 2, "--evaluate.protocols", "knn"]
IMAGES += [
    "--evaluate.visible",
    "none",
    "--evaluate.num_train",
    100,
    "--efficiency.accelerator",
    "cpu",
]
TABLE = ["--model.width", 8, "--model.depth", 1, "--model.code", 4]
TEXT = ["--data.length", 16, "--data.vocab_size", 300]
UNIFORM = "--regularise.uniformity 0.1"
CASES = {
    "batch of one": (
        f"digits {UNIFORM} --train.batch_size 1",
        "uniformity: a micro-batch of 1 has no two samples to compare: raise --train.batch_size"
        " or lower --train.accumulate",
    ),
    "micro-batches of one": (
        f"digits {UNIFORM} --regularise.koleo 1 --train.accumulate 16",
        "uniformity, koleo: a micro-batch of 1 has no two samples to compare",
    ),
    "layer": (
        "digits --regularise.uniformity 0.1 --regularise.layer 9",
        "regularise.layer 9 is outside 0..1 (or -1 = last)",
    ),
    "layer of no term": (
        "digits --regularise.layer 9",
        "regularise.layer 9 is outside 0..1 (or -1 = last)",
    ),
    "earlier layer": (
        "digits --regularise.magma 1 --regularise.earlier_layer 9",
        "regularise.earlier_layer 9 is outside 0..1 (or -1 = last)",
    ),
    "layer to diagnose": (
        "digits --diagnose.layer -9",
        "diagnose.layer -9 is outside 0..1 (or -1 = last)",
    ),
    "layer of a table": (
        "table.csv --regularise.layer 2",
        "regularise.layer 2 is outside 0..1 (or -1 = last)",
    ),
    "layer of texts": (
        "text.txt --diagnose.layer 2",
        "diagnose.layer 2 is outside 0..1 (or -1 = last)",
    ),
    "layer by name": ("digits --regularise.layer last", "regularise.layer='last': "),
    "class token of images": (
        f"digits {UNIFORM} --regularise.pool class --model.class_token false",
        "regularise.pool class needs a class token, which this model lacks: use mean",
    ),
    "class token of a table": (
        f"table.csv {UNIFORM} --regularise.pool class",
        "regularise.pool class needs a class token, which this model lacks: use mean",
    ),
    "class token to diagnose": (
        "table.csv --diagnose.pool class",
        "diagnose.pool class needs a class token, which this model lacks: use mean",
    ),
    "pool": (f"digits {UNIFORM} --regularise.pool max", "regularise.pool='max': "),
    "weight of letters": (
        "digits --regularise.uniformity abc",
        "weight 'abc' cannot be read: give a number, or linear|cosine|step:FROM..TO",
    ),
    "negative weight": (
        "digits --regularise.uniformity -1",
        "weight '-1' must be 0 or more, and finite",
    ),
    "weight that never arrives": (
        "digits --regularise.uniformity linear:0..1@2",
        "weight 'linear:0..1@2' arrives at 2: give a share in (0, 1]",
    ),
    "neighbours": (
        "digits --regularise.local_dimension 0.1",
        "regularise.neighbours 32 are not in a micro-batch of 16: lower them, raise"
        " --train.batch_size or lower --train.accumulate",
    ),
    "one neighbour": (
        "digits --regularise.local_dimension 0.1 --regularise.neighbours 1",
        "regularise.neighbours=1: ",
    ),
    "term": (
        "digits --regularise.uniformty 0.1",
        "unknown key 'regularise.uniformty'; did you mean 'regularise.uniformity'?",
    ),
    "fewer held-out images than features": (
        "digits --diagnose.every 1 --diagnose.num_samples 15",
        "diagnose.every: 15 held-out samples of 16 features have no rank to speak of: hold out"
        " more, raise diagnose.num_samples, or leave diagnose.every out",
    ),
    "fewer held-out texts than features": (
        "text.txt --diagnose.every 1 --data.document line",
        "held-out samples of 16 features have no rank to speak of",
    ),
    "steps between measurements": ("digits --diagnose.every 0", "diagnose.every=0: "),
    "samples to diagnose": ("digits --diagnose.num_samples 0", "diagnose.num_samples=0: "),
    "one view": ("digits --diagnose.num_views 1", "diagnose.num_views=1: "),
    "ratio of one": ("digits --diagnose.ratios 0.5,1", "diagnose.ratios.1=1: "),
}


def write_files(folder):
    rows = np.random.default_rng(0).normal(size=(80, 5)).round(3)
    lines = ["a,b,c,d,e", *(",".join(map(str, row)) for row in rows)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n", "utf-8")
    text = "".join(f"line {n} tells of cats and dogs, {n * n} in all\n" for n in range(100))
    (folder / "text.txt").write_text(text, "utf-8")


def settings_of(source):
    shapes = {"digits": SHAPE + IMAGES, "table.csv": TABLE, "text.txt": SHAPE + TEXT}
    return [*FAST, *shapes[source]]


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_left_behind(case, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    words, says = CASES[case]
    source, *words = words.split()
    if source == "text.txt":
        pytest.importorskip("tokenizers")
    status, out, err = cli("pretrain", source, *settings_of(source), *words, "--out", "run")
    assert (status, out) == (2, "")
    assert says in err
    # What is logged before stands on lines of its own.
    assert err.splitlines()[-1].startswith("maskwise: ")
    assert err.count("maskwise: ") == 1
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    write_files(folder)
    words = ["pretrain", folder / "table.csv", *settings_of("table.csv"), "--out", folder / "run"]
    assert main([str(word) for word in words]) == 0
    return folder / "run"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--diagnose.layer 2", "diagnose.layer 2 is outside 0..1 (or -1 = last)"),
        ("--diagnose.pool class", "diagnose.pool class needs a class token"),
        ("--regularise.uniformity 1", "evaluation cannot change 'regularise.uniformity'"),
    ],
)
def test_what_a_finished_run_has_no_features_of(words, says, cli, table_run):
    before = {path: path.read_bytes() for path in table_run.rglob("*") if path.is_file()}
    status, out, err = cli("evaluate", table_run, *words.split())
    assert (status, out) == (2, "")
    assert err.startswith(f"maskwise: {says}")
    assert err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in table_run.rglob("*") if path.is_file()}


class Nothing(nn.Module):
    """Features that are all 0."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.scale * x


def test_features_of_zeros(tmp_path):
    changes = {
        "model": {"width": 16, "mode": "replace", "class_token": False},
        "train": {"steps": 2, "batch_size": 16},
        "regularise.uniformity": 0.1,
        "efficiency.accelerator": "cpu",
    }
    says = "uniformity: 16 of 16 feature vectors are exactly zero and have no direction: choose"
    with pytest.raises(UserError, match=says) as error:
        mw.pretrain("digits", out=tmp_path / "run", encoder=Nothing, **changes)
    assert "\n" not in str(error.value)
    # What the data say is known when training has begun: the run can be looked at.
    assert mw.Run(tmp_path / "run").metrics == []
    left = [path.name for path in (tmp_path / "run" / "checkpoint").iterdir()]
    assert left == ["config.json"]  # what the model would be, written when training started
