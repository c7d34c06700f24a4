import json

import pytest

from maskwise.errors import UserError
from maskwise.exports.card import Origin, card, clean

yaml = pytest.importorskip("yaml")

NASTY = "x\n---\n# <script>alert(1)</script> [a](javascript:b) `c` | d\u202e"


def made(tmp_path, model, **more):
    config = {
        **{"law": "uniform:0.1,0.9", "pattern": "scattered", "seed": 3},
        "data": {"source": "/home/me/secret/photos"},
        "train": {"scope": "step", "steps": 20, "batch_size": 16},
    }
    origin = Origin(**({"name": "run", "config": config} | more))
    text = card(tmp_path, origin, origin.described(model, "onnx"))
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_what_comes_from_outside(make_model, tmp_path):
    told = {"data": {"name": NASTY}}
    front, body = made(tmp_path, make_model(), name=NASTY, result=told, figures=["a", "```b"])
    assert front.keys() == {"license", "library_name", "tags"}
    assert "<script>" not in body
    assert "](" not in body
    assert "\u202e" not in body
    assert body.count("\n# ") == 1  # "\n---" neither
    assert "\n---\n" not in body
    assert "````\na\n```b\n````" in body


def test_where_data_lie_is_not_told(make_model, tmp_path):
    front, body = made(tmp_path, make_model())
    assert "secret" not in body
    assert "| data | photos |" in body
    assert "datasets" not in front
    assert front["license"] == "unknown"
    assert "Unknown: say one with `--license`." in body


def test_data_of_the_hub(make_model, tmp_path):
    source = {"source": "hf:ylecun/mnist:train"}
    config = {"law": "fixed:0.75", "pattern": "p", "seed": 0, "data": source}
    config["train"] = {"scope": "step", "steps": 1, "batch_size": 1}
    front, body = made(tmp_path, make_model(), config=config, license="cc-by-4.0")
    assert front["datasets"] == ["ylecun/mnist"]
    assert front["license"] == "cc-by-4.0"
    assert "R²MAE" not in body  # a fixed ratio is not due to it


def test_a_model_of_no_run(make_model, tmp_path):
    _, body = made(tmp_path, make_model(), name="", config={})
    assert "# A masked model\n\nA masked model of images, written by maskwise" in body
    assert "law" not in body
    assert "Figures" not in body


def test_how_it_is_loaded_is_what_the_format_says(make_model, tmp_path):
    (tmp_path / "README.md").write_text("Like *this*.\n", "utf-8")
    shape = {"name": "x", "dtype": "float32", "shape": ["batch", 3], "what": NASTY}
    (tmp_path / "inputs.json").write_text(json.dumps({"inputs": [shape]}), "utf-8")
    _, body = made(tmp_path, make_model())
    assert "## Load it\n\nLike *this*.\n" in body
    assert "- `x`, float32 (batch, 3): x --- \\# &lt;script&gt;" in body


@pytest.mark.parametrize("text", ["", "a b", "mit\nevil: 1", "-x", "a" * 65])
def test_no_licence(text):
    with pytest.raises(UserError, match="license"):
        Origin(license=text)


def test_clean():
    assert clean(["batch", 3]) == "batch, 3"
    assert clean("a\udcffb") == "a\ufffdb"
    assert len(clean("a" * 1000)) == 300
