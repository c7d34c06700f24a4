import dataclasses
import json

import numpy as np
import pytest
import torch

from maskwise.columns.evaluation import TabularEvaluate, evaluate_tabular
from maskwise.errors import UserError
from tests.columns.small_samples import cells_of, make_model, splits_of, table_of

QUICK = TabularEvaluate(ratios=(0.2, 0.8), impute=(0.5,), few=(5,), draws=2)


@pytest.mark.parametrize("loss", ["mse", "nb"])
def test_everything_is_measured(loss: str) -> None:
    cells, samples, labels = cells_of(120, 30, loss=loss)
    splits = splits_of(samples, labels, 50)
    test = dataclasses.replace(splits.test, batches=np.arange(50) % 2)
    splits = dataclasses.replace(splits, test=test, batches=("x", "y"))
    model, untrained = make_model(cells), make_model(cells, code=5)
    found = evaluate_tabular(model, splits, QUICK, untrained=untrained)
    assert found["data"] == {
        "name": "made up",
        "num_train": 70,
        "num_test": 50,
        "shape": [30],
        "classes": ["a", "b"],
    }
    expected = "encoder, expected values, PCA (30)"
    names = ["encoder", "untrained encoder", expected, "PCA (30)", "raw values"]
    assert [row["features"] for row in found["probes"]] == [
        name for name in names * 2 for _ in "ab"
    ]
    types = [row for row in found["probes"] if row["features"] == "raw values"]
    assert types[0]["macro_f1"]["value"] > 0.9
    assert [row["features"] for row in found["clusters"]] == names[:4]
    assert [row["features"] for row in found["mixing"]] == names[:4]
    assert {row["method"] for row in found["imputation"]} == {
        "model",
        "feature mean",
        "kNN",
        "PCA",
    }
    assert [point["ratio"] for point in found["reconstruction"]["curve"]] == [0.2, 0.8]
    json.dumps(found, allow_nan=False)
    again = evaluate_tabular(model, splits, QUICK, untrained=untrained)
    for row in found["imputation"] + again["imputation"]:
        row.pop("seconds")
    assert again == found


def test_tables_without_labels_or_baselines() -> None:
    samples = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
    samples[:, 2] = torch.arange(90) % 3
    samples[::7, 1] = torch.nan
    model = make_model(table_of((0, 0, 3, 0)))
    config = dataclasses.replace(QUICK, baselines=False)
    found = evaluate_tabular(model, splits_of(samples), config, untrained=model)
    assert (found["probes"], found["clusters"], found["mixing"]) == ([], [], [])
    assert {row["method"] for row in found["imputation"]} == {"model", "feature mean"}
    assert found["data"]["classes"] is None
    labelled = splits_of(samples, np.arange(90) % 3)
    rows = evaluate_tabular(model, labelled, config, untrained=model)["probes"]
    assert {row["features"] for row in rows} == {"encoder", "encoder, expected values, PCA (6)"}
    with pytest.raises(UserError, match="layer 7"):
        evaluate_tabular(model, labelled, dataclasses.replace(config, layer=7))
