"""Runs on tables, from end to end."""

import json

import numpy as np
import pytest
import torch

import maskwise as mw
from maskwise.api import default_folder
from maskwise.errors import UserError
from maskwise.modalities import build, config_of, find
from maskwise.preparing import with_observed
from maskwise.settings import flatten, to_dict
from maskwise.train.batches import Batches
from maskwise.train.loop import plan_of, prepare
from tests.lazy import lazy

pandas = lazy("pandas")

TINY = {
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
    """Numbers, whole numbers and categories that depend on each other; some are missing."""
    generator = np.random.default_rng(seed)
    size = generator.normal(size=num)
    frame = pandas.DataFrame(
        {
            "length": 10 + 3 * size + generator.normal(size=num),
            "weight": np.rint(100 + 20 * size).astype(int),
            "sex": np.where(size + generator.normal(size=num) > 0, "f", "m"),
            "site": generator.choice(["A", "B", "C"], num),
            "age": generator.gamma(3, 10, num),
            "species": np.where(size > 0, "cat", "mouse"),
        }
    )
    frame.loc[generator.random(num) < 0.2, "age"] = np.nan
    frame.loc[generator.random(num) < 0.2, "sex"] = None
    return frame


@pytest.fixture
def frame():
    return made_up()


@pytest.fixture
def table(tmp_path, frame):
    frame.to_csv(tmp_path / "animals.csv", index=False)
    return tmp_path / "animals.csv"


def pretrain(source, out, **changes):
    return mw.pretrain(source, out=out, **{**TINY, **changes})


def samples_of(model, frame):
    """Rows as a model reads them, the plain way."""
    columns = []
    for column in model.tokenizer.columns:
        values = frame[column.name]
        if column.kind == "category":
            codes = pandas.Categorical(values, column.categories).codes.astype(float)
            columns.append(np.where(codes < 0, np.nan, codes))
        else:
            columns.append((values - column.mean) / column.std)
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def test_a_run_on_a_file(table, frame, tmp_path):
    changes = {"data.labels": "species", "data.holdout": 0.25}
    changes["evaluate"] = TINY["evaluate"] | {"baselines": True}
    run = pretrain(table, tmp_path / "run", **changes)
    files = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    assert {"data.json", "report.html", "samples.json", "model/weights.safetensors"} <= files
    assert run.config.modality == "tables"
    result = run.result
    data = {"name": "animals", "num_train": 60, "num_test": 20, "shape": [5]}
    assert result["data"] == data | {"classes": ["cat", "mouse"]}
    curve = result["reconstruction"]
    assert [point["ratio"] for point in curve["curve"]] == [0.3, 0.7]
    assert {row["task"] for row in result["probes"]} == {
        "animals, all labels",
        "animals, 2 labels a class",
    }
    assert {"encoder", "untrained encoder", "raw values"} <= {
        row["features"] for row in result["probes"]
    }
    assert result["clusters"]
    assert not result["mixing"]
    assert {row["method"] for row in result["imputation"]} >= {*("model", "feature mean", "kNN")}
    assert all(0 <= row["accuracy"] <= 1 for row in result["imputation"])
    page = run.report.read_text("utf-8")
    assert "animals, 2 labels a class" in page
    assert "feature mean" in page
    # Features of all rows, in their order; of a table in memory the same.
    model = run.model()
    samples = samples_of(model, frame)
    with torch.no_grad():
        expected = model.encode(samples).numpy()
    for source in (frame, frame[frame.columns[::-1]], frame.to_dict("list")):
        np.testing.assert_allclose(run.embed(source), expected, atol=1e-5)
    # What is missing becomes what the model expects of it.
    full = run.impute(frame)
    assert not full.drop(columns="species").isna().any().any()
    gaps = frame["age"].isna()
    nothing = torch.zeros(samples.shape, dtype=torch.bool)
    with torch.no_grad():
        said = model.predict(samples, nothing)[:, model.tokenizer.names.index("age")].numpy()
    [age] = [column for column in model.tokenizer.columns if column.name == "age"]
    np.testing.assert_allclose(full["age"][gaps], (said * age.std + age.mean)[gaps], rtol=1e-4)
    for name, values in frame.items():
        assert (full[name] == values)[values.notna()].all()


EACH = [
    {},
    {"data.scale": "quantile", "model.corruption": "permute", "train.scope": "sample"}
    | {"pattern": "copied", "law": "observed"},
    {"model.kind": "transformer", "pattern": "shared", "train.ema": 0.9},
    {"model.linear": 2, "data.lags": 2, "data.drop": ("sex",), "model.predict_fraction": 0.5},
]


@pytest.mark.parametrize(
    "changes", EACH, ids=lambda changes: ",".join(map(str, changes.values())) or "plain"
)
def test_resuming_is_exact(table, resumed, no_report, changes):
    run = resumed(pretrain, table, **changes)
    model = mw.load(run.path / "model")
    assert model.log_variance.isfinite().all()
    assert to_dict(model.config) == to_dict(run.config.model)


def test_a_table_that_changed_is_not_resumed(table, tmp_path, no_report):
    pretrain(table, tmp_path / "run")
    made_up(seed=1).to_csv(table, index=False)
    with pytest.raises(UserError, match=r"the data of .*run have changed \(sha256"):
        pretrain(table, tmp_path / "run", resume=True)


def told(result):
    """What is the same each time it is measured."""
    rows = [{**row, "seconds": None} for row in result["imputation"]]
    return result | {"imputation": rows}


def test_tables_in_memory(frame, tmp_path, no_report):
    # `data` is the table, and the settings of the group of that name can be given beside it.
    run = mw.pretrain(frame, data={"labels": "species"}, out=tmp_path / "run", **TINY)
    before = run.result
    assert run.config.data.labels == "species"
    assert before["data"]["classes"] == ["cat", "mouse"]
    assert told(mw.evaluate(run, frame).result) == told(before)
    found = mw.measure_likelihood(run, frame, num_samples=6, passes=4).likelihood
    assert found["words"]["sample"] == "row"
    assert 3 < found["num_dims"] <= 5
    json.dumps(found, allow_nan=False)
    for call in (mw.evaluate, mw.measure_likelihood):
        with pytest.raises(UserError, match="this run was given a table: give it again"):
            call(run)
    with pytest.raises(UserError, match="pool 'class' needs a class token"):
        run.embed(frame, pool="class")


def test_arrays_and_labels_are_a_table(tmp_path, no_report):
    values = np.random.default_rng(0).normal(size=(60, 4))
    run = pretrain((values, np.arange(60) % 3), tmp_path / "run")
    assert run.result["data"]["classes"] == ["0", "1", "2"]
    assert run.embed(values).shape == (60, 4)
    with pytest.raises(UserError, match="3 columns, but the table has 4"):
        run.embed(np.zeros((2, 3)))


def test_masks_do_not_depend_on_workers_or_micro_batches(table, alike, no_report):
    alike(pretrain, table)


def test_masks_are_copies_of_gaps(table, frame, tmp_path, no_report):
    """What a run hides of complete rows is what other rows lack, and the folder is that law's."""
    config = config_of(str(table), {**flatten(TINY), "pattern": "copied", "law": "observed"})
    kind = find("tables")
    splits = kind.load(None, config)
    config, observed = with_observed(kind, splits, config)
    gaps = frame[list(splits.tokenizer.names)].isna().to_numpy()[splits.train.index]
    assert sorted(observed.tolist()) == sorted(gaps[gaps.any(axis=1)].tolist())
    one, two = (int((gaps.sum(axis=1) == num).sum()) for num in (1, 2))
    assert config.law == f"observed:{one}*0.166667,{two}*0.333333"
    assert str(default_folder("animals", config)) == "runs/animals-observed-s0"
    model = build(splits.tokenizer, config.model, seed=0)
    plan, kinds = plan_of(config, observed=observed), {tuple(row) for row in observed.tolist()}
    for batch in Batches(splits.train, batch_size=16, seed=0).read(0, 6, 0):
        part = prepare(batch, model, plan, torch.device("cpu"))
        whole = ~part.samples.isnan().any(dim=1)
        assert {tuple(row) for row in part.mask.hidden[whole].tolist()} <= kinds


def test_a_run_with_copies_is_evaluated_on_rows_without_gaps(frame, tmp_path, no_report):
    run = pretrain(frame, tmp_path / "run", pattern="copied")
    assert run.result["features"]["pattern"] == "copied"
    again = mw.evaluate(run, frame.dropna())
    assert again.result["features"]["pattern"] == "scattered"


def test_nothing_to_copy_is_told_with_a_way_out(frame, tmp_path):
    whole = frame.dropna()
    told = 'no row lacks a value, so that pattern copied and law observed.*"pattern": "scattered"'
    with pytest.raises(UserError, match=told) as error:
        pretrain(whole, tmp_path / "run", pattern="copied", law="observed")
    assert "This works" in str(error.value)
    assert not (tmp_path / "run").exists()
    with pytest.raises(
        UserError, match="pattern proportional is made of what rows of data lack, which is unknown"
    ):
        mw.pretrain("digits", pattern="proportional", out=tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pattern": "block"}, "pattern block is not for features, which have no order"),
        ({"pattern": "units:2"}, "pattern units:2 is not for features"),
        ({"evaluate.layer": 2}, r"evaluate\.layer 2 is outside 0\.\.1"),
        (
            {"train.batch_size": 4000},
            "a minibatch of 4000 is more than the 72 samples to train on",
        ),
        ({"data.labels": "specis"}, "no column 'specis'; did you mean species"),
        (
            {"data.max_categories": 2, "data.categorical": ["site"]},
            "column 'site' has 3 different values",
        ),
        ({"model.linear": 2, "model.kind": "transformer"}, "linear 2: only an mlp of no counts"),
        ({"data.layer": "raw"}, "cells are DataFrame: give anndata.AnnData"),
        ({"evaluate.draws": 1}, "evaluate.draws"),
    ],
)
def test_bad_settings_leave_nothing_behind(frame, tmp_path, changes, says):
    with pytest.raises(UserError, match=says):
        pretrain(frame, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()
