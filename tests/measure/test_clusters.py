import numpy as np
import pytest

from maskwise.measure.clusters import clusters


def test_clusters_that_are_classes_and_those_that_are_not() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    apart = rng.normal(size=(120, 2)) + 20 * np.stack([y == 1, y == 2], axis=1)
    y[7], apart[7] = -1, 1e6  # what has no label takes no part
    features = {"apart": apart, "noise": rng.normal(size=(120, 2))}
    good, bad = clusters(features, y)
    assert [row["features"] for row in (good, bad)] == ["apart", "noise"]
    assert good["k"] == 3
    for key in ("ari", "nmi"):
        assert good[key] == {"value": 1.0, "low": 1.0, "high": 1.0}
        assert bad[key]["low"] <= bad[key]["value"] <= bad[key]["high"]
        assert bad[key]["value"] == pytest.approx(0.0, abs=0.06)
    assert clusters(features, y) == [good, bad]


def test_nothing_without_classes() -> None:
    assert clusters({"": np.zeros((9, 2))}, np.zeros(9, dtype=int)) == []
    assert clusters({"": np.zeros((9, 2))}, np.full(9, -1)) == []


def test_samples_that_are_all_the_same() -> None:
    [row] = clusters({"": np.zeros((9, 2))}, np.arange(9) % 3)
    assert row["ari"]["value"] == 0.0
