import gzip
import json
import lzma
import sys
from types import ModuleType

import pytest

from maskwise.errors import UserError
from maskwise.text.sources import How, hub_test_split, read_all, read_parts, text_files


def documents(source, document="file", column="text"):
    found = []
    for part in read_parts(str(source), How(column, document)):
        if part.first:
            found.append(part.text)
        else:
            found[-1] += part.text
    return found


TEXT = "One line.\nAnother.\n\nA new paragraph,\nof two lines.\n\n\nThe last.\n"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("file", [TEXT]),
        (
            "paragraph",
            ["One line.\nAnother.", "A new paragraph,\nof two lines.", "The last."],
        ),
        ("line", [line for line in TEXT.splitlines() if line]),
    ],
)
def test_what_a_document_is_can_be_chosen(tmp_path, document, expected):
    (tmp_path / "a.txt").write_text(TEXT, "utf-8")
    assert documents(tmp_path / "a.txt", document) == expected


def test_compressed_files_and_folders(tmp_path):
    (tmp_path / "b.txt").write_text("plain", "utf-8")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"zipped"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md.xz").write_bytes(lzma.compress("ünpacked".encode()))
    (tmp_path / "d.jsonl").write_text('{"text": "row"}\n', "utf-8")
    (tmp_path / "other.bin").write_bytes(b"\xff")
    assert documents(tmp_path) == ["plain", "zipped", "row", "ünpacked"]


def test_a_mark_in_front_is_not_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfHello")
    assert documents(tmp_path / "a.txt") == ["Hello"]


def test_long_documents_come_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("maskwise.text.sources._PART", 16)
    (tmp_path / "a.txt").write_text(TEXT * 3, "utf-8")
    parts = list(read_parts(str(tmp_path / "a.txt"), How()))
    assert len(parts) > 3
    assert [part.first for part in parts] == [True] + [False] * (len(parts) - 1)
    assert "".join(part.text for part in parts) == TEXT * 3
    (tmp_path / "b.txt").write_text("no end " * 30, "utf-8")  # a line without end
    assert documents(tmp_path / "b.txt") == ["no end " * 30]
    (tmp_path / "c.jsonl").write_text(json.dumps({"text": "x" * 50}) + "\n", "utf-8")
    assert documents(tmp_path / "c.jsonl") == ["x" * 50]


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    table = pyarrow.table({"body": ["one", "two"], "n": [1, 2]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert documents(tmp_path / "a.parquet", column="body") == ["one", "two"]
    with pytest.raises(UserError, match="no column 'text'; found body, n: give data="):
        documents(tmp_path / "a.parquet")
    wrong = [part[2:] for part in read_all(str(tmp_path / "a.parquet"), How("n"))]
    assert wrong[0] == ("row 1", "1", "'n' holds 1, not a text")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match=r"cannot read .*b\.parquet"):
        documents(tmp_path / "b.parquet")


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r'needs pyarrow: pip install "maskwise\[data\]"'):
        documents(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"a\.txt is no text: byte 9 is NUL, so"),
        (
            "a.txt",
            b"%PDF-1.4\n" + bytes(range(1, 256)),
            r"a\.txt is no text: it holds binary data",
        ),
        ("a.txt.gz", b"not zipped", r"cannot read .*a\.txt\.gz: Not a gzipped file"),
        ("a.txt.xz", b"not packed", r"cannot read .*a\.txt\.xz: Input format not supported"),
        ("a.jsonl", b'{"body": "b"}\n', "no column 'text'; found body: give data="),
        ("a.jsonl", b"[1]\n", r"a\.jsonl: line 1: \[1\] is neither an object nor a text"),
        ("a.jsonl", b"a word\n", r"a\.jsonl: line 1: no JSON: a word"),
        ("a.json", b"a word\n", r"a\.json is neither a list in JSON nor lines of JSON: 'a word'"),
        ("a.json", b"[1, 2]", r"a\.json: row 1: 1 is neither an object nor a text"),
        ("a.json", b'{\n "data": []}', r"a\.json: no column 'text'; found data"),
        ("a.csv", b"title,stars\nx,1\n", r"a\.csv: no column 'text'; found title, stars: give"),
        ("a.csv", b"text,stars\nx,1\ny\n", r"a\.csv: row 3 has 1 columns, not 2"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        documents(tmp_path / name)


def test_sources_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        text_files(str(tmp_path / "none.txt"))
    with pytest.raises(UserError, match="no text files here"):
        text_files(str(tmp_path))


class Rows(dict):
    column_names = ("text", "label")


def fake_datasets(monkeypatch, **splits):
    module = ModuleType("datasets")
    module.load_dataset = lambda name: splits
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_hub_data_sets(monkeypatch):
    fake_datasets(monkeypatch, train=Rows(text=["a", "b"]), validation=Rows(text=["c"]))
    assert documents("hf:some/set") == ["a", "b"]
    assert hub_test_split("hf:some/set") == "hf:some/set:validation"
    assert documents("hf:some/set:validation") == ["c"]
    with pytest.raises(UserError, match="no column 'body'; found text, label"):
        documents("hf:some/set", column="body")
    with pytest.raises(UserError, match="no split named dev; found train, validation"):
        documents("hf:some/set:dev")
    fake_datasets(monkeypatch, train=Rows(text=["a"]))
    assert hub_test_split("hf:some/set") is None


def test_rows_of_the_hub_without_a_text(monkeypatch):
    fake_datasets(monkeypatch, train=Rows(text=["a", None, 7]))
    found = [(part.text, *part[2:]) for part in read_all("hf:some/set", How())]
    assert found == [
        ("a", "row 1", "1", ""),
        ("", "row 2", "2", "'text' is null"),
        ("", "row 3", "3", "'text' holds 7, not a text"),
    ]


def test_hub_data_sets_need_datasets(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r'needs datasets: pip install "maskwise\[data\]"'):
        documents("hf:some/set")
