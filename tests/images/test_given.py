"""Images that are given from Python, and what is given and is none."""

import itertools
import re
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import maskwise as mw
from maskwise.errors import UserError
from maskwise.images.data import ImageDataSettings, load

SMALL = {"train.batch_size": 4}


class Numbers(Dataset):
    """As many samples as it says, and more for whoever asks: no IndexError ends it."""

    def __init__(self, make, length=40):
        self.make, self.length, self.asked = make, length, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.asked.append(index)
        return self.make(index)


class Endless(IterableDataset):
    def __iter__(self):
        return itertools.repeat(torch.zeros(1, 8, 8))


class Lengthless(Dataset):
    def __getitem__(self, index):
        return torch.zeros(1, 8, 8)


class NoIndices(Numbers):
    def __getitem__(self, index):
        raise RuntimeError("the disk\nis gone")


def grey(index):
    return np.full((8, 6), index, np.uint8)


def values(splits):
    """The value of each image, those to train on first."""
    return [
        int(source.get([row])[0].float().mean().round())
        for source in (splits.train, splits.test)
        for row in range(len(source))
    ]


@pytest.mark.parametrize(
    ("make", "shape", "classes"),
    [
        (grey, (1, 8, 6), None),
        (lambda n: torch.full((3, 8, 6), n, dtype=torch.uint8), (3, 8, 6), None),
        (lambda n: (grey(n)[..., None].repeat(3, -1), n % 3), (3, 8, 6), ("0", "1", "2")),
        (lambda n: (torch.from_numpy(grey(n)), torch.tensor(n % 2)), (1, 8, 6), ("0", "1")),
        (lambda n: Image.fromarray(grey(n)), (1, 8, 6), None),
        (lambda n: [Image.fromarray(grey(n)), "ab"[n % 2]], (1, 8, 6), ("a", "b")),
        (lambda n: {"image": Image.fromarray(grey(n)), "label": n % 2}, (1, 8, 6), ("0", "1")),
        (lambda n: (grey(n), {"boxes": []}), (1, 8, 6), None),
        (lambda n: (grey(n),), (1, 8, 6), None),
    ],
)
def test_data_sets_are_read_to_their_length_and_no_further(make, shape, classes):
    data = Numbers(make)
    splits = load(ImageDataSettings(source="array"), data)
    assert (splits.train.shape, splits.train.classes) == (shape, classes)
    assert sorted(values(splits)) == list(range(40))
    assert max(data.asked) == 39
    if classes is not None:
        names = [classes[label] for label in splits.train.labels]
        numbers = values(splits)[: len(splits.train)]
        assert names == [classes[number % len(classes)] for number in numbers]
    data.asked.clear()
    found = mw.inspect(data, **SMALL)
    assert (found.num_train, found.problems) == (32, [])
    # A look by `inspect`, and no second reading by the load that follows.
    load(ImageDataSettings(source="array"), data)
    assert sum(asked == 1 for asked in data.asked) == 1


def test_lists_pairs_memory_maps_and_other_arrays(tmp_path):
    x = np.arange(40, dtype=np.uint8)[:, None, None] + np.zeros((1, 8, 6), np.uint8)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for given in (
        mapped,
        x.view(np.recarray),
        list(x),
        x.tolist(),
        TensorDataset(torch.tensor(x)),
    ):
        splits = load(ImageDataSettings(source="array"), given)
        assert splits.train.shape == (1, 8, 6)
        assert sorted(values(splits)) == list(range(40))
        assert mw.inspect(given, **SMALL).num_train == 32
    y = [0, 1] * 20
    for given in ((mapped, y), (list(x), y), ([Image.fromarray(each) for each in x], y)):
        splits = load(ImageDataSettings(source="array"), given)
        assert splits.train.labels.tolist() == [n % 2 for n in values(splits)[: len(splits.train)]]


def test_pictures_of_a_list_may_differ():
    pictures = [Image.new("RGB" if n % 2 else "L", (8 + n, 8), n) for n in range(10)]
    found = mw.inspect(pictures, **SMALL)
    mended = {key: value for each in found.problems for key, value in each.settings.items()}
    assert mended == {"data.size": "8", "data.channels": "3"}
    assert "image 1 is 8x8, image 2 is 8x9" in found.problems[0].text
    assert not mw.inspect(pictures, **SMALL, **mended).problems
    assert pictures[0].getpixel((0, 0)) == 0  # still open


def test_masked_values_are_not_read_as_values():
    x = np.ma.masked_array(np.ones((20, 4, 4)), np.zeros((20, 4, 4), bool))
    assert not mw.inspect(x, **SMALL).problems
    x[2, 0, 0] = np.ma.masked
    [problem] = mw.inspect(x, **SMALL).problems
    assert "image 3 (1 of 16 values are NaN" in problem.text
    assert mw.inspect(x, data={"broken": "skip"}, **SMALL).num_train == 15


@pytest.mark.parametrize("modality", [None, "images", "text", "tables"])
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, r"type NoneType \(None\)"),
        (7, r"type int \(7\)"),
        (0.5, r"type float \(0.5\)"),
        (b"bytes", "type bytes"),
        ({1, 2}, "type set"),
        (np.zeros, r"type function \(zeros\)|_ArrayFunctionDispatcher \(zeros\)|\(zeros\)"),
        (dict, r"type type \(dict\)"),
        (
            (n for n in itertools.count()),
            "type generator cannot be read: it can be read once only",
        ),
        (iter([1]), "type list_iterator cannot be read: it can be read once only"),
        (Lengthless(), "type Lengthless cannot be read: they have no length"),
        (DataLoader(Numbers(grey)), r"type DataLoader .*: it gives minibatches, so .* \.dataset"),
        (types.SimpleNamespace(a=1), "type SimpleNamespace"),
    ],
)
def test_what_cannot_be_data_is_one_line_at_once(data, told, modality, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for verb in (mw.inspect, mw.pretrain):
        with pytest.raises(
            UserError, match=rf"^data of {told}.*\. Give a file.*list of texts"
        ) as it:
            verb(data, modality=modality)
        assert "\n" not in str(it.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (np.zeros(5), r"type ndarray and shape \(5,\)"),
        (np.zeros((2, 2, 2, 2, 2)), r"type ndarray and shape \(2, 2, 2, 2, 2\)"),
        ([1, 2], "type list"),
        (range(9), "type range"),
        (Numbers(lambda n: {"input_ids": [n]}), "type Numbers"),
    ],
)
def test_what_no_kind_takes_is_one_line(data, told):
    items = r": its samples are dict with the keys input_ids" if "Numbers" in told else ""
    with pytest.raises(UserError, match=rf"^data of {told} cannot be read{items}\. Give a file"):
        mw.inspect(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "a list without samples"),
        (
            [np.zeros((4, 4)), np.zeros((4, 5))],
            r"image 1 has the shape \(4, 4\) and image 2 \(4, 5",
        ),
        ([np.zeros((4, 4)), torch.zeros(4, 4)], "some samples are tensors and some are not"),
        ((np.zeros((4, 4, 4)), [0, 1], 3), "sample 2 of 3 is no picture, but list"),
        ((np.zeros((4, 4, 4)), [0, 1]), "2 labels for 4 images"),
        ((np.zeros((4, 4, 4)), np.eye(4)), r"labels must be integers or texts \[N\], got float64"),
        ((np.zeros((4, 4, 4)), [0.5, 1, 1, 0]), "labels must be integers or texts"),
        (Numbers(grey, 0), "a Numbers without samples"),
        (NoIndices(grey), "sample 1 of 40 cannot be read: the disk"),
        ([[[1, 2], [3]], [[1, 2], [3, 4]]], "images must all have one shape"),
        (np.zeros((4, 4, 4), complex), "images must be numbers, got complex128"),
    ],
)
def test_images_that_cannot_be_used_are_one_line(data, told):
    [problem] = mw.inspect(data, modality="images").problems
    assert re.search(told, problem.text)
    assert "\n" not in problem.text


def test_embed_refuses_the_same(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 8, 6), dtype=np.uint8)
    model = {"width": 8, "heads": 1, "depth": 1, "decoder_width": 8, "decoder_heads": 1}
    run = mw.pretrain(x, out=tmp_path / "run", **SMALL, model=model, train={"steps": 1})
    z = run.embed(x)
    np.testing.assert_array_equal(run.embed(Numbers(lambda n: x[n], 20)), z)
    np.testing.assert_array_equal(run.embed([Image.fromarray(each) for each in x]), z)
    for data in (Endless(), None, 5, (each for each in x)):
        with pytest.raises(UserError, match=r"^data of type .* cannot be read"):
            run.embed(data)
