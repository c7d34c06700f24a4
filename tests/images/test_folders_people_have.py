"""Folders of pictures as people have them: splits, files that systems leave, turned pictures."""

import logging

import numpy as np
import pytest
from PIL import Image

from maskwise.errors import UserError
from maskwise.images.data import ImageDataSettings, load


def picture(path, value=0, size=(6, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path, **options)


def read(folder, **settings):
    return load(ImageDataSettings(source=str(folder), **settings))


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Training", "VAL"), ("train", "validation"), ("TRAIN", "Dev")],
)
def test_splits_have_their_usual_names(tmp_path, train, test):
    for split, num in ((train, 5), (test, 3)):
        for label in "ab":
            for n in range(num):
                picture(tmp_path / split / label / f"{n}.png", n)
    splits = read(tmp_path)
    assert (len(splits.train), len(splits.test)) == (10, 6)
    assert splits.train.classes == ("a", "b")


def test_what_lies_beside_splits_is_one_clear_line(tmp_path):
    for folder in ("train/a", "test/a", "sketches"):
        picture(tmp_path / folder / "0.png")
    with pytest.raises(UserError, match="sketches beside the splits train, test: move it away"):
        read(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    for folder in ("train", "bus", "car"):
        for n in range(4):
            picture(tmp_path / folder / f"{n}.png")
    assert read(tmp_path).train.classes == ("bus", "car", "train")


def test_a_second_split_to_test_on_is_named(tmp_path, caplog):
    for split, num in (("train", 4), ("val", 3), ("test", 2)):
        for n in range(num):
            picture(tmp_path / split / f"{n}.png")
    splits = read(tmp_path)
    assert (len(splits.train), len(splits.test)) == (4, 2)
    assert "val is not used: test is what is tested on" in caplog.text


def test_what_systems_leave_behind_is_no_data(tmp_path, caplog):
    caplog.set_level(logging.INFO, "maskwise")
    for label in "ab":
        for n in range(4):
            picture(tmp_path / label / f"{n}.png", n)
        picture(tmp_path / label / ".ipynb_checkpoints" / "0-checkpoint.png")
        (tmp_path / label / "._0.png").write_bytes(b"\0\5\x16\7")
        (tmp_path / label / "Thumbs.db").write_bytes(b"x")
    picture(tmp_path / "__MACOSX" / "a" / "0.png")
    (tmp_path / "a" / "notes.txt").write_text("x")
    splits = read(tmp_path)
    assert (len(splits.train) + len(splits.test), splits.train.classes) == (8, ("a", "b"))
    assert "1 files that are no pictures are left out (notes.txt)" in caplog.text


@pytest.mark.parametrize("ending", ["gif", "ppm", "jfif", "PNG"])
def test_endings(tmp_path, ending):
    for n in range(4):
        picture(tmp_path / f"{n}.{ending}", 100)
    splits = read(tmp_path, channels=3)
    assert len(splits.train) + len(splits.test) == 4
    assert abs(int(splits.train.get([0]).float().mean()) - 100) <= 2


@pytest.mark.parametrize("ending", ["tif", "jpg", "png"])
def test_pictures_are_turned_once(tmp_path, ending):
    """Orientation 6: the first row of the file is the right side of the picture."""
    image = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    image.paste((250, 250, 250), (0, 0, 6, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    for n in range(4):
        image.save(tmp_path / f"{n}.{ending}", exif=exif)
    splits = read(tmp_path)
    assert splits.train.shape == (3, 6, 4)
    pixels = splits.train.get([0]).float()[0, 0]
    assert pixels[:, -1].mean() > 150
    assert pixels[:, 0].mean() < 50


@pytest.mark.parametrize("value", [9, 0])
def test_orientations_that_mean_nothing_are_ignored(tmp_path, value):
    exif = Image.Exif()
    exif[0x0112] = value
    for n in range(4):
        picture(tmp_path / f"{n}.jpg", exif=exif)
    assert read(tmp_path).train.shape == (3, 6, 4)
