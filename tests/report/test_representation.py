import json
import re
from html import unescape

import numpy as np

from maskwise.report import folder, representation
from tests.report.conftest import change, section, show
from tests.report.made_up import features


def rows_of(table):
    return {cells[0].text: cells for cells in table.rows}


def titles(found):
    return [figure.title for figure in found.figures]


OF_RESULT = ["Singular spectrum", "Drift by ratio", "Effective rank by ratio"]


def test_figures_of_both_models_stand_side_by_side(make):
    [found] = representation.sections([folder.read(make("images"))])
    assert "features of 2,048 held-out samples" in found.text
    assert "Means over positions of the last layer, 64 numbers a sample." in found.text
    assert titles(found) == OF_RESULT
    [table] = found.tables
    assert table.head == ("figure", "encoder", "untrained encoder", "what it says")
    rows = rows_of(table)
    assert [cell.text for cell in rows["effective rank"][1:3]] == ["31.42", "9.5"]
    assert "of centred features: about how many of 64 directions" in rows["effective rank"][3].text
    assert "4 views of each sample, masked by uniform:0.4,0.9" in rows["LiDAR"][3].text
    assert "about 0.016 if they spread" in rows["energy"][3].text
    assert [cell.text for cell in rows["α-ReQ"][1:3]] == ["none", "2.5"]
    assert all("centred" in rows[name][3].text for name in ("energy", "mean cosine", "uniformity"))


def test_the_drawn_curves(page):
    page = section(page("images"), "features")
    for text in ("encoder", "untrained encoder", "cosine", "CKA", "nothing hidden", "in training"):
        assert f"{text}</text>" in page
    assert 'aria-label="Effective rank by hidden ratio of run"' in page
    assert page.count("<svg") == 3


def test_what_training_measured_now_and_then(make, drawn):
    run = make("images")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    for row in rows[1::2]:
        row |= {"effective_rank": row["step"] / 2, "cosine2": 0.5, "probe_accuracy": 0.9}
    for row in rows:
        row["coding_rate"] = -3.0
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = folder.read_metrics(run / "metrics.jsonl")
    assert np.isfinite(columns["effective_rank"]).nonzero()[0].tolist() == [1, 3, 5]
    [found] = representation.sections([folder.read(run)])
    drawn = ["effective rank", "probe accuracy", "cosine2", "coding rate"]
    assert titles(found) == [*OF_RESULT, *(f"Training: {name}" for name in drawn)]
    # Points that lie apart are joined, and a run that is not evaluated has them too.
    line = re.search(r'<path d="(M[^"]*)"[^>]*stroke: var\(--blue\)', found.figures[3].body)
    assert len(re.findall(r"[ML] ", line.group(1))) == 3
    (run / "result.json").unlink()
    [found] = representation.sections([folder.read(run)])
    assert titles(found) == [f"Training: {name}" for name in drawn]
    assert found.commands == (f"maskwise evaluate {run}",)
    assert show(representation.sections, run)


def test_little_is_shown_where_little_was_measured(make):
    run = make("images")
    note = "20 samples of 64 features span at most 20 directions"
    few = {"num_samples": 20, "encoder": {"alignment": 0.3}, "notes": [note, "another"]}
    few["drift"] = [{"ratio": 0.5, "realised": 0.5, "cosine": 0.9}]
    whole = features(0)
    del whole["untrained encoder"]
    change(run, features=whole | few)
    [found] = representation.sections([folder.read(run)])
    assert found.missing == f"{note}; another"
    assert titles(found) == ["Drift by ratio"]
    assert [row[0].text for row in found.tables[0].rows] == ["alignment"]
    assert show(representation.sections, run)
    nothing = {key: whole[key] for key in ("pool", "layer", "law", "pattern", "num_views")}
    change(run, features=nothing | {"num_samples": 0, "notes": ["no sample"]})
    [found] = representation.sections([folder.read(run)])
    assert (found.missing, found.tables, found.figures) == ("no sample", (), ())
    [found] = representation.sections([folder.read(run)] * 2)
    assert rows_of(found.tables[0])["run"][1].text == "none"
    assert show(representation.sections, run)


def test_a_run_of_before_names_the_command(make):
    run = make("images")
    change(run, features=None)
    page = unescape(show(representation.sections, run))
    assert f"<code>maskwise evaluate {run}</code>" in page


def test_comparison_has_a_row_for_each_run(make):
    runs = [make("images", "a"), make("images", "b", seed=1), make("images", "c", evaluated=False)]
    [found] = representation.sections([folder.read(run) for run in runs])
    assert found.commands == (f"maskwise evaluate {runs[2]}",)
    [table] = found.tables
    assert table.head == ("run", "effective rank", "RankMe", "LiDAR", "energy")
    rows = rows_of(table)
    assert list(rows) == ["a", "b"]
    assert rows["a"][0].small == "2,048 samples, 64 features\nuniform:0.4,0.9"
    assert (rows["b"][1].text, rows["b"][1].small) == ("30.42", "untrained: 9.5")
    assert "Encoder features" in show(representation.sections, *runs)
    [found] = representation.sections([folder.read(runs[2])] * 2)
    assert (found.tables, found.text) == ((), "")
