import json
import logging

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.files import cached
from maskwise.text import data as text_data
from maskwise.text.data import TextDataSettings, load

pytest.importorskip("tokenizers")
LINES = [f"line {n} tells of {n * n} cats and some {n % 7} dogs" for n in range(200)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n", "utf-8")
    return path


def settings(path, **changes):
    return TextDataSettings(**{"source": str(path), "vocab_size": 300, "length": 24, **changes})


def text_of(source):
    """The documents that the rows of a source hold."""
    found = []
    text = source.corpus.text
    for row in source.get(np.arange(len(source))):
        numbers = text.documents(row[None])[0]
        last = int(numbers.max())
        found += [text.decode(row[numbers == number]) for number in range(1, last + 1)]
    return found


def test_lines_are_packed_and_split_without_loss(corpus):
    splits = load(settings(corpus, document="line", length=48))
    train, test = text_of(splits.train), text_of(splits.test)
    assert sorted(train + test) == sorted(LINES)
    tokens = [source.rows.size.sum() for source in (splits.train, splits.test)]
    assert tokens[1] / sum(tokens) == pytest.approx(0.05, abs=0.01)
    assert len(splits.train) < len(train)  # several to a row
    assert splits.train.padding < 0.2
    alone = load(settings(corpus, document="line", length=48, pack=False))
    assert len(alone.train) == len(train)


def test_one_document_is_cut_and_its_end_held_out(corpus):
    splits = load(settings(corpus))
    assert splits.train.corpus.counts["documents"] == 1
    whole = "\n".join(LINES)
    assert whole.startswith(text_of(splits.train)[0])
    assert whole.endswith(text_of(splits.test)[-1])
    sizes = [source.rows.size.sum() for source in (splits.train, splits.test)]
    assert sizes[1] == round(0.05 * sum(sizes))
    assert sum(sizes) == splits.train.corpus.counts["tokens"]


def test_held_out_texts_of_your_own(corpus, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("something else about cats", "utf-8")
    splits = load(settings(corpus, heldout=str(other)))
    assert text_of(splits.test) == ["something else about cats"]
    assert splits.test.corpus.text.num_tokens == splits.train.corpus.text.num_tokens


def test_rows_are_a_function_of_their_index(corpus):
    source = load(settings(corpus, document="line")).train
    rows = source.get([3, 0, 3])
    assert torch.equal(rows[0], rows[2])
    assert torch.equal(rows[1], source.get(torch.tensor([0]))[0])
    assert rows.dtype == torch.int64


@pytest.mark.parametrize("units", ["words", "ngrams"])
def test_units(corpus, units, tmp_path):
    listed = tmp_path / "ngrams.txt"
    listed.write_text("tells of\n\ncats and some\n", "utf-8")
    data = settings(corpus, document="line", ngrams=str(listed))
    assert load(data).train.units([0]) is None
    source = load(data, units=units).train
    ids, unit = source.get([0])[0], source.units([0])[0]
    text = source.corpus.text
    eligible = text.eligible(ids)
    words = [
        text.decode(ids[eligible & (unit == number)])
        for number in dict.fromkeys(unit[eligible].tolist())
    ]
    expected = text.decode(ids[eligible]).split()
    if units == "ngrams":
        assert "tells of" in words
        assert "cats and some" in words
        expected = [w for w in expected if w not in ["tells", "of", "cats", "and", "some"]]
        words = [w for w in words if " " not in w]
    assert words == expected
    assert (unit.diff() >= 0).all()


def test_ngrams_of_the_corpus_itself(corpus):
    source = load(settings(corpus, document="line"), units="ngrams").train
    assert source.starts.sum() < source.corpus.starts.sum()
    short = load(settings(corpus, document="line", holdout=0.5), units="words").train
    assert short.starts.sum() == short.corpus.starts.sum()


def test_tokens_are_made_once(corpus, monkeypatch):
    first = load(settings(corpus))

    def again(*args, **options):
        raise AssertionError("tokenized again")

    monkeypatch.setattr(text_data, "write_corpus", again)
    second = load(settings(corpus, length=40))  # rows are cut anew, tokens are not
    assert second.train.corpus.counts == first.train.corpus.counts
    with pytest.raises(AssertionError, match="tokenized again"):
        load(settings(corpus, vocab_size=310))
    corpus.write_text("another text about many cats " * 20, "utf-8")
    with pytest.raises(AssertionError, match="tokenized again"):
        load(settings(corpus))


def test_tokenizing_keeps_memory_flat(corpus, monkeypatch):
    """Tokenized a few characters at a time, the corpus is the same."""
    whole = load(settings(corpus, document="line")).train.corpus
    monkeypatch.setattr("maskwise.text.corpus._BATCH", 64)
    monkeypatch.setenv("MASKWISE_CACHE", str(corpus.parent / "other"))
    parts = load(settings(corpus, document="line")).train.corpus
    assert np.array_equal(whole.ids, parts.ids)
    assert np.array_equal(whole.starts, parts.starts)
    assert whole.counts == parts.counts


def test_short_documents_are_left_out_and_counted(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    rows = ["", "a", *LINES[:30], " "]
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), "utf-8")
    with caplog.at_level(logging.INFO, "maskwise"):
        splits = load(settings(path))
    counts = splits.train.corpus.counts
    assert (counts["documents"], counts["dropped_documents"]) == (33, 3)
    assert "3 documents of fewer than two tokens left out" in caplog.text
    assert sorted(text_of(splits.train) + text_of(splits.test)) != sorted(rows)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"no text: 1 empty files \(a\.txt\)"),
        (b"\n \n", "too few to hold out|no text"),
        (b"GIF89a\0\0", "no text: byte 7 is NUL"),
        (b"a b", "tokens in 1 documents are too few to hold out 0.05 of them"),
    ],
)
def test_texts_that_cannot_be_used(tmp_path, content, says):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        load(settings(path))
    assert not list((tmp_path / "cache").rglob(".writing*"))


def test_texts_in_memory():
    splits = load(settings("array"), LINES)
    assert sorted(text_of(splits.train) + text_of(splits.test)) == sorted(LINES)
    with pytest.raises(UserError, match="1 of 2 are no texts: text 2 is int: give texts"):
        load(settings("array"), ["a", 1])


def test_damaged_tokens_are_reported(corpus):
    load(settings(corpus))
    [meta] = cached("tokens", {}).parent.rglob("meta.json")
    (meta.parent / "ids.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"tokens in .* are damaged .*: delete that folder"):
        load(settings(corpus))


def test_a_row_longer_than_a_tokenizer_allows(corpus):
    transformers = pytest.importorskip("transformers")
    text = load(settings(corpus)).train.corpus.text
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=text.tokenizer,
        mask_token="[MASK]",
        pad_token="[PAD]",
        model_max_length=20,
    )
    folder = corpus.parent / "tokenizer"
    fast.save_pretrained(folder)
    assert load(settings(corpus, tokenizer=str(folder), length=20)).train.get([0]).shape == (1, 20)
    with pytest.raises(UserError, match=r"length 24 is outside 1\.\.20"):
        load(settings(corpus, tokenizer=str(folder)))


@given_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(2, 400), min_size=1, max_size=60), st.floats(0.02, 0.5))
def test_the_held_out_share_is_nearly_right(sizes, share):
    ends = np.cumsum(sizes)
    documents = np.stack([ends - sizes, ends], axis=1)
    try:
        parts = text_data._hold_out(documents, share)
    except UserError:
        assert share * sum(sizes) < 4 or sum(sizes) < 8
        return
    kept, held = (np.concatenate([np.arange(*each) for each in part]) for part in parts)
    assert not set(kept.tolist()) & set(held.tolist())
    assert len(kept) + len(held) >= sum(sizes) - 2  # a cut may leave a crumb of one token
    assert share * sum(sizes) / 2 - 2 <= len(held) <= share * sum(sizes) + 3
