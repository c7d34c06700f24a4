"""Row i of what is written is sample i of what was given, with its name, whatever is wrong."""

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import maskwise as mw
from maskwise.cli import main
from maskwise.modalities import KINDS

NUM = 6
rng = np.random.default_rng(0)
PICTURES = rng.integers(0, 256, (NUM, 8, 8), np.uint8)
WORDS = ["one two three", "four five six", "seven", "eight nine ten", "eleven", "twelve one two"]
BASES = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(NUM)]
NUMBERS = rng.normal(size=(NUM, 3)).round(3)
COUNTS = rng.poisson(2.0, (NUM, 12)).astype(np.float32) + np.eye(NUM, 12, dtype=np.float32)


def images(folder, bad):
    (folder / "in").mkdir()
    for row, picture in enumerate(PICTURES):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        content = file.getvalue()
        (folder / f"in/p {row}.png").write_bytes(
            content[: len(content) // 2 if row in bad else None]
        )
    return folder / "in", [f"p {row}.png" for row in range(NUM)]


def text(folder, bad):
    rows = [json.dumps({"text": None if row in bad else WORDS[row]}) for row in range(NUM)]
    (folder / "in.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "in.jsonl", None


def dna(folder, bad):
    rows = [f">r{row}\n{'N' * 40 if row in bad else BASES[row]}\n" for row in range(NUM)]
    (folder / "in.fa").write_text("".join(rows))
    return folder / "in.fa", [f"r{row}" for row in range(NUM)]


def tables(folder, bad):
    rows = [",".join("" if row in bad else str(x) for x in NUMBERS[row]) for row in range(NUM)]
    (folder / "in.csv").write_text("\n".join(["a,b,c", *rows]) + "\n")
    return folder / "in.csv", None


def cells(folder, bad):
    anndata = pytest.importorskip("anndata")
    counts = np.where(np.isin(np.arange(NUM), list(bad))[:, None], 0, COUNTS)
    data = anndata.AnnData(counts)
    data.var_names = [f"g{gene}" for gene in range(12)]
    data.obs_names = [f"cell {row}" for row in range(NUM)]
    data.write_h5ad(folder / "in.h5ad")
    return folder / "in.h5ad", [f"cell {row}" for row in range(NUM)]


def many_cells():
    anndata = pytest.importorskip("anndata")
    data = anndata.AnnData(COUNTS.repeat(5, 0))
    data.var_names = [f"g{gene}" for gene in range(12)]
    return data


MAKE = {"images": images, "text": text, "dna": dna, "tables": tables, "cells": cells}
SMALL = {
    "images": {
        "data.patch": 2,
        "model.heads": 2,
        "model.decoder_width": 8,
        "model.decoder_heads": 2,
    },
    "text": {"data.vocab_size": 300, "data.length": 16, "model.heads": 2},
    "dna": {"data.window": 16},
    "cells": {"data.num_genes": 12},
}


def test_no_kind_is_left_out():
    assert MAKE.keys() == KINDS.keys()


@pytest.fixture(scope="module", params=MAKE)
def trained(request, tmp_path_factory):
    """A kind, and a run of a step on more such samples."""
    kind = request.param
    folder = tmp_path_factory.mktemp(kind)
    data = {
        "images": lambda: PICTURES.repeat(5, 0),
        "text": lambda: WORDS * 20,
        "dna": lambda: BASES * 5,
        "tables": lambda: dict(zip("abc", NUMBERS.repeat(5, 0).T, strict=True)),
        "cells": lambda: many_cells(),
    }[kind]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskwise.api._finish", lambda *_: None)
        run = mw.pretrain(
            data,
            modality=kind,
            out=folder / "run",
            **{"train.steps": 1, "train.batch_size": 4, "model.width": 8, **SMALL.get(kind, {})},
        )
    return kind, run


@pytest.fixture(scope="module")
def answered(trained):
    """The same, with a predictor of two classes."""
    kind, run = trained
    data = {
        "images": lambda: PICTURES.repeat(5, 0),
        "text": lambda: [text for text in WORDS for _ in range(5)],
        "dna": lambda: [bases for bases in BASES for _ in range(5)],
        "tables": lambda: dict(zip("abc", NUMBERS.repeat(5, 0).T, strict=True)),
        "cells": lambda: many_cells(),
    }[kind]()
    run.predictor(np.repeat(["=a", "b"] * (NUM // 2), 5), data, copies=1)
    return kind, run


def test_rows_of_answers(answered, tmp_path_factory):
    kind, run = answered
    source, _ = MAKE[kind](tmp_path_factory.mktemp("sound"), ())
    sound = run.predictor().predict_proba(source)
    np.testing.assert_allclose(sound.sum(axis=1), 1)
    # Of these nothing is there, but they can be read.
    empty = kind in ("tables", "dna")

    @settings(max_examples=2)
    @given(st.sets(st.integers(0, NUM - 1), max_size=NUM - 1))
    def check(bad):
        folder = tmp_path_factory.mktemp("bad")
        source, names = MAKE[kind](folder, bad)
        assert main(["predict", str(run.path), str(source), "-o", str(folder / "out.csv")]) == 0
        rows = list(csv.DictReader((folder / "out.csv").read_text().splitlines()))
        assert len(rows) == NUM
        if names is not None:
            assert [row["name"] for row in rows] == names
        assert {place for place, row in enumerate(rows) if row["status"] != "ok"} == bad
        for place, row in enumerate(rows):
            if place in bad and not empty:
                assert {row[key] for key in ("visible", "predicted", "p_=a", "p_b", "set")} == {""}
            elif place in bad:
                assert row["visible"] == "0.0"
                assert float(row["p_b"]) == pytest.approx(0.5, abs=0.1)
            else:
                assert float(row["p_b"]) == pytest.approx(sound[place, 1], abs=1e-4)
                assert row["predicted"] == ("'=a" if sound[place, 0] > 0.5 else "b")

    check()


def test_rows_of_features(trained, tmp_path_factory):
    kind, run = trained
    source, _ = MAKE[kind](tmp_path_factory.mktemp("sound"), ())
    sound = run.embed(source)
    assert np.isfinite(sound).all()

    @settings(max_examples=4)
    @given(st.sets(st.integers(0, NUM - 1), max_size=NUM - 1))
    def check(bad):
        folder = tmp_path_factory.mktemp("bad")
        source, names = MAKE[kind](folder, bad)
        assert main(["embed", str(run.path), str(source), "-o", str(folder / "out.npz")]) == 0
        with np.load(folder / "out.npz") as found:
            features, status = found["features"], found["status"]
            if names is not None:
                assert found["name"].tolist() == names
        assert {row for row in range(NUM) if np.isnan(features[row]).any()} == bad
        assert {row for row in range(NUM) if status[row] != "ok"} == bad
        good = sorted(set(range(NUM)) - bad)
        np.testing.assert_allclose(features[good], sound[good], rtol=1e-4, atol=1e-5)

    check()
