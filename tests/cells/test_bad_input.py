"""Cells that cannot be used: one line, exit status 2, nothing left behind; or counted."""

import json

import numpy as np
import pytest

from maskwise.cells.cells import Cells
from tests.columns.test_command_impute import make_run
from tests.lazy import lazy

ad = lazy("anndata")
pd = lazy("pandas")


GENES = [f"GENE{n}" for n in range(12)]
COUNTS = np.random.default_rng(0).poisson(2.0, (40, 12)).astype(np.float32)
COUNTS[:, 0] += 1  # no empty cells
TINY = ["--model.width", 8, "--model.depth", 1, "--model.code", 4, "--data.num_genes", "none"]
TINY += ["--train.steps", 2, "--train.batch_size", 8, "--evaluate.ratios", 0.5]
TINY += ["--evaluate.impute", 0.5, "--evaluate.baselines", "false"]


def annotated(values=COUNTS, names=GENES, **layers):
    obs = pd.DataFrame(
        {"kind": ["T", "B"] * (len(values) // 2), "number": np.arange(float(len(values)))},
        index=[f"cell{n}" for n in range(len(values))],
    )
    return ad.AnnData(values, obs=obs, var=pd.DataFrame(index=list(names)), layers=layers)


def changed(value, place=(7, 2), values=COUNTS):
    values = values.copy()
    values[place] = value
    return values


LOGGED = np.log1p(COUNTS)
CASES = {
    "negative counts": (
        {"values": changed(-3)},
        [],
        "a.h5ad: X has -3 in cell cell7 (row 8), gene GENE2: neither counts nor log-normalised",
    ),
    "no integers": (
        {"values": LOGGED},
        [],
        "no count; no layer has counts; log1p-normalised values need --data.values normalised",
    ),
    "counts elsewhere": (
        {"values": LOGGED, "counts": COUNTS},
        [],
        "no count; counts are in --data.layer counts",
    ),
    "one value that is no count": (
        {"values": changed(0.25)},
        ["--data.loss", "nb"],
        "X has 0.25 in cell cell7 (row 8), gene GENE2: no count",
    ),
    "NaN": (
        {"values": changed(np.nan)},
        [],
        "X has nan in cell cell7 (row 8), gene GENE2: leave that cell or",
    ),
    "infinite": (
        {"values": changed(np.inf)},
        [],
        "X has inf in cell cell7 (row 8), gene GENE2: leave that",
    ),
    "scaled values": (
        {"values": LOGGED - LOGGED.mean(0)},
        ["--data.values", "normalised"],
        "neither counts nor log-normalised, whose 0 means not detected, but scaled",
    ),
    "counts that are said to be normalised": (
        {"values": changed(400)},
        ["--data.values", "normalised"],
        "X has 400 in cell cell7 (row 8), gene GENE2: no log1p of anything; leave out"
        " --data.values normalised; --data.values auto and --data.normalised true take the log1p",
    ),
    "few counts that are said to be normalised": (
        {},
        ["--data.values", "normalised"],
        "a.h5ad: X seems to hold counts: 40 of 40 cells have whole numbers only (the first is"
        " cell cell0 (row 1)); leave out --data.values normalised",
    ),
    "normalised values as counts": (
        {"values": LOGGED},
        ["--data.values", "normalised", "--data.loss", "zinb"],
        "loss zinb is of counts: leave out --data.values normalised",
    ),
    "duplicated genes": (
        {"names": ["GENE1", *GENES[1:]]},
        [],
        "1 gene names occur more than once (GENE1): run adata.var_names_make_unique(), or name",
    ),
    "labels": ({}, ["--data.labels", "kinds"], "no column 'kinds'; did you mean 'kind'?"),
    "batch": ({}, ["--data.batch", "plate"], "no column 'plate'; it has kind, number"),
    "labels that are numbers": (
        {},
        ["--data.labels", "number"],
        "column 'number' of obs has 40 values in 40 cells: give one of names that cells share",
    ),
    "layer": (
        {"counts": COUNTS},
        ["--data.layer", "count"],
        "no layer 'count'; did you mean 'counts'? (--data.layer)",
    ),
    "no layers": ({}, ["--data.layer", "raw"], "no raw.X; it has X (--data.layer)"),
    "names of genes": ({}, ["--data.gene_ids", "symbol"], "var has no column 'symbol'"),
    "list of genes": ({}, ["--data.genes", "none.txt"], "cannot read none.txt: No such"),
    "genes that are not there": (
        {},
        ["--data.genes", "others.txt"],
        "others.txt: 0 of 2 genes are in the data, whose names are like GENE0, GENE1, GENE2",
    ),
    "one gene": ({}, ["--data.num_genes", 1], "1 gene to use: a model learns one from"),
    "all cells are empty": (
        {"values": COUNTS * 0},
        [],
        "0 cells with counts to train on and 0 held out are too few",
    ),
    "no cells": ({"values": COUNTS[:0]}, [], "a.h5ad has no cells: give data that have some"),
    "constant genes": ({"values": COUNTS * 0 + 2}, [], "all genes are constant in the cells to"),
    "few cells": ({"values": COUNTS[:4]}, [], "a minibatch of 8 is more than the 3 samples to"),
    "two files with nothing in common": (
        {"names": [f"ENSG{n:09}" for n in range(12)]},
        ["good.h5ad"],
        "0 of 12 genes of",
    ),
    "pattern": ({}, ["--pattern", "spans"], "pattern spans is not for features"),
    "key of texts": ({}, ["--data.length", "9"], "unknown key 'data.length'"),
    "share": ({}, ["--data.zeros", "2"], "data.zeros=2"),
}


def refused(cli, words, says):
    status, out, err = cli(*words)
    assert (status, out) == (2, "")
    assert says in err
    assert [line for line in err.splitlines() if line.startswith("maskwise: ")] == [
        err.splitlines()[-1]
    ]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_bad_cells_are_one_line(case, cli, tmp_path, monkeypatch):
    made, words, says = CASES[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    annotated(**made).write_h5ad("a.h5ad")
    (tmp_path / "others.txt").write_text("CD3E\nCD19\n")
    source = "a.h5ad"
    if words == ["good.h5ad"]:
        annotated().write_h5ad("good.h5ad")
        source, words = "good.h5ad+a.h5ad", []
    refused(cli, ["pretrain", source, *TINY, *words, "--out", "run"], says)
    assert not (tmp_path / "run").exists()
    # Nothing that is half made stays in the cache.
    assert not list((tmp_path / "cache").rglob(".writing-*"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.h5ad", b"hello", "cannot read a.h5ad: no HDF5 file"),
        ("a.h5ad", b"\x89HDF\r\n\x1a\n" + b"\0" * 40, "cannot read a.h5ad: "),
        ("a.zarr/zarr.json", b"{}", "a.zarr: no AnnData: it has nothing, not obs and var"),
        ("a.zarr/readme.txt", b"hello", "a.zarr: no zarr folder that anndata wrote"),
        (
            "folder/readme.txt",
            b"hello",
            "folder: no cells here (looked for .h5ad, .zarr, .mtx and 10x .h5)",
        ),
    ],
)
def test_no_anndata_is_one_line(cli, tmp_path, monkeypatch, name, content, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    words = ["pretrain", name.split("/")[0], *TINY, "--modality", "cells", "--out", "run"]
    refused(cli, words, says)
    assert not (tmp_path / "run").exists()


def test_other_hdf5_files_are_one_line(cli, tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    with h5py.File("a.h5ad", "w") as file:
        file["matrix"] = COUNTS
    says = "a.h5ad: no AnnData: it has matrix, not obs and var: make one, as anndata.AnnData(X)"
    refused(cli, ["pretrain", "a.h5ad", *TINY, "--out", "run"], says)
    refused(cli, ["pretrain", "none.h5ad", *TINY], "no file or folder 'none.h5ad'")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on cells with initial weights, and the folder to work in."""
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", Cells(tuple(GENES), target_sum=24.0), "cells")
    return "run"


@pytest.mark.parametrize("verb", ["embed", "impute"])
@pytest.mark.parametrize(
    ("given", "words", "says"),
    [
        (
            {"names": [*GENES[:5], *"abcdefg"]},
            [],
            "5 of 12 genes of the model are in a.h5ad (missing: GENE5, GENE6, GENE7, ...; the data"
            " have names like GENE0, GENE1, GENE2): name them alike by a column of var:"
            " --data.gene_ids",
        ),
        ({"values": changed(-3)}, [], "a.h5ad: X has -3 in cell cell7 (row 8), gene GENE2"),
        ({"values": LOGGED}, [], "no count; no layer has counts; the model wants them"),
        ({}, ["--data.layer", "counts"], "no layer 'counts'"),
        ({"values": COUNTS[:0]}, [], "a.h5ad has no cells: give data that have some"),
        ({}, ["--data.zeroes", "1"], "unknown key 'data.zeroes'"),
    ],
)
def test_cells_that_a_model_cannot_read(cli, run, tmp_path, verb, given, words, says):
    annotated(**given).write_h5ad("a.h5ad")
    refused(cli, [verb, run, "a.h5ad", "-o", "out.h5ad", *words], says)
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5ad", "run"}


@pytest.mark.parametrize(("verb", "out"), [("embed", "z.npy"), ("impute", "out.h5ad")])
def test_counts_for_a_model_of_normalised_values(cli, tmp_path, monkeypatch, verb, out):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", Cells(tuple(GENES), counts=False), "cells")
    annotated().write_h5ad("a.h5ad")
    says = "a.h5ad: X seems to hold counts: 40 of 40 cells have whole numbers only"
    refused(cli, [verb, "run", "a.h5ad", "-o", out], says)
    annotated(LOGGED).write_h5ad("b.h5ad")
    assert cli(verb, "run", "b.h5ad", "-o", out)[0] == 0


@pytest.mark.parametrize(
    ("words", "change"),
    [(["--data.normalised", "true"], 1e6), (["--data.values", "fractional"], 12.5)],
)
def test_commands_take_amounts_that_are_no_counts(cli, tmp_path, monkeypatch, words, change):
    monkeypatch.chdir(tmp_path)
    annotated(COUNTS / COUNTS.sum(axis=1, keepdims=True) * change).write_h5ad("a.h5ad")
    refused(cli, ["pretrain", "a.h5ad", *TINY, "--out", "run"], words[0])
    assert cli("pretrain", "a.h5ad", *TINY, *words, "--out", "run")[0] == 0
    assert cli("embed", "run", "a.h5ad", "-o", "z.npy")[0] == 0
    assert cli("impute", "run", "a.h5ad", "-o", "out.h5ad")[0] == 0
    annotated().write_h5ad("b.h5ad")
    if change == 1e6:
        refused(cli, ["embed", "run", "b.h5ad", "-o", "y.npy"], "X seems to hold counts")


def test_what_is_left_out_is_counted(cli, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    annotated(changed(0, [4, 9])).write_h5ad("a.h5ad")
    (tmp_path / "list.txt").write_text("GENE3\nGENE5\nGENE7\nCD3E\n")
    words = ["pretrain", "a.h5ad", *TINY, "--data.genes", "list.txt", "--out", "run"]
    status, _, _ = cli(*words)
    assert status == 0
    assert "2 cells without any count left out, 38 kept" in caplog.text
    assert "list.txt: 1 genes are not in the data: CD3E" in caplog.text
    data = json.loads((tmp_path / "run" / "result.json").read_text())["data"]
    assert (data["num_train"] + data["num_test"], data["shape"]) == (38, [3])
    # To embed, empty cells are kept in their place, and unknown genes told.
    caplog.clear()
    assert cli("embed", "run", "a.h5ad", "-o", "z.npy")[0] == 0
    assert "2 samples cannot be read and have no features: cell4: no counts; cell9: no cou" in (
        caplog.text
    )
    found = np.load("z.npy", allow_pickle=False)
    assert found.shape == (40, 4)
    assert np.flatnonzero(np.isnan(found).all(1)).tolist() == [4, 9]
    assert np.isfinite(np.delete(found, [4, 9], 0)).all()
    assert cli("impute", "run", "a.h5ad", "-o", "out.h5ad")[0] == 0
    assert "9 of 12 genes are unknown to the model: NaN" in caplog.text
