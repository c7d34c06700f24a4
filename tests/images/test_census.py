"""What a dry look says of folders of pictures, and what is done about those that are broken."""

import json
import logging
import os
import socket
import struct

import numpy as np
import pytest
import torch
from PIL import Image

import maskwise as mw
from maskwise.cli import main
from maskwise.errors import UserError
from maskwise.images import census, looked
from maskwise.images.data import ImageDataSettings, load, read_all
from maskwise.images.endings import FOREIGN, PICTURES
from maskwise.images.pictures import Pictures

TINY = {"train.steps": 1, "model.width": 8, "model.heads": 1, "model.depth": 1}
TINY |= {"model.decoder_width": 8, "model.decoder_heads": 1, "evaluate.num_train": 16}
TINY |= {
    "evaluate.visible": "none",
    "evaluate.baselines": False,
    "evaluate.protocols": "knn",
    "model.decoder_depth": 1,
}


def picture(path, seed=0, size=(8, 16), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if mode == "RGB" else size
    top = 65536 if mode == "I;16" else 256
    values = np.random.default_rng(seed).integers(0, top, shape)
    image = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.uint8))
    image.save(path, **options)
    return path


def cut(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def tagged(orientation):
    """Return an EXIF block with nothing but an orientation, a number or a text."""
    is_text = isinstance(orientation, str)
    kind, value = (
        (2, orientation.encode().ljust(4, b"\0"))
        if is_text
        else (3, struct.pack("<HH", orientation, 0))
    )
    entry = struct.pack("<HHI", 0x0112, kind, 4 if is_text else 1) + value
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def settings_of(found):
    return {key: value for each in found.problems for key, value in each.settings.items()}


@pytest.fixture
def photographs(tmp_path):
    """Pictures that differ in all that can be mended, of which some cannot be read."""
    folder = tmp_path / "my photos"
    for n in range(24):
        size = (40, 30 + n % 3)
        picture(folder / "dog" / f"{n}.jpg", n, size, mode="L" if n % 4 == 0 else "RGB")
    for n in range(6):
        picture(folder / "cat" / f"{n}.png", n, (24, 24), mode="I;16")
    picture(folder / "cat" / "large.png", 1, (200, 100))
    (folder / "cat" / "empty.png").write_bytes(b"")
    return folder


def test_one_message_has_everything_and_a_command_that_works(photographs, tmp_path, capsys):
    limits = {"data.max_pixels": 10_000}
    found = mw.inspect(str(photographs), **limits, **TINY)
    assert found.found["classes"] == {"cat": 6, "dog": 24}
    assert found.found["sizes"] == {"40x30": 8, "40x31": 8, "40x32": 8, "24x24": 6}
    assert found.found["modes"] == {"RGB": 18, "I;16": 6, "L": 6}
    assert found.num_train == 24
    assert settings_of(found) == {
        "data.broken": "skip",
        "data.max_pixels": "20000",
        "data.size": "24",
        "data.channels": "3",
        "data.depth": "8",
    }
    assert len(found.pictures) == 8
    given = [f"--{key}={value}" for key, value in {**limits, **TINY}.items()]
    assert main(["inspect", str(photographs), *given]) == 2
    told = capsys.readouterr().err
    assert "5 things stand in the way: (1) 1 cannot be read: cat/empty.png (empty)" in told
    assert told.count("\n") == 1
    command = told.strip().split("This works: maskwise pretrain ")[1]
    assert command.startswith(f"'{photographs}' ")
    mended = {**limits, **TINY} | settings_of(found)
    assert not mw.inspect(str(photographs), **mended).problems
    run = mw.pretrain(str(photographs), out=tmp_path / "run", **mended)
    assert run.result["data"]["shape"] == [3, 24, 24]
    assert run.result["data"]["num_train"] + run.result["data"]["num_test"] == 31


def test_pictures_of_more_than_8_bits_become_8(tmp_path):
    picture(tmp_path / "0.png", 1, mode="L")
    values = np.array([[0, 256, 257, 65535]], np.uint16).repeat(4, 0)
    Image.fromarray(values).save(tmp_path / "1.png")
    given = ImageDataSettings(source=str(tmp_path), depth=8, size=(4, 4))
    pixels = read_all(given).given.get([1])
    assert pixels.dtype == torch.uint8
    assert pixels[0, 0].tolist() == [[0, 1, 1, 255]] * 4


@pytest.fixture
def damaged(tmp_path):
    """Twelve good pictures of two classes and all ways to be broken."""
    folder = tmp_path / "damaged"
    for n in range(12):
        picture(folder / "ab"[n % 2] / f"{n:02}.png", n)
    for ending in ("jpg", "png", "gif", "webp", "tif", "bmp", "ppm"):
        cut(picture(folder / "a" / f"cut.{ending}", size=(40, 40)))
    (folder / "b" / "empty.png").write_bytes(b"")
    (folder / "b" / "text.jpg").write_text("<html>not found</html>")
    (folder / "b" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "b" / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "b" / "loop.png").symlink_to(folder / "b" / "loop.png")
    os.mkfifo(folder / "b" / "pipe.png")
    picture(folder / "c" / "only.png", size=(40, 40))
    cut(folder / "c" / "only.png")
    return folder


BROKEN = [*(f"a/cut.{e}" for e in ("bmp", "gif", "jpg", "png", "ppm", "tif", "webp"))]
BROKEN += [f"b/{n}" for n in ("empty.png", "gone.png", "loop.png", "phone.heic", "pipe.png")]
BROKEN += ["b/text.jpg", "c/only.png"]


def test_all_that_are_broken_are_named_with_reasons_and_nothing_is_written(damaged, tmp_path):
    with pytest.raises(UserError) as caught:
        mw.pretrain(str(damaged), out=tmp_path / "run", **{"train.batch_size": 4})
    told = str(caught.value)
    assert told.startswith("14 cannot be read: a/cut.bmp (")
    for name in BROKEN:
        assert f"{name} (" in told
    for name, why in {
        "b/empty.png": "empty",
        "b/gone.png": "a link to nothing",
        "b/phone.heic": ".heic is not read: convert it",
        "b/pipe.png": "no file, but a pipe, a socket or a device",
        "b/text.jpg": "no picture that Pillow can read",
    }.items():
        assert f"{name} ({why})" in told
    assert "\n" not in told
    assert not (tmp_path / "run").exists()


def test_skipping_counts_and_names_three_and_classes_follow(damaged, caplog):
    splits = load(ImageDataSettings(source=str(damaged), broken="skip"))
    assert splits.train.classes == ("a", "b")
    assert (len(splits.train), len(splits.test)) == (10, 2)
    assert splits.test.labels.tolist() == [0, 1]
    told = caplog.text
    assert "14 that cannot be read left out: a/cut.bmp (" in told
    assert "a/cut.png" not in told
    assert "no picture is left of classes: c" in told
    found = mw.inspect(str(damaged), data={"broken": "skip"}, train={"batch_size": 4})
    assert (found.problems, found.num_train) == ([], 10)
    assert found.found["classes"] == {"a": 6, "b": 6, "c": 0}
    assert [each.split(" (")[0] for each in found.found["cannot be read"]] == BROKEN


def test_splits_are_those_of_a_folder_without_the_broken_ones(tmp_path):
    for n in range(20):
        picture(tmp_path / "whole" / "ab"[n % 2] / f"{n:02}.png", n)
        picture(tmp_path / "more" / "ab"[n % 2] / f"{n:02}.png", n)
    path = picture(tmp_path / "more" / "a" / "05.png", 99, size=(40, 40))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255  # the end is there: only decoding tells
    path.write_bytes(bytes(content))
    ours, whole = (
        load(ImageDataSettings(source=str(tmp_path / name), broken="skip", size=(8, 16)))
        for name in ("more", "whole")
    )
    for mine, theirs in ((ours.train, whole.train), (ours.test, whole.test)):
        assert mine.labels.tolist() == theirs.labels.tolist()
        assert torch.equal(mine.get(range(len(mine))), theirs.get(range(len(theirs))))
    with pytest.raises(UserError, match=r"1 cannot be read: a/05\.png \(.*"):
        load(ImageDataSettings(source=str(tmp_path / "more"), size=(8, 16)))


def test_pictures_that_do_not_fit_the_memory_are_decoded_once_before_some_are_left_out(
    damaged, monkeypatch
):
    kept = load(ImageDataSettings(source=str(damaged), broken="skip"))
    monkeypatch.setattr(looked, "MEMORY_BYTES", 1)
    lazy = load(ImageDataSettings(source=str(damaged), broken="skip"))
    assert not lazy.train.in_memory
    assert lazy.train.labels.tolist() == kept.train.labels.tolist()
    every = range(len(kept.train))
    assert torch.equal(lazy.train.get(every), kept.train.get(every))


def test_rows_of_embed_are_pictures_by_name(damaged, tmp_path, caplog):
    settings = {"data.broken": "skip", "train.batch_size": 4, **TINY}
    run = mw.pretrain(str(damaged), out=tmp_path / "run", **settings)
    picture(damaged / "b" / "wide.png", 3, (8, 24))
    assert main(["embed", str(run.path), str(damaged), "--out", str(tmp_path / "z.npz")]) == 0
    with np.load(tmp_path / "z.npz") as file:
        found = dict(file)
    good = sorted(f"{'ab'[n % 2]}/{n:02}.png" for n in range(12))
    names = found["name"].tolist()
    assert names == sorted([*good, *BROKEN, "b/wide.png"])
    read = [*good, "b/wide.png"]  # which is of another size, and resized
    for name, status, row in zip(names, found["status"], found["features"], strict=True):
        assert (status == "ok") == (name in read) == bool(np.isfinite(row).all())
    assert "1 of 13" in caplog.text
    assert "b/wide.png" in caplog.text
    expected = run.embed([np.asarray(Image.open(damaged / name)) for name in good])
    rows = [names.index(name) for name in good]
    np.testing.assert_allclose(found["features"][rows], expected, rtol=1e-4, atol=1e-5)


def test_arrays_with_holes_are_embedded_around_them(tmp_path):
    x = np.random.default_rng(0).random((20, 4, 4)).astype(np.float32)
    run = mw.pretrain(x, out=tmp_path / "run", **{"train.batch_size": 8, **TINY})
    whole = run.embed(x)
    x[3, 0, 0] = np.nan
    found = run.embed(x)
    assert np.isnan(found).all(axis=1).tolist() == [row == 3 for row in range(20)]
    np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(whole, 3, 0))


def test_all_endings_that_pillow_decodes_are_read():
    """But those it only names, that need other programs, or that are other things."""
    Image.init()
    stubs = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EPS", "IPTC"}
    known = {
        ending
        for ending, kind in Image.registered_extensions().items()
        if kind in Image.OPEN and kind not in stubs
    }
    assert known - PICTURES == set()
    assert not known & set(FOREIGN)


@pytest.mark.parametrize(
    ("orientation", "kept", "size"),
    [(9, False, "8x16"), ("top", False, "8x16"), (0, False, "8x16"), (6, True, "16x8")],
)
def test_orientations_that_mean_nothing_are_ignored_and_counted(
    tmp_path, caplog, orientation, kept, size
):
    caplog.set_level(logging.INFO, "maskwise")
    for n in range(3):
        picture(tmp_path / f"{n}.jpg", n, exif=tagged(orientation))
    picture(tmp_path / "3.jpg", 3, (16, 8) if kept else (8, 16))
    found = mw.inspect(str(tmp_path), train={"batch_size": 2})
    assert found.found["sizes"] == {size: 4}
    load(ImageDataSettings(source=str(tmp_path)))
    told = "3 pictures have an orientation that means nothing, which is ignored"
    assert (told in caplog.text) is not kept


def test_an_orientation_behind_the_pixels_of_a_png(tmp_path):
    """Some programs write it there; the header then tells another size."""
    for n in range(2):
        path = picture(tmp_path / f"{n}.png", n)
        exif = Image.Exif()
        exif[0x0112] = 6
        content = path.read_bytes()
        Image.open(path).save(tmp_path / "tagged.png", exif=exif)
        tagged = (tmp_path / "tagged.png").read_bytes()
        (tmp_path / "tagged.png").unlink()
        start = tagged.index(b"eXIf") - 4
        length = 12 + int.from_bytes(tagged[start : start + 4], "big")
        path.write_bytes(content[:-12] + tagged[start : start + length] + content[-12:])
    assert load(ImageDataSettings(source=str(tmp_path))).train.shape == (3, 16, 8)


def test_what_is_read_otherwise_than_it_looks_is_counted(tmp_path, caplog):
    caplog.set_level(logging.INFO, "maskwise")
    frames = [Image.fromarray(np.full((8, 16), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "0.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "1.tif", save_all=True, append_images=frames[1:])
    frames[0].convert("RGBA").save(tmp_path / "2.png")
    frames[0].convert("LA").save(tmp_path / "3.png")
    frames[0].convert("CMYK").save(tmp_path / "4.tif")
    frames[0].save(tmp_path / "5.png")
    given = ImageDataSettings(source=str(tmp_path), channels=1)
    splits = load(given)
    assert len(splits.train) + len(splits.test) == 6
    for source in (splits.train, splits.test):
        assert (source.get(range(len(source))) == 10).all()
    assert "2 pictures have several frames, of which the first is read" in caplog.text
    assert "2 pictures have transparency, which is left out" in caplog.text
    found = mw.inspect(str(tmp_path), data={"channels": 1}, train={"batch_size": 2})
    assert sum(found.found["modes"].values()) == 6


def test_a_large_picture_is_one_line_and_a_setting_allows_it(tmp_path, recwarn):
    for n in range(3):
        picture(tmp_path / f"{n}.png", n, mode="L")
    with (tmp_path / "3.pbm").open("wb") as file:  # 182 Mpx, 178 are the limit
        file.write(b"P4 14000 13000\n")
        file.truncate(file.tell() + 14_000 // 8 * 13_000)
    with pytest.raises(UserError) as caught:
        mw.pretrain(str(tmp_path), data={"size": 8}, train={"batch_size": 2})
    assert str(caught.value).startswith(
        "1 are too large: 3.pbm (13,000 x 14,000 pixels are more than 178,956,970): resize them."
    )
    assert '"data.max_pixels": 182000000' in str(caught.value)
    limit = Image.MAX_IMAGE_PIXELS
    allowed = ImageDataSettings(source=str(tmp_path), size=(8, 8), max_pixels=182_000_000)
    splits = load(allowed)
    assert len(splits.train) + len(splits.test) == 4
    assert limit == Image.MAX_IMAGE_PIXELS
    assert not recwarn.list


def test_headers_are_remembered_by_size_and_time(tmp_path, monkeypatch):
    monkeypatch.setattr(census, "REMEMBERED", 1)
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    for n in range(6):
        picture(folder / f"{n}.png", n)
    cut(folder / "1.png")
    looks = []
    real = Pictures.look
    monkeypatch.setattr(
        Pictures, "look", lambda self, row: looks.append(self.names[row]) or real(self, row)
    )
    first = mw.inspect(str(folder)).to_dict()
    assert len(looks) == 6
    assert mw.inspect(str(folder)).to_dict() == first
    assert len(looks) == 6
    picture(folder / "1.png", 7, (9, 16))
    again = mw.inspect(str(folder)).to_dict()
    assert looks[6:] == ["1.png"]
    assert again["found"]["sizes"] == {"8x16": 5, "9x16": 1}
    [place] = (tmp_path / "cache" / "pictures").iterdir()
    place.write_text("damaged")
    assert mw.inspect(str(folder)).to_dict() == again
    assert json.loads(place.read_text())


def test_names_of_all_kinds_links_and_what_lies_beside(tmp_path, caplog):
    caplog.set_level(logging.INFO, "maskwise")
    names = ["--size.png", "two words.png", "übergröße ✓.png", "line\nbreak.png", "a,b;c'd.png"]
    for n, name in enumerate(names):
        picture(tmp_path / "all" / name, n)
    picture(tmp_path / "far" / "inner" / "0.png", 8)
    (tmp_path / "all" / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "inner" / "back").symlink_to(tmp_path / "far")
    (tmp_path / "all" / "Thumbs.db").write_bytes(b"x")
    for n in range(5):
        picture(tmp_path / "root" / "a" / f"{n}.png", n)
    (tmp_path / "root" / "b").symlink_to(tmp_path / "far")
    with pytest.raises(UserError, match=r"images both here .* and in sub-folders \(linked/\)"):
        load(ImageDataSettings(source=str(tmp_path / "all")))
    (tmp_path / "all" / "linked").unlink()
    found = mw.inspect(str(tmp_path / "all"), train={"batch_size": 2})
    assert (found.found["pictures"], found.problems) == (5, [])
    (tmp_path / "all" / "line\nbreak.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 cannot be read: line\\nbreak\.png \(empty\)"):
        load(ImageDataSettings(source=str(tmp_path / "all")))
    splits = load(ImageDataSettings(source=str(tmp_path / "root"), holdout=0.2))
    assert len(splits.train) + len(splits.test) == 6
    assert splits.train.classes == ("a", "b")


def test_a_socket_among_pictures(tmp_path):
    for n in range(4):
        picture(tmp_path / f"{n}.png", n)
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(tmp_path / "s.png"))
        except OSError:
            pytest.skip("a path too long for a socket")
        found = mw.inspect(str(tmp_path), data={"broken": "skip"}, train={"batch_size": 2})
    assert found.found["cannot be read"] == ["s.png (no file, but a pipe, a socket or a device)"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads all files")
def test_files_and_folders_without_permission(tmp_path):
    for n in range(4):
        picture(tmp_path / "a" / f"{n}.png", n)
    (tmp_path / "a" / "0.png").chmod(0)
    found = mw.inspect(str(tmp_path), data={"broken": "skip"}, train={"batch_size": 2})
    assert found.found["cannot be read"] == ["a/0.png (Permission denied)"]
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(UserError, match=r"cannot read the folder .*a: Permission denied"):
            mw.inspect(str(tmp_path))
    finally:
        (tmp_path / "a").chmod(0o700)


def test_one_picture_and_pictures_of_one_pixel(tmp_path):
    picture(tmp_path / "one" / "0.png")
    [only] = mw.inspect(str(tmp_path / "one"), train={"batch_size": 1}).problems
    assert only.text == "1 image is too few to split into train and test; give two or more"
    for n in range(4):
        picture(tmp_path / "dots" / f"{n}.png", n, (1, 1))
    given = {"train.batch_size": 2}
    [dot] = mw.inspect(str(tmp_path / "dots"), **given).problems
    assert "no square patch cuts images of 1x1" in dot.text
    assert dot.settings == {"data.size": "8"}
    assert not mw.inspect(str(tmp_path / "dots"), **given, **dot.settings).problems


def test_classes_without_pictures_and_depths_that_differ_are_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, "maskwise")
    for n in range(4):
        picture(tmp_path / "a" / f"{n}.png", n)
        picture(tmp_path / "b" / "deep" / "er" / f"{n}.png", n)
    for name in ("d", "c"):
        (tmp_path / name).mkdir()
    found = mw.inspect(str(tmp_path), train={"batch_size": 2})
    assert [each.text for each in found.problems] == [
        f"{tmp_path}: 2 class folders have no images: c, d: add some or remove them"
    ]
    for name in ("d", "c"):
        (tmp_path / name).rmdir()
    found = mw.inspect(str(tmp_path), train={"batch_size": 2})
    assert found.found["classes"] == {"a": 4, "b": 4}
    assert found.found["depths"] == "differ by up to 2 folders; classes are the first"
    assert "depths of pictures differ by up to 2 folders" in caplog.text
