import numpy as np
import pytest

from maskwise import api
from maskwise.errors import UserError
from maskwise.listing import summary


@pytest.mark.parametrize(
    ("labels", "match"), [(None, "needs labels"), (np.zeros(60, int), "needs two classes")]
)
def test_fine_tuning_that_cannot_work_is_refused_before_training(tmp_path, labels, match):
    images = np.zeros((60, 8, 8), np.uint8)
    data = images if labels is None else (images, labels)
    settings = {"evaluate.finetune.seeds": [0], "train.batch_size": 8}
    with pytest.raises(UserError, match=match):
        api.pretrain(data, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_one_class_to_test_on_is_said_in_result_and_report(tmp_path, capsys):
    """As the only class of two that has a test split."""
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=x[:30], y=[0, 1] * 15, x_test=x[30:], y_test=[1] * 9 + [-1])
    model = {"width": 8, "heads": 1, "depth": 1, "decoder_width": 8, "decoder_heads": 1}
    settings = {"model": model, "train.batch_size": 8, "train.steps": 1, "evaluate.visible": ()}
    run = api.pretrain(str(tmp_path / "x.npz"), out=tmp_path / "run", **settings)
    assert run.result["data"]["num_test"] == 10
    rows = run.result["probes"]
    assert {row["note"] for row in rows} == {"not scored: there is one class to test on"}
    assert {row["accuracy"] for row in rows} == {None}
    assert {(row["num_train"], row["num_test"]) for row in rows} == {(30, 9)}
    report = run.report.read_text("utf-8")
    assert "not scored: there is one class to test on" in report
    assert "100.0 %" not in report
    assert "none  encoder, mean" in summary(run)
    found = api.inspect(str(tmp_path / "x.npz"), **settings)
    assert found.found["without a label"] == 1
    assert found.found["probes"] == "not scored: there is one class to test on"


def test_samples_without_labels_are_trained_on_and_not_probed(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    y = np.where(np.arange(60) % 3 == 0, -1, np.arange(60) % 2)
    model = {"width": 8, "heads": 1, "depth": 1, "decoder_width": 8, "decoder_heads": 1}
    probes = {"evaluate.protocols": "knn", "evaluate.baselines": False, "evaluate.visible": ()}
    settings = {"model": model, "train.batch_size": 8, "train.steps": 1, **probes}
    run = api.pretrain((x, y), out=tmp_path / "run", **settings)
    data = run.result["data"]
    assert (data["num_train"], data["num_test"], data["classes"]) == (48, 12, ["0", "1"])
    assert {(row["num_train"], row["num_test"]) for row in run.result["probes"]} == {(32, 8)}
