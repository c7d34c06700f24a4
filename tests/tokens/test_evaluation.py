import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskwise import masks
from maskwise.text import data as text_data
from maskwise.text.data import TextDataSettings, TextSource
from maskwise.text.text import Text
from maskwise.tokens.evaluation import losses_by_ratio, shares, write_rows
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
MakeRows = Callable[[int], Any]


@pytest.mark.parametrize("pattern", ["scattered", "words"])
def test_loss_equals_a_loop_over_hidden_tokens(
    make_language_model: Make, words: Text, rows: MakeRows, pattern: str
) -> None:
    model, train, test = make_language_model(), rows(20), rows(9)
    index = np.array([0, 3, 8])
    unigram = -shares(words, train, np.arange(20)).log()
    ratios = (0.3, 0.15, 0.75, 0.15)
    found = losses_by_ratio(model, test, index, ratios, pattern, 4, {"unigram": unigram})
    assert [point["ratio"] for point in found["curve"]] == [0.15, 0.3, 0.75]
    ids = test.get(index)
    for place, point in enumerate(found["curve"]):
        mask = masks.draw(
            f"fixed:{point['ratio']}",
            (24,),
            sample_ids=torch.from_numpy(index),
            seed=4,
            pattern=pattern,
            eligible=words.eligible(ids),
            units=test.units(index),
        )
        losses, guesses = [], []
        for row, hidden in zip(ids, mask.hidden, strict=True):
            with torch.no_grad():
                values = model.conditional_log_prob(row[None], hidden[None])[0, hidden]
            losses.append(-float(values.mean()))
            guesses.append(float(unigram[row[hidden]].mean()))
        assert point["error"] == pytest.approx(np.mean(losses), rel=1e-5)
        assert point["realised"] == pytest.approx(float(mask.ratio.mean()))
        baseline = found["baselines"]["unigram"][place]
        assert baseline["error"] == pytest.approx(np.mean(guesses), rel=1e-5)
    a, b, c = (point["error"] for point in found["curve"])
    area = (0.15 * (a + b) / 2 + 0.45 * (b + c) / 2) / 0.6
    assert found["mean"]["error"] == pytest.approx(area, rel=1e-6)
    assert (found["mean"]["from"], found["mean"]["to"]) == (0.15, 0.75)
    assert found["mean"]["low"] <= found["mean"]["error"] <= found["mean"]["high"]


def test_a_model_that_knows_nothing_costs_the_logarithm_of_the_alphabet(
    make_language_model: Make, words: Text, rows: MakeRows
) -> None:
    model = make_language_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    found = losses_by_ratio(model, rows(9), np.arange(9), (0.5,), "scattered", 0, {})
    num = int(words.alphabet.sum())
    for point in found["curve"]:
        assert point["error"] == point["low"] == point["high"] == pytest.approx(np.log(num))


def test_a_single_ratio_has_no_mean(make_language_model: Make, rows: MakeRows) -> None:
    found = losses_by_ratio(
        make_language_model(), rows(9), np.arange(3), (0.15,), "scattered", 0, {}
    )
    assert len(found["curve"]) == 1
    assert "mean" not in found


def test_shares_count_tokens_of_texts_only(words: Text, rows: MakeRows) -> None:
    source = rows(20)
    found = shares(words, source, np.arange(20))
    counts = np.bincount(source.ids[words.eligible(source.ids)], minlength=words.num_tokens)
    total = counts.sum() + int(words.alphabet.sum())
    [the] = words.encode(["the"])[0].ids
    assert float(found[the]) == pytest.approx((counts[the] + 1) / total)
    assert found.sum() == pytest.approx(1)
    assert found[words.mask] == 0


LINES = [f"the cat saw dog {number} on the mat — čau" for number in range(60)]


@pytest.fixture(params=[None, "words"])
def source(request: pytest.FixtureRequest, words: Text, tmp_path: Path) -> TextSource:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(words.tokenizer.to_str(), "utf-8")
    data = TextDataSettings(tokenizer=str(tokenizer), length=24, holdout=0.3)
    return text_data.load(data, LINES, units=request.param).test


def written(folder: Path, model: LanguageModel, source: TextSource) -> dict:
    pattern = "words" if source.starts is not None else "scattered"
    write_rows(folder, model, source, pattern=pattern, seed=0)
    return json.loads((folder / "samples.json").read_text("utf-8"))


def hidden_places(row: dict) -> list[set[int]]:
    return [{each["place"] for each in mask["hidden"]} for mask in row["masks"]]


def flat(row: dict) -> list[str]:
    return [piece for pieces in row["documents"] for piece in pieces]


def test_documents_read_as_they_were(
    tmp_path: Path, make_language_model: Make, source: TextSource
) -> None:
    found = written(tmp_path, make_language_model(), source)
    assert len(found["rows"]) == 3
    texts = ["".join(pieces) for row in found["rows"] for pieces in row["documents"]]
    # Rows of 24 tokens cut the lines; every piece is a part of one.
    assert all(any(text.strip() in line for line in LINES) for text in texts)
    assert any("—" in text for text in texts)
    for row in found["rows"]:
        assert [mask["ratio"] for mask in row["masks"]] == [0.15, 0.3, 0.5, 0.8]
        sets, num = hidden_places(row), len(flat(row))
        assert all(each <= set(range(num)) for each in sets)
        if source.starts is None:
            assert all(low < high for low, high in pairwise(sets))
            assert [len(each) for each in sets] == [
                round(ratio * num) for ratio in (0.15, 0.3, 0.5, 0.8)
            ]


def test_guesses_are_those_of_the_model(
    tmp_path: Path,
    make_language_model: Make,
    source: TextSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_language_model()
    monkeypatch.setattr("maskwise.tokens.evaluation.NUM_ROWS", 1)
    row = written(tmp_path, model, source)["rows"][0]
    index = [at for at in range(len(source)) if _pieces(model, source, at) == row["documents"]]
    ids = source.get(index[:1])
    at = model.eligible(ids)[0].nonzero()[:, 0]
    for mask in row["masks"]:
        places = [each["place"] for each in mask["hidden"]]
        hidden = torch.zeros_like(ids, dtype=torch.bool)
        hidden[0, at[places]] = True
        with torch.no_grad():
            [(predicted, _)] = model.predictions(ids, hidden, ids)
        for each, place, log_prob in zip(mask["hidden"], places, predicted, strict=True):
            true = ids[0, at[place]]
            assert each["probability"] == pytest.approx(float(log_prob[true].exp()), abs=1e-4)
            assert each["right"] == bool(log_prob.argmax() == true)
            values = [value for _, value in each["guesses"]]
            assert values == pytest.approx(log_prob.exp().sort(descending=True)[0][:3], abs=1e-4)
            if each["right"] and (piece := flat(row)[place]):
                assert each["guesses"][0][0] == piece


def _pieces(model: LanguageModel, source: TextSource, at: int) -> list[list[str]]:
    ids = source.get([at])
    documents = model.tokenizer.documents(ids)[0]
    kept = model.eligible(ids)[0]
    return [
        model.tokenizer.spell(ids[0, kept & (documents == each)].tolist())
        for each in range(1, int(documents.max()) + 1)
    ]


def test_long_rows_are_shown_in_part(
    tmp_path: Path,
    make_language_model: Make,
    source: TextSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_language_model()
    whole = written(tmp_path, model, source)["rows"]
    monkeypatch.setattr("maskwise.tokens.evaluation.MOST", 6)
    part = written(tmp_path, model, source)["rows"]
    for long, short in zip(whole, part, strict=True):
        assert flat(short) == flat(long)[:6]
        for all_of, some in zip(long["masks"], short["masks"], strict=True):
            assert some["hidden"] == [each for each in all_of["hidden"] if each["place"] < 6]
