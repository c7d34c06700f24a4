import gzip

import pytest

from maskwise.encodings import check_encoding, find_encoding, whole, whole_texts
from maskwise.errors import UserError


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"plain", "utf-8"),
        (b"", "utf-8"),
        (b"\xef\xbb\xbfmarked", "utf-8-sig"),
        ("café".encode("cp1252"), "cp1252"),
        (b"\x81\xe9t\xe9", "latin-1"),
        ("été".encode("utf-16"), "utf-16"),
        ("no mark".encode("utf-16-le"), "utf-16-le"),
        ("мир и слово".encode("utf-16-be"), "utf-16-be"),
        ("été".encode("utf-32"), "utf-32"),
    ],
)
def test_what_is_found(tmp_path, content, encoding):
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content))
    assert find_encoding(tmp_path / "a.txt") == encoding
    assert find_encoding(tmp_path / "a.txt.gz") == encoding


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"a\.txt is no text: byte 9 is NUL"),
        (b"GIF89a\x01\0\x01\0\xf0\0\0", r"a\.txt is no text: byte 8 is NUL"),
        (
            b"\x1f\x8b\x08\x08" + bytes(range(1, 9)) + b"\xff\xfe",
            "is no text: it holds binary data",
        ),
        (b"a\0b\0c", r"a\.txt is no text: byte 2 is NUL"),
        ("привет, мир, как дела сегодня".encode("cp1251"), "neither in UTF-8 nor in a western"),
        ("日本語のテキストは長いのです".encode("shift-jis"), "neither in UTF-8 nor in a western"),
        ("déjà vu, été".encode() + b"\xe9", "UTF-8, but for 1 damaged characters: mend it"),
    ],
)
def test_what_is_no_text(tmp_path, content, says):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=says):
        find_encoding(tmp_path / "a.txt")


def test_what_is_in_another_encoding_than_was_said(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"a\.txt: it is not in the encoding utf-8"):
        find_encoding(tmp_path / "a.txt", ["utf-8"])
    with pytest.raises(UserError, match="cannot read"):
        find_encoding(tmp_path / "none.txt")
    for name in ("latin9000", "base64"):
        with pytest.raises(UserError, match=f"encoding '{name}' is not known; take latin-1"):
            check_encoding(name)


def test_halves_of_characters(caplog):
    assert whole("a\ud83d\ude00\udc00b") == "a\N{GRINNING FACE}\ufffdb"
    assert whole_texts(["\ud83d", "\ud83d\ude00", "\ufffd"], "here") == [
        "\ufffd",
        "\N{GRINNING FACE}",
        "\ufffd",
    ]
    assert caplog.messages == [
        "here: halves of characters (lone surrogates) replaced by U+FFFD in 1 texts"
    ]
