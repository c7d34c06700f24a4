"""Arrays, built-in data, splits and settings; files of images are in test_image_files.py."""

import gzip
import hashlib
import io
import lzma
import re

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.images.data import ImageDataSettings, load, read_all
from maskwise.images.images import held_out, hold_out
from maskwise.images.recipes import ImageRunSettings
from maskwise.images.record import RECORD
from maskwise.settings import from_dict, to_dict


def pixels(count=10, height=4, width=6, channels=3, seed=0):
    shape = (count, height, width, channels)[: 4 if channels else 3]
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def from_arrays(x, y=None, holdout=0.2):
    """What a run on arrays has."""
    return RECORD.load((x, y), ImageRunSettings(data=ImageDataSettings(holdout=holdout)))


def everything(source):
    return source.get(range(len(source)))


def save_xz(path, array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.write_bytes(lzma.compress(buffer.getvalue()))


def idx_bytes(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def fails(match, **settings):
    """Loading fails with one line that matches."""
    with pytest.raises(UserError, match=match) as caught:
        load(
            ImageDataSettings(
                **{key: str(v) if key == "source" else v for key, v in settings.items()}
            )
        )
    assert "\n" not in str(caught.value)


def test_digits_keep_their_grey_levels_and_classes():
    from sklearn.datasets import load_digits

    splits = load(ImageDataSettings())
    assert splits.name == "digits"
    assert splits.train.shape == (1, 8, 8)
    assert splits.train.classes == tuple("0123456789")
    assert len(splits.train) + len(splits.test) == 1797
    images = torch.cat([everything(splits.train), everything(splits.test)]).double()
    assert images.max() == 255
    assert images.mean() == pytest.approx(load_digits().images.mean() * 255 / 16, abs=0.05)


def test_get_returns_channels_first_in_the_order_asked_for():
    x = pixels()
    source = from_arrays(x, np.arange(10) % 2).train
    got = source.get(torch.tensor([3, 0]))
    assert got.shape == (2, 3, 4, 6)
    assert got.dtype == torch.uint8
    for image, index in zip(got, [3, 0], strict=True):
        assert (image.permute(1, 2, 0).numpy() == x[source.rows[index]]).all()
    assert source.get([]).shape == (0, 3, 4, 6)


@pytest.mark.parametrize("ending", [".npy", ".npy.xz"])
@pytest.mark.parametrize("channels", [None, 1, 5])
def test_array_files_round_trip(tmp_path, ending, channels):
    x, path = pixels(channels=channels), tmp_path / f"cells{ending}"
    (save_xz if ending.endswith("xz") else np.save)(path, x)
    splits = load(ImageDataSettings(source=str(path), layout="NHWC"))
    assert splits.name == "cells"
    assert splits.train.shape == (channels or 1, 4, 6)
    assert splits.train.labels is None
    assert splits.train.classes is None
    expected = x[splits.test.rows].reshape(len(splits.test), 4, 6, -1).transpose(0, 3, 1, 2)
    assert (everything(splits.test).numpy() == expected).all()


@pytest.mark.parametrize(
    ("values", "dtype", "kept"),
    [
        (np.array([0, 255], np.int64), torch.uint8, [0, 255]),
        (np.array([0, 256], np.int64), torch.float32, [0, 256]),
        (np.array([-1, 5], np.int16), torch.float32, [-1, 5]),
        (np.array([True, False]), torch.uint8, [1, 0]),
        (np.array([0.5, 7.0]), torch.float32, [0.5, 7]),
        (np.array([0.5, 7.0], np.float16), torch.float32, [0.5, 7]),
    ],
)
def test_types(values, dtype, kept):
    splits = from_arrays(np.broadcast_to(values[:, None, None], (2, 4, 4)), holdout=0.5)
    images = torch.cat([everything(splits.train), everything(splits.test)])
    assert images.dtype == dtype
    assert sorted(images[:, 0, 0, 0].tolist()) == sorted(kept)


def test_torch_tensors_have_channels_second():
    x = pixels()
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2)
    ours, theirs = from_arrays(tensor).train, from_arrays(x).train
    assert torch.equal(everything(ours), everything(theirs))
    halves = from_arrays((tensor / 2).bfloat16(), torch.arange(10) % 3)
    assert everything(halves.train).dtype == torch.float32
    assert halves.train.classes == ("0", "1", "2")


def test_npz_with_a_test_split(tmp_path):
    x, more, path = pixels(), pixels(4, seed=1), tmp_path / "a.npz"
    y = np.array([30, 5, 7, 7, 7, 30, 30, 5, -5, 7])
    np.savez(path, x=x, y=y, x_test=more, y_test=[7, 8, 30, 7])
    splits = load(ImageDataSettings(source=str(path)))
    assert splits.train.classes == splits.test.classes == ("5", "7", "8", "30")
    assert splits.train.labels.tolist() == [3, 0, 1, 1, 1, 3, 3, 0, -1, 1]
    assert splits.test.labels.tolist() == [1, 2, 3, 1]
    assert splits.test.labels.dtype == np.int64
    assert (everything(splits.test).numpy() == more.transpose(0, 3, 1, 2)).all()


def test_npz_mixed_types_become_float(tmp_path):
    np.savez(tmp_path / "a.npz", x=pixels(), x_test=pixels().astype(np.int64) + 1000)
    splits = load(ImageDataSettings(source=str(tmp_path / "a.npz")))
    assert everything(splits.train).dtype == everything(splits.test).dtype == torch.float32


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"images": pixels()}, "keys found: images; expected x"),
        ({"x": pixels(), "label": np.arange(10)}, "keys found: x, label"),
        ({}, "keys found: none"),
        ({"x": pixels(), "y": np.arange(9)}, r"a\.npz: y: 9 labels for 10 images"),
        ({"x": pixels(), "y": np.linspace(0, 1, 10)}, "labels must be integers"),
        ({"x": pixels(), "y": np.zeros((10, 1), int)}, r"shape \(10, 1\)"),
        ({"x": pixels(), "x_test": pixels(width=7)}, r"\(4, 6, 3\) and test images \(4, 7, 3\)"),
        ({"x": pixels(), "y": np.arange(10), "x_test": pixels()}, "test images have none"),
        ({"x": pixels(), "y_test": np.arange(10), "x_test": pixels()}, "training images have"),
        ({"x": pixels(), "y_test": np.arange(10)}, "test labels without test images"),
        ({"x": np.array([[["a"]]])}, "must be numbers"),
        ({"x": np.array([{}, 1], dtype=object)}, "allow_pickle=False"),
        ({"x": np.zeros(5)}, r"must be \[N, H, W\]"),
        ({"x": np.zeros((0, 4, 4))}, "no images"),
        (
            {"x": np.full((3, 2, 2), np.nan)},
            r"a\.npz: 3 cannot be read: image 1 \(4 of 4 values are NaN or infinite\), image 2",
        ),
        ({"x": np.full((3, 2, 2), 1e300)}, "4 of 4 values are NaN or infinite"),
        (
            {"x": np.zeros((4, 12, 9, 10))},
            "may be .* with 10 channels or .* with 12: give",
        ),
        (
            {"x": np.zeros((4, 3, 32, 3))},
            "may be .* with 3 channels or .* with 3: give",
        ),
        ({"x": np.zeros((1, 4, 4))}, "1 image is too few"),
    ],
)
def test_bad_npz(tmp_path, arrays, match):
    np.savez(tmp_path / "a.npz", **arrays)
    fails(match, source=tmp_path / "a.npz")


def test_nan_is_counted_and_named(tmp_path):
    x = np.zeros((5, 4, 4), np.float32)
    x[0, 0, 0], x[3, 1, 1] = np.nan, -np.inf
    np.save(tmp_path / "scan.npy", x)
    told = r"2 cannot be read: image 1 \(1 of 16 values are NaN or infinite\), image 4 \(1 of 16"
    fails(rf"scan\.npy: {told}", source=tmp_path / "scan.npy")
    with pytest.raises(UserError, match=f"array: {told}"):
        from_arrays(x)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.npy.xz"])
def test_broken_files(tmp_path, name):
    path = tmp_path / name
    {"a.npy": np.save, "a.npz": np.savez_compressed, "a.npy.xz": save_xz}[name](path, pixels())
    whole = path.read_bytes()
    for broken in (b"", b"not an array at all", b"\x93NUMPY", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        fails(rf"{re.escape(name)}: cannot be read", source=path)


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, []], dtype=object))
    fails("allow_pickle", source=tmp_path / "a.npy")


def test_folder_of_arrays_joins_its_parts_in_order(tmp_path):
    parts = [pixels(seed=seed) for seed in range(3)]
    for number, part in enumerate(parts):
        name = tmp_path / f"x_train_{number}.npy"
        save_xz(name.with_suffix(".npy.xz"), part) if number else np.save(name, part)
        np.save(tmp_path / f"y_train_{number}.npy", np.full(10, number))
    save_xz(tmp_path / "x_test.npy.xz", pixels(2, seed=9))
    np.save(tmp_path / "y_test.npy", [2, 0])
    splits = load(ImageDataSettings(source=str(tmp_path)))
    expected = np.concatenate(parts).transpose(0, 3, 1, 2)
    assert (everything(splits.train).numpy() == expected).all()
    assert splits.train.labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert splits.test.labels.tolist() == [2, 0]


def test_bad_folders_of_arrays(tmp_path):
    np.save(tmp_path / "images.npy", pixels())
    fails(r"found images\.npy; a folder of arrays needs x_train", source=tmp_path)
    np.save(tmp_path / "x_train_0.npy", pixels())
    np.save(tmp_path / "x_train_1.npy", pixels(width=8))
    fails(r"x_train_1\.npy: shape \(10, 4, 8, 3\) does not continue x_train_0", source=tmp_path)
    (tmp_path / "x_train_1.npy").unlink()
    np.save(tmp_path / "y_train.npy", np.arange(11))
    fails("y_train: 11 labels for 10 images", source=tmp_path)
    (tmp_path / "x_train_1.npy").write_bytes(b"")
    fails(r"x_train_1\.npy: cannot be read", source=tmp_path)


@pytest.mark.parametrize(
    ("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)]
)
def test_mnist_files(tmp_path, ending, pack):
    x, more = pixels(channels=None), pixels(3, channels=None, seed=1)
    labels = np.arange(10, dtype=np.uint8) % 4

    def write(name, array):
        (tmp_path / f"{name}{ending}").write_bytes(pack(idx_bytes(array)))

    write("train-images-idx3-ubyte", x)
    unlabelled = load(ImageDataSettings(source=str(tmp_path)))
    assert unlabelled.train.labels is None
    assert len(unlabelled.test) == 2
    write("train-labels-idx1-ubyte", labels)
    write("t10k-images-idx3-ubyte", more)
    write("t10k-labels-idx1-ubyte", labels[:3])
    splits = load(ImageDataSettings(source=str(tmp_path)))
    assert splits.train.shape == (1, 4, 6)
    assert (everything(splits.train).numpy()[:, 0] == x).all()
    assert (everything(splits.test).numpy()[:, 0] == more).all()
    assert splits.train.labels.tolist() == labels.tolist()


def test_broken_mnist_files(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    whole = idx_bytes(pixels(channels=None))
    for broken, match in [(whole[:-1], "239 values for shape"), (b"\0\0\x0d\3", "not an idx")]:
        path.write_bytes(broken)
        fails(match, source=tmp_path)
    path.unlink()
    packed = gzip.compress(whole)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(packed[: len(packed) // 2])
    fails(r"ubyte\.gz: cannot be read", source=tmp_path)


def test_holdout_is_fixed_disjoint_and_stratified():
    labels = np.repeat([0, 1, 2], [50, 30, 7])
    splits = from_arrays(pixels(87), labels, holdout=0.3)
    again = from_arrays(pixels(87, seed=5), labels, holdout=0.3)
    assert (splits.test.rows == again.test.rows).all()
    both = np.concatenate([splits.train.rows, splits.test.rows])
    assert sorted(both) == list(range(87))
    assert len(splits.test) == 26
    assert (labels[splits.test.rows] == splits.test.labels).all()
    counts = np.bincount(splits.test.labels, minlength=3)
    assert np.abs(counts - 0.3 * np.array([50, 30, 7])).max() < 1
    assert (np.diff(splits.test.rows) > 1).sum() < 25  # shuffled, not every third one


@pytest.mark.parametrize(
    ("sizes", "fraction", "held"),
    [
        ((30, 2), 0.2, (5, 1)),  # as many as without the rare class
        ((2, 2), 0.2, (1, 1)),  # more, since nobody can spare one
        ((10, 2), 0.99, (9, 1)),
        ((50, 30, 7), 0.3, (15, 9, 2)),
        ((40, 2, 1, 2), 0.2, (6, 1, 1, 1)),
    ],
)
def test_every_class_of_two_or_more_is_on_both_sides(sizes, fraction, held):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    chosen = held_out(len(labels), labels, fraction)
    assert np.bincount(labels[chosen], minlength=len(sizes)).tolist() == list(held)
    assert (chosen == held_out(len(labels), labels, fraction)).all()
    bare = np.where(labels == 0, -1, labels)  # those without a label are in proportion too
    assert abs(held_out(len(labels), bare, fraction)[labels == 0].sum() - fraction * sizes[0]) <= 1


def test_the_split_of_the_digits_is_what_it_was():
    """Splits that had every class on both sides have not changed."""
    test = load(ImageDataSettings()).test
    digest = hashlib.sha256(test.rows.astype("<i8").tobytes()).hexdigest()
    assert digest == "ca83b37721d8f957d149137c2d1ea63cd299ee6f1c788949a7ae487711f1c3fe"


@pytest.mark.parametrize(("total", "fraction", "held"), [(2, 0.01, 1), (2, 0.99, 1), (11, 0.5, 6)])
def test_holdout_leaves_both_sides_something(total, fraction, held):
    train, test = hold_out(from_arrays(pixels(total + 1), holdout=0.01).train, fraction)
    assert (len(train), len(test)) == (total - held, held)


def test_holdout_outside_the_unit_interval():
    with pytest.raises(UserError, match=r"holdout=1\.5"):
        from_arrays(pixels(), holdout=1.5)


def test_limit_takes_a_prefix_of_one_shuffle():
    rows = [load(ImageDataSettings(limit=limit)).train.rows for limit in (50, 200, 10_000)]
    assert [len(row) for row in rows] == [50, 200, 1438]
    assert (rows[1][:50] == rows[0]).all()
    assert rows[0].max() > 1000
    splits = load(ImageDataSettings(limit=50))
    whole = load(ImageDataSettings())
    assert len(splits.test) == len(whole.test)
    truth = dict(zip(whole.train.rows, whole.train.labels, strict=True))
    assert splits.train.labels.tolist() == [truth[row] for row in splits.train.rows]


def test_paths_that_cannot_be_used(tmp_path, monkeypatch):
    fails("no file or folder 'digit'; did you mean 'digits'", source="digit")
    fails("built-in data: digits", source="/nowhere/at/all")
    (tmp_path / "photos").mkdir()
    fails("did you mean '.*photos'", source=tmp_path / "fotos")
    monkeypatch.chdir(tmp_path)
    fails("did you mean 'photos'", source="photo")
    (tmp_path / "table.csv").write_text("a,b")
    fails(r"table\.csv: not a set of images; expected a folder", source="table.csv")
    (tmp_path / "cat.png").write_text("")
    fails("give its folder", source="cat.png")


def test_arrays_are_not_converted(tmp_path):
    np.save(tmp_path / "a.npy", pixels())
    assert load(ImageDataSettings(source=str(tmp_path / "a.npy"), size=(4, 6), channels=3))
    fails("4x6 images", source=tmp_path / "a.npy", size=(6, 4))
    fails("array with 3 channels", source=tmp_path / "a.npy", channels=1)
    fails("size=", size=16)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 0),
        ("size", (3, -1)),
        ("size", (1, 2, 3)),
        ("channels", 0),
        ("holdout", 0),
        ("holdout", 1.0),
        ("limit", 0),
        ("crop_scale", (0.9, 0.2)),
        ("crop_scale", (0, 0.2)),
        ("crop_scale", (0.2, 1.1)),
        ("source", ["a"]),
    ],
)
def test_bad_settings(key, value):
    with pytest.raises(UserError, match=key):
        from_dict(ImageDataSettings, {key: value})


def test_settings_round_trip():
    data = ImageDataSettings(
        source="photos", size=64, channels=3, limit=5, crop_scale=(0.2, 1), flip=True
    )  # type: ignore[arg-type]
    assert data.size == (64, 64)
    assert from_dict(ImageDataSettings, to_dict(data)) == data


@pytest.mark.parametrize(
    ("shape", "layout", "found"),
    [
        ((40, 3, 32, 48), None, (3, 32, 48)),
        ((40, 1, 32, 32), None, (1, 32, 32)),
        ((40, 32, 48, 3), None, (3, 32, 48)),
        ((40, 4, 6, 4), None, (4, 4, 6)),
        ((40, 64, 64, 12), None, (12, 64, 64)),
        ((40, 12, 16, 16), "NCHW", (12, 16, 16)),
        ((40, 3, 32, 48), "NHWC", (48, 3, 32)),
    ],
)
def test_channels_are_where_they_can_be(tmp_path, shape, layout, found):
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    source = read_all(ImageDataSettings(source=str(tmp_path / "x.npy"), layout=layout)).given
    assert source.shape == found
    channels_first = x if found == shape[1:] else x.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(source.get([7])[0].numpy(), channels_first[7])
