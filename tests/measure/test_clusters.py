import numpy as np
import pytest

from maskwise.measure.representation import clusters, mixing


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


def test_no_clusters_without_classes() -> None:
    assert clusters({"": np.zeros((9, 2))}, np.zeros(9, dtype=int)) == []
    assert clusters({"": np.zeros((9, 2))}, np.full(9, -1)) == []


def test_samples_that_are_all_the_same() -> None:
    [row] = clusters({"": np.zeros((9, 2))}, np.arange(9) % 3)
    assert row["ari"]["value"] == 0.0


def test_batches_apart_and_mixed() -> None:
    rng = np.random.default_rng(0)
    batch = np.repeat([0, 1, 2], [200, 200, 100])
    mixed = rng.normal(size=(500, 3))
    batch[3], mixed[3] = -1, 1e6
    apart = mixed + 100 * batch[:, None]
    together, separate = mixing({"mixed": mixed, "apart": apart}, batch)
    shares = np.bincount(batch[batch >= 0]) / 499
    best = 1 / (shares**2).sum()
    for row in (together, separate):
        assert (row["best"], row["worst"]) == (pytest.approx(best), 1.0)
    # Of 30 neighbours the sum of squares is (1 - 1/30) of that of all, plus 1/30.
    assert together["lisi"]["value"] == pytest.approx(1 / (29 / 30 / best + 1 / 30), abs=0.06)
    assert together["lisi"]["low"] < together["lisi"]["value"] < together["lisi"]["high"]
    assert together["asw"] == pytest.approx(0.0, abs=0.03)
    assert separate["lisi"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert separate["asw"] > 0.9


def test_lisi_counts_batches_of_neighbours() -> None:
    """Of three samples on a line, every one has the two others as neighbours."""
    [row] = mixing({"": np.array([[0.0], [1.0], [3.0]])}, np.array([5, 5, 9]))
    assert row["lisi"]["value"] == pytest.approx((2 + 2 + 1) / 3)
    assert row["best"] == pytest.approx(9 / 5)


def test_no_mixing_with_a_single_batch() -> None:
    assert mixing({"": np.zeros((9, 2))}, np.zeros(9, dtype=int)) == []
    assert mixing({"": np.zeros((9, 2))}, np.full(9, -1)) == []
    [row] = mixing({"": np.arange(9.0)[:, None]}, np.arange(9))
    assert row["asw"] is None
