"""Training says what it said: losses of small runs of every kind, and how two runs are compared.

Where numbers are meant to change: `python -m benchmarks.goldens --write`, and say why.
"""

import json

import numpy as np
import pytest

from benchmarks import goldens
from benchmarks.golden_cases import CASES, losses

LOSSES = json.loads(goldens.LOSSES.read_text("utf-8"))


def test_every_case_is_written_down():
    assert list(LOSSES) == [name for name, case in CASES.items() if case.golden]


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.testing.assert_allclose(losses(CASES[name], tmp_path / "run"), LOSSES[name], rtol=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ({"a": [1, {"b": 0.1}]}, {"a": [1, {"b": 0.1}]}, None),
        (
            {"a": [1, {"b": 0.1}]},
            {"a": [1, {"b": 0.10000000000000002}]},
            ".a[1].b: 0.1, now 0.10000000000000002",
        ),
        (float("nan"), float("nan"), None),
        (0.0, -0.0, ": 0.0, now -0.0"),
        (1, 1.0, ": 1, now 1.0"),
        (True, 1, ": True, now 1"),
        ({"a": 1, "b": 2}, {"b": 2, "c": 1}, ": -a, +c"),
        ([1, 2], [1], ": 2 entries, now 1"),
        ("a" * 50 + "b", "a" * 50 + "c", ", character 50: ...'aaaaaaaaaaaaaaaaaaaab', now ..."),
        ("a" * 50, "a" * 51, ", character 50: "),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), None),
        (np.array([[0.0, 1.0]]), np.array([[0.0, 1.5]]), "[0, 1]: 1.0, now 1.5; 1 of 2 differ"),
        (np.zeros(2), np.zeros(2, np.float32), ": float64 (2,), now float32 (2,)"),
        (np.zeros((2, 1)), np.zeros((1, 2)), ": float64 (2, 1), now float64 (1, 2)"),
        (None, [], ": None, now []"),
    ],
)
def test_the_first_difference(old, new, says):
    found = goldens.difference(old, new)
    assert found is None if says is None else found.startswith(says)


def run_folder(path, loss=0.5, accuracy=0.25, weight=1.0, seconds=3.0):
    (path / "model").mkdir(parents=True)
    row = {"step": 1, "loss": loss, "seconds": seconds, "samples_per_s": 1 / seconds}
    (path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    result = {
        "train": {"seconds": seconds},
        "imputation": [{"accuracy": accuracy, "seconds": seconds}],
    }
    (path / "result.json").write_text(json.dumps(result))
    (path / "env.json").write_text(json.dumps({"started": seconds}))
    (path / "report.html").write_text(f"{seconds} s")
    np.save(path / "features.npy", np.full((2, 2), weight, np.float32))
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seconds": 4.0}, {}),
        ({"loss": 0.75}, {"losses": "[0].loss: 0.5, now 0.75"}),
        ({"accuracy": 0.5}, {"result": ".imputation[0].accuracy: 0.25, now 0.5"}),
        ({"weight": 2.0}, {"features": "[0, 0]: 1.0, now 2.0; 4 of 4 differ"}),
    ],
)
def test_runs_are_compared_but_for_the_clock(tmp_path, changes, says):
    base, now = run_folder(tmp_path / "base"), run_folder(tmp_path / "now", **changes)
    same, unlike = goldens.compare(base, now)
    assert unlike == says
    assert len(same) == 3 - len(says)
    (base / "samples.json").write_text("{}")
    (now / "data.json").write_text("{}")
    _, unlike = goldens.compare(base, now)
    assert unlike == {**says, "samples.json": "is gone", "data": "is new"}
