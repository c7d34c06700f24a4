import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.pipelines import PIPELINES
from maskwise.recipes import ANY, config_of
from maskwise.train.config import CONFIGS


class Image:
    pass


def fake_datasets(monkeypatch, **features):
    split = SimpleNamespace(features=features)
    module = ModuleType("datasets")
    module.load_dataset = lambda name: {"train": split}
    monkeypatch.setitem(sys.modules, "datasets", module)


TEXT, NUMBER = SimpleNamespace(dtype="string"), SimpleNamespace(dtype="int64")


@pytest.mark.parametrize(
    ("features", "modality"),
    [
        ({"text": TEXT}, "text"),
        ({"image": Image(), "label": NUMBER}, "images"),
        ({"image": Image(), "caption": TEXT}, "images"),
        ({"values": NUMBER}, "images"),  # which says what is wrong with it
    ],
)
def test_what_a_hub_data_set_holds(monkeypatch, features, modality):
    fake_datasets(monkeypatch, **features)
    assert config_of("hf:some/set", {}).modality == modality
    assert config_of("hf:some/set", {}, "text").modality == "text"


@pytest.mark.parametrize(
    ("names", "modality"),
    [
        (["a.txt", "b.md.gz"], "text"),
        (["a.jsonl"], "text"),
        (["a.parquet"], "text"),
        (["a.png", "readme.txt"], "images"),
        (["x_train.npy"], "images"),
        (["genome.fa.gz", "readme.md"], "dna"),
        (["chr1.FASTA"], "dna"),
    ],
)
def test_what_files_hold(tmp_path, names, modality):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert config_of(str(tmp_path), {}).modality == modality
    assert config_of(str(tmp_path / names[0]), {}).modality == modality


def test_what_is_in_memory():
    assert config_of(["a text", "another"], {}).modality == "text"
    assert config_of(np.zeros((2, 4, 4)), {}).modality == "images"
    assert config_of(([[1.0]], [0]), {}).modality == "images"


def test_unknown_kinds(tmp_path):
    with pytest.raises(UserError, match="modality 'sound' is none of images, text"):
        config_of(str(tmp_path), {}, "sound")
    with pytest.raises(
        UserError, match="is no recipe and no file or folder; did you mean 'pydoc'"
    ):
        config_of("pydocs", {})


def test_every_kind_is_whole():
    assert PIPELINES.keys() == CONFIGS.keys() == ANY.keys()
    for name, pipeline in PIPELINES.items():
        assert pipeline.config is CONFIGS[name]
        assert isinstance(ANY[name]("somewhere"), pipeline.config)
