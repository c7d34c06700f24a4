"""Runs on single cells, from end to end."""

import json
import logging

import numpy as np
import pytest
import torch
from scipy import sparse

import maskwise as mw
from maskwise.errors import UserError
from maskwise.modalities import build, config_of, find
from maskwise.settings import flatten
from maskwise.train.batches import Batches
from maskwise.train.loop import plan_of, prepare
from tests.lazy import lazy

ad = lazy("anndata")
pd = lazy("pandas")


GENES = [f"GENE{n}" for n in range(24)]
TINY = {
    "data.num_genes": 16,
    "model": {"width": 8, "depth": 1, "code": 4, "heads": 2},
    "train": {"steps": 6, "batch_size": 16, "log_every": 1},
    "evaluate": {
        "ratios": (0.3, 0.7),
        "impute": (0.5,),
        "protocols": ("knn",),
        "few": (2,),
        "draws": 2,
        "num_impute": 8,
        "baselines": False,
        "visible": (),
    },
    "efficiency.accelerator": "cpu",
    "diagnose.num_samples": 20,
}


def made_up(num=80, seed=0):
    """Cells of two types, in two batches, sequenced to different depths."""
    generator = np.random.default_rng(seed)
    kind, batch = np.arange(num) % 2, np.arange(num) // 2 % 2
    rate = generator.gamma(0.7, 2.0, (2, 24))[kind] * generator.gamma(4, 0.25, (num, 1)) + 0.05
    obs = pd.DataFrame(
        {"kind": np.array(["T", "B"])[kind], "plate": np.array(["p1", "p2"])[batch]},
        index=[f"cell{n}" for n in range(num)],
    )
    values = sparse.csr_matrix(generator.poisson(rate).astype(np.float32))
    return ad.AnnData(values, obs=obs, var=pd.DataFrame(index=GENES))


@pytest.fixture
def adata():
    return made_up()


@pytest.fixture
def h5ad(tmp_path, adata):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def pretrain(source, out, **changes):
    return mw.pretrain(source, out=out, **{**TINY, **changes})


def samples_of(model, adata):
    """Cells as a model reads them, the plain way."""
    known = model.tokenizer
    values = adata.X.toarray()
    library = values.sum(axis=1, keepdims=True)
    values = values[:, [GENES.index(gene) for gene in known.genes]]
    if known.loss == "mse":
        values = np.log1p(values / library * known.target_sum)
    if known.batches:
        column = pd.Categorical(adata.obs["plate"], known.batches).codes
        values = np.append(values, column[:, None], axis=1)
    return torch.from_numpy(values.astype(np.float32))


def test_a_run_on_a_file(h5ad, adata, tmp_path, caplog):
    caplog.set_level(logging.INFO, "maskwise")
    changes = {"data.labels": "kind", "data.batch": "plate", "data.holdout": 0.25}
    changes["evaluate"] = TINY["evaluate"] | {"baselines": True}
    run = pretrain(str(h5ad), tmp_path / "run", **changes)
    files = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    assert {"data.json", "report.html", "samples.json", "model/weights.safetensors"} <= files
    assert run.config.modality == "cells"
    assert "cells: 60 cells to train on, 20 held out, 16 genes" in caplog.text
    result = run.result
    data = {"name": "cells", "num_train": 60, "num_test": 20, "shape": [16]}
    assert result["data"] == data | {"classes": ["B", "T"]}
    curve = result["reconstruction"]
    assert [point["ratio"] for point in curve["curve"]] == [0.3, 0.7]
    assert list(curve["baselines"]) == ["marginal"]
    assert {row["task"] for row in result["probes"]} == {
        "cells, all labels",
        "cells, 2 labels a class",
    }
    features = {"encoder", "untrained encoder", "raw values", "PCA (16)"}
    features.add("encoder, expected values, PCA (16)")
    assert {row["features"] for row in result["probes"]} == features
    for name in ("clusters", "mixing"):
        assert {row["features"] for row in result[name]} == features - {"raw values"}
    assert {row["method"] for row in result["imputation"]} >= {"model", "feature mean", "kNN"}
    assert {row["mechanism"] for row in result["imputation"]} == {"random", "intensity"}
    page = run.report.read_text("utf-8")
    assert "cells, 2 labels a class" in page
    assert "feature mean" in page
    # Features of all cells of the file, in their order.
    model = run.model()
    with torch.no_grad():
        expected = model.encode(samples_of(model, adata)).numpy()
    for source in (adata, str(h5ad)):
        np.testing.assert_allclose(run.embed(source), expected, atol=1e-5)


EACH = [
    {},
    {
        **{"data.loss": "zinb", "data.zeros": 0.3, "train.scope": "sample"},
        **{"model.kind": "transformer", "model.corruption": "permute"},
    },
    {
        **{"data.loss": "nb", "data.batch": "plate", "pattern": "shared", "train.ema": 0.9},
        **{"model.predict_fraction": 0.5, "efficiency.workers": 1},
    },
]


@pytest.mark.parametrize(
    "changes", EACH, ids=lambda changes: ",".join(map(str, changes.values())) or "plain"
)
def test_resuming_is_exact(h5ad, resumed, no_report, changes):
    run = resumed(pretrain, h5ad, **changes)
    model = mw.load(run.path / "model")
    if model.tokenizer.loss == "mse":
        assert model.log_variance.isfinite().all()
    assert model.config == run.config.model


def test_cells_that_changed_are_not_resumed(h5ad, tmp_path, no_report):
    pretrain(h5ad, tmp_path / "run")
    made_up(seed=1).write_h5ad(h5ad)
    with pytest.raises(UserError, match=r"the data of .*run have changed \(cells"):
        pretrain(h5ad, tmp_path / "run", resume=True)


def told(result):
    """What is the same each time it is measured."""
    rows = [{**row, "seconds": None} for row in result["imputation"]]
    return result | {"imputation": rows}


def test_cells_in_memory(adata, tmp_path, no_report):
    run = pretrain(adata, tmp_path / "run", **{"data.labels": "kind"})
    before = run.result
    assert before["data"]["name"] == "array"
    assert told(mw.evaluate(run, adata).result) == told(before)
    few = mw.evaluate(run, adata, **{"evaluate.ratios": (0.5,), "evaluate.impute": ()}).result
    assert [point["ratio"] for point in few["reconstruction"]["curve"]] == [0.5]
    assert not few["imputation"]
    assert few["train"] == before["train"]
    for call in (mw.evaluate, mw.measure_likelihood):
        with pytest.raises(UserError, match="this run was given an AnnData: give it again"):
            call(run)
    with pytest.raises(UserError, match="pool 'class' needs a class token"):
        run.embed(adata, pool="class")


def test_masks_do_not_depend_on_workers_or_micro_batches(h5ad, alike, no_report):
    alike(pretrain, h5ad)


@pytest.mark.parametrize("loss", ["mse", "nb"])
def test_the_likelihood_of_a_run(adata, tmp_path, no_report, loss):
    run = pretrain(adata, tmp_path / "run", **{"data.loss": loss})
    found = mw.measure_likelihood(run, adata, num_samples=6, passes=6).likelihood
    assert found["words"]["sample"] == "cell"
    assert found["words"]["anchor"] == "independent genes"
    assert (found["length"], found["num_dims"]) == (16, 16)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_zeros_are_hidden_less_often_in_a_step(adata, zeros):
    changes = {"data.zeros": zeros, "data.loss": "nb", "law": "fixed:0.5"}
    config = config_of(adata, {**flatten(TINY), **changes})
    pipeline = find("cells")
    splits = pipeline.load(adata, config)
    modality, config = pipeline.describe(splits, config)
    model = build(modality, config.model, seed=0)
    batches = Batches(splits.train, batch_size=64, seed=0)
    hidden, of_zeros = 0, 0
    for batch in batches.read(0, 20, 0):
        part = prepare(batch, model, plan_of(config), torch.device("cpu"))
        hidden += int((part.mask.hidden & (part.samples > 0)).sum())
        of_zeros += int((part.mask.hidden & (part.samples == 0)).sum())
    some, none = (int((batch.samples > 0).sum()), int((batch.samples == 0).sum()))
    assert of_zeros / hidden == pytest.approx(zeros * none / some, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pattern": "block"}, "pattern block is not for features, which have no order"),
        ({"pattern": "spans:3"}, "pattern spans:3 is not for features"),
        ({"evaluate.layer": 2}, r"evaluate\.layer 2 is outside 0\.\.1"),
        (
            {"train.batch_size": 4000},
            "a minibatch of 4000 is more than the 72 samples to train on",
        ),
        ({"data.labels": "knd"}, "obs has no column 'knd'; did you mean 'kind'"),
        ({"data.layer": "counts"}, "no layer 'counts'"),
        ({"data.values": "normalised", "data.loss": "nb"}, "loss nb is of counts"),
        ({"data.zeros": 1.5}, "data.zeros=1.5"),
        ({"model.linear": 2, "data.loss": "nb"}, "linear 2: only an mlp of no counts"),
        ({"model.linear": 2, "model.kind": "transformer"}, "linear 2: only an mlp of no counts"),
        ({"model.corruption": "noise"}, "model.corruption"),
        ({"evaluate.ratios": (1.5,)}, "evaluate.ratios"),
    ],
)
def test_bad_settings_leave_nothing_behind(adata, tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        pretrain(adata, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()
