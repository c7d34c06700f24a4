"""Where documents come from: text files, rows of JSON, tables and Parquet, the hub."""

import logging
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from maskwise.encodings import UTF_8, say_halves, whole
from maskwise.errors import UserError, option
from maskwise.files import stamp
from maskwise.modality import Samples
from maskwise.rows import SUFFIXES as ROWS
from maskwise.rows import Wrong, encoding_of, open_hub, rows_of
from maskwise.textio import HELD, few, kind_of, read_lines, user_path
from maskwise.tokens.files import find_files

log = logging.getLogger("maskwise")

Document = Literal["file", "paragraph", "line"]

SUFFIXES = (".txt", ".md", ".jsonl", ".ndjson", ".parquet")
"""of the files in a folder of texts"""
LESS_USUAL = (".json", ".csv", ".tsv")
"""... of one that has none of those: beside texts they mostly hold something else"""
NAMES = ("id", "name")
"""columns that name rows"""
_PART = 1 << 20  # characters read at once, so that no document need fit in memory
_LOOKED_AT = 100  # rows by which columns of texts are told from others


class How(NamedTuple):
    """How texts are read, as the settings of the data say."""

    column: str = "text"
    document: Document = "file"
    encoding: str = "auto"


class Part(NamedTuple):
    """A document, or a part of a long one."""

    text: str
    first: bool  # Whether a document begins here.
    where: str = ""  # of its source, as messages say it
    name: str = ""  # as outputs call it
    wrong: str = ""  # Why there is no text, where it cannot be read.


class Files(NamedTuple):
    """The files of a source."""

    used: list[Path]
    empty: list[Path]  # of 0 bytes
    others: list[Path]  # of other kinds


class NoColumn(UserError):
    """The column that was asked for is not there; `best` is one that may be meant."""

    def __init__(self, where: object, column: str, names: Iterable[str], best: str | None) -> None:
        super().__init__(
            f"{where}: no column '{column}'; found {few([name[:40] for name in names], 20)}: give"
            f" {option('data.column', best)}"
        )
        self.where, self.best = where, best


@dataclass
class Seen:
    """What was met while documents were read."""

    encodings: Counter[str] = field(default_factory=Counter)
    """of text files, and how many have each"""
    halves: int = 0
    """texts with halves of characters, which were replaced"""
    known: bool = False
    """whether a row had the column"""
    letters: Counter[str] = field(default_factory=Counter)
    """of the columns of the first rows"""
    looked: int = 0
    """rows"""
    blank: int = 0
    """lines that are no documents"""
    first: str = ""
    """what is wrong with the first row"""


def text_files(source: str) -> Files:
    """Return the text files that a source names.

    Raises:
        UserError: there are none, or all are empty.
    """
    path = user_path(source)
    found, others = find_files(path, (*SUFFIXES, *LESS_USUAL), "text files", deep=True)
    if path.is_dir() and any(kind_of(each) in SUFFIXES for each in found):
        others = sorted([*others, *(each for each in found if kind_of(each) not in SUFFIXES)])
        found = [each for each in found if kind_of(each) in SUFFIXES]
    used = [each for each in found if each.stat().st_size]
    empty = [each for each in found if not each.stat().st_size]
    if not used:
        names = few([each.name for each in empty])
        raise UserError(f"{path}: no text: {len(empty)} empty files ({names})")
    return Files(used, empty, others)


def identity(source: str, how: How) -> object:
    """Return what tells the texts of a source from others."""
    if source == "pydoc":
        return [source, platform.python_version()]
    if source.startswith("hf:"):
        return [source, how.column, str(hub_split(source, how.column)._fingerprint)]
    return [*how, [stamp(path) for path in text_files(source).used]]


def read_parts(source: str, how: How) -> Iterator[Part]:
    """Give the documents of a source that can be read, in order, long ones in parts."""
    return (part for part in read_all(source, how) if not part.wrong)


def read_all(source: str, how: How, seen: Seen | None = None) -> Iterator[Part]:
    """Give all documents of a source (hf:NAME[:SPLIT] too) in order, long ones in parts.

    Raises:
        UserError: nothing can be read, or no row has the column.
    """
    seen = seen or Seen()
    if source == "pydoc":
        from pydoc_data.topics import topics

        yield from (Part(topics[key], True, key, key) for key in sorted(topics))
        return
    if source.startswith("hf:"):
        yield from _of_rows(_hub_rows(source, how.column), how, "", seen)
        return
    place = user_path(source)
    files = text_files(source).used
    for path in files:
        label = whole(path.relative_to(place).as_posix()) if place.is_dir() else ""
        try:
            yield from _of_file(path, how, label, seen)
        except UserError as error:
            if len(files) == 1:
                raise
            yield Part("", True, label, label, str(error))
    if seen.letters and not seen.known:
        longest = seen.letters.most_common(1)[0]
        best = longest[0] if longest[1] else None
        raise NoColumn(source, how.column, seen.letters, best)
    if seen.first and not seen.known:
        raise UserError(f"{source}: {seen.first}")


def _of_file(path: Path, how: How, label: str, seen: Seen) -> Iterator[Part]:
    kind, encoding = kind_of(path), ""
    if kind != ".parquet":
        encoding = encoding_of(path, how.encoding)
        seen.encodings[encoding] += 1
    if kind in ROWS:
        rows = rows_of(path, encoding, (how.column, *NAMES))
        yield from _of_rows(rows, how, label, seen)
    else:
        seen.known = True
        yield from _documents(path, how.document, encoding, label, seen)


def _of_rows(
    rows: Iterable[tuple[str, object]], how: How, label: str, seen: Seen
) -> Iterator[Part]:
    """Give the texts of rows; what is wrong with a row is said in its place."""
    for place, row in rows:
        where = f"{label}: {place}" if label else place
        text, wrong = _text_of(row, how.column)
        if isinstance(row, dict):
            seen.known |= how.column in row
            name = next((str(row[key]) for key in NAMES if row.get(key) is not None), "")
            seen.looked += 1
            if seen.looked <= _LOOKED_AT:
                for key, value in row.items():
                    seen.letters[key] += len(value) if isinstance(value, str) else 0
        else:
            seen.known |= not wrong
            name = ""
        if wrong and not seen.first:
            seen.first = f"{where}: {wrong}"
        name = whole(name) or _numbered(label, place.split()[-1])
        mended = whole(text)
        seen.halves += mended != text
        # Short parts keep a tokenizer from seeing a whole book at once.
        for start in range(0, max(len(mended), 1), _PART):
            yield Part(mended[start : start + _PART], start == 0, where, name, wrong)


def _text_of(row: object, column: str) -> tuple[str, str]:
    """Return the text of a row, or what is wrong with it."""
    if isinstance(row, str):
        return row, ""
    if isinstance(row, Wrong):
        return "", row.why
    if not isinstance(row, dict):
        return "", f"{row!r:.40} is neither an object nor a text"
    value = row.get(column)
    if isinstance(value, str):
        return value, ""
    if value is None or value != value:
        return "", f"'{column}' is null" if column in row else f"no '{column}'"
    return "", f"'{column}' holds {value!r:.40}, not a text"


def _numbered(label: str, number: object) -> str:
    return f"{label}:{number}" if label else str(number)


def _documents(
    path: Path, document: Document, encoding: str, label: str, seen: Seen
) -> Iterator[Part]:
    """Give the documents of a text file: it as a whole, its paragraphs or its lines."""
    text, first = "", True
    number = begun = 1
    whole_line = True  # whether a line begins here, and not a further part of one

    def part(text: str, first: bool, line: int) -> Part:
        where = f"{label}: line {line}" if label else f"line {line}"
        return Part(text, first, where, _numbered(label, line))

    for line in read_lines(path, encoding, _PART):
        blank = whole_line and not line.strip() and len(line) < _PART
        seen.blank += blank and document == "line"
        # Texts that are asked about later have no line break at their end.
        if document == "line" and not blank:
            yield part(line.rstrip("\n"), whole_line, number)
        elif document == "paragraph" and blank:
            if text:
                yield part(text.rstrip("\n"), first, begun)
            text, first, begun = "", True, number + 1
        elif document != "line":
            text += line
            if len(text) >= _PART:
                yield part(text, first, begun)
                text, first = "", False
        whole_line = line.endswith("\n")
        number += whole_line
    if text or (document == "file" and first):
        yield part(text if document == "file" else text.rstrip("\n"), first, begun)


def read_samples(source: str, how: How) -> Samples:
    """Return all texts of a source; a line of a text file that is not blank is one.

    Rows without a text have a place and no text.

    Raises:
        UserError: no text can be read.
    """
    seen = Seen()
    texts: list[str] = []
    names: list[str] = []
    broken: dict[int, str] = {}
    for part in read_all(source, how._replace(document="line"), seen):
        if part.first:
            texts.append(part.text)
            names.append(part.name)
            if part.wrong:
                broken[len(names) - 1] = part.wrong
        else:
            texts[-1] += part.text
    texts = [text.strip() for text in texts]
    broken |= {row: "it is empty" for row, text in enumerate(texts) if not (text or row in broken)}
    tell(source, seen.encodings, seen.halves)
    if seen.blank:
        log.warning("%s: %d blank lines left out, %d kept", source, seen.blank, len(texts))
    given = [text for row, text in enumerate(texts) if row not in broken]
    if not given:
        why = f": {names[0]}: {broken[0]}" if broken else ""
        raise UserError(f"{source}: no text{why}")
    return Samples(given, names, broken)


def tell(source: str, encodings: Mapping[str, int], halves: int) -> None:
    """Say in which unusual encodings files are, and in how many texts characters were halves."""
    for encoding, num in encodings.items():
        if encoding not in UTF_8:
            what = f"{num} files not UTF-8" if num > 1 else "not UTF-8"
            how = option("data.encoding")
            log.warning("%s: %s, read as %s (%s)", source, what, encoding, how)
    say_halves(source, halves)


def hub_split(source: str, column: str) -> Any:
    """Return a split of hf:NAME[:SPLIT], by default the one named train."""
    wanted = source.removeprefix("hf:").partition(":")[2] or "train"
    splits = open_hub(source)
    if wanted not in splits:
        raise UserError(f"{source}: no split named {wanted}; found {', '.join(splits)}")
    split = splits[wanted]
    if column not in split.column_names:
        kinds = getattr(split, "features", None) or {}
        texts = [name for name, kind in kinds.items() if getattr(kind, "dtype", "") == "string"]
        raise NoColumn(source, column, split.column_names, texts[0] if texts else None)
    return split


def _hub_rows(source: str, column: str) -> Iterator[tuple[str, object]]:
    split = hub_split(source, column)
    known = [column, *(name for name in NAMES if name in split.column_names)]
    for number, values in enumerate(zip(*(split[name] for name in known), strict=True), start=1):
        yield f"row {number}", dict(zip(known, values, strict=True))


def hub_test_split(source: str) -> str | None:
    """Return the source that is the test split of hf:NAME, if it has one."""
    found = [key for key in HELD if key in open_hub(source)]
    return f"{source}:{found[0]}" if found and source.count(":") == 1 else None


def hub_columns(source: str) -> set[str]:
    """Return the kinds of the columns of hf:NAME: "Image", "string", ..."""
    features = next(iter(open_hub(source).values())).features.values()
    kinds = [(str(getattr(each, "dtype", "")), type(each).__name__) for each in features]
    return {name for each in kinds for name in each}
