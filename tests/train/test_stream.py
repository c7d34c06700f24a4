"""Batches of a stream: which samples a step sees, resuming, ranks; and streams as data."""

import itertools
import random
import tracemalloc

import numpy as np
import pytest
import torch

from maskwise.borrowed import drawing, keyed
from maskwise.errors import UserError
from maskwise.given import Items, Streamed, head, wrapped
from maskwise.train.stream import StreamBatches, StreamSource, in_buffer


def numbers(num, buffer=10, known=None):
    """A stream of so many numbers, which are their own samples."""

    def collate(some):
        return torch.tensor(some), None

    return StreamSource(lambda: iter(range(num)), collate, buffer, known)


def read(source, start, stop, **options):
    return list(StreamBatches(source, batch_size=8, seed=3, **options).read(start, stop))


def test_a_pass_gives_each_sample_once_in_a_keyed_order():
    passes = [[n for n, _ in in_buffer(numbers(50), seed=0, epoch=epoch)] for epoch in (0, 1, 0)]
    assert all(sorted(each) == list(range(50)) for each in passes)
    assert passes[0] == passes[2] != passes[1]
    assert passes[0] != [n for n, _ in in_buffer(numbers(50), seed=1, epoch=0)]
    # Of a buffer of 10 the k-th that goes out is one of the first k + 11.
    assert all(number <= place + 10 for place, number in enumerate(passes[0]))
    assert passes[0] != list(range(50))
    alone = [n for n, _ in in_buffer(numbers(50, buffer=1), seed=0, epoch=0)]
    assert alone == list(range(50))


def test_a_sample_waits_as_long_as_a_buffer_of_its_size_says():
    """Each step lets one of `buffer` go: the waiting time is geometric, with mean `buffer`."""
    found = [n for n, _ in in_buffer(numbers(20_000, buffer=20), seed=0, epoch=0)]
    place = np.argsort(found)
    waited = place[1000:15_000] - np.arange(1000, 15_000) + 20
    assert waited.min() == 1
    assert np.mean(waited) == pytest.approx(20, abs=8 * 20 / np.sqrt(14_000))


def test_steps_number_their_samples_and_drop_the_partial_batch():
    batches = read(numbers(50), 0, 13)
    assert [batch.step for batch in batches] == list(range(13))
    assert [batch.epoch for batch in batches] == [0] * 6 + [1] * 6 + [2]
    for batch in batches:
        assert torch.equal(batch.samples, batch.ids)
        assert torch.equal(batch.peers, batch.ids)
    first = torch.cat([batch.ids for batch in batches[:6]])
    assert len(set(first.tolist())) == 48
    second = torch.cat([batch.ids for batch in batches[6:12]])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("start", [3, 6, 8, 14, 19])
def test_reading_later_is_the_tail(start):
    whole = read(numbers(50), 0, 20)
    again = read(numbers(50), start, 20)
    assert [(b.step, b.epoch, b.ids.tolist()) for b in again] == [
        (b.step, b.epoch, b.ids.tolist()) for b in whole[start:]
    ]


def test_resuming_reads_whole_passes_once_only():
    passes = []

    def samples():
        passes.append(0)
        return iter(range(50))

    source = StreamSource(samples, lambda some: (torch.tensor(some), None), 10)
    [batch] = read(source, 600, 601)
    assert (batch.step, batch.epoch) == (600, 100)
    assert len(passes) == 2  # the first, to know how long it is, and the hundred and first


def test_ranks_share_the_batches_of_one():
    whole = read(numbers(50), 2, 9)
    shares = [read(numbers(50), 2, 9, rank=rank, ranks=2) for rank in (0, 1)]
    for one, first, second in zip(whole, *shares, strict=True):
        assert torch.equal(one.samples, torch.cat([first.samples, second.samples]))
        assert torch.equal(one.peers, first.peers)
        assert torch.equal(one.peers, second.peers)
        assert len(first.ids) == len(second.ids) == 4


def test_only_the_own_share_is_collated():
    asked = []

    def collate(some):
        asked.extend(some)
        return torch.tensor(some), None

    source = StreamSource(lambda: iter(range(50)), collate, 10)
    read(source, 1, 3, rank=1, ranks=2)
    assert len(asked) == 8


@pytest.mark.parametrize("known", [7, None])
def test_a_stream_that_ends_before_a_batch_is_full(known):
    told = r"^the stream ends after 7 samples to train on, before a batch of 8 is full: lower"
    with pytest.raises(UserError, match=told):
        read(numbers(7, known=known), 0, 1)


def test_a_stream_that_is_shorter_the_second_time_is_told(caplog):
    lengths = iter([50, 20, 20])
    source = StreamSource(
        lambda: iter(range(next(lengths))), lambda some: (torch.tensor(some), None), 4
    )
    assert [b.epoch for b in read(source, 0, 10)] == [0] * 6 + [1, 1, 2, 2]
    assert "gave 2 batches in its pass 2, and 6 before" in caplog.text


def test_memory_stays_flat_over_a_stream():
    """Samples of 20 MB in all are made on the fly, and 1 MB waits in the buffer."""

    def samples():
        return (np.full(1000, n, np.float32) for n in range(5000))

    source = StreamSource(
        samples, lambda some: (torch.from_numpy(np.stack(some)), None), buffer=250
    )
    tracemalloc.start()
    try:
        for _ in StreamBatches(source, batch_size=100, seed=0).read(0, 40):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e6


# What is a stream, what is a data set, and what is neither.


class Endless:
    def __iter__(self):
        return itertools.count()


class Rows:
    def __init__(self, num=3):
        self.num = num

    def __len__(self):
        return self.num

    def __getitem__(self, index):
        if index == 2:
            raise KeyError("gone")
        return {"image": index, "label": "a"}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (Endless(), Streamed),
        (lambda: iter("ab"), Streamed),
        (Rows(), Items),
        ([{"a": 1}], Items),
        ([1, 2], list),
        ("text", str),
        (dict, type),
        (iter("ab"), type(iter("ab"))),
        (np.zeros, type(np.zeros)),
        (np.zeros(3), np.ndarray),
        (torch.nn.Linear(1, 1), torch.nn.Linear),
        (range(3), range),
        ({"a": [1]}, dict),
        (lambda x: x, type(lambda: 0)),
    ],
)
def test_what_is_asked_item_by_item(data, kind):
    assert type(wrapped(data)) is kind
    assert wrapped(wrapped(data)) is wrapped(data) or kind in (Items, Streamed)


def test_streams_are_read_again_and_again():
    stream = wrapped(lambda: iter("abc"))
    assert stream.first == "a"
    assert [*stream] == [*stream] == ["a", "b", "c"]
    assert next(iter(wrapped(Endless()))) == 0


def failing():
    yield 1
    raise RuntimeError("the disk\nis gone")


def nothing():
    return iter(())


once = iter("ab")
twice = ["ab", ""]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (failing, "sample 2 of the stream cannot be read: the disk$"),
        (nothing, "type function gives no samples$"),
        (lambda: 7, "gives no stream: 'int' object is not iterable"),
        (
            lambda: once,
            "gives the same iterator again, which can be read once only, .* a function",
        ),
        (lambda: iter(twice.pop(0)), "gave samples once and none when it was read again: it can"),
    ],
)
def test_streams_that_cannot_be_read_again_or_at_all(make, told):
    stream = Streamed(make)
    with pytest.raises(UserError, match=told) as it:
        list(itertools.chain(stream, stream))
    assert "\n" not in str(it.value)


def test_an_exception_of_somebody_elses_code_is_kept():
    with pytest.raises(UserError, match=r"^sample 3 of 3 cannot be read: KeyError: 'gone'$") as it:
        Items(Rows()).item(2)
    assert isinstance(it.value.__cause__, KeyError)
    with pytest.raises(UserError) as it:
        list(Streamed(failing))
    assert isinstance(it.value.__cause__, RuntimeError)


def test_keys_of_dicts():
    items = Items(Rows(), x="image", y="label")
    assert items.parts(items.first, 0) == (0, "a")
    assert Items(Rows()).parts({"b": 1, "a": 2}, 0, ("z", "a")) == (2, None)
    assert Items(Rows()).parts({"b": 1}, 0, ("z", "a")) == ({"b": 1}, None)
    with pytest.raises(UserError, match=r"^sample 1 of 3 has no key 'pic': its keys are image, l"):
        Items(Rows(), x="pic").parts(items.first, 0)
    with pytest.raises(UserError, match=r"names a key, and sample 2 of 3 is no dict but int"):
        items.parts(5, 1)
    with pytest.raises(UserError, match=r"^sample 2 of 3 is None: leave it out"):
        items.parts(None, 1)


def test_a_data_set_keeps_its_length():
    data = Rows(2)
    items = Items(data)
    assert len(list(items.every())) == 2
    data.num = 1
    with pytest.raises(UserError, match=r"Rows had 2 samples and has 1 now: its length must stay"):
        items.check()


def test_the_first_of_a_stream():
    found = head(Streamed(lambda: iter(range(10))), 3, lambda item, number: (item, number))
    assert found.test == [(0, 0), (1, 1), (2, 2)]
    assert found.train == [(3, 3), (4, 4), (5, 5)]
    assert found.num is None
    short = head(Streamed(lambda: iter(range(10))), 6, lambda item, _: item)
    assert (short.train, short.num) == ([6, 7, 8, 9], 4)
    with pytest.raises(
        UserError, match=r"^the stream ended after 10 samples, and its first 10 ar"
    ):
        head(Streamed(lambda: iter(range(10))), 10, lambda item, _: item)


def test_transforms_of_others_are_keyed_and_global_generators_untouched():
    def drawn(seed, epoch, sample):
        with drawing(seed, epoch), keyed([5, sample]) as begin:
            begin(1)
            numbers = np.random.rand()  # noqa: NPY002
            return float(torch.rand(1)), float(numbers), random.random()

    def states():
        shared = np.random.get_state()  # noqa: NPY002
        return torch.get_rng_state().tolist(), shared[1].tolist(), random.getstate()

    before = states()
    found = [drawn(*key) for key in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))]
    assert len({value for each in found for value in each}) == 12
    assert drawn(0, 1, 0) == found[2]
    with keyed([1]) as begin:
        begin(0)
        assert float(torch.rand(1)) == found[1][0]  # outside of training: seed 0, epoch 0
    assert states() == before
