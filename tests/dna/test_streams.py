"""Sequences of data sets and streams from Python."""

import numpy as np
import pytest
import torch

import maskwise as mw
from maskwise.dna import streams
from maskwise.errors import UserError
from maskwise.given import Items
from maskwise.modalities import find
from maskwise.preparing import loaded
from maskwise.settings import override
from maskwise.train.stream import StreamBatches

DNA = find("dna")
CONFIG = override(DNA.own("array"), {"data.stream_test": 10, "data.buffer": 20, "data.window": 16})


def sequence(number):
    return "".join(np.random.default_rng(number).choice(list("ACGT"), 20 + number % 30))


def sequences(num=60):
    return ({"sequence": sequence(number)} for number in range(num))


def test_data_sets_are_read_as_lists_are():
    class Sequences:
        def __len__(self):
            return 30

        def __getitem__(self, index):
            return {"id": index, "dna": sequence(index)}

    data = Sequences()
    assert streams.of_items(Items(data)) == [sequence(n) for n in range(30)]
    assert not mw.inspect(data, modality="dna", **{"train.batch_size": 4}).problems
    [problem] = mw.inspect(data, modality="dna", **{"data.x": "id"}).problems
    assert problem.text == "sample 1 of 30 is no str, but int"


def test_windows_of_a_stream_are_those_of_its_sequences(monkeypatch):
    monkeypatch.setattr(streams, "TOGETHER", 100)
    splits = loaded(DNA, sequences, CONFIG)
    listed = override(CONFIG, {"data.heldout": [f"sequence{n}" for n in range(1, 11)]})
    whole = loaded(DNA, [sequence(n) for n in range(60)], listed)
    found = np.stack(list(splits.stream.samples()))
    np.testing.assert_array_equal(found, whole.train.get(range(len(whole.train))))
    assert torch.equal(splits.test.get(range(9)), whole.test.get(range(9)))
    assert torch.equal(splits.train.get(range(9)), whole.train.get(range(9)))
    batches = list(StreamBatches(splits.stream, batch_size=16, seed=0).read(0, 20))
    again = list(StreamBatches(splits.stream, batch_size=16, seed=0).read(15, 20))
    assert batches[-1].epoch > 0
    assert torch.equal(batches[15].samples, again[0].samples)


@pytest.mark.slow
def test_a_run_on_a_stream_of_sequences(tmp_path):
    run = mw.pretrain(
        sequences,
        modality="dna",
        out=tmp_path / "run",
        model={"width": 8, "depth": 1},
        data={"stream_test": 10, "buffer": 20, "window": 16},
        train={"steps": 2, "batch_size": 8, "log_every": 1},
        evaluate={"ratios": 0.5, "num_windows": 16},
        diagnose={"num_samples": 8},
    )
    assert len(run.metrics) == 2
    assert run.config.data.window == 16


@pytest.mark.parametrize(
    ("make", "changes", "told"),
    [
        (sequences, {"data.heldout": ["a"]}, "data.heldout needs all sequences"),
        (lambda: sequences(9), {}, "the stream ended after 9 samples"),
        (lambda: iter([*["ACGT"] * 14, 5]), {}, "sample 15 of the stream is no str, but int"),
        (
            lambda: iter(["ACGT", *["ACGX?"] * 30]),
            {},
            "none of 10 records is DNA: record",
        ),
    ],
)
def test_streams_that_cannot_be_used_are_one_line(make, changes, told, tmp_path):
    settings = {"data.stream_test": 10, **changes}
    with pytest.raises(UserError, match=told) as it:
        mw.pretrain(make, modality="dna", out=tmp_path / "run", **settings)
    assert "\n" not in str(it.value)
    assert not list(tmp_path.iterdir())


def test_records_of_a_stream_that_are_no_dna_are_left_out(caplog):
    def some():
        return iter([sequence(n) if n != 30 else "ACGT?" * 9 for n in range(60)])

    with pytest.raises(UserError, match="sequence31"):
        list(loaded(DNA, some, CONFIG).stream.samples())
    splits = loaded(DNA, some, override(CONFIG, {"data.broken": "skip"}))
    caplog.clear()
    found = np.stack(list(splits.stream.samples()))
    assert "1 records left out: record sequence31 (position 5" in caplog.text
    whole = loaded(DNA, sequences, CONFIG)
    assert len(found) < sum(1 for _ in whole.stream.samples())
