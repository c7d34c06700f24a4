"""Texts of data sets and streams from Python."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

import maskwise as mw
from maskwise.errors import UserError
from maskwise.modalities import as_given, config_of, find, taken
from maskwise.preparing import loaded
from maskwise.settings import override
from maskwise.train.stream import StreamBatches

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "dogs", "run"]
SMALL = {
    "data.stream_test": 30,
    "data.buffer": 20,
    "data.length": 16,
    "data.vocab_size": 300,
}
TEXT = find("text")
CONFIG = override(TEXT.own("array"), SMALL)


def sentence(number):
    return " ".join(np.random.default_rng(number).choice(WORDS, 4 + number % 9))


def sentences(num=400):
    return ({"text": sentence(number), "topic": "x"} for number in range(num))


class Sentences(Dataset):
    def __init__(self, make=sentence):
        self.make = make

    def __len__(self):
        return 50

    def __getitem__(self, index):
        return self.make(index)


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (Sentences(), {}),
        (Sentences(lambda n: (sentence(n), n % 2)), {}),
        (Sentences(lambda n: {"text": sentence(n)}), {}),
        (Sentences(lambda n: {"title": "a", "body": sentence(n)}), {"data.x": "body"}),
        ([{"title": "a", "body": sentence(n)} for n in range(50)], {"data.column": "body"}),
    ],
)
def test_data_sets_of_texts_are_read_as_lists_are(data, changes):
    config = config_of(data, changes)
    assert config.modality == "text"
    assert taken(TEXT, as_given(data, config), config) == [sentence(n) for n in range(50)]


def test_texts_that_are_none_are_named():
    for broken, told in (
        (lambda n: n, "sample 1 of 50 is no text, but int"),
        (
            lambda n: {"id": n, "y": 1},
            "sample 1 of 50 is no text, but dict with the keys id, y: n",
        ),
        (lambda n: sentence(n) if n < 9 else None, "sample 10 of 50 is None"),
    ):
        [problem] = mw.inspect(Sentences(broken), modality="text").problems
        assert problem.text.startswith(told)
    [problem] = mw.inspect(Sentences(lambda n: {"text": sentence(n) if n != 3 else None})).problems
    assert problem.settings == {"data.broken": "skip"}  # as a list that lacks one
    with pytest.raises(UserError, match=r"^sample 1 of 50 has no key 'body': its keys are text"):
        mw.inspect(Sentences(lambda n: {"text": "a"}), **{"data.x": "body"})


@pytest.fixture(scope="module")
def splits():
    return loaded(TEXT, sentences, CONFIG)


def texts_in(text, rows):
    """The texts of rows, each between the tokens that begin and end it."""
    [start], [stop] = text.start, text.stop
    found = []
    for row in rows.tolist():
        for token in row:
            if token == start:
                found.append([])
            elif token not in (stop, text.pad):
                found[-1].append(token)
    return [text.decode(each) for each in found]


def test_a_stream_is_packed_as_it_passes_and_nothing_is_lost(splits):
    text = splits.train.corpus.text
    config = replace(CONFIG.data, length=40)
    long = loaded(TEXT, sentences, replace(CONFIG, data=config))
    rows = [long.stream.collate([row])[0] for row in long.stream.samples()]
    found = texts_in(long.train.corpus.text, torch.cat(rows))
    assert sorted(found) == sorted(sentence(n) for n in range(30, 400))
    assert len(rows) < 370  # several to a row
    assert rows[0].dtype == torch.int64
    assert text.length == 16
    held = texts_in(long.train.corpus.text, long.test.get(range(len(long.test))))
    assert sorted(held) == sorted(sentence(n) for n in range(30))
    seen = texts_in(long.train.corpus.text, long.train.get(range(len(long.train))))
    assert sorted(seen) == sorted(sentence(n) for n in range(30, 60))


def test_batches_of_a_stream_can_be_resumed_and_shared(splits):
    def read(start, **ranks):
        batches = StreamBatches(splits.stream, batch_size=8, seed=1, **ranks)
        return [(b.epoch, b.ids.tolist(), b.samples.tolist()) for b in batches.read(start, 70)]

    whole = read(0)
    assert read(50) == whole[50:]
    assert whole[-1][0] >= 1
    shares = zip(read(60, rank=0, ranks=2), read(60, rank=1, ranks=2), strict=True)
    assert [one[2] + two[2] for one, two in shares] == [samples for *_, samples in whole[60:]]


def test_words_of_a_stream_are_units(splits):
    assert splits.stream.collate(list(itertools.islice(splits.stream.samples(), 4)))[1] is None
    spans = loaded(TEXT, sentences, override(CONFIG, {"pattern": "words", "data.vocab_size": 270}))
    ids, units = spans.stream.collate(list(itertools.islice(spans.stream.samples(), 4)))
    assert units.shape == ids.shape == (4, 16)
    expected = spans.train.units(range(4))
    rows = spans.train.get(range(4))
    match = [row for row in range(4) if torch.equal(rows[row], ids[row])]
    assert all(torch.equal(units[row], expected[row]) for row in match)
    assert (units.diff(dim=1) >= 0).all()
    assert units.diff(dim=1).eq(0).any()  # words of several tokens


def test_a_run_on_a_stream_of_texts(tmp_path):
    run = mw.pretrain(
        sentences,
        out=tmp_path / "run",
        model={"width": 8, "depth": 1, "heads": 1},
        train={"steps": 3, "batch_size": 8, "log_every": 1},
        evaluate={"ratios": 0.5, "baselines": False},
        diagnose={"num_samples": 8},
        **SMALL,
    )
    assert run.result["data"]["name"] == "stream"
    assert len(run.metrics) == 3
    assert run.embed([sentence(1)]).shape == (1, 8)


@pytest.mark.parametrize(
    ("make", "changes", "told"),
    [
        (sentences, {"pattern": "ngrams"}, "pattern ngrams needs all texts"),
        (sentences, {"data.heldout": "x.txt"}, "a stream is tested on its first texts"),
        (lambda: sentences(20), {}, "the stream ended after 20 samples, and its first 30"),
        (lambda: iter([*["a b c"] * 40, 5]), {}, "sample 41 of the stream is no text, but int"),
        (lambda: iter([{"text": None}] * 70), {}, "sample 1 of the stream has no text: leave it"),
    ],
)
def test_streams_that_cannot_be_used_are_one_line(make, changes, told, tmp_path):
    with pytest.raises(UserError, match=told) as it:
        mw.pretrain(make, modality="text", out=tmp_path / "run", **SMALL, **changes)
    assert "\n" not in str(it.value)
    assert not list(tmp_path.iterdir())
