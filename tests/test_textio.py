import sys
from pathlib import Path

import numpy as np
import pytest

from maskwise.errors import UserError, require
from maskwise.textio import (
    encode_labels,
    files_below,
    names_in_parquet,
    read_lines,
    user_path,
)


def test_long_lines_come_in_parts(tmp_path):
    (tmp_path / "a").write_text("abcde\nf", "utf-8")
    assert list(read_lines(tmp_path / "a", most=3)) == ["abc", "de\n", "f"]


def test_encode_labels_keeps_text():
    codes, classes = encode_labels(np.array(["cat", "ant", "cat"]))
    assert codes.tolist() == [1, 0, 1]
    assert classes == ("ant", "cat")


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r'a\.parquet needs pyarrow: pip install "maskwise\[data'):
        names_in_parquet(tmp_path / "a.parquet")
    assert require("json", "all", "none") is __import__("json")


def test_homes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert user_path("~/data.csv") == tmp_path / "data.csv"
    (tmp_path / "~.npz").touch()
    assert user_path("~.npz") == Path("~.npz")
    with pytest.raises(UserError, match="~nobody-here/x: there is no such home"):
        user_path("~nobody-here/x")


def test_folders_are_entered_once(tmp_path):
    folder = tmp_path / "data"
    for name in ("b/x.txt", "a/y.txt", ".hidden/z.txt", "__MACOSX/z.txt", "a/._y.txt", "top.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "w.txt").touch()
    for name, target in {
        "a/loop": "..",
        "a/to_b": folder / "b",
        "out": tmp_path,
        "there": tmp_path / "other",
        "lost.txt": "nowhere",
    }.items():
        (folder / name).symlink_to(target)
    lost = []
    found = [path.relative_to(folder).as_posix() for path in files_below(folder, lost=lost)]
    assert found == ["a/y.txt", "b/x.txt", "there/w.txt", "top.txt"]
    assert lost == [folder / "lost.txt"]
    assert files_below(folder, deep=False) == [folder / "top.txt"]
    (tmp_path / "link").symlink_to(folder)
    assert len(files_below(tmp_path / "link")) == 4
