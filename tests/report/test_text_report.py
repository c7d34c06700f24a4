import json
import re
from html import unescape

import pytest

from maskwise.errors import UserError
from maskwise.report import write

SECTIONS = (
    *("numbers", "training", "samples", "errors", "likelihood", "probes", "features"),
    *("pairs", "finetuning", "law", "configuration", "environment"),
)


def section(page, slug):
    """The markup of one section."""
    return re.search(rf'<section id="{slug}".*?</section>', page, re.DOTALL).group()


def rows_of(part):
    """The rows of all tables, as lists of text with tags replaced by spaces."""
    found = re.findall(r"<tr>\n<th scope=\"row\">.*?</tr>", part, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in found]
    return [[re.sub(r"(<[^>]+>)+", " ", cell).strip() for cell in row] for row in cells]


def plain(markup):
    return unescape(re.sub(r"<[^>]+>", "", markup))


def change(run, **changes):
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | changes))


def test_one_run_has_every_section(make_text_run):
    run = make_text_run()
    page = write([run]).read_text()
    assert tuple(re.findall(r'<section id="(\w+)"', page)) == SECTIONS
    # Training, loss by ratio, likelihood, features, minimal pairs, law.
    assert page.count("<svg role=") == 4 + 1 + 1 + 3 + 1 + 1
    assert 'class="missing"' not in page
    assert "<script" not in page
    for word in ("image", "pixel", "patch"):
        assert word not in page[page.index("<body>") :]


def test_headline_and_summary(make_text_run):
    page = write([make_text_run()]).read_text()
    summary = re.search(r"<header>.*?<p>(.*?)</p>", page, re.DOTALL).group(1)
    assert summary == (
        "uniform:0.1,0.5 on novels, 600 steps. Loss at ratio 0.15: 4.15 nats per hidden token;"
        " unigram: 6.15. Encoder probed on sst2 by logistic-lbfgs (C=1, standardised on train):"
        " 75.0 %; best baseline, bag of words: 78.0 %."
    )
    numbers = plain(section(page, "numbers"))
    assert "loss at ratio 0.154.150nats per hidden token, 4.10 to 4.20; unigram: 6.15" in numbers
    assert "probe, sst2, logistic-lbfgs75.0 %-3.0 points on bag of words" in numbers
    assert "minimal pairs, zorro57.0 %52.0 to 62.0; chance is 50 %" in numbers
    assert "rows seen76,800\nencoder tokens1,228,800\npredicted tokens368,640" in numbers


def test_hidden_tokens_are_marked_in_the_text(make_text_run):
    part = section(write([make_text_run()]).read_text(), "samples")
    assert part.count('<div class="tokens">') == 2
    low, high = re.findall(r'<div class="tokens">(.*?)</div>', part, re.DOTALL)
    documents = re.findall(r"<p>(.*?)</p>", low, re.DOTALL)
    assert [plain(each) for each in documents] == ["The cat\n sat <b>", "A dog"]
    assert low.count("<mark") == 1
    marks = r'<mark class="(\w+)"[^>]*>(.*?)</mark>(?:<rp> \(</rp><rt>(.*?)</rt>)?'
    assert re.findall(marks, high) == [
        ("right", "cat", ""),
        ("wrong", "and", "↵"),
        # These differ in the space alone.
        ("wrong", "␣at", "at"),
        ("wrong", "&lt;i&gt;", "dog"),
    ]
    # The line is still broken where a hidden token breaks it.
    assert "</ruby>\n" in high
    assert 'title="and 40.0 %, ↵ 20.0 %; true: ↵ 2.1 %"' in high
    assert "1 of 8 tokens are hidden; 1 of them (100.0 %) are predicted right." in part
    assert "4 of 8 tokens are hidden; 1 of them (25.0 %) are predicted right." in part


def test_loss_by_ratio(make_text_run):
    part = section(write([make_text_run()]).read_text(), "errors")
    for word in ("nats per hidden token", "in training", "unigram"):
        assert f"{word}</text>" in part
    assert (
        "from 0.05 to 0.95 is 4.500 nats per hidden token (95 % interval: 4.450 to 4.550)" in part
    )
    assert "of 50 held-out rows (scattered pattern, fixed masks)" in part
    assert rows_of(part)[1] == ["0.150", "4.150 4.100 to 4.200", "6.150 6.100 to 6.200"]


def test_probes_of_each_task(make_text_run):
    part = section(write([make_text_run()]).read_text(), "probes")
    assert re.findall("<h3>(.*?)</h3>", part) == ["sst2", "ud"]
    sst2, ud = re.findall(r"<table>.*?</table>", part, re.DOTALL)
    # What is true of all features is said once.
    assert "3 texts cut" not in re.sub("<caption>.*?</caption>|aria-label=.*?>", "", part)
    assert "(800 train, 400 test; 3 texts cut); best" in sst2
    rows = rows_of(sst2)
    assert [row[0] for row in rows] == [
        "encoder layer 0, mean",
        "untrained encoder layer 0, mean baseline",
        "encoder layer 1, mean",
        "untrained encoder layer 1, mean baseline",
        "bag of words baseline",
    ]
    # What has a protocol of its own says so.
    assert rows[-1][1:] == ["78.0 % logistic on tf-idf (C=10)\n73.0 to 83.0", "none"]
    assert re.findall(r"<strong>(.*?)</strong>", sst2) == ["65.0 %", "78.0 %"]
    assert [row[0] for row in rows_of(ud)] == [
        "encoder layer 0",
        "most frequent tag of the word baseline",
    ]


@pytest.mark.parametrize(
    ("law", "says"),
    [
        ("uniform:0.1,0.5", "inside the ratios met in training (0.1 to 0.5)."),
        ("fixed:0.15", "outside the ratios met in training (0.15 alone): the model extrapolates."),
        ("scheduled:linear,0.3..0.1", "inside the ratios met in training (0.1 to 0.3)."),
    ],
)
def test_minimal_pairs(make_text_run, law, says):
    part = section(write([make_text_run(law=law)]).read_text(), "pairs")
    assert f"That hides 0.12 of a sentence on average, {says}" in part
    assert "Chance is 50 %" in part
    assert "anaphor gender</text>" in part
    assert rows_of(part) == [
        ["agreement_subject_verb 40 pairs", "71.0 % 66.0 to 76.0"],
        ["anaphor_gender 20 pairs", "43.0 % 38.0 to 48.0"],
    ]


def test_fine_tuning(make_text_run):
    run = make_text_run()
    part = section(write([run]).read_text(), "finetuning")
    assert "800 train, 400 test; epochs: 3, batches of 32, learning rate 0.0003" in part
    assert rows_of(part) == [
        ["encoder", "82.0 % 80.0 to 84.0", "0.640 0.620 to 0.660", "81.0, 83.0, 82.0"],
        [
            *("untrained encoder baseline", "70.0 % 68.0 to 72.0", "0.400 0.380 to 0.420"),
            "71.0, 69.0, 70.0",
        ],
        ["most frequent class", "51.0 %", "0", ""],
    ]
    result = json.loads((run / "result.json").read_text())
    for row in result["finetuning"]:
        row["seeds"] = row["seeds"][:1]
        for key in ("accuracy", "mcc"):
            row[key] |= {"low": None, "high": None}
    (run / "result.json").write_text(json.dumps(result))
    part = section(write([run]).read_text(), "finetuning")
    assert "for one seed." in part
    assert rows_of(part)[0] == ["encoder", "82.0 %", "0.640", "81.0"]


def test_likelihood_in_the_words_of_texts(make_text_run):
    part = section(write([make_text_run()]).read_text(), "likelihood")
    assert "How probable the test rows are under the model, predicted token by token" in part
    assert "8 of 14 sizes were never hidden in training with uniform:0.1,0.5" in part
    facts = plain(re.search(r"<dl.*?</dl>", part, re.DOTALL).group())
    assert "bits per byte1.937perplexity of a token: 93.6" in facts
    assert "bits per token6.550 ± 0.13013.6 tokens" in facts


def test_only_what_was_asked_for_is_shown(make_text_run):
    run = make_text_run()
    change(run, probes=[], minimal_pairs=[], finetuning=[])
    page = write([run]).read_text()
    for slug in ("probes", "pairs", "finetuning"):
        assert f'id="{slug}"' not in page
    assert f"maskwise evaluate {run} --evaluate.probes TRAIN:TEST" in section(page, "more")
    assert 'id="more"' not in write([make_text_run("other")]).read_text()


def test_an_unevaluated_run(make_text_run):
    run = make_text_run(evaluated=False)
    page = write([run]).read_text()
    for slug in ("numbers", "samples", "errors"):
        assert f"<code>maskwise evaluate {run}</code>" in section(page, slug)
    assert "samples.json" in section(page, "samples")
    assert "held-out texts" in section(page, "likelihood")
    assert 'id="more"' not in page


def test_comparison(make_text_run):
    runs = [make_text_run("a"), make_text_run("b", seed=1, law="fixed:0.15")]
    page = write(runs).read_text()
    assert rows_of(section(page, "runs"))[0][4:6] == ["1,228,800", "368,640"]
    assert "encoder tokens</text>" in section(page, "loss")
    errors = section(page, "errors")
    assert "unigram</text>" in errors
    assert "cannot be compared" not in errors
    assert [row[:3] for row in rows_of(errors)] == [
        ["a", "4.500 4.450 to 4.550", "4.050 4.000 to 4.100"],
        ["b", "4.600 4.550 to 4.650", "4.150 4.100 to 4.200"],
    ]
    assert len(re.findall("<strong>", errors)) == 6
    probes = rows_of(section(page, "probes"))
    assert [row[0] for row in probes] == ["a", "b"] * 2
    assert probes[0][1:3] == [
        "75.0 % encoder layer 1, mean\n70.0 to 80.0",
        "78.0 % bag of words\n73.0 to 83.0",
    ]
    pairs = rows_of(section(page, "pairs"))
    assert [row[0] for row in pairs][:2] == ["a", "b"]
    assert pairs[3] == [
        *("anaphor_gender 20 pairs", "43.0 % 38.0 to 48.0", "42.0 % 37.0 to 47.0"),
    ]
    tuned = rows_of(section(page, "finetuning"))
    assert [row[0] for row in tuned] == ["a", "b"]
    assert tuned[1][1].startswith("81.0 %")
    assert rows_of(section(page, "likelihood"))[1][1:] == [
        *("-62.3 ± 1.2", "6.550 ± 0.130", "1.937", "13.000"),
    ]


@pytest.mark.parametrize(
    "changes", [{"data": {"source": "novels.txt", "vocab_size": 4096}}, {"pattern": "words"}]
)
def test_losses_of_other_tokens_or_patterns_cannot_be_compared(make_text_run, changes):
    runs = [make_text_run("a"), make_text_run("b", **changes)]
    if "pattern" in changes:
        found = json.loads((runs[1] / "result.json").read_text())["reconstruction"]
        change(runs[1], reconstruction=found | changes)
    assert "these values cannot be compared" in section(write(runs).read_text(), "errors")


def test_runs_of_which_some_measured_less(make_text_run):
    runs = [make_text_run("a"), make_text_run("b"), make_text_run("c", evaluated=False)]
    change(runs[1], probes=[], minimal_pairs=[], finetuning=[])
    page = write(runs).read_text()
    assert rows_of(section(page, "probes"))[1] == ["b", *["none"] * 4]
    assert rows_of(section(page, "pairs"))[2] == ["c", "none"]
    assert rows_of(section(page, "finetuning"))[1] == ["b", *["none"] * 4]
    for run in runs:
        (run / "likelihood.json").unlink(missing_ok=True)
    change(runs[0], probes=[], minimal_pairs=[], finetuning=[])
    page = write(runs).read_text()
    for slug in ("probes", "pairs", "finetuning", "likelihood"):
        assert f'id="{slug}"' not in page


def test_images_and_texts_cannot_be_compared(make_run, make_text_run):
    with pytest.raises(UserError, match="runs on images and text cannot be compared"):
        write([make_run(), make_text_run()])
    with pytest.raises(UserError, match="modality 'sound' is none of images, text"):
        write([make_run("odd", modality="sound")])


@pytest.mark.parametrize("text", ["", "[1"])
def test_damaged_samples_are_named(make_text_run, text):
    run = make_text_run()
    (run / "samples.json").write_text(text)
    with pytest.raises(UserError, match=r"samples\.json is damaged"):
        write([run])
