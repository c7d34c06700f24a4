import json
import re

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.report import figures, folder, samples, tables, write

SECTIONS = (
    "numbers",
    "training",
    "samples",
    "errors",
    "likelihood",
    "probes",
    "features",
    "law",
    "configuration",
    "environment",
)


def section(page, slug):
    """The markup of one section."""
    return re.search(rf'<section id="{slug}".*?</section>', page, re.DOTALL).group()


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


def test_one_run_has_every_section_and_loads_nothing(make_run):
    run = make_run()
    path = write([run])
    assert path == run / "report.html"
    page = path.read_text()
    assert tuple(re.findall(r'<section id="(\w+)"', page)) == SECTIONS
    assert_self_contained(page)
    assert (
        page.count("<svg role=") == 4 + 1 + 1 + 3 + 1
    )  # training, error, likelihood, features, law
    assert page.count("<img ") == 4 * 4  # ratios x strips
    assert all(re.findall(r'<svg role="img" aria-label="([^"]*)"', page))
    assert all(re.findall(r'<img [^>]*alt="([^"]*)"', page))
    assert page.count("<svg") == page.count('role="img"')
    assert samples.LEAK in page
    assert "normalised pixel values" in page
    assert 'class="missing"' not in page


def test_headline_and_probe_table_compare_with_the_best_baseline(make_run):
    page = write([make_run()]).read_text()
    summary = re.search(r"<header>.*?<p>(.*?)</p>", page, re.DOTALL).group(1)
    assert "96.1 %" in summary
    assert "best baseline, raw pixels: 95.5 %" in summary
    probes = section(page, "probes")
    assert re.findall(r"<strong>(.*?)</strong>", probes) == ["96.1 %", "95.8 %", "97.2 %"]
    for name in (
        "logistic-lbfgs (C=1",
        "mae-batchnorm-lars (90",
        "knn (k=20",
        "untrained encoder, mean",
    ):
        assert name in probes
    assert "94.1 to 97.6" in probes
    assert "95 % interval" in probes
    assert "visible mean</text>" in section(page, "errors")


def test_notes_of_a_probe_are_shown(make_run):
    run = make_run()
    result = json.loads((run / "result.json").read_text())
    result["probes"][1]["note"] = "not converged"
    (run / "result.json").write_text(json.dumps(result))
    assert "not converged" in section(write([run]).read_text(), "probes")


def test_equal_input_gives_an_equal_page(make_run):
    run = make_run()
    first = write([run]).read_bytes()
    assert write([run], run / "again.html").read_bytes() == first
    assert not list(run.glob(".*part"))


def test_every_value_is_escaped(make_run):
    evil = "<script>alert(1)</script>"
    data = {"source": evil, "<b>": "a & b"}
    run = make_run("<script>x<", data=data, pattern='"><img src=x>')
    result = json.loads((run / "result.json").read_text())
    result["probes"][0]["protocol"] = evil
    result["reconstruction"]["pattern"] = evil
    result["data"]["name"] = "$x_{$" + evil
    (run / "result.json").write_text(json.dumps(result))
    other = make_run("plain $\\frac{$")
    for runs in ([run], [run, other]):
        page = write(runs, run / "page.html").read_text()
        assert "<script" not in page
        assert "<img src=x>" not in page
        assert "&lt;script&gt;" in page


def test_missing_sections_name_the_command(make_run):
    run = make_run(evaluated=False)
    page = write([run]).read_text()
    command = f"maskwise evaluate {run}"
    for slug in ("numbers", "samples", "errors", "probes"):
        assert f"<code>{command}</code>" in section(page, slug)
    assert "samples.npz" in section(page, "samples")
    assert f"<code>maskwise likelihood {run}</code>" in section(page, "likelihood")
    for slug in ("training", "law", "configuration"):
        assert "missing" not in section(page, slug)


def test_unlabelled_data_and_raw_targets(make_run):
    run = make_run()
    result = json.loads((run / "result.json").read_text())
    result["probes"] = []
    del result["reconstruction"]["baselines"]
    result["reconstruction"]["target"] = "raw"
    (run / "result.json").write_text(json.dumps(result))
    page = write([run]).read_text()
    assert "no labels" in section(page, "probes")
    assert samples.LEAK not in page
    assert page.count("<img ") == 4 * 3


def test_a_run_without_steps_still_has_a_page(make_run):
    run = make_run(steps=0, evaluated=False)
    (run / "metrics.jsonl").write_text("")
    assert "no step" in section(write([run]).read_text(), "training")


@pytest.mark.parametrize(
    ("law", "num_figures", "words"),
    [
        ("fixed:0.75", 1, "Always 0.75."),
        ("choice:0.25,0.75", 1, "The loss sees 0.625 on average."),
        ("cosine", 1, "From 0 to 1"),
        ("mixture:0.4*fixed:0.15+0.6*beta:2,3", 1, "another law"),
        ("scheduled:linear,uniform:0.1,0.4..uniform:0.5,0.9", 4, "At 50% of training"),
        ("scheduled:linear,0.9..0.5", 4, "Always 0.7."),
    ],
)
def test_laws_and_their_effective_laws(make_run, law, num_figures, words):
    train = {"steps": 20, "scope": "sample", "reduction": "token_mean"}
    run = make_run(steps=20, evaluated=False, law=law, train=train)
    part = section(write([run]).read_text(), "law")
    assert part.count("<svg") == num_figures
    assert words in part
    assert ("seen by the loss" in part) == ("Always" not in words)


def test_comparison_has_a_row_for_each_run_and_only_the_differences(make_run, tmp_path):
    runs = [make_run("a"), make_run("b", seed=1), make_run("c", seed=2, law="fixed:0.75")]
    path = write(runs)
    assert path == tmp_path / "comparison.html"
    page = path.read_text()
    assert_self_contained(page)
    assert page.count("<svg role=") == 2
    assert "encoder tokens</text>" in section(page, "loss")
    rows = re.findall(r'<th scope="row">(\w+)', section(page, "probes"))
    assert rows == ["a", "b", "c"]
    assert re.findall(r"<strong>(.*?)</strong>", section(page, "probes")) == [
        "96.1 %",
        "95.8 %",
        "97.2 %",
    ]
    differences = section(page, "configuration")
    assert re.findall(r'<th scope="row">([\w.]+)', differences) == ["law", "seed"]
    assert "fixed:0.75" in differences


def test_the_likelihood_of_a_run(make_run):
    run = make_run()
    values = json.loads((run / "likelihood.json").read_text())
    part = section(write([run]).read_text(), "likelihood")
    area = values["area"]
    assert f"{area['nats']:.1f} ± 0.4" in part
    assert f"{area['bits_per_dim']:.3f} ± {area['bits_stderr']:.3f}" in part
    assert "± 0.055 from masks alone" in part
    assert "lower bound on the log-likelihood of their mixture" in part
    assert "7 of 16 sizes were never hidden in training with uniform:0.4,0.9" in part
    assert f"-156.2 of the {area['nats']:.1f} nats" in part
    assert "in training</text>" in part
    assert "independent normals</text>" in part
    assert part.count("hidden</small>") == 16
    values["law"] |= {"name": "cosine", "sizes_outside": 0, "nats_outside": 0.0}
    (run / "likelihood.json").write_text(json.dumps(values))
    part = section(write([run]).read_text(), "likelihood")
    assert "Training with cosine has met all ratios." in part


def test_comparing_likelihoods(make_run):
    runs = [make_run("a"), make_run("b", seed=1), make_run("c", evaluated=False)]
    part = section(write(runs).read_text(), "likelihood")
    assert re.findall(r'<th scope="row">(\w+)', part) == ["a", "b", "c"]
    areas = [json.loads((run / "likelihood.json").read_text())["area"] for run in runs[:2]]
    cells = re.findall(r"<td>(.*?)</td>", part)
    assert [cells[0], cells[3]] == [f"{area['nats']:.1f} ± 0.4" for area in areas]
    assert cells[0] != cells[3]
    assert cells[6:] == ["none"] * 3
    assert f"maskwise likelihood {runs[2]}" in part
    for run in runs[:2]:
        (run / "likelihood.json").unlink()
    assert 'id="likelihood"' not in write(runs).read_text()


def test_comparison_with_an_unevaluated_run(make_run):
    runs = [make_run("one/x"), make_run("two/x", evaluated=False)]
    # Without counts of tokens in one of them, losses are drawn by step.
    (runs[0] / "metrics.jsonl").write_text('{"step": 10, "loss": 0.5}\n')
    page = write(runs, runs[0] / "both.html").read_text()
    assert "one/x" in page
    assert "two/x" in page
    assert f"maskwise evaluate {runs[1]}" in section(page, "errors")
    assert "step</text>" in section(page, "loss")


def test_metrics_ignore_a_last_line_cut_short_and_refuse_others(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}\n{"step": 3, "lo')
    columns = folder.read_metrics(path)
    assert columns["step"].tolist() == [1, 2]
    assert np.isnan(columns["loss"][1])
    path.write_text('{"step": 1}\n{"step": 2, "lo\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 2 is damaged"):
        folder.read_metrics(path)


@pytest.mark.parametrize("name", ["config.json", "env.json", "metrics.jsonl"])
def test_a_folder_that_is_no_run_says_what_it_lacks(make_run, name):
    run = make_run()
    (run / name).unlink()
    with pytest.raises(UserError, match=f"not a run folder: it lacks {name}"):
        write([run])


@pytest.mark.parametrize("name", ["config.json", "result.json", "likelihood.json", "samples.npz"])
@pytest.mark.parametrize("text", ["", "[1", "PK\x03\x04 cut"])
def test_a_damaged_file_is_named_and_leaves_the_old_page(make_run, name, text):
    run = make_run()
    (run / "report.html").write_text("old")
    (run / name).write_text(text)
    with pytest.raises(UserError, match=f"{name} is damaged") as error:
        write([run])
    assert "\n" not in str(error.value)
    assert (run / "report.html").read_text() == "old"


def test_bad_requests_are_one_line(make_run, tmp_path):
    with pytest.raises(UserError, match="no run folder given"):
        write([])
    with pytest.raises(UserError, match="no such folder"):
        write([tmp_path / "absent"])
    run = make_run()
    with pytest.raises(UserError, match="cannot write"):
        write([run], run)
    (run / "config.json").write_text('{"data": {}, "train": {}}')
    with pytest.raises(UserError, match=r"config\.json: no 'law'"):
        write([run])


def test_long_curves_are_thinned():
    keep = figures.thin(1_000_000)
    assert len(keep) == 2000
    assert keep[0] == 0
    assert keep[-1] == 999_999
    steps = np.arange(1.0, 50_001)
    label = "long"
    body = figures.metric_curve(label, {"step": steps, "loss": np.sin(steps)}, "loss")
    assert body.count("L ") + body.count("\nL") < 2100 * 2


def test_running_mean_is_the_mean_of_its_window():
    values = np.random.default_rng(0).normal(size=200)
    values[50] = np.nan
    half = 200 // 40
    brute = [np.nanmean(values[max(0, i - half) : i + half + 1]) for i in range(200)]
    np.testing.assert_allclose(figures.smooth(values), brute)


def test_baselines_are_never_the_headline():
    probes = [
        {"features": features, "protocol": protocol, "accuracy": accuracy}
        for protocol, features, accuracy in (
            ("first", "encoder, mean", 0.5),
            ("first", "encoder, class", 0.6),
            ("first", "untrained encoder, mean", 0.9),
            ("first", "PCA", 0.7),
            ("second", "encoder, mean", 0.99),
        )
    ]
    trained, baseline = tables.headline(probes)
    assert trained["features"] == "encoder, class"
    assert baseline["features"] == "untrained encoder, mean"


def test_strips_show_pixels_as_they_are():
    import base64
    import io

    from matplotlib.image import imread

    images = np.random.default_rng(0).random((2, 4, 4, 3)).round(1)
    data = base64.b64decode(samples.png_uri(images).split(",")[1])
    sheet = imread(io.BytesIO(data))
    assert sheet.shape[0] == 64
    for left, image in ((0, images[0]), (sheet.shape[1] - 64, images[1])):
        shown = sheet[8::16, left + 8 : left + 64 : 16, :3]
        np.testing.assert_allclose(shown, image, atol=1 / 255)


def test_images_of_other_channel_counts(make_run):
    run = make_run()
    with np.load(run / "samples.npz") as arrays:
        stored = dict(arrays)
    for name in ("images", "filled_visible", "filled_true"):
        stored[name] = np.repeat(stored[name], 5, axis=-1)
    np.savez(run / "samples.npz", **stored)
    assert "5 channels; 3 are shown" in section(write([run]).read_text(), "samples")


def test_reading_a_report_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, maskwise.report; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
