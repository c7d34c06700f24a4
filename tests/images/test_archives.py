"""Pictures in .zip and .tar: the same as in the folder that was packed; what is wrong there."""

import gzip
import io
import json
import logging
import lzma
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import maskwise as mw
from maskwise import modalities
from maskwise.errors import UserError
from maskwise.images import census, inside, looked
from maskwise.images.data import ImageDataSettings, load, name_of, read_all


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))


def png(seed=0, size=(5, 7), mode="RGB", kind="PNG"):
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).convert(mode).save(file, kind)
    return file.getvalue()


def read(source, **settings):
    return load(ImageDataSettings(source=str(source), **settings))


def fails(match, source, **settings):
    with pytest.raises(UserError, match=match) as caught:
        read(source, **settings)
    assert "\n" not in str(caught.value)


def as_zip(path, files, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def as_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def as_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def packed(tmp_path, files):
    """Return the files as a folder, and as archives of all kinds, also of the folder itself."""
    below = {f"photos/{name}": content for name, content in files.items()}
    return (
        as_folder(tmp_path / "photos", files),
        as_zip(tmp_path / "deflated.zip", files),
        as_zip(tmp_path / "stored.ZIP", below, zipfile.ZIP_STORED),
        as_tar(tmp_path / "plain.tar", below),
        as_tar(tmp_path / "small.tar.gz", files, "w:gz"),
        as_tar(tmp_path / "small.txz", files, "w:xz"),
    )


LAYOUTS = {
    "flat": {f"{n}.png": png(n) for n in range(6)} | {"notes.txt": b"x", ".DS_Store": b"x"},
    "classes": {
        **{
            f"{name}/{'deep/' * (n % 2)}{n}.jpg": png(n, kind="JPEG")
            for name in "ba"
            for n in (9, 10, 8)
        },
        "b/notes.txt": b"",
        "__MACOSX/a/._8.jpg": b"x",
    },
    "splits": {
        f"{split}/{name}/{n}.png": png(n + 10 * len(split))
        for split, num in (("train", 3), ("val", 2))
        for name in ("cat", "ant")
        for n in range(num)
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_archives_are_the_folder_that_was_packed(tmp_path, layout, monkeypatch):
    if layout == "splits":
        monkeypatch.setattr(looked, "MEMORY_BYTES", 0)  # decoded whenever asked for
    folder, *archives = packed(tmp_path, LAYOUTS[layout])
    expected = read(folder, holdout=0.34)
    told = mw.inspect(str(folder)).to_dict()
    for archive in archives:
        found = read(archive, holdout=0.34)
        for part in ("train", "test"):
            first, other = getattr(expected, part), getattr(found, part)
            assert torch.equal(first.get(range(len(first))), other.get(range(len(other))))
            assert first.classes == other.classes
            assert np.array_equal(first.labels, other.labels)
        assert mw.inspect(str(archive)).to_dict() == told
        names = read_all(ImageDataSettings(source=str(archive))).names
        assert names == read_all(ImageDataSettings(source=str(folder))).names
        assert modalities.config_of(str(archive), {}).modality == "images"
    assert [name_of(ImageDataSettings(source=str(each))) for each in archives] == [
        *("deflated", "stored", "plain", "small", "small")
    ]


def test_nothing_is_unpacked_and_workers_read_for_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(looked, "MEMORY_BYTES", 0)
    files = {f"{n}.png": png(n) for n in range(4)}
    for archive in (as_zip(tmp_path / "a.zip", files), as_tar(tmp_path / "a.tar", files)):
        kept = read(archive)
        again = pickle.loads(pickle.dumps(kept.train))
        assert torch.equal(again.get([1]), kept.train.get([1]))
        if hasattr(os, "fork"):
            reader, writer = os.pipe()
            if not (child := os.fork()):
                os.write(writer, kept.train.get([2, 0]).numpy().tobytes())
                os._exit(0)
            os.waitpid(child, 0)
            assert os.read(reader, 1000) == kept.train.get([2, 0]).numpy().tobytes()
            os.close(reader), os.close(writer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "a.zip"]


def test_an_archive_that_changes_is_not_read_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr(looked, "MEMORY_BYTES", 0)
    files = {f"{n}.png": png(n) for n in range(4)}
    train = read(as_tar(tmp_path / "a.tar", files)).train
    as_tar(tmp_path / "a.tar", files | {"5.png": png(5)})
    inside._opened.cache_clear()
    with pytest.raises(UserError, match=r"png: unreadable image \(.*a\.tar has changed since"):
        train.get([0])


def test_headers_in_archives_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(census, "REMEMBERED", 1)
    archive = as_tar(tmp_path / "a.tar", {f"{n}.png": png(n) for n in range(4)})
    first = mw.inspect(str(archive)).to_dict()
    monkeypatch.setattr(census.Pictures, "look", None)
    assert mw.inspect(str(archive)).to_dict() == first


def test_only_some_classes(tmp_path):
    _, archive, *_ = packed(tmp_path, LAYOUTS["classes"])
    assert read(archive, classes=("b",)).train.classes == ("b",)
    fails("1 of the 1 classes of data.classes have no folder here: c", archive, classes=("c",))


def test_classes_of_webdataset_stand_beside_pictures(tmp_path):
    files = {}
    for n in range(12):
        files[f"{n:06}.jpg"] = png(n, kind="JPEG")
        files[f"{n:06}.seg.png"] = png(n)
        if n != 11:
            files[f"{n:06}.cls"] = str([7, 10][n % 2]).encode() + b"\n"
    for source in packed(tmp_path, files):
        splits = read(source)
        assert splits.train.classes == ("7", "10")
        labels = np.concatenate([splits.train.labels, splits.test.labels])
        assert np.bincount(labels + 1).tolist() == [1, 6, 5]
        assert len(splits.train) + len(splits.test) == 12
    told = mw.inspect(str(tmp_path / "plain.tar")).found
    assert told["classes"] == {"7": 6, "10": 5}
    assert (told["without a label"], len(told["left out"])) == (1, 12)
    values = {"label": ("ant", "bee"), "caption": ("x", "y"), "width": (1, 2)}
    for n in range(12):
        files.pop(f"{n:06}.cls", None)
        entries = {key: value[n % 2] for key, value in values.items()}
        files[f"{n:06}.json"] = json.dumps(entries).encode()
        del files[f"{n:06}.seg.png"]
    archive = as_tar(tmp_path / "json.tar", files)
    assert read(archive).train.classes == ("ant", "bee")
    assert read(archive, y="caption").train.classes == ("x", "y")
    assert read(archive, y="nothing").train.labels is None


def test_shards_are_one_source_with_splits_by_their_names(tmp_path, caplog):
    shards = tmp_path / "shards"
    shards.mkdir()
    for split, num in (("train", 3), ("validation", 2), ("test", 1)):
        for shard in range(2):
            names = [f"{n:04}" for n in range(num)]  # each shard counts from 0
            files = {f"{name}.png": png(hash((split, shard)) % 99) for name in names}
            files |= {f"{name}.cls": b"%d" % (n % 2) for n, name in enumerate(names)}
            as_tar(shards / f"set-{split}-{shard:05}.tar", files)
    (shards / "README.md").write_text("x")
    splits = read(shards)
    assert (len(splits.train), len(splits.test)) == (6, 2)
    assert splits.train.labels.tolist() == [0, 1, 0, 0, 1, 0]
    assert splits.test.classes == ("0", "1")
    assert "validation is not used: test is what is tested on" in caplog.text
    names = read_all(ImageDataSettings(source=str(shards))).names
    assert names[3] == str(Path("set-train-00001.tar", "0000.png"))
    assert modalities.config_of(str(shards), {}).modality == "images"
    as_zip(shards / "more.zip", {"1.png": png(), "1.cls": b"1"})
    fails(r"more\.zip beside shards of splits \(test, train, validation\): move it", shards)
    (shards / "more.zip").unlink()
    as_tar(shards / "a_train.tar", {"1.png": png()})
    fails(r"a_train\.tar has no classes and others have", shards)


def test_what_is_wrong_with_members_is_named_and_can_be_skipped(tmp_path, caplog):
    caplog.set_level(logging.INFO, "maskwise")
    path = tmp_path / "a.zip"
    files = {f"{n}.png": png(n) for n in range(6)}
    as_zip(
        path, files | {"empty.png": b"", "text.png": b"text", "photo.heic": b"x", "in.zip": b"x"}
    )
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "1.png")
        archive.writestr("bz.png", png(), zipfile.ZIP_BZIP2)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("0.png", png(99))
        archive.writestr("secret.png", png())
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\1\2")
    content[place + 8] |= 1  # encrypted, says the list
    damaged = content.index(b"3.png") + 60
    path.write_bytes(content)
    for part in (
        *(r"empty\.png \(empty\)", r"text\.png \(no picture that Pillow can read\)"),
        *(r"link\.png \(a link: pack what it leads to\)", r"bz\.png \(packed by method 12"),
        *(r"secret\.png \(encrypted: unpack it\)", r"photo\.heic \(\.heic is not read"),
    ):
        fails(rf"6 cannot be read: .*{part}", path)
    splits = read(path, broken="skip", holdout=0.5)
    assert (len(splits.train), len(splits.test)) == (3, 3)
    assert "1 files come again, the last is read: 0.png" in caplog.text
    first = (splits.train if 0 in splits.train.rows else splits.test).get([0])[0]
    with Image.open(io.BytesIO(png(99))) as image:
        assert any(
            np.array_equal(each.permute(1, 2, 0), np.asarray(image))
            for part in (splits.train, splits.test)
            for each in part.get(range(3))
        ), first.shape
    told = mw.inspect(str(path), data={"broken": "skip"}, train={"batch_size": 2}).found
    assert (told["packed again"], told["left out"]) == (["0.png"], ["in.zip"])
    content[damaged] ^= 0xFF
    path.write_bytes(content)
    fails(r"7 cannot be read: .*3\.png \(damaged: its checksum differs\)", path)


def test_what_a_tar_may_hold_beside_files(tmp_path, caplog):
    path = as_tar(tmp_path / "a.tar", {f"./x/{n}.png": png(n) for n in range(4)})
    with tarfile.open(path, "a") as archive:
        for name, kind, to in (
            ("x/hard.png", tarfile.LNKTYPE, "./x/1.png"),
            ("x/soft.png", tarfile.SYMTYPE, "1.png"),
            ("x/pipe.png", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, to
            archive.addfile(member)
    told = r"2 cannot be read: pipe\.png \(no file, but a pipe or a device\), soft\.png \(a link: "
    fails(told, path)
    splits = read(path, broken="skip")
    assert len(splits.train) + len(splits.test) == 5  # a hard link is the file
    assert "no mark at its end" not in caplog.text


@pytest.mark.parametrize("name", ["../1.png", "/etc/1.png", "a/../../1.png", "C:/1.png"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    files = {"0.png": png(), name: png()}
    for path in (as_zip(tmp_path / "a.zip", files), as_tar(tmp_path / "a.tar", files)):
        fails("1 names lead out of the archive: .*1.png: pack it anew", path)
    assert not (tmp_path.parent / "1.png").exists()


def test_names_of_windows(tmp_path):
    path = tmp_path / "a.zip"
    as_zip(path, {f"{name}_{n}.png": png(n) for name in "ab" for n in range(2)})
    content = path.read_bytes()
    for name in (b"a", b"b"):
        content = content.replace(name + b"_", name + b"\\")
    path.write_bytes(content)
    assert read(path).train.classes == ("a", "b")


def test_archives_without_pictures_are_one_line(tmp_path):
    fails("the archive is empty", as_zip(tmp_path / "a.zip", {}))
    fails("the archive is empty", as_tar(tmp_path / "a.tar", {".DS_Store": b"x"}))
    fails("no images here", as_tar(tmp_path / "b.tar", {"notes.txt": b"x"}))
    nested = as_zip(tmp_path / "c.zip", {"x/1.zip": b"x", "x/2.tar.gz": b""})
    fails(r"no images here .*; 1\.zip, 2\.tar\.gz may hold some: give that file", nested)
    (tmp_path / "d.zip").write_bytes(b"")
    fails(r"d\.zip: cannot be read as an archive \(File is not a zip file\)", tmp_path / "d.zip")
    (tmp_path / "d.tar").write_bytes(b"text" * 300)
    fails(r"d\.tar: cannot be read as an archive \(", tmp_path / "d.tar")
    (tmp_path / "d.tar").write_bytes(b"\x28\xb5\x2f\xfd" + b"x" * 600)
    fails(r"zstd -d .*d\.tar", tmp_path / "d.tar")


def test_damaged_archives_are_one_line(tmp_path, caplog):
    files = {f"{n}.png": png(n, (40, 50)) for n in range(4)}
    path = as_tar(tmp_path / "a.tar", files)
    content = path.read_bytes()
    begin = 512 + -(-len(files["0.png"]) // 512) * 512
    path.write_bytes(content[: begin * 2 - 600])
    fails("cannot be read as an archive", path)
    path.write_bytes(content[:begin] + b"\xff" * 512 + content[begin + 512 :])
    fails(rf"cannot be read as an archive \(damaged at byte {begin:,}\)", path)
    path.write_bytes(content[: -(-len(content.rstrip(b"\0")) // 512) * 512])
    assert len(read(path).train) == 3
    assert "has no mark at its end: some of it may be missing" in caplog.text
    path = as_zip(tmp_path / "a.zip", files)
    path.write_bytes(path.read_bytes()[:-40])
    fails("cannot be read as an archive", path)
    for opener, name in ((gzip.open, "a.tar.gz"), (lzma.open, "a.tar.xz")):
        with opener(tmp_path / name, "wb") as file:
            file.write(content)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        fails(rf"{name}: cannot be unpacked", tmp_path / name)
    assert not list((tmp_path / "cache").rglob("*.tar"))


def test_bombs_are_refused(tmp_path, monkeypatch):
    files = {f"{n}.png": png(n) for n in range(3)}
    path = as_zip(tmp_path / "a.zip", files | {"big.png": bytes(100_000)})
    monkeypatch.setattr("maskwise.images.archives.SUSPECT", 10_000)
    fails(r"1 cannot be read: big\.png \(1\d\d bytes that unpack to 100,000\)", path)
    monkeypatch.setattr("maskwise.images.archives.LARGEST", 50_000)
    fails(r"1 cannot be read: big\.png \(100,000 bytes are more than 50,000\)", path)
    content = path.read_bytes()  # a member that says to be smaller than it is
    path.write_bytes(content.replace(struct.pack("<I", 100_000), struct.pack("<I", 1000)))
    fails(r"1 cannot be read: big\.png \(damaged: its checksum differs\)", path)
    monkeypatch.setattr("maskwise.images.unpacked.CHUNK", 1000)
    path = as_tar(tmp_path / "a.tar.gz", {"big.png": bytes(1_000_000)}, "w:gz")
    fails("unpacks to more than 100 times its size: refused", path)
    fails(r"1 are too large: 0\.png", as_tar(tmp_path / "b.tar", {"0.png": png()}), max_pixels=20)


def test_a_compressed_tar_is_unpacked_once(tmp_path, monkeypatch):
    path = as_tar(tmp_path / "a.tar.gz", {f"{n}.png": png(n) for n in range(4)}, "w:gz")
    assert len(read(path).train) == 3
    with monkeypatch.context() as patched:
        patched.setattr("maskwise.images.unpacked._unpack", None)
        assert len(read(path).train) == 3
    as_tar(path, {f"{n}.png": png(n) for n in range(9)}, "w:gz")
    assert len(read(path).train) == 7
    assert len(list((tmp_path / "cache").rglob("plain.tar"))) == 1
    room = shutil._ntuple_diskusage(100, 90, 10)
    monkeypatch.setattr("shutil.disk_usage", lambda place: room)
    as_tar(path, {"0.png": png()}, "w:gz")
    fails("GiB are to be unpacked, and .* has room for 0.0: let MASKWISE_CACHE be", path)
