import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from maskwise.text import data as text_data
from maskwise.text.data import TextDataSettings
from maskwise.text.source import TextSource
from maskwise.text.text import Text
from maskwise.tokens.evaluation import write_rows
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
LINES = [f"the cat saw dog {number} on the mat — čau" for number in range(60)]


@pytest.fixture(params=[None, "words"])
def source(request: pytest.FixtureRequest, words: Text, tmp_path: Path) -> TextSource:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(words.tokenizer.to_str(), "utf-8")
    data = TextDataSettings(tokenizer=str(tokenizer), length=24, holdout=0.3)
    return text_data.from_texts(LINES, data, units=request.param).test


def written(path: Path, model: LanguageModel, source: TextSource, **changes: int) -> dict:
    pattern = "words" if source.starts is not None else "scattered"
    write_rows(path, model, source, pattern=pattern, seed=0, **changes)
    return json.loads(path.read_text("utf-8"))


def hidden_places(row: dict) -> list[set[int]]:
    return [{each["place"] for each in mask["hidden"]} for mask in row["masks"]]


def flat(row: dict) -> list[str]:
    return [piece for pieces in row["documents"] for piece in pieces]


def test_documents_read_as_they_were(
    tmp_path: Path, make_language_model: Make, source: TextSource
) -> None:
    found = written(tmp_path / "samples.json", make_language_model(), source)
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
    tmp_path: Path, make_language_model: Make, source: TextSource
) -> None:
    model = make_language_model()
    row = written(tmp_path / "samples.json", model, source, num=1)["rows"][0]
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
    whole = written(tmp_path / "samples.json", model, source)["rows"]
    monkeypatch.setattr("maskwise.tokens.evaluation.MOST", 6)
    part = written(tmp_path / "samples.json", model, source)["rows"]
    for long, short in zip(whole, part, strict=True):
        assert flat(short) == flat(long)[:6]
        for all_of, some in zip(long["masks"], short["masks"], strict=True):
            assert some["hidden"] == [each for each in all_of["hidden"] if each["place"] < 6]
