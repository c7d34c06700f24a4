import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.modalities import KINDS, config_of, find


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


@pytest.mark.parametrize("name", KINDS)
def test_data_of_ones_own_take_minutes(name):
    assert find(name).own("somewhere").train.budget == "10m"


@pytest.mark.parametrize(
    ("names", "modality"),
    [
        (["a.txt", "b.md.gz"], "text"),
        (["a.jsonl"], "text"),
        (["a.parquet"], "text"),  # of which nobody can say what is in it
        (["a.png", "readme.txt"], "images"),
        (["x_train.npy"], "images"),
        (["genome.fa.gz", "readme.md"], "dna"),
        (["chr1.FASTA"], "dna"),
        (["a.h5ad", "b.h5ad", "readme.md"], "cells"),
        (["a.zarr"], "cells"),
    ],
)
def test_what_files_hold(tmp_path, names, modality):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert config_of(str(tmp_path), {}).modality == modality
    assert config_of(str(tmp_path / names[0]), {}).modality == modality


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.csv.xz", "a.feather"])
def test_files_of_tables(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert config_of(str(tmp_path / name), {}).modality == "tables"
    # A folder of them is not one table.
    assert config_of(str(tmp_path), {}).modality == "images"


def test_parquet_with_texts_is_text(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    for columns, modality in (
        (["text", "source"], "text"),
        (["length", "weight"], "tables"),
        (["Text", "n"], "tables"),
    ):
        pandas.DataFrame({name: ["1", "2"] for name in columns}).to_parquet(path)
        assert config_of(str(path), {}).modality == modality
    assert config_of(str(path), {}, "text").modality == "text"
    assert config_of(str(path), {"data.column": "n"}).modality == "text"


def test_sources_of_cells(tmp_path):
    (tmp_path / "sample.zarr").mkdir()
    for source in (str(tmp_path / "sample.zarr"), str(tmp_path), "*.h5ad", "a.h5ad+b.h5ad"):
        config = config_of(source, {})
        assert (config.modality, config.data.source) == ("cells", source)
    with pytest.raises(UserError, match="no recipe and no file or folder; did you mean 'pbmc68k'"):
        config_of("pbmc_68k", {})


def test_what_is_in_memory():
    assert config_of(["a text", "another"], {}).modality == "text"
    assert config_of(np.zeros((2, 4, 4)), {}).modality == "images"
    assert config_of((np.zeros((2, 4, 4)), [0, 1]), {}).modality == "images"
    assert config_of(([[1.0]], [0]), {}).modality == "images"
    assert config_of(np.zeros((5, 4)), {}).modality == "tables"
    assert config_of((np.zeros((5, 4)), np.zeros(5)), {}).modality == "tables"
    assert config_of({"a": [1, 2], "b": [3, 4]}, {}).modality == "tables"


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "anndata"])
def test_objects_of_libraries(library):
    module = pytest.importorskip(library)
    columns = {"a": [1.0, 2.0], "b": ["x", "y"]}
    made = {
        "pandas": lambda: module.DataFrame(columns),
        "polars": lambda: module.DataFrame(columns),
        "pyarrow": lambda: module.table(columns),
        "anndata": lambda: module.AnnData(np.ones((2, 3), np.float32)),
    }[library]()
    wanted = "cells" if library == "anndata" else "tables"
    assert config_of(made, {}).modality == wanted
    if library != "anndata":
        assert config_of((made, [0, 1]), {}).modality == wanted


def test_unknown_kinds(tmp_path):
    with pytest.raises(UserError, match="modality 'sound' is none of images, text"):
        config_of(str(tmp_path), {}, "sound")
    with pytest.raises(
        UserError, match="is no recipe and no file or folder; did you mean 'pydoc'"
    ):
        config_of("pydocs", {})


@pytest.mark.parametrize(
    ("name", "modality", "law"),
    [
        ("pbmc68k", "cells", "uniform:0.1,0.9"),
        ("pbmc68k-fixed", "cells", "fixed:0.5"),
        ("breast-cancer", "tables", "uniform:0.1,0.9"),
        ("breast-cancer-fixed", "tables", "fixed:0.3"),
    ],
)
def test_recipes_of_features(name, modality, law):
    config = config_of(name, {"data.holdout": 0.3})
    assert (config.modality, config.law, config.data.holdout) == (modality, law, 0.3)
