import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.text.likelihoods import Pair, measure_pairs, pseudo_log_likelihoods, read_pairs
from maskwise.text.text import Text
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
SENTENCES = ["the cat sat", "a", "dogs", "the cats ran by the mat.", "on a mat, cats", "a dog"]


class RightNeighbour(nn.Module):
    """Logits are a table's row of the token on the right, whatever else is there."""

    num_layers = 1

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(num_tokens, num_tokens, generator=generator))

    def logits(self, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
        rows, places = where.hidden.nonzero(as_tuple=True)
        return self.table[ids[rows, places + 1]]


def one_by_one(model: LanguageModel, sentence: str, metric: str) -> float:
    text = model.tokenizer
    [found] = text.encode([sentence])
    ids = torch.tensor([[*text.start, *found.ids, *text.stop]])
    word = np.cumsum(found.starts).tolist()
    total = 0.0
    for place in range(len(found.ids)):
        hidden = torch.zeros_like(ids, dtype=torch.bool)
        for other in range(place, len(found.ids)):
            same = metric == "within-word-l2r" and word[other] == word[place]
            hidden[0, other + len(text.start)] = other == place or same
        with torch.no_grad():
            total += float(model.conditional_log_prob(ids, hidden)[0, place + len(text.start)])
    return total


@pytest.mark.parametrize("metric", ["within-word-l2r", "original"])
def test_equals_hiding_one_by_one(
    make_language_model: Make, metric: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_language_model()
    found, _ = pseudo_log_likelihoods(model, SENTENCES, metric)
    want = [one_by_one(model, sentence, metric) for sentence in SENTENCES]
    np.testing.assert_allclose(found, want, rtol=1e-5)
    assert len(set(np.round(want, 3))) == len(SENTENCES)
    monkeypatch.setattr("maskwise.text.likelihoods.BATCH", 1)
    parts, _ = pseudo_log_likelihoods(model, SENTENCES, metric)
    np.testing.assert_allclose(parts, found, rtol=1e-5)


def test_within_a_word_later_tokens_are_hidden_too(make_language_model: Make, words: Text) -> None:
    model = make_language_model(RightNeighbour(words.num_tokens))
    [tokens] = words.encode(["dogss cats"])
    assert tokens.starts.tolist() == [True, False, False, True, False]
    ids = torch.tensor(tokens.ids)
    behind = torch.cat([ids[1:], torch.tensor(words.stop)])
    l2r = torch.where(torch.tensor(tokens.starts).roll(-1), behind, words.mask)
    table = model.network.table.masked_fill(~words.alphabet, -torch.inf).log_softmax(dim=1)
    for metric, seen in (("original", behind), ("within-word-l2r", l2r)):
        found, _ = pseudo_log_likelihoods(model, ["dogss cats"], metric)  # type: ignore[arg-type]
        assert found[0] == pytest.approx(float(table[seen, ids].sum().detach()), rel=1e-5)


def test_tells_how_little_is_hidden(make_language_model: Make, words: Text) -> None:
    model = make_language_model()
    assert [len(each.ids) for each in words.encode(["a", "a a", "dogs"])] == [1, 2, 2]
    _, ratio = pseudo_log_likelihoods(model, ["a", "a a"])
    assert ratio == pytest.approx((1 + 1 / 2) / 2)
    _, ratio = pseudo_log_likelihoods(model, ["dogs"])
    assert ratio == pytest.approx(3 / 4)
    _, ratio = pseudo_log_likelihoods(model, ["dogs"], "original")
    assert ratio == pytest.approx(1 / 2)


def test_no_sentence_is_cut(make_language_model: Make) -> None:
    model = make_language_model()
    long = "the cat sat on the mat " * 9
    found, _ = pseudo_log_likelihoods(model, [long])
    assert found[0] == pytest.approx(one_by_one(model, long, "within-word-l2r"), rel=1e-4)
    object.__setattr__(model.tokenizer, "longest", 24)
    try:
        with pytest.raises(UserError, match="longer than 22 tokens: the cat"):
            pseudo_log_likelihoods(model, ["a", long])
    finally:
        object.__setattr__(model.tokenizer, "longest", None)


def write(path: Path, lines: list[str]) -> Path:
    text = "\n".join(lines) + "\n"
    openers: dict[str, Any] = {".xz": lzma.open, ".gz": gzip.open}
    with openers.get(path.suffix, open)(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


def row(good: str, bad: str, **others: str) -> str:
    return json.dumps({"sentence_good": good, "sentence_bad": bad, **others})


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz"])
def test_reads_blimp(tmp_path: Path, suffix: str) -> None:
    lines = [row("a", "b", UID="one", pairID="0"), row("c", "d", UID="two"), row("e", "f")]
    path = write(tmp_path / f"blimp.jsonl{suffix}", lines)
    assert read_pairs(path) == {
        "one": [Pair("a", "b")],
        "two": [Pair("c", "d")],
        "blimp": [Pair("e", "f")],
    }


def test_reads_a_folder_of_zorro_with_the_bad_sentence_first(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", ["bad one", "good one", "bad two", "good two"])
    write(tmp_path / "a.txt.gz", ["bad", "good"])
    write(tmp_path / "notes.md", ["nothing"])
    assert read_pairs(tmp_path) == {
        "a": [Pair("good", "bad")],
        "b": [Pair("good one", "bad one"), Pair("good two", "bad two")],
    }


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("a.jsonl", ["{}"], "line 1 has no sentence_good and sentence_bad"),
        ("a.jsonl", [row("a", "b"), "[]"], "line 2"),
        ("a.jsonl", ['{"sentence_good": 1, "sentence_bad": 2}'], "line 1"),
        ("a.txt", ["bad", "good", "bad"], "in turn"),
        ("a.txt", ["bad", ""], "without gaps"),
    ],
)
def test_refuses_files_without_pairs(
    tmp_path: Path, name: str, lines: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_pairs(write(tmp_path / name, lines))


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no minimal pairs here"):
        read_pairs(tmp_path)
    with pytest.raises(UserError, match="cannot read"):
        read_pairs(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="holds no minimal pairs"):
        read_pairs(tmp_path / "empty.jsonl")


def test_accuracy_is_the_mean_over_paradigms(make_language_model: Make, tmp_path: Path) -> None:
    model = make_language_model()
    sentences = ["the cat sat", "a dog ran", "the mat lay", "a cat saw the dog", "cats"]
    values, _ = pseudo_log_likelihoods(model, sentences)
    order = [sentences[place] for place in np.argsort(values)]
    rising = [Pair(order[place + 1], order[place]) for place in range(4)]
    lines = [row(*pair, UID="right") for pair in rising]
    lines += [row(*pair[::-1], UID="wrong") for pair in rising[:2]]
    lines += [row(*rising[0], UID="half"), row("a", "a", UID="half"), row("a", "a", UID="half")]
    found = measure_pairs(model, write(tmp_path / "mine.jsonl", lines))
    rows = {each["name"]: each for each in found["paradigms"]}
    assert rows["right"]["accuracy"] == rows["right"]["low"] == rows["right"]["high"] == 1
    assert rows["wrong"]["accuracy"] == rows["wrong"]["high"] == 0
    assert rows["half"]["accuracy"] == pytest.approx(2 / 3)
    assert found["accuracy"] == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert found["low"] <= found["accuracy"] <= found["high"]
    # Only the third paradigm varies: its pairs are 1, .5 and .5.
    assert 1.5 / 3 <= found["low"] < found["high"] <= 2 / 3
    assert (found["name"], found["ties"], found["num_pairs"]) == ("mine", 2, 9)
    assert json.loads(json.dumps(found)) == found
    assert model.training


def test_some_pairs_of_each_paradigm(make_language_model: Make, tmp_path: Path) -> None:
    model = make_language_model()
    lines = [row(f"the cat {i}", f"a dog {i}", UID=f"{i % 2}") for i in range(12)]
    path = write(tmp_path / "mine.jsonl", lines)
    found = measure_pairs(model, path, num_pairs=3)
    assert [each["num"] for each in found["paradigms"]] == [3, 3]
    assert measure_pairs(model, path, num_pairs=3) == found
    every = measure_pairs(model, path, num_pairs=50)
    assert every == measure_pairs(model, path)
    assert [each["num"] for each in every["paradigms"]] == [6, 6]
