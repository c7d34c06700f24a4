import gzip
import lzma

import pytest

from maskwise.errors import UserError
from maskwise.rows import json_rows, rows_of, table_rows
from maskwise.textio import kind_of


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


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"a,b\n1\n", r"a\.csv: row 2 has 1 columns, not 2"),
        ("a.csv", b"a\n\xe9\0\x01,\n", r"a\.csv is no text: byte 4 is NUL"),
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


def test_a_nest_without_end_is_no_row(tmp_path):
    (tmp_path / "deep.jsonl").write_text('{"text": "a"}\n' + '{"text":' * 100_000)
    rows = json_rows(tmp_path / "deep.jsonl")
    assert next(rows) == ("line 1", {"text": "a"})
    with pytest.raises(UserError, match="line 2 is no JSON object"):
        next(rows)


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,text\none,two\n", "utf-8")
    with pytest.raises(UserError, match=r"a\.csv: two columns are called 'text': rename one"):
        list(rows_of(path))
