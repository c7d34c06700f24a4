import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.measure.finetuning import FineTuneSettings, tune, tuned_row
from maskwise.modality import Pool
from maskwise.text.evaluation import MEASURES
from maskwise.text.tasks import (
    TextTask,
    cut_note,
    cut_texts,
    embed_texts,
    text_samples,
    word_features,
    words_of,
)
from maskwise.text.text import Text
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
TEXTS = ["the cat sat on the mat", "a", "dogs ran", "a dog", "the cats", "b"]


@pytest.mark.parametrize("pool", ["mean", "class", "both"])
@pytest.mark.parametrize("layer", [0, -1])
def test_equals_encoding_one_by_one(
    make_language_model: Make, pool: Pool, layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_language_model()
    monkeypatch.setattr("maskwise.text.tasks.BATCH", 2)
    found = embed_texts(model, TEXTS, pool, layer)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), 32 if pool == "both" else 16)
    with torch.no_grad():
        want = [
            model.encode(model.tokenizer.tokenize([text]).ids, pool, layer)  # type: ignore[arg-type]
            for text in TEXTS
        ]
    np.testing.assert_allclose(found, torch.cat(want), rtol=1e-4, atol=1e-5)
    assert model.training


def test_long_texts_are_cut_and_counted(make_language_model: Make, words: Text) -> None:
    model = make_language_model()
    long = "the cat sat on the mat " * 9
    pieces, num = cut_texts(words, [long, "a"], words.room())
    assert (num, [len(piece.ids) for piece in pieces]) == (1, [22, 1])
    assert cut_note(words, [long, "a", long]) == "2 texts cut at 22 tokens"
    assert cut_note(words, ["a"]) == ""
    assert embed_texts(model, [long]) == pytest.approx(embed_texts(model, [f"{long} a dog"]))


def test_refuses_what_has_no_features(make_language_model: Make) -> None:
    model = make_language_model()
    with pytest.raises(UserError, match="no texts"):
        embed_texts(model, [])
    with pytest.raises(UserError, match=r"text 2 \(''\) has no token"):
        embed_texts(model, ["a", ""])
    with pytest.raises(UserError, match="layer 2 is outside"):
        embed_texts(model, ["a"], layer=2)


def test_words_have_the_mean_of_their_tokens(
    make_language_model: Make, words: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_language_model()
    monkeypatch.setattr("maskwise.text.tasks.BATCH", 1)
    sentences = [["the", "cat"], ["dogs", "ran", "!"], ["sat"]]
    found = word_features(model, sentences)
    assert [each.shape for each in found] == [(2, 16), (3, 16), (1, 16)]
    for sentence, values in zip(sentences, found, strict=True):
        [tokens] = words.encode([" ".join(sentence)])
        with torch.no_grad():
            features = model.features(words.tokenize([" ".join(sentence)]).ids)[0, 1:-1]
        place = 0
        for word, value in zip(sentence, values, strict=True):
            # A token's first character lies in its word, or is the space in front of it.
            num = 0
            while place + num < len(tokens.ids) and tokens.offsets[place + num] < len(
                " ".join(sentence[: sentence.index(word) + 1])
            ):
                num += 1
            want = features[place : place + num].mean(dim=0)
            np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-5)
            place += num
        assert place == len(tokens.ids)


def test_words_beyond_the_row_have_no_features(make_language_model: Make) -> None:
    [found] = word_features(make_language_model(), [["the"] * 30])
    missing = np.isnan(found).all(axis=1)
    assert missing.tolist() == [False] * 22 + [True] * 8
    assert not np.isnan(found[:22]).any()


def test_tokens_belong_to_words_whether_they_hold_the_space_or_not() -> None:
    assert words_of(["ab", "c", "de"], np.array([0, 1, 2, 4])).tolist() == [0, 0, 1, 2]
    assert words_of(["ab", "c", "de"], np.array([0, 3, 5, 6])).tolist() == [0, 1, 2, 2]


QUICK = FineTuneSettings(epochs=4, batch_size=8, lr=1e-2, seeds=(0, 1))


def make_task(num: int = 64) -> TextTask:
    """The class is whether the cat comes before the dog, which no bag of words knows."""
    rng = np.random.default_rng(0)
    y = np.arange(2 * num) % 2
    texts = []
    for label in y:
        parts = ["cat", "dog"][:: 1 if label else -1]
        texts.append(f"{parts[0]} {rng.choice(['sat', 'ran on', 'saw the'])} {parts[1]}")
    return TextTask("order", texts[:num], y[:num], texts[num:], y[num:], ("no", "yes"))


def finetune(
    model: LanguageModel, task: TextTask, config: FineTuneSettings, seed: int
) -> np.ndarray:
    return tune(model, text_samples(model, task), config, seed).argmax(axis=1)


def test_learns_an_order_of_words(make_language_model: Make) -> None:
    model = make_language_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    task = make_task()
    predicted = finetune(model, task, QUICK, seed=0)
    assert (predicted == task.test_y).mean() > 0.95
    # The model that was given, and the global generator, are as they were.
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_depends_on_the_seed_alone(make_language_model: Make) -> None:
    task = make_task(16)
    task.test[:] = ["cat", "dog", "sat on a mat", "the", "mats", "a", "dogs ran", "b"] * 2
    weak = FineTuneSettings(epochs=1, batch_size=8, lr=1e-4)
    found = [finetune(make_language_model(), task, weak, seed) for seed in (0, 0, 1, 2, 3)]
    assert (found[0] == found[1]).all()
    assert any((found[0] != other).any() for other in found[2:])


def test_frozen_models_can_be_tuned(make_language_model: Make) -> None:
    model = make_language_model().requires_grad_(False)
    predicted = finetune(model, make_task(), QUICK, seed=0)
    assert (predicted == make_task().test_y).mean() > 0.95
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_table(make_language_model: Make) -> None:
    task = make_task()
    task.train[0] = "the cat sat on the mat " * 9
    model = make_language_model()
    row = tuned_row("encoder", model, text_samples(model, task), QUICK, MEASURES)
    assert (row["task"], row["model"], row["majority"]) == ("order", "encoder", 0.5)
    assert [each["seed"] for each in row["seeds"]] == [0, 1]
    for key in ("accuracy", "mcc"):
        values = [each[key] for each in row["seeds"]]
        assert row[key]["mean"] == pytest.approx(np.mean(values))
        # Student's t with one degree of freedom: 12.7 standard errors.
        half = 12.706 * abs(values[0] - values[1]) / 2
        assert row[key]["high"] - row[key]["mean"] == pytest.approx(half, rel=1e-3, abs=1e-9)
    assert row["note"] == "1 texts cut at 22 tokens"
    assert json.loads(json.dumps(row)) == row


def test_matthews_correlation_of_a_constant_is_zero(make_language_model: Make) -> None:
    task = make_task(16)
    nothing = FineTuneSettings(epochs=1, lr=1e-9, seeds=(0,))
    task.test[:] = ["cat"] * len(task.test)
    model = make_language_model()
    row = tuned_row("encoder", model, text_samples(model, task), nothing, MEASURES)
    assert row["mcc"] == {"mean": 0.0, "low": None, "high": None}
    assert row["accuracy"]["mean"] == 0.5


def test_refuses_texts_without_tokens(make_language_model: Make) -> None:
    task = make_task(16)
    task.train[3] = ""
    with pytest.raises(UserError, match="text 4"):
        finetune(make_language_model(), task, QUICK, 0)
