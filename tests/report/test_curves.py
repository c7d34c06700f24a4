"""Loss and likelihood by ratio."""

import json
import re

import pytest

from maskwise.report import curves
from tests.report.conftest import bold, change, rows_of, section, show


def test_loss_by_ratio(page):
    part = section(page("text"), "errors")
    for word in ("nats per hidden token", "in training", "unigram"):
        assert f"{word}</text>" in part
    assert (
        "from 0.05 to 0.95 is 4.500 nats per hidden token (95 % interval: 4.450 to 4.550)" in part
    )
    assert "of 50 held-out rows (scattered pattern, fixed masks)" in part
    assert rows_of(part)[0] == ["0.150", "4.150 4.100 to 4.200", "6.150 6.100 to 6.200"]


def test_errors_of_pictures(page):
    part = section(page("images"), "errors")
    assert "visible mean</text>" in part
    assert "360 test images (normalised target, scattered pattern, fixed masks)" in part
    assert "Error on the normalised target, with 95 % interval" in part
    # Only losses in nats stand beside those of baselines.
    assert rows_of(part)[0] == ["0.150", "0.45 0.4 to 0.5"]


def test_loss_beside_the_marginal(page):
    part = section(page("tables"), "errors")
    for word in ("nats per hidden value", "in training", "marginal"):
        assert f"{word}</text>" in part
    assert "whatever is visible" in part
    assert rows_of(part)[0] == ["0.150", "0.5000 0.4900 to 0.5100", "0.6500 0.6400 to 0.6600"]


def test_losses_of_several_runs(make):
    runs = [make("text", "a"), make("text", "b", seed=1, law="fixed:0.15")]
    part = show(curves.losses, *runs)
    assert "unigram</text>" in part
    assert "cannot be compared" not in part
    assert [row[:3] for row in rows_of(part)] == [
        ["a", "4.500 4.450 to 4.550", "4.150 4.100 to 4.200"],
        ["b", "4.600 4.550 to 4.650", "4.250 4.200 to 4.300"],
    ]
    assert len(bold(part)) == 4


@pytest.mark.parametrize("changes", [{"data": {"vocab_size": 4096}}, {"pattern": "words"}])
def test_losses_of_other_tokens_or_patterns_cannot_be_compared(make, changes):
    runs = [make("text", "a"), make("text", "b", **changes)]
    if "pattern" in changes:
        found = json.loads((runs[1] / "result.json").read_text("utf-8"))["reconstruction"]
        change(runs[1], reconstruction=found | changes)
    part = show(curves.losses, *runs)
    assert "differ in data, tokens or pattern: these values cannot be compared" in part


def test_other_losses_cannot_be_compared(make):
    runs = [make("cells", "a"), make("cells", "b", data={"source": "my data", "loss": "nb"})]
    for part in (curves.losses, curves.imputation):
        assert "differ in data, genes, loss or pattern" in show(part, *runs)


def test_the_likelihood_of_a_run(make, page):
    part = section(page("images"), "likelihood")
    assert "-361.3 ± 0.4" in part
    assert "6.550 ± 0.009" in part or "6.550 ± 0.010" in part
    assert "± 0.055 from masks alone" in part
    assert "lower bound on the log-likelihood of their mixture" in part
    assert "7 of 16 sizes were never hidden in training with uniform:0.4,0.9" in part
    assert "-156.2 of the -361.3 nats" in part
    assert "in training</text>" in part
    assert "independent normals</text>" in part
    assert "How probable the test images are" in part
    assert part.count("hidden</small>") == 16
    run = make("images")
    law = {"name": "cosine", "low": 0, "high": 1, "sizes_outside": 0, "nats_outside": 0.0}
    change(run, "likelihood.json", law=law)
    assert "Training with cosine has met all ratios." in show(curves.likelihood, run)


def test_likelihood_in_the_words_of_its_file(page):
    part = section(page("text"), "likelihood")
    assert "How probable the test rows are under the model, predicted token by token" in part
    facts = re.sub(r"<[^>]+>", "", re.search(r"<dl.*?</dl>", part, re.DOTALL).group())
    assert "bits per byte1.937perplexity of a token: 93.6" in facts
    assert "bits per token6.550 ±" in facts
    assert "64 tokens" in facts


def test_comparing_likelihoods(make):
    runs = [make("images", "a"), make("images", "b", seed=1), make("images", "c", evaluated=False)]
    part = show(curves.likelihood, *runs)
    found = rows_of(part)
    assert [row[0] for row in found] == ["a", "b", "c"]
    assert [row[1] for row in found] == ["-361.3 ± 0.4", "-362.3 ± 0.4", "none"]
    assert found[2][2:] == ["none"] * 2
    assert f"maskwise likelihood {runs[2]}" in part
    for run in runs[:2]:
        (run / "likelihood.json").unlink()
    assert 'id="likelihood"' not in show(curves.likelihood, *runs)
    texts = [make("text", "d"), make("text", "e", seed=1)]
    assert rows_of(show(curves.likelihood, *texts))[1][3:] == ["1.937", "8.620"]
