import sys
from pathlib import Path

import numpy as np
import pytest

from maskwise.errors import UserError, require
from maskwise.textio import (
    encode_labels,
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
