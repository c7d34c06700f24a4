from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from maskwise import masks
from maskwise.text.text import Text
from maskwise.tokens.evaluation import losses_by_ratio, shares
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
