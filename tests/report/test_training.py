"""Curves of training, and the law."""

import json

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.report import folder, training
from tests.report.conftest import show


def test_a_run_without_steps_still_has_a_section(make):
    run = make("images", evaluated=False)
    (run / "metrics.jsonl").write_text("")
    assert "no step" in show(training.sections, run)
    assert "no step" in show(training.sections, run, run)


@pytest.mark.parametrize(
    ("form", "num_figures", "words"),
    [
        ("fixed:0.75", 1, "Always 0.75."),
        ("choice:0.25,0.75", 1, "The loss sees 0.625 on average."),
        ("cosine", 1, "From 0 to 1"),
        ("mixture:0.4*fixed:0.15+0.6*beta:2,3", 1, "another law"),
        ("scheduled:linear,uniform:0.1,0.4..uniform:0.5,0.9", 4, "At 50% of training"),
        ("scheduled:linear,0.9..0.5", 4, "Always 0.7."),
    ],
)
def test_laws_and_their_effective_laws(make, form, num_figures, words):
    train = {"steps": 20, "scope": "sample", "reduction": "token_mean"}
    part = show(training.law, make("images", evaluated=False, law=form, train=train))
    assert part.count("<svg") == num_figures
    assert words in part
    assert ("seen by the loss" in part) == ("Always" not in words)


def test_metrics_ignore_a_last_line_cut_short_and_refuse_others(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}\n{"step": 3, "lo')
    columns = folder.read_metrics(path)
    assert columns["step"].tolist() == [1, 2]
    assert np.isnan(columns["loss"][1])
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo\n{"step": 3, "loss": 1.0}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 2 is damaged"):
        folder.read_metrics(path)


def test_long_curves_are_thinned():
    keep = training.thin(1_000_000)
    assert len(keep) == 2000
    assert keep[0] == 0
    assert keep[-1] == 999_999
    steps = np.arange(1.0, 50_001)
    metrics = {"step": steps, "loss": np.sin(steps)}
    body = training.metric_curve("long", metrics, "loss")
    assert body.count("L ") + body.count("\nL") < 2100 * 2


def test_running_mean_is_the_mean_of_its_window():
    values = np.random.default_rng(0).normal(size=200)
    values[50] = np.nan
    half = 200 // 40
    brute = [np.nanmean(values[max(0, i - half) : i + half + 1]) for i in range(200)]
    np.testing.assert_allclose(training.smooth(values), brute)


def test_losses_that_span_decades_have_a_log_scale(make, drawn):
    run = make("images", evaluated=False)
    rows = [{"step": step, "loss": 10.0 ** (-step / 10)} for step in range(1, 40)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "mathdefault{10^{-3}}" in show(training.sections, run).replace(" ", "")
