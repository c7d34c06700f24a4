import dataclasses
import json
import logging

import numpy as np
import pytest
import torch

from maskwise.columns.evaluation import TabularEvaluateSettings, evaluate_tabular, tabular_probes
from maskwise.errors import UserError
from maskwise.measure.probes import Judge
from maskwise.measure.protocols import ONE_SCALE_STRENGTHS, logistic_scores, one_scale
from tests.columns.small_samples import cells_of, make_model, splits_of, table_of

QUICK = TabularEvaluateSettings(ratios=(0.2, 0.8), impute=(0.5,), few=(5,), draws=2, visible=())


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


def types(num: int, num_classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of which two say the class, and classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(num) % num_classes
    x = rng.normal(size=(num, 6))
    x[:, 0] += 8 * (y == 1)
    x[:, 1] += 8 * (y == 2)
    return x.astype(np.float32), y


def test_what_tells_classes_is_found_and_noise_is_not() -> None:
    (x, y), (test, want) = types(90), types(60, seed=1)
    features = {"good": (x, test), "noise": (x[:, 2:], test[:, 2:])}
    rows = tabular_probes(features, y, want, "made up", TabularEvaluateSettings(few=(5,), draws=4))
    assert [(row["task"], row["features"]) for row in rows[::2]] == [
        (f"made up, {task}", name)
        for task in ("all labels", "5 labels a class")
        for name in ("good", "noise")
    ]
    assert [row["protocol"] for row in rows[:2]] == [probe.title for probe in one_scale().values()]
    for row in rows:
        good = row["features"] == "good"
        assert row["accuracy"] == pytest.approx(1.0 if good else 1 / 3, abs=0.02 if good else 0.15)
        assert row["num_test"] == 60
        for key in ("mcc", "auroc", "macro_f1"):
            assert set(row[key]) == {"value", "low", "high"}
            assert row[key]["low"] <= row[key]["value"] <= row[key]["high"]
    assert [row["num_train"] for row in rows] == [90] * 4 + [15] * 4
    assert all("mean of 4 draws" in row["note"] for row in rows[4:])


def test_few_labels_are_the_same_for_all_features_and_every_time() -> None:
    (x, y), (test, want) = types(60), types(30, seed=1)
    features = dict.fromkeys(("one", "other"), (x[:, 1:], test[:, 1:]))
    rows = tabular_probes(
        features, y, want, "", TabularEvaluateSettings(few=(3,), draws=3, protocols=("knn",))
    )
    again = tabular_probes(
        features, y, want, "", TabularEvaluateSettings(few=(3,), draws=3, protocols=("knn",))
    )
    assert rows == again
    one, other = rows[2:]
    assert {**one, "features": ""} == {**other, "features": ""}
    moved = tabular_probes(
        features,
        y,
        want,
        "",
        TabularEvaluateSettings(few=(3,), draws=3, protocols=("knn",), seed=1),
    )
    assert moved[2]["accuracy"] != one["accuracy"]


def test_unknown_labels_and_rare_classes(caplog: pytest.LogCaptureFixture) -> None:
    (x, y), (test, want) = types(60), types(30, seed=1)
    rare = np.flatnonzero(y == 2)
    y[rare[4:]] = -1
    want[:5] = -1
    # What has no label must not matter, whatever it holds.
    features = {"encoder": (np.where((y < 0)[:, None], 1e9, x), test)}
    with caplog.at_level(logging.INFO, "maskwise"):
        rows = tabular_probes(features, y, want, "", TabularEvaluateSettings(few=(10,), draws=2))
    assert "21 samples without a label" in caplog.text
    assert [row["num_train"] for row in rows] == [44, 44, 24, 24]
    assert {row["num_test"] for row in rows} == {25}
    assert "1 classes have fewer than 10 training samples" in rows[2]["note"]
    assert min(row["accuracy"] for row in rows[::2]) > 0.9
    assert tabular_probes(features, np.full(60, -1), want, "", TabularEvaluateSettings()) == []
    assert (
        tabular_probes(features, np.zeros(60, dtype=int), want, "", TabularEvaluateSettings())
        == []
    )


def test_classes_without_training_samples_count_as_wrong() -> None:
    (x, y), (test, want) = types(60), types(30, seed=1)
    y[y == 2] = 1
    [row] = tabular_probes(
        {"": (x, test)}, y, want, "", TabularEvaluateSettings(few=(), protocols=("knn",))
    )
    assert row["accuracy"] <= 2 / 3
    assert row["note"] == "10 test samples of classes without training samples"


def test_macro_f1_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    (x, y), (test, want) = types(60), types(30, seed=1)
    x, test = x[:, 1:], test[:, 1:]
    [row] = tabular_probes(
        {"": (x, test)}, y, want, "", TabularEvaluateSettings(few=(), protocols=("logistic",))
    )
    found = {
        c: f1_score(want, _scores(x, y, test, c).argmax(axis=1), average="macro")
        for c in ONE_SCALE_STRENGTHS
    }
    assert any(row["macro_f1"]["value"] == pytest.approx(each) for each in found.values())


def _scores(x: np.ndarray, y: np.ndarray, test: np.ndarray, c: float) -> np.ndarray:
    scale = np.sqrt(x.var(axis=0).mean())
    x, test = (x - x.mean(axis=0)) / scale, (test - x.mean(axis=0)) / scale
    return logistic_scores(x, y, test, c, standardise=False)[0]


def test_sizes_of_components_are_not_thrown_away() -> None:
    """One large feature tells, forty small ones are noise: standardised they would drown it."""
    rng = np.random.default_rng(0)
    y, want = np.arange(300) % 2, np.arange(200) % 2
    x, test = (
        np.concatenate(
            [
                6 * each[:, None] + rng.normal(size=(len(each), 1)) * 2,
                0.3 * rng.normal(size=(len(each), 40)),
            ],
            axis=1,
        )
        for each in (y, want)
    )
    rows = tabular_probes(
        {"": (x, test)}, y, want, "", TabularEvaluateSettings(few=(5,), protocols=("logistic",))
    )
    standardised = []
    for draw in range(5):
        index = np.random.default_rng(draw).permutation(150)[:5] * 2
        index = np.concatenate([index, index + 1])
        scores, _ = logistic_scores(x[index], y[index], test, 0.1)
        standardised.append(Judge(scores, want)().accuracy)
    assert rows[1]["accuracy"] > np.mean(standardised) + 0.05
