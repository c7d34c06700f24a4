"""Data sets and streams of images from Python: read lazily, keyed, resumed, refused in a line."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

import maskwise as mw
from maskwise.errors import UserError
from maskwise.images import given
from maskwise.images.data import ImageDataSettings, load
from maskwise.images.images import describe
from maskwise.modalities import find
from maskwise.settings import override
from maskwise.train.batches import Batches
from maskwise.train.stream import StreamBatches
from tests.fixtures.runs import losses_of

MODEL = {"width": 8, "heads": 1, "depth": 1, "decoder_width": 8, "decoder_heads": 1}
FAST = {
    "model": MODEL,
    "evaluate": {"ratios": 0.5, "protocols": "knn", "baselines": False, "visible": ()},
    "diagnose": {"num_samples": 8},
}
ARRAY = ImageDataSettings(source="array")


def grey(index, shape=(8, 6)):
    return np.full(shape, index % 256, np.uint8)


class Made(Dataset):
    """As many samples as it says, made by a function of their number."""

    def __init__(self, make=grey, length=40):
        self.make, self.length = make, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.make(index)


class Passing(IterableDataset):
    def __init__(self, make=grey, length=60):
        self.make, self.length = make, length

    def __iter__(self):
        return (self.make(index) for index in range(self.length))


class Stored:
    """What `datasets.IterableDataset` is to us: it has columns and can be iterated, no more."""

    column_names = ("picture", "kind")

    def __iter__(self):
        return ({"picture": Image.fromarray(grey(n)), "kind": "ab"[n % 2]} for n in range(60))


def noisy(index):
    """A transform that draws: brighter by chance."""
    return torch.full((1, 8, 6), index, dtype=torch.uint8) + torch.randint(0, 100, (1,)).byte()


@pytest.fixture
def no_memory(monkeypatch):
    monkeypatch.setattr(given, "MEMORY_BYTES", 100)


# Data sets that do not fit memory.


@pytest.mark.parametrize(
    ("make", "shape", "dtype"),
    [
        (grey, (1, 8, 6), torch.uint8),
        (lambda n: (torch.full((3, 8, 6), n / 40), n % 2), (3, 8, 6), torch.float32),
        (lambda n: {"img": Image.fromarray(grey(n)), "label": n % 2}, (1, 8, 6), torch.uint8),
        (lambda n: grey(n, (8, 6, 3)), (3, 8, 6), torch.uint8),
    ],
)
def test_large_data_sets_are_read_when_asked(make, shape, dtype, no_memory):
    asked = []

    def told(index):
        asked.append(index)
        return make(index)

    splits = load(ARRAY, Made(told, 1000))
    assert len(splits.train) + len(splits.test) == 1000
    assert len(set(asked)) == 8  # a look at a few, each read twice
    source = splits.train
    assert (source.shape, source.in_memory) == (shape, False)
    few = source.get([3, 1])
    assert (few.dtype, tuple(few.shape[1:])) == (dtype, shape)
    values = few.float().mean((1, 2, 3)) * (40 if dtype == torch.float32 else 1)
    expected = source.rows[[3, 1]] % (2**30 if dtype == torch.float32 else 256)
    assert values.round().long().tolist() == expected.tolist()


def test_labels_of_large_data_sets(no_memory, caplog):
    def make(n):
        return grey(n), n % 3

    assert load(ARRAY, Made(make)).train.labels is None
    assert "labels are not read, as this would read all of 40 samples" in caplog.text
    data = Made(make)
    data.targets = torch.arange(40) % 3
    for given_data in (data, (Made(make), [n % 3 for n in range(40)])):
        source = load(ARRAY, given_data).train
        assert source.labels.tolist() == (source.rows % 3).tolist()
    data.targets = 1 - torch.arange(40) % 3  # something else is called so
    assert load(ARRAY, data).train.labels is None


def test_pictures_become_what_settings_say(no_memory):
    data = Made(lambda n: Image.fromarray(grey(n, (8, 8 + n))).convert("RGB" if n % 2 else "L"))
    with pytest.raises(UserError, match=r"has the shape .* make them alike or give data="):
        load(ARRAY, data)
    splits = load(override(ARRAY, {"size": 4, "channels": 1}), data)
    assert splits.train.shape == (1, 4, 4)
    values = splits.train.get([0, 1]).float().mean((1, 2, 3)).round()
    assert values.tolist() == splits.train.rows[:2].tolist()


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (None, "sample 4 of 40 is None: leave it out"),
        (
            grey(3, (8, 7)),
            r"sample 4 of 40 has the shape \(8, 7, 1\) and sample 1 of 40 \(8, 6, 1",
        ),
        (np.full((8, 6), np.nan), "sample 4 of 40: 48 of 48 values are NaN or infinite"),
        ("text", "sample 4 of 40 is no picture, but str"),
        (np.ones((8, 6)), r"sample 4 of 40 has the shape .* of float32 and uint8"),
    ],
)
def test_samples_that_are_not_like_the_first(bad, told, no_memory):
    source = load(ARRAY, Made(lambda n: bad if n == 3 else grey(n))).train
    with pytest.raises(UserError, match=rf"^{told}"):
        source.get(np.flatnonzero(source.rows == 3))


def test_a_data_set_that_changes_its_length(no_memory, tmp_path):
    data = Made()

    def shrinking(n):
        data.length -= n == 39
        return grey(n)

    data.make = shrinking
    with pytest.raises(UserError, match=r"Made had 40 samples and has 3\d now: its length must"):
        mw.pretrain(
            data,
            out=tmp_path / "run",
            train={"steps": 9, "batch_size": 8},
            efficiency={"workers": 0},
            **FAST,
        )


def test_an_exception_in_getitem_is_told_with_its_number():
    def failing(n):
        if n == 7:
            raise RuntimeError("file 7\nis gone")
        return grey(n)

    with pytest.raises(UserError, match=r"^sample 8 of 40 cannot be read: file 7$") as it:
        load(ARRAY, Made(failing))
    assert str(it.value.__cause__) == "file 7\nis gone"


def test_key_that_is_not_there(tmp_path):
    data = Made(lambda n: {"pic": grey(n), "kind": n % 2})
    splits = load(override(ARRAY, {"x": "pic", "y": "kind"}), given.wrapped(data, "pic", "kind"))
    assert (
        splits.train.labels.tolist()
        == (splits.train.get(range(32)).float().mean((1, 2, 3)) % 2).tolist()
    )
    for x, keys in (("pix", "pix"), (None, None)):
        with pytest.raises(UserError, match=r"(its keys are|with the keys) pic, kind"):
            mw.pretrain(data, data={"x": keys} if x else {}, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


# Transforms that draw.


def test_random_transforms_are_honoured_and_keyed(caplog):
    caplog.set_level("INFO")
    splits = load(ARRAY, Made(noisy))
    assert "a sample differs when it is read again" in caplog.text
    source = splits.train
    assert not source.in_memory
    assert torch.equal(source.get([0, 1]), source.get([0, 1]))  # outside of training
    assert torch.equal(source.get([1, 0]).flip(0), source.get([0, 1]))

    def epochs(workers, seed=0):
        found = Batches(source, batch_size=16, seed=seed).read(0, 6, workers)
        return [
            dict(zip(b.ids.tolist(), b.samples[:, 0, 0, 0].tolist(), strict=True)) for b in found
        ]

    alone = epochs(0)
    assert alone == epochs(0) != epochs(0, seed=1)
    assert alone == epochs(2)
    first = {**alone[0], **alone[1]}
    second = {**alone[2], **alone[3]}
    both = first.keys() & second.keys()
    assert sum(first[key] != second[key] for key in both) > len(both) / 2


# Streams.

STREAMS = {
    "iterable": lambda: Passing(),
    "factory": lambda: lambda: (grey(n) for n in range(60)),
    "pairs": lambda: Passing(lambda n: (Image.fromarray(grey(n)), "ab"[n % 2])),
    "stored": Stored,
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_of_images(name):
    keys = {"data.x": "picture", "data.y": "kind"} if name == "stored" else {}
    config = override(
        find("images").own("array"), {"data.stream_test": 10, "data.buffer": 7, **keys}
    )
    from maskwise.preparing import loaded

    splits = loaded(find("images"), STREAMS[name](), config)
    assert splits.test.get(range(10))[:, 0, 0, 0].tolist() == list(range(10))
    assert splits.train.get(range(10))[:, 0, 0, 0].tolist() == list(range(10, 20))
    if name in ("pairs", "stored"):
        assert splits.train.classes == ("a", "b")
        assert splits.train.labels.tolist() == splits.test.labels.tolist() == [0, 1] * 5
    batches = StreamBatches(splits.stream, batch_size=10, seed=0).read(0, 5)
    seen = torch.cat([batch.samples[:, 0, 0, 0] for batch in batches])
    assert sorted(seen.tolist()) == list(range(10, 60))
    images = describe(splits.train, (2, 2), "raw")
    assert images.mean == pytest.approx((14.5,))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of nine steps over three passes, and how it was made."""

    def pretrain(folder, **options):
        return mw.pretrain(
            Passing(lambda n: (noise(n), n % 2)),
            out=folder,
            data={"stream_test": 12, "buffer": 8, "patch": 2},
            train={"steps": 9, "batch_size": 16, "log_every": 1, "checkpoint_every": 2},
            **FAST,
            **options,
        )

    return pretrain(tmp_path_factory.mktemp("streams") / "whole"), pretrain


def noise(index):
    return np.random.default_rng(index).integers(0, 256, (8, 6), dtype=np.uint8)


def test_a_run_on_a_stream(run):
    whole, _ = run
    assert [row["epoch"] for row in whole.metrics] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert whole.result["data"]["num_test"] == 12
    assert whole.result["probes"]
    again = mw.evaluate(whole, Passing(lambda n: (noise(n), n % 2)))
    assert again.result["reconstruction"] == whole.result["reconstruction"]


def test_a_run_on_a_stream_goes_on_where_it_stopped(run, tmp_path, monkeypatch):
    whole, pretrain = run

    class Stopping(StreamBatches):
        def read(self, *arguments):
            for batch in super().read(*arguments):
                if batch.step == 5:
                    raise KeyboardInterrupt
                yield batch

    with monkeypatch.context() as patch:
        patch.setattr("maskwise.api.StreamBatches", Stopping)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path / "run")
    again = pretrain(tmp_path / "run", resume=True)
    assert losses_of(again) == losses_of(whole)


def test_what_a_look_at_a_stream_says(run):
    found = mw.inspect(Passing(), data={"stream_test": 20, "patch": 2})
    assert not found.problems
    assert found.num_train is None
    assert found.found == {
        "a stream, looked at": 20,
        "shape of a sample": "(1, 8, 6)",
        "held out": 20,
    }
    assert mw.inspect(Passing(), data={"stream_test": 40, "patch": 2}).num_train == 20


def test_a_stream_has_no_end_to_embed(run):
    for ask in (run[0].embed, lambda data: run[0].predictor(data=data)):
        with pytest.raises(
            UserError, match=r"^data of type Passing cannot be read: it has no len"
        ):
            ask(Passing())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            lambda: (grey(n) for n in range(9)),
            "the stream ended after 9 samples, and its first 10",
        ),
        (
            lambda: (grey(n, (8, 6 + n // 5)) for n in range(40)),
            r"sample 6 of the stream has the s",
        ),
        (
            lambda: (grey(n) if n != 5 else None for n in range(40)),
            "sample 6 of the stream is None",
        ),
        (lambda: iter(()), "gives no samples"),
        (
            lambda: (1 / (5 - n) * grey(n) for n in range(9)),
            "sample 6 of the stream cannot be rea",
        ),
        (
            Passing(length=24),
            r"a minibatch of 16 is more than the 14 samples to train on\. This wo",
        ),
        (Passing(lambda n: (grey(n), "a" if n % 2 else 3)), "labels must be integers or texts"),
    ],
)
def test_streams_that_cannot_be_used_are_one_line(data, told, tmp_path):
    options = {"data": {"stream_test": 10, "patch": 2}, "train": {"steps": 5, "batch_size": 16}}
    with pytest.raises(UserError, match=told) as it:
        mw.pretrain(data, modality="images", out=tmp_path / "run", **options, **FAST)
    assert "\n" not in str(it.value)
    assert not list(tmp_path.iterdir())


def test_kinds_that_read_no_streams_say_so():
    [problem] = mw.inspect(Passing(), modality="cells").problems
    assert problem.text == "models of cells do not read streams: give data of a known length"


# Memory maps.


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.arange(40, dtype=np.uint8), torch.uint8),
        (np.arange(40, dtype=np.int64), torch.uint8),
        (np.arange(40, dtype=np.int16) - 1, torch.float32),
        (np.arange(40, dtype=np.float64) / 2, torch.float32),
        (np.arange(40, dtype=np.float32), torch.float32),
    ],
)
@pytest.mark.parametrize("shape", [(1, 8, 6), (1, 8, 6, 3), (1, 3, 8, 6)])
def test_memory_maps_stay_where_they_are(values, dtype, shape, tmp_path):
    x = np.broadcast_to(values.reshape(40, *[1] * (len(shape) - 1)), (40, *shape[1:]))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    splits = load(ARRAY, (mapped, np.arange(40) % 2))
    images = splits.train.read.args[0]
    base = images
    while not isinstance(base, np.memmap):
        base = base.base
    assert np.shares_memory(images, mapped)
    assert images.dtype == mapped.dtype
    assert splits.train.shape == ((1 if len(shape) == 3 else 3), 8, 6)
    found = splits.train.get([0, 5])
    assert found.dtype == dtype
    assert found[:, 0, 0, 0].tolist() == values[splits.train.rows[[0, 5]]].tolist()
    assert splits.train.labels.tolist() == (splits.train.rows % 2).tolist()


def test_what_is_broken_in_a_memory_map_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("maskwise.images.given_maps._PART", 1000)  # a few images at a time
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (40, 8, 6))
    x[:] = 1
    x[30, 2, 3] = np.nan
    with pytest.raises(UserError, match=r"image 31 \(1 of 48 values are NaN"):
        load(ARRAY, x)
    splits = load(override(ARRAY, {"broken": "skip"}), x)
    assert len(splits.train) + len(splits.test) == 39
    assert 30 not in [*splits.train.rows, *splits.test.rows]
