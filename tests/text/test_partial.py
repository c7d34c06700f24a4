"""Texts with gaps as rows of tokens, and labelled ones."""

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.predict.asked import ModelAsked
from maskwise.settings import override
from maskwise.text.completion import tokens_with_gaps
from maskwise.text.partial import incomplete, labelled
from maskwise.text.record import TextRunSettings


@pytest.fixture
def model(make_language_model):
    return make_language_model().eval()


def config(**changes):
    return override(TextRunSettings(), {f"data.{name}": value for name, value in changes.items()})


def test_a_gap_is_a_token_that_is_missing(model):
    text = model.tokenizer
    found = incomplete(model, ["the cat sat", "the [MASK] sat", "<mask>", None, ""], config())
    assert found.broken == {3: "no text", 4: "no token"}
    ids = found.source.get(np.arange(3))
    assert ids.shape == (3, text.length)
    assert text.decode(ids[0]) == "the cat sat"
    gapped, _ = tokens_with_gaps(text, "the [MASK] sat")
    assert ids[1, : gapped.shape[1]].tolist() == gapped[0].tolist()
    asked = ModelAsked(model, found)
    visible = asked.there.sum(axis=1)
    assert (asked.whole - visible).tolist() == [0, 1, 1]
    assert visible[2] == 0
    whole = np.zeros((3, text.length), dtype=bool)
    features = asked.features(np.arange(3), whole)
    np.testing.assert_allclose(
        features[0], model.encode(ids[:1])[0].detach(), rtol=1e-4, atol=1e-5
    )
    assert np.isnan(features[2]).all()


def test_a_gap_and_a_hidden_token_are_the_same(model):
    """Here of a word of one token."""
    asked = ModelAsked(model, incomplete(model, ["the cat sat", "[MASK] cat sat"], config()))
    hidden = np.zeros((2, model.tokenizer.length), dtype=bool)
    hidden[0, len(model.tokenizer.start)] = True
    one, other = asked.features(np.arange(2), hidden)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_long_texts_are_cut_and_counted(model, caplog):
    found = incomplete(model, ["the cat sat on the mat " * 9, "a dog"], config())
    assert found.whole.tolist()[0] == model.tokenizer.room()
    assert f"1 texts cut at {model.tokenizer.room()} tokens" in caplog.text
    with pytest.raises(UserError, match="none of 1 texts has a token"):
        incomplete(model, [""], config())
    with pytest.raises(UserError, match="this run was given texts: give them again"):
        incomplete(model, None, config(source="array"))


def test_labelled_texts_of_files(model, tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text("text,label,Stars\na dog,good,1\nthe cat,bad,\nthe mat,bad,5\n")
    told = config(source=str(path))
    found = labelled(model, None, told, None, "given")
    assert found.values.tolist() == ["good", "bad", "bad"]
    assert found.held is None
    assert len(found.data.source) == 3
    assert labelled(model, None, told, "Stars", "own").values.tolist() == ["1", "5"]
    assert labelled(model, None, told, None, "apart").values is None
    assert len(labelled(model, ["a", "cat"], told, None, "apart").data.source) == 2
    with pytest.raises(UserError, match="a run on texts has no labels: give labelled ones"):
        labelled(model, None, told, None, "own")
    lines = tmp_path / "lines.txt"
    lines.write_text("NUM:x the cat\nLOC a dog\n")
    assert labelled(model, None, config(source=str(lines)), None, "given").values.tolist() == [
        *("NUM", "LOC"),
    ]
    with pytest.raises(UserError, match=r"lines.txt has no column 'kind': give a table"):
        labelled(model, None, config(source=str(lines)), "kind", "own")
