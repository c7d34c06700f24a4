"""A dry look at cells: what there is, all that stands in the way, and what mends it."""

import json
from pathlib import Path

import numpy as np
import pytest

import maskwise as mw
from maskwise.cells import survey as surveys
from maskwise.cells.anndata_files import of_anndata, read_column
from maskwise.errors import UserError
from tests.cells.test_bad_input import COUNTS, GENES, LOGGED, annotated, changed
from tests.lazy import lazy

ad = lazy("anndata")

TINY = {"data.num_genes": None, "model": {"width": 8, "depth": 1, "code": 4}}
TINY |= {"train": {"steps": 2, "batch_size": 8}, "efficiency.accelerator": "cpu"}
TINY |= {"evaluate": {"ratios": (0.5,), "impute": (0.5,), "baselines": False, "visible": ()}}
SMALL = {"train.batch_size": 8}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))


def test_what_there_is(cli):
    cells = annotated(changed(0, [4, 9]), counts=COUNTS)
    cells.obs["kind"] = cells.obs["kind"].astype("category")
    cells.obs.iloc[[0, 2], 0] = None
    cells.write_h5ad("a.h5ad")
    found = mw.inspect("a.h5ad", **SMALL, **{"data.labels": "kind"})
    assert not found.problems
    assert found.found == {
        "data sets": 1,
        "cells": 40,
        "first names": [f"cell{n}" for n in range(8)],
        "genes": 12,
        "first genes": GENES[:8],
        "matrix": "X",
        "with counts": ["counts", "X"],
        "columns of obs": ["kind", "number"],
        "labels": {"B": 20, "T": 18},
        "without labels": 2,
        "holds": "counts",
        "cells without counts": 2,
        "genes used": 12,
        "held out": 3,
    }
    run = mw.pretrain("a.h5ad", out="run", **TINY, **{"data.labels": "kind"})
    assert run.result["data"]["num_train"] == found.num_train == 35
    words = ["--data.labels", "kind", "--train.batch_size", 8]
    status, out, _ = cli("inspect", "a.h5ad", "--json", *words)
    assert (status, json.loads(out)["found"]) == (0, found.found)


def test_data_sets_with_other_genes():
    annotated().write_h5ad("a.h5ad")
    annotated(COUNTS[:30, :10], GENES[:10]).write_h5ad("b.h5ad")
    found = mw.inspect("a.h5ad+b.h5ad", **SMALL, **{"data.batch": "file"}).found
    assert found["cells of each"] == {"a": 40, "b": 30}
    assert found["genes not in all"] == 2
    assert found["batch"] == {"a": 40, "b": 30}
    # Names are not unique: they come with that of their data set.
    assert found["first names"][:2] == ["a:cell0", "a:cell1"]


def test_all_that_stands_in_the_way(cli):
    annotated(LOGGED, counts=COUNTS).write_h5ad("a.h5ad")
    words = {"pattern": "spans", "data.labels": "kinds", "data.batch": "number"}
    words |= {"data.gene_ids": "symbol", "data.layer": "count"}
    found = mw.inspect("a.h5ad", **SMALL, **words)
    told = [each.text for each in found.problems]
    assert [text.split(": ")[0].split(" has")[0] for text in told[:1]] == [
        "pattern spans is not for features, which have no order"
    ]
    assert told[1].startswith("a.h5ad: no layer 'count'; did you mean 'counts'?")
    assert told[2].startswith("a.h5ad: var has no column 'symbol'; it has none")
    assert told[3].startswith("a: obs has no column 'kinds'; did you mean 'kind'?")
    assert told[4].startswith("a: column 'number' of obs has 40 values in 40 cells")
    assert told[5].startswith("a.h5ad: X has 1.38629 in cell cell0 (row 1), gene GENE0: no count")
    mended = dict(words)
    for each in found.problems:
        mended |= each.settings
    assert mended == {
        "pattern": "scattered",
        "data.labels": "kind",
        "data.batch": "none",
        "data.gene_ids": "none",
        "data.layer": "counts",
    }
    with pytest.raises(UserError, match="6 things stand in the way"):
        mw.pretrain("a.h5ad", out="run", **TINY, **words)
    flags = [word for key, value in mended.items() for word in (f"--{key}", value)]
    assert cli("inspect", "a.h5ad", *flags, "--train.batch_size", 8)[0] == 0
    assert mw.pretrain("a.h5ad", out="run", **TINY, **mended).result


SHARES = COUNTS / COUNTS.sum(axis=1, keepdims=True)
MENDED = {
    "logarithms": (LOGGED, {}, {"data.values": "normalised"}),
    "TPM": (SHARES * 1e6, {}, {"data.normalised": "true"}),
    "estimates": (COUNTS * 12.25, {}, {"data.values": "fractional"}),
    "counts": (
        COUNTS,
        {"data.values": "normalised"},
        {"data.values": "auto"},
    ),
    "a cell with NaN": (changed(np.nan), {}, {"data.broken": "skip"}),
    "loss": (
        LOGGED,
        {"data.values": "normalised", "data.loss": "nb"},
        {"data.loss": "mse"},
    ),
}


@pytest.mark.parametrize("case", MENDED)
@pytest.mark.parametrize("memory", [True, False])
def test_values_that_are_not_what_they_should_be(case, memory):
    values, words, mended = MENDED[case]
    given = annotated(values)
    if not memory:
        given.write_h5ad("a.h5ad")
        given = "a.h5ad"
    [problem] = mw.inspect(given, **SMALL, **words).problems
    assert problem.settings == mended
    again = mw.inspect(given, **SMALL, **{**words, **mended})
    assert not again.problems
    assert again.num_train == 36 - (case == "a cell with NaN" and again.found["held out"] == 4)


def test_cells_with_values_that_are_no_numbers(caplog):
    values = changed(np.nan, (7, 2))
    values[11, 5] = np.inf
    annotated(values).write_h5ad("a.h5ad")
    run = mw.pretrain("a.h5ad", out="run", **TINY, **{"data.broken": "skip"})
    told = (
        "a.h5ad: 2 cells with values that are NaN or infinite left out: cell cell7 (row 8), cell"
    )
    assert told in caplog.text
    data = run.result["data"]
    assert data["num_train"] + data["num_test"] == 38
    z = run.embed(annotated(values))
    assert np.flatnonzero(np.isnan(z).all(1)).tolist() == [7, 11]
    np.testing.assert_allclose(z[:7], run.embed(annotated(COUNTS[:8]))[:7], atol=1e-5)


def test_what_is_seen_once_is_not_read_again(monkeypatch):
    cells = annotated()
    cells.write_h5ad("a.h5ad")
    mw.inspect("a.h5ad", **SMALL)
    monkeypatch.setattr(surveys, "_look", None)
    assert mw.inspect("a.h5ad", **SMALL).num_train == 36


def test_labels_that_are_none():
    cells = annotated()
    cells.obs["cluster"] = np.where(np.arange(40) < 5, -1, np.arange(40) % 2)
    cells.obs["type"] = ["", " ", "NA", None] + ["T"] * 36
    sets = [of_anndata(cells, None, None)]
    column = read_column(sets, "cluster", "labels")
    assert column.names == ("0", "1")
    assert (column.codes[:7].tolist(), column.codes.min()) == ([-1] * 5 + [1, 0], -1)
    named = read_column(sets, "type", "labels")
    assert named.names == ("NA", "T")  # a text is a name
    assert named.codes[:5].tolist() == [-1, -1, 0, -1, 1]
    # A batch may have any number.
    assert read_column(sets, "cluster", "batch").names == ("-1", "0", "1")


def test_features_have_the_names_of_cells(cli):
    values = changed(0, [4, 9])
    annotated(values).write_h5ad("a.h5ad")
    mw.pretrain("a.h5ad", out="run", **TINY)
    for out in ("z.npz", "z.csv", "z.h5ad"):
        status, _, err = cli("embed", "run", "a.h5ad", "-o", out)
        assert status == 0, err
    with np.load("z.npz") as found:
        assert found["name"].tolist() == [f"cell{n}" for n in range(40)]
        assert np.flatnonzero(found["status"] == "no counts").tolist() == [4, 9]
        assert np.flatnonzero(np.isnan(found["features"]).all(1)).tolist() == [4, 9]
        z = found["features"]
    np.testing.assert_allclose(ad.read_h5ad("z.h5ad").obsm["X_maskwise"], z, atol=1e-6)
    np.testing.assert_allclose(mw.Run("run").embed(annotated(values)), z, atol=1e-6)
    assert Path("z.csv").read_text("utf-8").splitlines()[5].startswith("cell4,no counts,,")
    annotated(values * 0).write_h5ad("none.h5ad")
    status, _, err = cli("embed", "run", "none.h5ad", "-o", "none.npy")
    assert (status, err) == (2, "maskwise: none.h5ad: none of 40 cells has a count\n")
    with pytest.raises(UserError, match="none of 40 cells has a count: nothing to embed"):
        mw.Run("run").embed(annotated(values * 0))


def test_files_beside_that_are_no_data(tmp_path):
    (tmp_path / "folder").mkdir()
    annotated().write_h5ad("folder/a.h5ad")
    (tmp_path / "folder" / "._a.h5ad").write_bytes(b"\0\5")
    (tmp_path / "folder" / "~$a.h5ad").write_bytes(b"\0")
    assert mw.inspect("folder", **SMALL).found["data sets"] == 1
