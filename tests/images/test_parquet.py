"""Parquet with a column of pictures: which it is, its classes, splits, and what is wrong."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import maskwise as mw
from maskwise import modalities
from maskwise.errors import UserError
from maskwise.images import looked, parquet
from maskwise.images.data import ImageDataSettings, load, read_all

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
HUB = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(looked, "MEMORY_BYTES", 0)  # decoded whenever asked for


def pixels(seed=0, size=(6, 8)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def png(seed=0, size=(6, 8)):
    file = io.BytesIO()
    Image.fromarray(pixels(seed, size)).save(file, "PNG")
    return file.getvalue()


def write(path, columns, features=None, **options):
    """Write columns as Hugging Face's datasets does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features is not None:
        told = {"info": {"features": features}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(told)})
    pq.write_table(table, path, **options)
    return path


def structs(contents, paths=None):
    paths = paths or [f"{n}.png" for n in range(len(contents))]
    rows = [{"bytes": each, "path": path} for each, path in zip(contents, paths, strict=True)]
    return pa.array(rows, HUB)


def read(source, **settings):
    return load(ImageDataSettings(source=str(source), **settings))


def fails(match, source, **settings):
    with pytest.raises(UserError, match=match) as caught:
        read(source, **settings)
    assert "\n" not in str(caught.value)


def every(splits):
    """Return all pictures of splits with their classes, in order."""
    rows = {}
    for part in (splits.train, splits.test):
        values = part.get(range(len(part))).permute(0, 2, 3, 1).numpy()
        names = [None] * len(part)
        if part.labels is not None:
            names = [None if code < 0 else part.classes[code] for code in part.labels]
        rows |= zip(part.rows.tolist(), zip(values, names, strict=True), strict=True)
    return [rows[row] for row in sorted(rows)]


NAMED = {
    "image": {"_type": "Image"},
    "label": {"_type": "ClassLabel", "names": ["dog", "ant", "bee"]},
}


@pytest.mark.parametrize("rows", [100, 2])
def test_what_hugging_face_writes(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(parquet, "ROWS", 3)
    columns = {"label": [1, 0, None, 1, -1, 0, 1], "image": structs([png(n) for n in range(7)])}
    path = write(tmp_path / "a.parquet", columns, NAMED, row_group_size=rows)
    found = every(read(path))
    assert [name for _, name in found] == ["ant", "dog", None, "ant", None, "dog", "ant"]
    assert all(np.array_equal(values, pixels(n)) for n, (values, _) in enumerate(found))
    assert read(path).train.classes == ("dog", "ant", "bee")
    assert read_all(ImageDataSettings(source=str(path))).names[6] == "row 7"
    assert modalities.config_of(str(path), {}).modality == "images"
    told = mw.inspect(str(path), train={"batch_size": 2})
    assert (told.found["pictures"], told.problems) == (7, [])
    assert told.found["column of classes"] == "label"


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(["b", "a", "b", None], ("a", "b")), ([7, 10, 7, -1], ("7", "10")), ([0.5, 1, 2, 3], None)],
)
def test_plain_bytes_and_labels_without_names(tmp_path, labels, classes):
    columns = {"content": [png(n) for n in range(4)], "label": labels, "text": ["x"] * 4}
    path = write(tmp_path / "a.parquet", columns)
    assert read(path).train.classes == classes
    assert read(path, y="text").train.classes == ("x",)
    fails("label: labels must be integers", write(path, columns | {"label": [0.5] * 4}), y="label")


def test_files_of_a_folder_are_one_source_with_splits(tmp_path):
    root = tmp_path / "set"
    for n, name in enumerate(("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-1")):
        columns = {"image": structs([png(n), png(n + 10)]), "label": [n % 2, 1]}
        write(root / "data" / f"{name}.parquet", columns, NAMED)
    (root / "README.md").write_text("x")
    assert modalities.config_of(str(root), {}).modality == "images"
    splits = read(root)
    assert (splits.train.labels.tolist(), splits.test.labels.tolist()) == ([0, 1, 1, 1], [0, 1])
    assert np.array_equal(splits.test.get([1])[0].permute(1, 2, 0), pixels(12))
    names = read_all(ImageDataSettings(source=str(root))).names
    assert names[2].endswith("train-00001-of-00002.parquet row 1")
    write(root / "data" / "train-9.parquet", {"picture": structs([png()])})
    fails(r"train-9\.parquet: no column image; found picture", root)


def test_which_column_holds_pictures(tmp_path):
    contents = structs([png(n) for n in range(4)])
    path = write(tmp_path / "a.parquet", {"before": contents, "after": contents})
    fails(r'several columns of pictures \(before, after\): give data=\{"x": "before"\}', path)
    assert len(every(read(path, x="after"))) == 4
    fails("no column nothing for data.x; found before, after", path, x="nothing")
    fails("no column nothing for data.y", path, x="after", y="nothing")
    usual = write(tmp_path / "b.parquet", {"mask": contents, "image": contents, "n": range(4)})
    assert len(every(read(usual))) == 4
    fails("column n is of type int64, and holds no bytes", usual, x="n")
    fails("data.classes chooses among class folders", usual, classes=("a",))


def test_the_theory_reads_pictures_too(tmp_path):
    columns = {"image": structs([png(n, (8, 8)) for n in range(10)]), "label": [0, 1] * 5}
    found = modalities.read_features(str(write(tmp_path / "a.parquet", columns, NAMED)))
    assert found.values.shape == (8, 16)
    assert found.what == "means of the 4x4 patches of 2x2 pixels"


def test_tables_stay_tables(tmp_path):
    columns = {"a": [1.0, 2.0], "key": [b"\0\1", b"\2"], "text": ["x", "y"]}
    path = write(tmp_path / "a.parquet", columns)
    assert modalities.config_of(str(path), {}).modality == "text"
    del columns["text"]
    write(path, columns)
    assert modalities.config_of(str(path), {}).modality == "tables"
    fails("a.parquet: no column of pictures; found a, key", path)
    sound = {"audio": {"_type": "Audio"}}
    path = write(tmp_path / "b.parquet", {"audio": structs([png()] * 3)}, sound)
    assert modalities.config_of(str(path), {}).modality == "tables"


def test_rows_that_cannot_be_read_are_named_and_can_be_skipped(tmp_path, caplog):
    contents = [png(n) for n in range(9)]
    contents[2], contents[4], contents[6], contents[7] = contents[2][:60], b"text", None, b""
    paths = [None] * 9
    columns = {"image": structs([*contents, None], [*paths, "far.png"])}
    path = write(tmp_path / "a.parquet", columns)
    fails(
        r"5 cannot be read: row 3 \(.+\), row 5 \(no picture that Pillow can read\), row 7 \(no"
        r" picture\), row 8 \(empty\), row 10 \(only a path, and no bytes\): mend",
        path,
    )
    assert len(every(read(path, broken="skip"))) == 5
    assert "5 that cannot be read left out: row 3" in caplog.text


def test_labels_beyond_the_classes_and_damage_are_one_line(tmp_path, monkeypatch):
    columns = {"image": structs([png(), png()]), "label": [0, 3]}
    path = write(tmp_path / "a.parquet", columns, NAMED)
    fails("column label has the label 3, and 3 classes: dog, ant, bee", path)
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    fails("cannot read .*a.parquet", path)
    path.write_bytes(content)
    room = shutil._ntuple_diskusage(100, 90, 10)
    monkeypatch.setattr("shutil.disk_usage", lambda place: room)
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "other"))
    fails("GiB are to be unpacked, and .* has room for 0.0: let MASKWISE_CACHE be", path)
    assert not list((tmp_path / "other").rglob("pictures"))


def test_bytes_are_copied_once_and_again_where_a_file_has_changed(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", {"image": structs([png(n) for n in range(4)])})
    first = every(read(path))
    with monkeypatch.context() as patched:
        patched.setattr(parquet, "_copy", None)
        assert all(
            np.array_equal(a, b) for (a, _), (b, _) in zip(first, every(read(path)), strict=True)
        )
    write(path, {"image": structs([png(n) for n in range(9)])})
    assert len(every(read(path))) == 9
    assert torch.is_tensor(read(path).train.get([0]))


def test_pyarrow_missing(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", {"image": structs([png()])})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    fails(r'needs pyarrow: pip install "maskwise\[data\]"', path)
