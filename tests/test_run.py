import json
import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.run import load_model, save_model


def test_a_seed_decides_the_weights(make):
    model = make()
    first, again, other = (build(model.tokenizer, model.config, seed=s) for s in (3, 3, 4))
    assert first.state_dict().keys() == model.state_dict().keys()
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
        # Biases are zero, norms one, and variances unknown.
        fixed = value.ndim == 1 or name == "log_spread"
        assert torch.equal(value, other.state_dict()[name]) == fixed, name


def test_building_leaves_global_generators_alone(make):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    make()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (before[2][1] == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    "changes",
    [{}, {"class_token": False, "positions": "learned"}, {"mode": "replace", "target": "raw"}],
)
def test_a_saved_model_comes_back_to_the_bit(make, batch, even, tmp_path, changes):
    model = make(**changes)
    save_model(tmp_path / "model", model)
    shutil.copytree(tmp_path / "model", tmp_path / "elsewhere")
    copy = load_model(tmp_path / "elsewhere")
    assert not copy.training
    assert copy.tokenizer == model.tokenizer
    assert copy.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(value, copy.state_dict()[name])
    for first, second in zip(
        model.predict(batch, Mask(even)), copy.predict(batch, Mask(even)), strict=True
    ):
        assert torch.equal(first, second)
    assert torch.equal(model.encode(batch), copy.encode(batch))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "weights.safetensors",
    ]


def test_a_model_with_an_encoder_of_ones_own(make, batch, tmp_path):
    own = {"mode": "replace", "class_token": False}
    model = make(encoder=torch.nn.Linear(16, 16), **own)
    save_model(tmp_path / "model", model)
    copy = load_model(tmp_path / "model", encoder=lambda: torch.nn.Linear(16, 16))
    assert torch.equal(model.encode(batch), copy.encode(batch))
    with pytest.raises(UserError, match="encoder of your own"):
        load_model(tmp_path / "model")


@pytest.fixture
def folder(make, tmp_path):
    save_model(tmp_path / "model", make())
    return tmp_path / "model"


def break_config(values):
    def change(folder):
        path = folder / "config.json"
        path.write_text(values if isinstance(values, str) else json.dumps(values))

    return change


def truncate(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def scribble(folder):
    (folder / "weights.safetensors").write_bytes(b"not weights at all, but long enough to read")


def foreign(folder):
    save_file({"other": torch.zeros(3)}, folder / "weights.safetensors")


def narrower(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"width": 16', '"width": 8'))


def unknown_key(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"depth"', '"dept"'))


def setting(name, value, group="model"):
    def change(folder):
        path = folder / "config.json"
        values = json.loads(path.read_text())
        assert name in values[group]
        values[group][name] = value
        path.write_text(json.dumps(values))

    return change


def header(change):
    """Write the weights with another header, which `change` makes."""

    def rewrite(folder):
        path = folder / "weights.safetensors"
        whole = path.read_bytes()
        end = 8 + int.from_bytes(whole[:8], "little")
        made = change(json.loads(whole[8:end]))
        made = made if isinstance(made, bytes) else json.dumps(made).encode()
        path.write_bytes(len(made).to_bytes(8, "little") + made + whole[end:])

    return rewrite


def with_tensor(**values):
    return header(lambda made: made | {"head.bias": made["head.bias"] | values})


def without(name):
    def change(folder):
        path = folder / "weights.safetensors"
        weights = load_file(path)
        del weights[name]
        save_file(weights, path)

    return change


DAMAGE = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "cannot read"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "missing"),
    "truncated": (truncate, "damaged"),
    "scribbled": (scribble, "damaged"),
    "foreign weights": (foreign, "do not fit"),
    "another width": (narrower, "do not fit"),
    "unknown key": (unknown_key, "dept"),
    "broken json": (break_config("{"), "is damaged"),
    "empty json": (break_config({}), "is no model description"),
    "a list": (break_config([1, 2]), "is no model description"),
    "a number": (break_config(3), "is no model description"),
    "unknown modality": (break_config({"modality": "smells", "smells": {}}), "is no model"),
    "no settings": (break_config({"modality": "images", "images": 3, "model": 4}), "config.json"),
    # Nothing of a size in these files is made.
    "a width beyond memory": (
        setting("width", 10**9),
        "do not fit the model in config.json: the model has more weights than can be counted",
    ),
    "a depth without end": (
        setting("depth", 10**7),
        r"do not fit .*: model\.depth is 10000000, and the file has \d+ tensors",
    ),
    "a decoder without end": (setting("decoder_depth", 10**12), r"do not fit .*decoder_depth is"),
    "MLPs beyond memory": (setting("mlp_ratio", 1e12), r"do not fit .*: encoder\.blocks\.0\.mlp"),
    "MLPs beyond numbers": (setting("mlp_ratio", 1e300), "do not fit .*: .* than can be counted"),
    "images beyond memory": (
        setting("height", 2 * 10**9, "images"),
        r"do not fit .*: \w+ is \[8\D.* in the file and",
    ),
    "a height of text": (setting("height", "x", "images"), r"config\.json: height='x'"),
    "no place for heads": (setting("heads", 10**9), "width 16 is not a multiple of 1000000000"),
    "a weight is missing": (without("head.bias"), r"the file lacks head\.bias \(one of 1\)"),
    "a header without end": (
        lambda folder: (folder / "weights.safetensors").write_bytes(b"\xff" * 99),
        "damaged",
    ),
    "half a header": (
        lambda folder: (folder / "weights.safetensors").write_bytes(
            (folder / "weights.safetensors").read_bytes()[:99]
        ),
        "damaged",
    ),
    "a header that is no JSON": (header(lambda made: b"{" * 10_000), "damaged"),
    "a list as header": (header(lambda made: [made]), "damaged"),
    "shapes without end": (with_tensor(shape=[10**9, 10**9]), "damaged"),
    "shapes beyond numbers": (with_tensor(shape=[2**62, 8]), "damaged"),
    "places beyond the file": (with_tensor(data_offsets=[0, 4 * 10**12]), "damaged"),
    "no kind of numbers": (with_tensor(dtype="Q9"), "damaged"),
    "not text": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\0"), "damaged"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_that_names_the_file(folder, case):
    break_it, message = DAMAGE[case]
    break_it(folder)
    with pytest.raises(UserError, match=message) as error:
        load_model(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
