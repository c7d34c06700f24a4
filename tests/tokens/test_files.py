import sys

import pytest

from maskwise.errors import UserError
from maskwise.tokens.files import read_tokenizer, write_tokenizer

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
