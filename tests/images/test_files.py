"""Folders of images and Hugging Face data sets."""

import pickle
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from maskwise.errors import UserError
from maskwise.images import looked
from maskwise.images.data import ImageDataSettings, load
from maskwise.images.pictures import Pictures
from maskwise.patches.arrays import read_ahead


def fails(match, source, **settings):
    """Loading fails with one line that matches."""
    with pytest.raises(UserError, match=match) as caught:
        load(ImageDataSettings(source=str(source), **settings))
    assert "\n" not in str(caught.value)


def save(path, height=5, width=7, mode="RGB", seed=0, **options):
    """Write random pixels, and return them as an array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width, 3) if mode in ("RGB", "P") else (height, width)
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(values)
    (image if mode in ("RGB", "L") else image.convert(mode)).save(path, **options)
    return values


def test_flat_folder_in_order(tmp_path):
    values = [save(tmp_path / f"{n}.png", seed=n) for n in range(6)]
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image either")
    (tmp_path / "empty").mkdir()
    splits = load(ImageDataSettings(source=str(tmp_path), holdout=0.5))
    assert splits.name == tmp_path.name
    assert splits.train.labels is None
    assert splits.train.shape == (3, 5, 7)
    assert splits.train.in_memory
    seen = {
        image.permute(1, 2, 0).numpy().tobytes()
        for source in (splits.train, splits.test)
        for image in source.get(range(len(source)))
    }
    assert seen == {value.tobytes() for value in values}


def test_class_folders_and_splits(tmp_path):
    values = {}
    for split, names in {"train": ["cat", "ant"], "val": ["cat"]}.items():
        for name in names:
            for n in range(3):
                path = tmp_path / split / name / ("deep" if n else "") / f"{n}.bmp"
                values[split, name, n] = save(path, seed=len(values))
    splits = load(ImageDataSettings(source=str(tmp_path)))
    assert splits.train.classes == splits.test.classes == ("ant", "cat")
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert splits.test.labels.tolist() == [1, 1, 1]
    first = splits.train.get([3])[0].permute(1, 2, 0).numpy()
    assert (first == values["train", "cat", 0]).all()
    save(tmp_path / "test" / "bee" / "0.bmp", seed=99)  # test goes before val
    splits = load(ImageDataSettings(source=str(tmp_path)))
    assert splits.test.labels.tolist() == [1]
    assert splits.test.classes == ("ant", "bee", "cat")


def test_classes_without_splits_are_held_out_in_proportion(tmp_path):
    for name in ("train", "plane"):  # a class may be called train
        for n in range(5):
            save(tmp_path / name / f"{n}.png", seed=n)
    splits = load(ImageDataSettings(source=str(tmp_path)))
    assert splits.train.classes == ("plane", "train")
    assert splits.test.labels.tolist() == [0, 1]


def test_bad_folders(tmp_path):
    fails("no images here", tmp_path)
    save(tmp_path / "a" / "0.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("")
    fails(r"1 class folders have no images: b: add some or remove them", tmp_path)
    save(tmp_path / "loose.png")
    fails(r"images both here \(loose\.png\) and in sub-folders \(a/\)", tmp_path)


def test_only_one_split_has_classes(tmp_path):
    save(tmp_path / "train" / "a" / "0.png")
    save(tmp_path / "test" / "0.png")
    fails("only one of train/ and test/ has class folders", tmp_path)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "bmp"])
@pytest.mark.parametrize("size", [None, (5, 5)])
def test_truncated_and_unreadable_files(tmp_path, ending, size):
    for n in range(3):
        save(tmp_path / f"{n}.{ending}", 50, 70, seed=n)
    path = tmp_path / f"1.{ending}"
    whole = path.read_bytes()
    for broken in (whole[: len(whole) * 2 // 3], b"", b"text"):
        path.write_bytes(broken)
        fails(
            rf"1 cannot be read: 1\.{ending} \(.+\): mend .* or give .*\"broken\": \"skip\"",
            tmp_path,
            size=size,
        )


def test_mixed_sizes(tmp_path):
    save(tmp_path / "0.png", 5, 7)
    save(tmp_path / "1.png", 5, 7)
    save(tmp_path / "2.png", 9, 8)
    fails(r'0\.png is 5x7, 2\.png is 9x8 \(height x width\), or give .*"size": 8', tmp_path)
    splits = load(ImageDataSettings(source=str(tmp_path), size=(4, 3)))
    assert splits.train.shape == (3, 4, 3)


def test_mixed_channels(tmp_path):
    save(tmp_path / "0.png", mode="L")
    save(tmp_path / "1.png", mode="RGB")
    fails(r'0\.png has 1 \(1 do\), 1\.png has 3 \(1 do\), or give .*"channels": 3', tmp_path)
    for channels in (1, 3):
        assert (
            load(ImageDataSettings(source=str(tmp_path), channels=channels)).train.shape[0]
            == channels
        )


def test_mixed_depth(tmp_path):
    save(tmp_path / "0.png", mode="L")
    Image.fromarray(np.zeros((5, 7), np.uint16)).save(tmp_path / "1.png")
    fails("differ in depth: 0.png has 8 bits .* 1.png has 16 bits", tmp_path)


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)]
)
def test_modes(tmp_path, mode, channels):
    save(tmp_path / "0.png", mode=mode)
    save(tmp_path / "1.png", mode=mode)
    assert load(ImageDataSettings(source=str(tmp_path))).train.shape == (channels, 5, 7)
    assert load(ImageDataSettings(source=str(tmp_path), channels=3)).train.shape == (3, 5, 7)
    grey = load(ImageDataSettings(source=str(tmp_path), channels=1)).train
    assert grey.shape == (1, 5, 7)
    with Image.open(tmp_path / f"{grey.rows[0]}.png") as image:
        expected = np.asarray(image.convert("RGB").convert("L") if channels == 3 else image)
    assert grey.get([0]).dtype == torch.uint8
    if mode in ("L", "RGB", "RGBA", "P"):
        assert (grey.get([0])[0, 0].numpy() == expected).all()


def test_palette_with_transparency(tmp_path):
    for n in range(2):
        save(tmp_path / f"{n}.png", mode="P", transparency=bytes(range(256)))
    assert load(ImageDataSettings(source=str(tmp_path))).train.shape == (3, 5, 7)


@pytest.mark.parametrize("channels", [None, 3])
def test_deep_images_become_floats(tmp_path, channels):
    values = np.random.default_rng(0).integers(0, 65536, (5, 7), dtype=np.uint16)
    for n in range(2):
        Image.fromarray(values).save(tmp_path / f"{n}.png")
    source = load(ImageDataSettings(source=str(tmp_path), channels=channels)).train
    assert source.shape == (channels or 1, 5, 7)
    got = source.get([0])
    assert got.dtype == torch.float32
    assert (got[0].numpy() == values).all()
    small = load(
        ImageDataSettings(source=str(tmp_path), size=(2, 2), channels=channels)
    ).train.get([0])
    assert small.shape == (1, channels or 1, 2, 2)
    assert 255 < small.mean() < 65535


def test_float_tif_with_nan(tmp_path):
    values = np.zeros((5, 7), np.float32)
    Image.fromarray(values).save(tmp_path / "0.tif")
    values[2, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "1.tif")
    fails(r"1 cannot be read: 1\.tif \(1 pixels are NaN or infinite\)", tmp_path)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_exif_orientation(tmp_path, ending):
    values = np.zeros((16, 24), np.uint8)
    values[:8] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the top becomes the right side
    for n in range(2):
        Image.fromarray(values).save(tmp_path / f"{n}.{ending}", exif=exif)
    source = load(ImageDataSettings(source=str(tmp_path))).train
    assert source.shape == (1, 24, 16)
    image = source.get([0])[0, 0].int()
    assert abs(image[:, 8:] - 200).max() < 5
    assert image[:, :8].max() < 5


def test_resize_covers_then_crops_the_centre(tmp_path):
    values = np.zeros((10, 40, 3), np.uint8)
    values[:, 10:30] = 100  # the middle half is what a square crop of this must lie in
    for n in range(2):
        Image.fromarray(values).save(tmp_path / f"{n}.png")
    image = load(ImageDataSettings(source=str(tmp_path), size=5)).train.get([0])  # type: ignore[arg-type]
    assert image.shape == (1, 3, 5, 5)
    assert (image == 100).all()
    tall = load(ImageDataSettings(source=str(tmp_path), size=(10, 40))).train.get([0])[0]
    assert (tall.permute(1, 2, 0).numpy() == values).all()


def test_large_folders_are_decoded_when_asked_for(tmp_path, monkeypatch):
    for n in range(6):
        save(tmp_path / "ab"[n % 2] / f"{n}.png", seed=n)
    kept = load(ImageDataSettings(source=str(tmp_path)))
    monkeypatch.setattr(looked, "MEMORY_BYTES", 6 * 5 * 7 * 3 - 1)
    lazy = load(ImageDataSettings(source=str(tmp_path)))
    assert (kept.train.in_memory, lazy.train.in_memory) == (True, False)
    assert lazy.train.shape == kept.train.shape
    assert lazy.train.labels.tolist() == kept.train.labels.tolist()
    assert torch.equal(lazy.train.get([3, 1]), kept.train.get([3, 1]))
    assert torch.equal(pickle.loads(pickle.dumps(lazy.test)).get([0]), kept.test.get([0]))
    save(tmp_path / "b" / "9.png", 6, 7)
    fails(r"9\.png is 6x7", tmp_path)  # found from headers, before training
    lazy = load(ImageDataSettings(source=str(tmp_path), size=(5, 7), channels=3))
    bad = tmp_path / "a" / "0.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(UserError, match=r"0\.png: unreadable"):
        [source.get(range(len(source))) for source in (lazy.train, lazy.test)]


def test_limit_decodes_no_more_than_it_needs(tmp_path, monkeypatch):
    for n in range(40):
        save(tmp_path / f"{n:02}.png", seed=n)
    decoded = []
    real = Pictures.decode
    monkeypatch.setattr(
        Pictures, "decode", lambda self, row, into: decoded.append(row) or real(self, row, into)
    )
    splits = load(ImageDataSettings(source=str(tmp_path), limit=4))
    assert (len(splits.train), len(splits.test)) == (4, 8)
    assert len(decoded) == len(set(decoded)) == 4 + 8


def test_pillow_missing(tmp_path, monkeypatch):
    save(tmp_path / "0.png")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    fails(r'pip install "maskwise\[images\]"', tmp_path)


def test_datasets_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    fails(r'pip install "maskwise\[data\]"', "hf:someone/pictures")


def fake_split(count, seed, labels=None, modes=("RGB",), columns=("img", "label", "caption")):
    """Return a stand-in for a split of a Hugging Face data set."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(count):
        values = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        image = Image.fromarray(values).convert(modes[n % len(modes)])
        label = (labels or [0, 1])[n % len(labels or [0, 1])]
        row = {"img": image, "label": label, "caption": "x"}
        rows.append({key: row[key] for key in columns})

    class Split:
        features = {  # noqa: RUF012
            "caption": type("Value", (), {})(),
            "img": type("Image", (), {})(),
            "label": type("ClassLabel", (), {"names": ["dog", "ant"]})(),
        }

        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, key):
            return [row[key] for row in self.rows] if isinstance(key, str) else self.rows[key]

        def select_columns(self, names):
            return Split([{name: row[name] for name in names} for row in self.rows])

    split = Split(rows)
    split.features = {key: value for key, value in Split.features.items() if key in columns}
    return split


def use_fake(monkeypatch, splits):
    module = types.ModuleType("datasets")
    seen = []
    module.load_dataset = lambda name: seen.append(name) or splits
    monkeypatch.setitem(sys.modules, "datasets", module)
    return seen


def test_hub_data_set(monkeypatch):
    parts = {"train": fake_split(6, 0), "unused": None, "validation": fake_split(3, 1)}
    seen = use_fake(monkeypatch, parts)
    splits = load(ImageDataSettings(source="hf:someone/pictures"))
    assert seen == ["someone/pictures"]
    assert splits.name == "someone/pictures"
    assert splits.train.shape == (3, 5, 7)
    assert splits.train.classes == ("dog", "ant")  # their order, not the alphabet's
    assert splits.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert splits.test.labels.tolist() == [0, 1, 0]
    for source, key in ((splits.train, "train"), (splits.test, "validation")):
        for n in range(len(source)):
            expected = np.asarray(parts[key][n]["img"])
            assert (source.get([n])[0].permute(1, 2, 0).numpy() == expected).all()
    small = load(ImageDataSettings(source="hf:someone/pictures", size=(4, 4), channels=1))
    assert small.train.shape == (1, 4, 4)


def test_hub_data_set_without_test_split_or_labels(monkeypatch):
    use_fake(monkeypatch, {"train": fake_split(10, 0, columns=("img",))})
    splits = load(ImageDataSettings(source="hf:x"))
    assert (len(splits.train), len(splits.test)) == (8, 2)
    assert splits.train.labels is None


@pytest.mark.parametrize(
    ("splits", "match"),
    [
        ({"all": fake_split(3, 0)}, "no split named train; found all"),
        ({"train": fake_split(3, 0, columns=("caption", "label"))}, "no image column; found capt"),
        ({"train": fake_split(0, 0)}, "train split is empty"),
        ({"train": fake_split(4, 0), "test": fake_split(2, 0, [2])}, "outside its 2 classes"),
        (
            {"train": fake_split(4, 0, modes=("RGB", "L"))},
            r"train\[0\] has 3 \(2 do\), .*train\[1\] has 1 \(2 do\)",
        ),
    ],
)
def test_bad_hub_data_sets(monkeypatch, splits, match):
    use_fake(monkeypatch, splits)
    fails(match, "hf:x")


def test_hub_cannot_be_reached(monkeypatch):
    module = types.ModuleType("datasets")

    def load_dataset(name):
        raise ConnectionError("no route\nto host")

    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    fails(r"hf:x: cannot be loaded \(no route\)", "hf:x")


def test_files_are_read_ahead_in_order(tmp_path, monkeypatch):
    for n in range(40):
        save(tmp_path / f"{n:02d}.png", seed=n)
    monkeypatch.setattr(looked, "MEMORY_BYTES", 1)
    source = load(ImageDataSettings(source=str(tmp_path))).train
    assert not source.in_memory
    parts = torch.randperm(32, generator=torch.Generator().manual_seed(0)).split(20)
    found = list(read_ahead(source, parts))
    assert [len(images) for images in found] == [20, 12]
    for images, part in zip(found, parts, strict=True):
        assert torch.equal(images, source.get(part))
    assert list(read_ahead(source, [])) == []
    (tmp_path / f"{source.rows[7]:02d}.png").write_bytes(b"text")
    with pytest.raises(UserError, match="unreadable image"):
        list(read_ahead(source, [np.arange(32)]))
