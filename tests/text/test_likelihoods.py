import math

import pytest

from maskwise.errors import UserError
from maskwise.integrations import hf
from maskwise.likelihood import log_likelihood, score_curve
from maskwise.text import likelihoods as text_likelihoods
from maskwise.text.likelihoods import measure_text, read_text

# 4 tokens, among them an unknown one, and 16 bytes, repeated.
TEXT = "the cat sat où " * 6


@pytest.fixture
def lm(language_model):
    return hf.load(language_model, device="cpu")


def test_the_area_is_the_sum_over_every_mask(lm):
    text = "the cat sat on a dog the mat lay by and ran saw a mat the dog"
    found = measure_text(lm, text, length=7, passes=96)
    ids, eligible, num_bytes = lm.tokenizer.windows(text, 7)
    exact = score_curve(lm, ids, sizes=[1, 2, 3, 4, 5], exhaustive=True, eligible=eligible)
    every = log_likelihood(lm, ids, "exhaustive", eligible=eligible)
    area = found["area"]
    assert (found["num_samples"], found["length"], found["num_dims"]) == (3, 5, 5)
    assert abs(area["nats"] - every.value / 3) < 4 * area["stderr_masks"]
    same = log_likelihood(lm, ids, passes=96, eligible=eligible)
    assert area["stderr"] == pytest.approx(float(same.per_sample.std()) / math.sqrt(3))
    assert area["bits_per_dim"] == pytest.approx(-area["nats"] / 5 / math.log(2))
    assert area["perplexity"] == pytest.approx(2 ** area["bits_per_dim"])
    bits = area["bits_per_dim"] * 15
    assert area["bits_per_byte"] == pytest.approx(bits / int(num_bytes.sum()))
    assert [point["ratio"] for point in found["curve"]] == [0.2, 0.4, 0.6, 0.8, 1.0]
    for point, score in zip(found["curve"], exact.scores, strict=True):
        assert abs(point["score"] - score) < point["high"] - point["low"]


def test_the_anchor_is_the_uniform_predictor(lm):
    for parameter in lm.parameters():
        parameter.data.zero_()
    found = measure_text(lm, TEXT, length=6, passes=4)
    area, anchor = found["area"], found["anchor"]
    assert found["words"]["anchor"] == "uniform predictor, -ln 13"
    assert anchor["score"] == -math.log(13)
    assert anchor["nats"] == pytest.approx(-4 * math.log(13))
    assert area["nats"] == pytest.approx(anchor["nats"], rel=1e-6)
    assert area["bits_per_dim"] == pytest.approx(anchor["bits_per_dim"], rel=1e-6)
    assert area["bits_per_byte"] == pytest.approx(4 * math.log2(13) / 16)


def test_a_seed_decides_the_windows_and_the_masks(lm):
    text = "the cat sat on a dog and ran by the mat " * 9
    first, again, other = (
        measure_text(lm, text, length=6, num_samples=5, passes=4, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first["num_samples"] == 5
    assert first["area"] != other["area"]


def test_too_little_for_a_standard_error(lm):
    with pytest.raises(UserError, match="1 test samples give no standard error"):
        measure_text(lm, "the cat sat on a mat", length=8)
    with pytest.raises(UserError, match="passes 1 give no standard error"):
        measure_text(lm, TEXT, length=6, passes=1)


def test_reading_a_text(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text("où va\n", "utf-8")
    assert read_text(path) == ("où va\n", "text.txt")
    monkeypatch.setattr(text_likelihoods, "MOST_CHARACTERS", 2)
    assert read_text(path) == ("où", "the first 2 characters of text.txt")
    path.write_bytes("où va".encode("utf-16"))
    assert read_text(path)[0] == "où"
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    assert read_text(tmp_path / "rows.jsonl")[0] == "a\n"
    path.write_bytes(b"\x89PNG\0")
    with pytest.raises(UserError, match=r"text\.txt is no text: byte 5 is NUL"):
        read_text(path)
    with pytest.raises(UserError, match=r"cannot read .*none\.txt: No such file"):
        read_text(tmp_path / "none.txt")
