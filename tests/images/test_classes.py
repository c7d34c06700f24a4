"""Class folders of a folder of images that are used, and the list that is shipped."""

import fnmatch
import hashlib
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwise.errors import UserError
from maskwise.images.arrange import class_names
from maskwise.images.data import ImageDataSettings, load
from maskwise.images.recipes import ImageRunSettings
from maskwise.modalities import find
from maskwise.settings import override

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    """Two splits of four classes, whose images are as bright as their class."""
    for split, num in (("train", 3), ("val", 2)):
        for value, name in enumerate(("ant", "bee", "cat", "dog")):
            path = tmp_path / split / name
            path.mkdir(parents=True)
            for index in range(num):
                Image.fromarray(np.full((4, 6), value, np.uint8)).save(path / f"{index}.png")
    return tmp_path


def fails(match, source, classes):
    with pytest.raises(UserError, match=match) as caught:
        load(ImageDataSettings(source=str(source), classes=classes))
    assert "\n" not in str(caught.value)


def test_only_these_classes_sorted_and_alike_in_both_splits(folder, tmp_path):
    splits = load(ImageDataSettings(source=str(folder), classes=("dog", "bee")))
    assert splits.train.classes == splits.test.classes == ("bee", "dog")
    for source, num in ((splits.train, 3), (splits.test, 2)):
        assert source.labels.tolist() == [0] * num + [1] * num
        values = source.get(range(2 * num))[:, 0, 0, 0]
        assert values.tolist() == [1] * num + [3] * num
    names = tmp_path / "names.txt"
    names.write_text("# two\ndog\n\n bee \n")
    listed = load(ImageDataSettings(source=str(folder), classes=(str(names),)))
    assert listed.train.labels.tolist() == splits.train.labels.tolist()
    assert load(ImageDataSettings(source=str(folder))).train.classes == (
        "ant",
        "bee",
        "cat",
        "dog",
    )


def test_a_folder_without_splits(folder):
    splits = load(ImageDataSettings(source=str(folder / "train"), classes=("cat", "ant")))
    assert splits.train.classes == ("ant", "cat")
    assert len(splits.train) + len(splits.test) == 6


def test_missing_classes_are_counted_and_some_named(folder):
    fails(r"train: 2 of the 3 classes .* no folder here: elk, fox$", folder, ("fox", "ant", "elk"))
    (folder / "val" / "dog" / "0.png").unlink()
    (folder / "val" / "dog" / "1.png").unlink()
    (folder / "val" / "dog").rmdir()
    fails(r"val: 1 of the 2 classes .*: dog$", folder, ("dog", "ant"))
    fails(
        r"100 of the 100 classes .*: n01558993, n01692333, n01729322, \.\.\.$",
        folder,
        ("imagenet100",),
    )


def test_bad_lists_and_other_sources(folder, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n")
    fails("names no classes", folder, (str(empty),))
    fails("classes=cat: digits is no folder of images", "digits", ("cat",))
    fails("hf:x/y is no folder of images", "hf:x/y", ("cat",))
    np.save(tmp_path / "x.npy", np.zeros((4, 4, 4), np.uint8))
    fails("is no folder of images", tmp_path / "x.npy", ("cat",))
    config = ImageRunSettings(data=ImageDataSettings(source="array", classes=("cat",)))
    with pytest.raises(UserError, match="leave it out for arrays"):
        find("images").load(np.zeros((4, 4, 4)), config)


def test_names_of_the_command_line():
    for text, names in (("0,2", ("0", "2")), ("imagenet100", ("imagenet100",)), ("none", ())):
        assert override(ImageRunSettings(), {"data.classes": text}).data.classes == names


def test_imagenet100_is_the_list_that_others_use():
    text = files("maskwise.images").joinpath("imagenet100.txt").read_text("utf-8")
    source, _, ids = text.partition("\n")
    assert source.startswith("# ImageNet-100")
    # Of imagenet100.txt at HobbitLong/CMC bc687a26.
    digest = "79f3f1552ccc478ce24bd934b4573625db584ddc1f4643ae23c994a94cb11397"
    assert hashlib.sha256(ids.encode()).hexdigest() == digest
    assert class_names(["imagenet100"]) == frozenset(ids.split())
    assert len(ids.split()) == len(set(ids.split())) == 100


def test_every_data_file_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["maskwise"]
    package = ROOT / "src" / "maskwise"
    others = [path for path in package.rglob("*") if path.suffix in (".txt", ".html")]
    assert others
    for path in others:
        name = str(path.relative_to(package))
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name
