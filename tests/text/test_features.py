from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.text.features import cut_note, cut_texts, embed_texts, word_features, words_of
from maskwise.text.text import Text
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
TEXTS = ["the cat sat on the mat", "a", "dogs ran", "a dog", "the cats", "b"]


@pytest.mark.parametrize("pool", ["mean", "class", "both"])
@pytest.mark.parametrize("layer", [0, -1])
def test_equals_encoding_one_by_one(make_language_model: Make, pool: str, layer: int) -> None:
    model = make_language_model()
    found = embed_texts(model, TEXTS, pool, layer, batch_size=2)  # type: ignore[arg-type]
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
    with pytest.raises(UserError, match=r"text 1 \(''\) has no token"):
        embed_texts(model, ["a", ""])
    with pytest.raises(UserError, match="layer 2 is outside"):
        embed_texts(model, ["a"], layer=2)


def test_words_have_the_mean_of_their_tokens(make_language_model: Make, words: Text) -> None:
    model = make_language_model()
    sentences = [["the", "cat"], ["dogs", "ran", "!"], ["sat"]]
    found = word_features(model, sentences, batch_size=1)
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
