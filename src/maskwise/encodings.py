"""In which encoding a text file is, and what is no text at all."""

import codecs
import gzip
import itertools
import logging
import lzma
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

from maskwise.errors import UserError, option

Opener = Callable[..., IO[str]]
OPENERS: dict[str, Opener] = {".gz": gzip.open, ".bgz": gzip.open, ".xz": lzma.open}
READ_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error)
UTF_8 = ("utf-8", "utf-8-sig")
KNOWN = ("utf-8", "cp1252", "latin-1")
"""in which text files are, the first that fits"""
HALF = "\N{REPLACEMENT CHARACTER}"
"""what stands for half a character"""
# What text has none of, but tabs, breaks of lines and pages, and two that old systems leave.
_CONTROLS = bytes({*range(32)} - {*b"\t\n\v\f\r\x1a\x1b"})
# Letters beyond ASCII: so many say nothing; a larger share of all no western language has.
_FEW, _MOST = 20, 0.4
log = logging.getLogger("maskwise")


def check_encoding(name: str) -> None:
    """Refuse what is the name of no encoding of texts.

    Raises:
        UserError: such a name.
    """
    try:
        "".encode(name)
    except LookupError:
        raise UserError(f"encoding {name!r} is not known; take latin-1") from None


def say_encoding(path: Path, encoding: str, more: str = "") -> None:
    """Say in which encoding a file is read, if it is an unusual one."""
    if encoding not in UTF_8:
        log.warning("%s: not UTF-8, read as %s%s", path, encoding, more)


def whole(text: str) -> str:
    r"""Return a text in which halves of characters (lone surrogates) are U+FFFD.

    Two halves that belong together become their character.

    >>> whole("a \ud83d b"), whole("\ud83d\ude00") == "\N{GRINNING FACE}"
    ('a � b', True)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def whole_texts(texts: Sequence[str], where: object = "texts") -> list[str]:
    """Return texts as `whole` does, and say how many were not."""
    found = [whole(text) for text in texts]
    pairs = zip(found, texts, strict=True)
    say_halves(where, sum(a is not b and a.count(HALF) > b.count(HALF) for a, b in pairs))
    return found


def say_halves(where: object, num: int) -> None:
    """Say in how many texts halves of characters were replaced, if in any."""
    if num:
        told = "%s: halves of characters (lone surrogates) replaced by U+FFFD in %d texts"
        log.warning(told, where, num)


def find_encoding(path: Path, known: Sequence[str] = KNOWN) -> str:
    """Return in which encoding a text file (.gz and .xz too) can be read.

    Of several, it is UTF-16 or UTF-32 if the first bytes say so, or else the first that fits: by
    default UTF-8, Windows-1252 or Latin-1, in which every file can be read.

    Raises:
        UserError: the file cannot be read, is no text, or is in none of them.
    """
    opener = OPENERS.get(path.suffix.lower(), open)
    try:
        with opener(path, "rb") as file:
            start = file.read(1 << 16)
        wide = _wide(start) if len(known) > 1 else None
        if wide is None and len(known) > 1 and b"\0" in start:
            raise UserError(
                f"{path} is no text: byte {start.index(0) + 1} is NUL, so it holds binary data"
            )
        for encoding in (wide,) if wide else known:
            with opener(path, "rb") as file:
                fits = _decodes(iter(lambda: file.read(1 << 20), b""), encoding)
            if fits and encoding == "utf-8" and start.startswith(codecs.BOM_UTF8):
                return "utf-8-sig"
            if fits and encoding in KNOWN[1:] and len(known) > 1:
                with opener(path, "rb") as file:
                    _check_guess(path, start, iter(lambda: file.read(1 << 20), b""))
            if fits:
                return encoding
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}") from None
    except LookupError:
        raise UserError(f"{path}: {', '.join(known)} is no encoding") from None
    raise UserError(f"{path}: it is not in the encoding {wide or ', '.join(known)}")


def _check_guess(path: Path, start: bytes, parts: Iterable[bytes]) -> None:
    """Refuse to take for a western encoding, in which nearly all can be read, what is none.

    Args:
        path: what messages name.
        start: the first bytes.
        parts: all bytes, which are not UTF-8.

    Raises:
        UserError: binary data, damaged UTF-8, or another script.
    """
    if not _printable(start):
        raise UserError(f"{path} is no text: it holds binary data")
    decoder, good, bad = codecs.getincrementaldecoder("utf-8")("replace"), 0, 0
    for part in itertools.chain(parts, [b""]):
        text = decoder.decode(part, final=not part)
        bad += text.count(HALF)
        good += len(text) - len(text.encode("ascii", "ignore")) - text.count(HALF)
    if good > bad:
        raise UserError(
            f"{path}: UTF-8, but for {bad} damaged characters: mend it (iconv -c -t utf-8), or"
            f" give {option('data.encoding')}"
        )
    high = len(start) - len(start.translate(None, bytes(range(128, 256))))
    if high > _FEW and high > len(start.translate(None, b" \t\r\n")) * _MOST:
        raise UserError(
            f"{path}: neither in UTF-8 nor in a western encoding: give {option('data.encoding')},"
            " or convert it to UTF-8"
        )


def _wide(start: bytes) -> str | None:
    """Return which encoding of two or four bytes for a letter a file is in, if in one.

    >>> _wide("a word".encode("utf-16")), _wide("a word".encode("utf-16-be")), _wide(b"a word")
    ('utf-16', 'utf-16-be', None)
    """
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for encoding, high, low in (
        ("utf-16-le", start[1::2], start[::2]),
        ("utf-16-be", start[::2], start[1::2]),
    ):
        # Without a mark: a script has letters of few blocks, and spaces of the first.
        if len(high) == len(low) and 0 in high and 0 not in low and len(set(high)) <= 4:
            try:
                text = codecs.getincrementaldecoder(encoding)().decode(start)
            except UnicodeDecodeError:
                return None
            if _printable(text.encode()):
                return encoding
    return None


def _printable(start: bytes) -> bool:
    r"""Say whether bytes hold next to no signs that control machines.

    >>> _printable(b"two\n\tlines"), _printable(bytes(range(40)))
    (True, False)
    """
    controls = len(start) - len(start.translate(None, _CONTROLS))
    return controls <= len(start) / 100


def _decodes(parts: Iterable[bytes], encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for part in parts:
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
