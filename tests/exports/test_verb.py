import json
from contextlib import chdir

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer

import maskwise as mw
from tests.peers import peer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a table, with figures made up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskwise.api._finish", lambda *_: None)
        folder = tmp_path_factory.mktemp("runs") / "a *run*"
        settings = {"train.steps": 2, "model.width": 8, "model.code": 4, "model.depth": 1}
        run = mw.pretrain("breast-cancer", out=folder, **settings)
    result = run.result
    values = {"value": 0.75, "low": 0.5, "high": 0.875}
    probe = {"task": "all labels", "features": "encoder", "protocol": "p", "macro_f1": values}
    point = {"ratio": 0.5, "error": 0.25, "low": 0.125, "high": 0.375}
    result |= {"probes": [probe], "reconstruction": {"curve": [point]}}
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
    return run


def lines_of_python(card):
    return card.partition("```python\n")[2].partition("```")[0]


@pytest.fixture
def rows():
    return load_breast_cancer().data[:5]


def test_onnx(run, rows, cli, tmp_path):
    onnx, onnxruntime = peer("onnx"), peer("onnxruntime")
    out = tmp_path / "made/onnx"
    status, said, err = cli("export", run.path, out, "--format", "onnx", "--license", "MIT")
    assert (status, said, err) == (0, f"exported: {out}\n", "")
    assert sorted(path.name for path in out.iterdir()) == [
        *("README.md", "inputs.json", "maskwise.json", "model.onnx")
    ]
    session = onnxruntime.InferenceSession(out / "model.onnx")
    rows[1, 3] = np.nan
    [found] = session.run(None, {"rows": rows})
    np.testing.assert_allclose(found, run.embed(rows), rtol=1e-4, atol=1e-5)

    model = onnx.load(out / "model.onnx")
    told = {each.key: each.value for each in model.metadata_props}
    assert (told["kind"], told["law"], told["steps"]) == ("tables", "uniform:0.1,0.9", "2")
    assert told["maskwise"] == mw.__version__
    assert [each.version for each in model.opset_import if not each.domain] == [18]
    # Neither weights of what predicts nor anything drawn at random.
    assert sum(np.prod(each.dims) for each in model.graph.initializer) < 1000
    assert not [node.op_type for node in model.graph.node if "Random" in node.op_type]

    card = (out / "README.md").read_text("utf-8")
    assert card.startswith('---\nlicense: "mit"\nlibrary_name: "onnx"\n')
    for line in (
        *("# a \\*run\\*", "| law | uniform:0.1,0.9 |", "| data | breast-cancer |"),
        *("maskwise evaluate 'a *run*'", "  0.750  [0.500, 0.875]  macro-F1, all labels: encoder"),
        *("`mit`.", "  title   = {Understanding and Enhancing Mask-Based Pretraining"),
    ):
        assert f"\n{line}" in card
    assert "[0.1250, 0.3750]  nats per hidden value, at ratio 0.5\n" in card
    assert str(run.path.parent) not in card + (out / "maskwise.json").read_text("utf-8")
    with chdir(out):
        names: dict = {}
        exec(lines_of_python(card), names)
    assert names["features"].shape == (2, 4)


def test_torch_export(run, rows, tmp_path):
    out = run.export(tmp_path / "program", "torch-export")
    program = torch.export.load(out / "model.pt2").module()
    for num in (1, 5):
        with torch.no_grad():
            found = program(torch.from_numpy(rows[:num]))
        np.testing.assert_allclose(found.numpy(), run.embed(rows[:num]), rtol=1e-4, atol=1e-5)
    with chdir(out):
        names: dict = {}
        exec(lines_of_python((out / "README.md").read_text("utf-8")), names)
    assert names["features"].shape == (2, 4)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "models of tables are exported as onnx, torch-export: give --format"),
        (["--format", "timm"], "--format timm: models of tables are exported as onnx, torch-"),
        (["--format", "onnx", "--license", "my own!"], "--license: 'my own!' is no identifier"),
    ],
)
def test_bad_input(run, cli, tmp_path, words, says):
    status, out, err = cli("export", run.path, tmp_path / "out", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed(run, cli, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    status, _, err = cli("export", run.path, tmp_path / "out", "--format", "onnx")
    assert status == 2
    assert 'needs onnxscript: pip install "maskwise[onnx]"' in err
    assert not list(tmp_path.iterdir())
