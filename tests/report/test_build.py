import json
import re
import subprocess
import sys

import pytest

from maskwise.errors import UserError
from maskwise.report import folder, summary, write
from tests.report.conftest import change, rows_of, section
from tests.report.made_up import LAW


def assert_self_contained(page):
    assert "<script" not in page
    targets = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    targets += re.findall(r"url\(['\"]?([^)'\"]*)", page)
    assert targets
    assert {target[:5] for target in targets} <= {"data:"} | {
        t[:5] for t in targets if t[0] == "#"
    }
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://", without_namespaces)
    assert "@import" not in page


def summary_of(page):
    return re.search(r"<header>.*?<p>(.*?)</p>", page, re.DOTALL).group(1)


def plain(markup):
    return re.sub("<[^>]+>", "", markup)


def test_a_page_loads_nothing_and_names_its_pictures(page):
    made = page("images")
    assert_self_contained(made)
    # Training, error, likelihood, features, law.
    assert made.count("<svg role=") == 4 + 1 + 1 + 3 + 1
    assert made.count("<img ") == 4 * 4  # ratios x strips
    assert all(re.findall(r'<svg role="img" aria-label="([^"]*)"', made))
    assert all(re.findall(r'<img [^>]*alt="([^"]*)"', made))
    assert made.count("<svg") == made.count('role="img"')
    assert 'class="missing"' not in made


@pytest.mark.parametrize(
    ("kind", "num"),
    [
        ("text", 4 + 1 + 1 + 3 + 1 + 1),  # training, loss, likelihood, features, pairs, law
        ("cells", 4 + 3 + 1 + 3 + 3 + 1),  # training, samples, loss, imputation, features, law
    ],
)
def test_figures_of_other_kinds(page, kind, num):
    assert page(kind).count("<svg role=") >= num
    assert "<script" not in page(kind)


def test_summaries(page):
    first = dict.fromkeys(("images", "text", "cells"), f"{LAW} on novels, 6 steps.")
    assert summary_of(page("images")) == first["images"] + (
        " Encoder probed by logistic-lbfgs (C=1, standardised on train): 96.1 %;"
        " best baseline, raw pixels: 95.5 %."
    )
    assert summary_of(page("text")) == first["text"] + (
        " Loss at ratio 0.15: 4.15 nats per hidden token; unigram: 6.15. Encoder probed on sst2"
        " by logistic-lbfgs (C=1, standardised on train): 75.0 %; best baseline, bag of words:"
        " 78.0 %."
    )
    assert summary_of(page("cells")) == first["cells"] + (
        " Imputation at ratio 0.5: R² 0.210; PCA: 0.190. Encoder probed on types, all labels by"
        " logistic-lbfgs (C=1, standardised on train): macro-F1 0.850; best baseline, PCA (50):"
        " macro-F1 0.860."
    )


def test_headline_numbers(page):
    numbers = plain(section(page("text"), "numbers"))
    assert "loss at ratio 0.154.150nats per hidden token, 4.10 to 4.20; unigram: 6.15" in numbers
    assert "probe, sst2, logistic-lbfgs75.0 %-3.0 points on bag of words" in numbers
    assert "minimal pairs, zorro57.0 %52.0 to 62.0; chance is 50 %" in numbers
    assert "rows seen76,800\nencoder tokens1,228,800\npredicted tokens368,640" in numbers
    numbers = plain(section(page("cells"), "numbers"))
    assert "imputation, R² at ratio 0.50.2100.190 to 0.230; PCA: 0.190" in numbers
    assert "probe, types, all labels, logistic-lbfgsmacro-F1 0.850PCA (50): 0.860" in numbers
    assert "cells seen76,800\nvalues read1,228,800\npredicted values368,640" in numbers
    numbers = plain(section(page("images"), "numbers"))
    assert "samples seen76,800\nencoder tokens1,228,800\n" in numbers
    assert "predicted" not in numbers


def test_equal_input_gives_an_equal_page(make):
    run = make("text")
    first = write([run]).read_bytes()
    assert write([run], run / "again.html").read_bytes() == first
    assert not list(run.glob(".*part"))


def test_every_value_is_escaped(make):
    evil = "<script>alert(1)</script>"
    data = {"source": evil, "<b>": "a & b"}
    run = make("text", "<script>x<", data=data, pattern='"><img src=x>')
    result = json.loads((run / "result.json").read_text("utf-8"))
    result["probes"][0]["protocol"] = evil
    result["reconstruction"]["pattern"] = evil
    result["data"]["name"] = "$x_{$" + evil
    (run / "result.json").write_text(json.dumps(result))
    words = json.loads((run / "words.json").read_text("utf-8"))
    words["loss"] |= {"title": evil, "axis": "$x_{$" + evil}
    (run / "words.json").write_text(json.dumps(words))
    other = make("text", "plain $\\frac{$")
    for runs in ([run], [run, other]):
        page = write(runs, run / "page.html").read_text("utf-8")
        assert "<script" not in page
        assert "<img src=x>" not in page
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("kind", "file", "what"),
    [
        ("images", "npz", "test images"),
        ("text", "json", "held-out texts"),
        ("cells", "json", "held-out cells"),
    ],
)
def test_missing_sections_name_the_command(make, kind, file, what):
    run = make(kind, evaluated=False)
    page = write([run]).read_text("utf-8")
    command = f"<code>maskwise evaluate {run}</code>"
    for slug in ("numbers", "samples", "errors", "features"):
        assert command in section(page, slug)
    assert f"samples.{file}" in section(page, "samples")
    likelihood = section(page, "likelihood")
    assert f"<code>maskwise likelihood {run}</code>" in likelihood
    assert f"Measure the likelihood of {what}:" in likelihood
    for slug in ("training", "law", "configuration"):
        assert "missing" not in section(page, slug)
    # Only of data that has labels of its own.
    assert ('id="probes"' in page) == (kind == "images")
    assert 'id="more"' not in page


@pytest.mark.parametrize(
    ("kind", "said", "options"),
    [
        ("text", "Only the loss was measured.", " --evaluate.probes TRAIN:TEST"),
        ("cells", "Probes and clusters need the types of cells", " --data.labels COLUMN"),
    ],
)
def test_what_could_be_measured_with_labels(make, page, kind, said, options):
    run = make(kind)
    change(run, probes=[], minimal_pairs=[], finetuning=[], clusters=[], mixing=[])
    changed = write([run]).read_text("utf-8")
    for slug in ("probes", "pairs", "finetuning", "clusters"):
        assert f'id="{slug}"' not in changed
    assert said in section(changed, "more")
    assert f"maskwise evaluate {run}{options}" in section(changed, "more")
    assert 'id="more"' not in page(kind)


def test_comparison_has_a_row_for_each_run_and_only_the_differences(make, tmp_path):
    runs = [make("images", "a"), make("images", "b", seed=1)]
    runs.append(make("images", "c", seed=2, law="fixed:0.75"))
    path = write(runs)
    assert path == tmp_path / "comparison.html"
    page = path.read_text("utf-8")
    assert_self_contained(page)
    assert page.count("<svg role=") == 2
    assert f"3 runs on novels: {LAW}; fixed:0.75." in page
    assert "encoder tokens</text>" in section(page, "loss")
    assert [row[0] for row in rows_of(section(page, "probes"))] == ["a", "b", "c"]
    differences = section(page, "configuration")
    assert re.findall(r'<th scope="row">([\w.]+)', differences) == ["law", "seed"]
    assert "fixed:0.75" in differences
    assert [row[1:6] for row in rows_of(section(page, "runs"))][:1] == [
        [f"{LAW} one per step", "novels", "6", "1,228,800", "24.3 s"]
    ]


def test_comparison_with_an_unevaluated_run(make):
    runs = [make("images", "one/x"), make("images", "two/x", evaluated=False)]
    # Without counts of tokens in one of them, losses are drawn by step.
    (runs[0] / "metrics.jsonl").write_text('{"step": 10, "loss": 0.5}\n')
    page = write(runs, runs[0] / "both.html").read_text("utf-8")
    assert "one/x" in page
    assert "two/x" in page
    assert f"maskwise evaluate {runs[1]}" in section(page, "errors")
    assert "step</text>" in section(page, "loss")
    assert "two/x (2)" in write([runs[1], runs[1]]).read_text("utf-8")


def test_comparison_in_the_words_of_the_data(make):
    page = write([make("text", "a"), make("text", "b", seed=1)]).read_text("utf-8")
    assert rows_of(section(page, "runs"))[0][4:6] == ["1,228,800", "368,640"]
    for part in ("pairs", "finetuning", "likelihood", "features"):
        assert {"a", "b"} <= {row[0].split(" ")[0] for row in rows_of(section(page, part))}
    page = write([make("cells", "c"), make("cells", "d", seed=1)]).read_text("utf-8")
    assert "values read</text>" in section(page, "loss")


def test_runs_of_which_some_measured_less(make):
    runs = [make("text", "a"), make("text", "b"), make("text", "c", evaluated=False)]
    change(runs[1], probes=[], minimal_pairs=[], finetuning=[])
    page = write(runs).read_text("utf-8")
    assert rows_of(section(page, "probes"))[1] == ["b", *["none"] * 4]
    assert rows_of(section(page, "pairs"))[2] == ["c", "none"]
    assert rows_of(section(page, "finetuning"))[1] == ["b", *["none"] * 4]
    for run in runs:
        (run / "likelihood.json").unlink(missing_ok=True)
    change(runs[0], probes=[], minimal_pairs=[], finetuning=[])
    page = write(runs).read_text("utf-8")
    for slug in ("probes", "pairs", "finetuning", "likelihood"):
        assert f'id="{slug}"' not in page


def test_different_kinds_of_data_cannot_be_compared(make):
    with pytest.raises(UserError, match="runs on images and text cannot be compared: choose one"):
        write([make("images", "a"), make("text", "b")])
    # Any kind has a page.
    run = make("images", "odd", modality="sound")
    assert summary([folder.read(run)]).startswith(LAW)


@pytest.mark.parametrize("name", ["config.json", "env.json", "metrics.jsonl"])
def test_a_folder_that_is_no_run_says_what_it_lacks(make, name):
    run = make("images")
    (run / name).unlink()
    with pytest.raises(UserError, match=f"not a run folder: it lacks {name}"):
        write([run])


FILES = ["config.json", "result.json", "likelihood.json", "samples.npz", "words.json"]


@pytest.mark.parametrize("text", ["", "[1", "PK\x03\x04 cut"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_leaves_the_old_page(make, name, text):
    run = make("images")
    (run / "report.html").write_text("old")
    (run / name).write_text(text)
    with pytest.raises(UserError, match=f"{name} is damaged") as error:
        write([run])
    assert "\n" not in str(error.value)
    assert (run / "report.html").read_text("utf-8") == "old"


@pytest.mark.parametrize("text", ["", "[1"])
def test_damaged_samples_are_named(make, text):
    run = make("text")
    (run / "samples.json").write_text(text)
    with pytest.raises(UserError, match=r"samples\.json is damaged"):
        write([run])


def test_bad_requests_are_one_line(make, tmp_path):
    with pytest.raises(UserError, match="no run folder given"):
        write([])
    with pytest.raises(UserError, match="no such folder"):
        write([tmp_path / "absent"])
    run = make("images")
    with pytest.raises(UserError, match="cannot write"):
        write([run], run)
    (run / "config.json").write_text('{"data": {}, "train": {}}')
    with pytest.raises(UserError, match=r"config\.json: no 'law'"):
        write([run])


def test_reading_a_report_needs_no_torch():
    code = "import sys, maskwise.report; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
