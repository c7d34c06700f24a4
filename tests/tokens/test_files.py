import sys

import pytest

from maskwise.errors import UserError
from maskwise.tokens.files import files_of, find_files, read_tokenizer, write_tokenizer

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")


def test_a_tokenizer_comes_back_as_it_was(tmp_path):
    bare = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    write_tokenizer(tmp_path / "some" / "t.json", bare)
    assert read_tokenizer(tmp_path / "some" / "t.json").to_str() == bare.to_str()


def test_tokenizers_that_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "broken.json").write_text("{}", "utf-8")
    with pytest.raises(UserError, match=r"broken\.json is no tokenizer\.json"):
        read_tokenizer(tmp_path / "broken.json")
    with pytest.raises(UserError, match="cannot read"):
        read_tokenizer(tmp_path / "none.json")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r'json needs tokenizers: pip install "maskwise\[text\]"'):
        read_tokenizer(tmp_path / "broken.json")


def test_files_of_a_folder(tmp_path, caplog):
    for name in ("b.fa", "a.fa.gz", "._b.fa", "b.fa.fai", "notes.doc", "sub/c.fa", ".x/d.fa"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "lost.fa").symlink_to("nowhere")
    found = files_of(tmp_path, (".fa",), "sequences")
    assert [path.name for path in found] == ["a.fa.gz", "b.fa"]
    told = "3 files left out, of other kinds or links to nothing: b.fa.fai, lost.fa, notes.doc"
    assert caplog.messages == [f"{tmp_path}: {told}"]
    found, others = find_files(tmp_path, (".fa",), "sequences", deep=True)
    assert [path.name for path in found] == ["a.fa.gz", "b.fa", "c.fa"]
    assert len(others) == 3
    with pytest.raises(UserError, match=r"no pictures here \(looked for \.png\)"):
        files_of(tmp_path, (".png",), "pictures")
    with pytest.raises(UserError, match="no such file or folder"):
        files_of(tmp_path / "none", (".fa",), "sequences")
