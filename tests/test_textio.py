import gzip
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest

from maskwise.errors import UserError, require
from maskwise.textio import (
    encode_labels,
    json_rows,
    kind_of,
    names_in_parquet,
    read_lines,
    table_rows,
    user_path,
)


@pytest.mark.parametrize(
    ("name", "pack"), [("a.csv", bytes), ("a.CSV.gz", gzip.compress), ("a.csv.XZ", lzma.compress)]
)
def test_rows_of_tables_compressed_or_not(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(b'\xef\xbb\xbfa,b\r\n"x, ""y",\r\n\r\n"1\n2",3\n'))
    assert kind_of(tmp_path / name) == ".csv"
    assert list(table_rows(tmp_path / name)) == [
        ("row 1", ["a", "b"]),
        ("row 2", ['x, "y', ""]),
        ("row 4", ["1\n2", "3"]),
    ]


def test_quotes_in_tsv_are_letters(tmp_path):
    (tmp_path / "a.tsv").write_text('"a\tb"\n', "utf-8")
    assert list(table_rows(tmp_path / "a.tsv")) == [("row 1", ['"a', 'b"'])]


def test_long_lines_come_in_parts(tmp_path):
    (tmp_path / "a").write_text("abcde\nf", "utf-8")
    assert list(read_lines(tmp_path / "a", most=3)) == ["abc", "de\n", "f"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"a,b\n1\n", r"a\.csv: row 2 has 1 columns, not 2"),
        ("a.csv", b"x" * 140_000, r"a\.csv is no table: field larger"),
        ("a.csv", b"a\n\xe9\n", r"not UTF-8 after line . \(byte 0xe9\): convert it to UTF-8"),
        (
            "a.csv.gz",
            gzip.compress(b"a,b\n", mtime=0)[:-9],
            r"cannot read .*a\.csv\.gz: Compressed file",
        ),
        ("a.csv.xz", b"a,b\n", r"cannot read .*a\.csv\.xz: Input format"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        list(table_rows(tmp_path / name))


def test_lines_that_are_no_json(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n[2]\n', "utf-8")
    rows = json_rows(tmp_path / "a.jsonl")
    assert next(rows) == ("line 1", {"a": 1})
    with pytest.raises(UserError, match=r"line 2 is no JSON object: \[2\]"):
        next(rows)


def test_encode_labels_keeps_text():
    codes, classes = encode_labels(np.array(["cat", "ant", "cat"]))
    assert codes.tolist() == [1, 0, 1]
    assert classes == ("ant", "cat")


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r'a\.parquet needs pyarrow: pip install "maskwise\[data'):
        names_in_parquet(tmp_path / "a.parquet")
    assert require("json", "all", "none") is __import__("json")


def test_a_nest_without_end_is_no_row(tmp_path):
    (tmp_path / "deep.jsonl").write_text('{"text": "a"}\n' + '{"text":' * 100_000)
    rows = json_rows(tmp_path / "deep.jsonl")
    assert next(rows) == ("line 1", {"text": "a"})
    with pytest.raises(UserError, match="line 2 is no JSON object"):
        next(rows)


def test_homes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert user_path("~/data.csv") == tmp_path / "data.csv"
    (tmp_path / "~.npz").touch()
    assert user_path("~.npz") == Path("~.npz")
    with pytest.raises(UserError, match="~nobody-here/x: there is no such home"):
        user_path("~nobody-here/x")
