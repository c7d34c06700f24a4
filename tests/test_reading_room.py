"""Rules of reading that are written once: every kind of data keeps every one that it can meet."""

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import maskwise as mw
from maskwise.errors import UserError
from maskwise.modalities import KINDS, config_of, find
from tests.test_outputs_keep_rows import MAKE, SMALL

# Where a rule has nothing to say.
A_FILE = "a table is one file"
SILENT = {
    ("hidden", "tables"): A_FILE,
    ("others", "tables"): A_FILE,
    ("others", "cells"): "files of cells are named, not looked for in folders of others",
    ("encoding", "images"): "pictures hold no text",
    ("encoding", "cells"): "anndata and 10x fix it",
    (
        "broken",
        "tables",
    ): "a row without a value is left out and counted, and no row can be broken",
    ("labels", "text"): "labels are in files of their own",
    ("labels", "dna"): "labels are in files of their own",
    ("zipped", "images"): "formats of pictures are compressed",
    ("zipped", "cells"): "anndata is compressed, and 10x has its own names",
}


def source_of(kind: str, folder: Path, bad=()) -> Path:
    """Return a source of a kind, in a folder of its own where files of the kind may be in one."""
    if kind in ("text", "dna"):
        (folder / "in").mkdir()
        MAKE[kind](folder / "in", bad)
        return folder / "in"
    return MAKE[kind](folder, bad)[0]


def look(kind: str, source: object, **more):
    """Return what was found, without problems."""
    changes = {key: value for key, value in SMALL.get(kind, {}).items() if key != "model.heads"}
    found = mw.inspect(source, modality=kind, **{**changes, **more})
    assert found.problems == [] or not found.problems, found.problems
    return found.to_dict()


def hidden(kind, folder, monkeypatch):
    """Hidden and system files are no data."""
    source = source_of(kind, folder)
    before = look(kind, source)
    inside = source if source.is_dir() else source.parent
    ending = next(path for path in inside.iterdir() if path.is_file()).suffix
    (inside / f"._x{ending}").write_bytes(b"\0\5\x16\7")
    for name in (".ipynb_checkpoints", "__MACOSX"):
        (inside / name).mkdir()
        (inside / name / f"x{ending}").write_bytes(b"\0\5\x16\7")
    assert look(kind, source) == before


def others(kind, folder, monkeypatch):
    """Files of other kinds are left out, counted, and the first three named."""
    source = source_of(kind, folder)
    for name in ("a.doc", "b.doc", "c.doc", "d.doc"):
        (source / name).write_bytes(b"x")
    told = mw.inspect(source, modality=kind, **_data(kind)).text()
    assert re.search(r"left out.* 4.*a\.doc, b\.doc, c\.doc", told), told


def paths(kind, folder, monkeypatch):
    """A text, a Path and ~ are the same place."""
    source = source_of(kind, folder)
    monkeypatch.setenv("HOME", str(folder))
    found = look(kind, source)
    assert look(kind, str(source)) == found
    assert look(kind, f"~/{source.relative_to(folder)}") == found


def broken(kind, folder, monkeypatch):
    """What cannot be read stops with its name, or is left out and counted."""
    source = source_of(kind, folder, bad={1})
    if kind == "dna":  # a record of unknown bases is sound: here a protein
        path = next(source.iterdir())
        path.write_text(path.read_text("utf-8").replace("N" * 40, "MKLVVV"), "utf-8")
    if kind == "cells":  # so is a cell without counts: here one of NaN
        anndata = pytest.importorskip("anndata")
        data = anndata.read_h5ad(source)
        data.X[1] = np.nan
        data.write_h5ad(source)
    with pytest.raises(UserError, match=r"1 .*broken|broken|left out"):
        mw.inspect(source, modality=kind, **_data(kind)).require(str(source), {})
    found = look(kind, source, **{"data.broken": "skip"})
    assert found["samples to train on"] > 0
    name = {"images": "p 1.png", "text": "line 2", "dna": "r1", "cells": "cell 1"}[kind]
    with pytest.raises(UserError, match=name):
        mw.inspect(source, modality=kind, **_data(kind)).require(str(source), {})


def _data(kind: str) -> dict:
    return {key: value for key, value in SMALL.get(kind, {}).items() if key.startswith("data.")}


def encoding(kind, folder, monkeypatch):
    """Texts in Windows-1252 are read."""
    source = source_of(kind, folder)
    path = next(source.iterdir()) if source.is_dir() else source
    text = path.read_text("utf-8")
    changed = {
        "text": text.replace("seven", "sept \u00e9t\u00e9"),
        "dna": text.replace(">r1", ">r1 \u00e9"),
        "tables": text.replace("a,b,c", "\u00e9,b,c"),
    }[kind]
    assert changed != text
    path.write_bytes(changed.encode("cp1252"))
    given = find(kind).read(config_of(str(source), _data(kind), kind)).given
    assert len(given if kind != "tables" else given["\u00e9"]) == 6
    assert kind != "text" or "sept \u00e9t\u00e9" in given


def labels(kind, folder, monkeypatch):
    """A label that is missing is none: its sample is no class of its own."""
    if kind == "images":
        x, y = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
        x += np.arange(20, dtype=np.uint8)[:, None, None]
        y[3] = -1
        data, more = (x, y), {"data.patch": 2}
    elif kind == "tables":
        rng = np.random.default_rng(0)
        kinds = np.array(["u", "v"] * 20, dtype=object)
        kinds[3] = None
        data = {"a": rng.normal(size=40), "b": rng.normal(size=40), "kind": kinds}
        more = {"data.labels": "kind"}
    else:
        anndata = pytest.importorskip("anndata")
        data = anndata.AnnData(np.random.default_rng(0).poisson(2.0, (40, 12)).astype(np.float32))
        data.obs["kind"] = ["", "u", "v", "u"] * 10
        more = {"data.labels": "kind"}
    config = config_of(data, more, kind)
    splits = find(kind).load(data, config)
    codes = np.concatenate([splits.train.labels, splits.test.labels])
    assert set(codes.tolist()) == {-1, 0, 1}


def zipped(kind, folder, monkeypatch):
    """Files of text may be compressed."""
    source = source_of(kind, folder)
    before = find(kind).read(config_of(str(source), _data(kind), kind))
    path = next(source.iterdir()) if source.is_dir() else source
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    place = source if source.is_dir() else packed
    after = find(kind).read(config_of(str(place), _data(kind), kind))
    assert len(after.given) == len(before.given)


RULES = {rule.__name__: rule for rule in (hidden, others, paths, broken, encoding, labels, zipped)}


def test_no_kind_is_left_out():
    assert MAKE.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("rule", RULES)
def test_rules(rule, kind, tmp_path, monkeypatch):
    if (rule, kind) in SILENT:
        return
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    RULES[rule](kind, tmp_path, monkeypatch)
    shutil.rmtree(tmp_path)
