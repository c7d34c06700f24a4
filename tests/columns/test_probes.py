import logging

import numpy as np
import pytest

from maskwise.columns.probes import STRENGTHS, TITLES, Labelled, _rotated, tabular_probes
from maskwise.measure.classification import Judge
from maskwise.measure.probes import logistic_scores


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
    features = {"good": Labelled(x, test), "noise": Labelled(x[:, 2:], test[:, 2:])}
    rows = tabular_probes(features, y, want, name="made up", few=(5,), draws=4)
    assert [(row["task"], row["features"]) for row in rows[::2]] == [
        (f"made up, {task}", name)
        for task in ("all labels", "5 labels a class")
        for name in ("good", "noise")
    ]
    assert [row["protocol"] for row in rows[:2]] == [TITLES["logistic"], TITLES["knn"]]
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
    features = {name: Labelled(x[:, 1:], test[:, 1:]) for name in ("one", "other")}
    rows = tabular_probes(features, y, want, name="", few=(3,), draws=3, protocols=("knn",))
    again = tabular_probes(features, y, want, name="", few=(3,), draws=3, protocols=("knn",))
    assert rows == again
    one, other = rows[2:]
    assert {**one, "features": ""} == {**other, "features": ""}
    moved = tabular_probes(
        features, y, want, name="", few=(3,), draws=3, protocols=("knn",), seed=1
    )
    assert moved[2]["accuracy"] != one["accuracy"]


def test_unknown_labels_and_rare_classes(caplog: pytest.LogCaptureFixture) -> None:
    (x, y), (test, want) = types(60), types(30, seed=1)
    rare = np.flatnonzero(y == 2)
    y[rare[4:]] = -1
    want[:5] = -1
    # What has no label must not matter, whatever it holds.
    features = {"encoder": Labelled(np.where((y < 0)[:, None], 1e9, x), test)}
    with caplog.at_level(logging.INFO, "maskwise"):
        rows = tabular_probes(features, y, want, name="", few=(10,), draws=2)
    assert "21 samples without a label" in caplog.text
    assert [row["num_train"] for row in rows] == [44, 44, 24, 24]
    assert {row["num_test"] for row in rows} == {25}
    assert "1 classes have fewer than 10 training samples" in rows[2]["note"]
    assert min(row["accuracy"] for row in rows[::2]) > 0.9
    assert tabular_probes(features, np.full(60, -1), want, name="") == []
    assert tabular_probes(features, np.zeros(60, dtype=int), want, name="") == []


def test_classes_without_training_samples_count_as_wrong() -> None:
    (x, y), (test, want) = types(60), types(30, seed=1)
    y[y == 2] = 1
    [row] = tabular_probes({"": Labelled(x, test)}, y, want, name="", few=(), protocols=("knn",))
    assert row["accuracy"] <= 2 / 3
    assert row["note"] == "10 test samples of classes without training samples"


def test_macro_f1_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    (x, y), (test, want) = types(60), types(30, seed=1)
    x, test = x[:, 1:], test[:, 1:]
    [row] = tabular_probes(
        {"": Labelled(x, test)}, y, want, name="", few=(), protocols=("logistic",)
    )
    found = {
        c: f1_score(want, _scores(x, y, test, c).argmax(axis=1), average="macro")
        for c in STRENGTHS
    }
    assert any(row["macro_f1"]["value"] == pytest.approx(each) for each in found.values())


def _scores(x: np.ndarray, y: np.ndarray, test: np.ndarray, c: float) -> np.ndarray:
    scale = np.sqrt(x.var(axis=0).mean())
    x, test = (x - x.mean(axis=0)) / scale, (test - x.mean(axis=0)) / scale
    return logistic_scores(x, y, test, c, standardise=False)[0]


def test_more_features_than_samples_are_turned_without_loss() -> None:
    rng = np.random.default_rng(0)
    x, test = rng.normal(size=(20, 50)), rng.normal(size=(9, 50))
    y = np.arange(20) % 2
    turned = _rotated(x, test)
    assert turned[0].shape == (20, 20)
    want = logistic_scores(x, y, test, 1.0, standardise=False)[0]
    found = logistic_scores(turned[0], y, turned[1], 1.0, standardise=False)[0]
    np.testing.assert_allclose(found, want, atol=2e-3)


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
        {"": Labelled(x, test)}, y, want, name="", few=(5,), protocols=("logistic",)
    )
    standardised = []
    for draw in range(5):
        index = np.random.default_rng(draw).permutation(150)[:5] * 2
        index = np.concatenate([index, index + 1])
        scores, _ = logistic_scores(x[index], y[index], test, 0.1)
        standardised.append(Judge(scores, want)().accuracy)
    assert rows[1]["accuracy"] > np.mean(standardised) + 0.05
