"""Texts with labels: one for each text, or one for each word."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maskwise.errors import UserError
from maskwise.textio import columns, json_rows, kind_of, read_lines, table_rows

_TEXTS = ("text", "sentence", "content", "question", "review")
_LABELS = ("label", "category", "intent", "class")
# Where word and tag are, by number of columns: word-tag, number-word-tag..., CoNLL-U.
_WORD_AND_TAG = {2: (0, 1), 10: (1, 3)}


@dataclass(frozen=True)
class Labelled:
    """Texts with a label each."""

    texts: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Tagged:
    """Sentences, whose words have a tag each."""

    sentences: list[list[str]]
    tags: list[list[str]]

    def __len__(self) -> int:
        return len(self.sentences)


def read_labelled(path: Path) -> Labelled:
    """Read a file of labelled texts; .gz and .xz too.

    - .csv (quoted), .tsv (not) and .jsonl with a column `text`, `sentence`, `content`, `question`
      or `review` and a column `label`, `category`, `intent` or `class`;
    - .tsv without header and with four columns: source, label, mark, sentence (CoLA);
    - any other file: a label, a space and the text in each line; what follows a colon in the label
      is left out (TREC). UTF-8, or else Latin-1.

    Raises:
        UserError: a file that cannot be read, or a line that is none of these.
    """
    kind = kind_of(path)
    if kind == ".jsonl":
        rows = _from_json(path)
    elif kind in (".csv", ".tsv"):
        rows = _from_table(path)
    else:
        rows = _from_lines(path)
    texts, labels = [], []
    for where, text, label in rows:
        if not text.strip() or not label.strip():
            raise UserError(f"{path}: {where} has no {'label' if text.strip() else 'text'}")
        texts.append(text.strip())
        labels.append(label.strip())
    if not texts:
        raise UserError(f"{path} holds no texts")
    return Labelled(texts, labels)


def read_tagged(path: Path) -> Tagged:
    """Read sentences whose words have tags: a word in each line, an empty line between sentences.

    Columns are separated by tabs: word and tag; number, word, tag and any others; or the ten of
    CoNLL-U, where the tag is the universal part of speech. Lines with # are comments. Numbers that
    are not whole (1-2, 1.1) are of no word, and left out.

    Raises:
        UserError: a file that cannot be read, or a line that is none of these.
    """
    sentences: list[list[str]] = []
    tags: list[list[str]] = []
    begins = True
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.rstrip("\r\n").split("\t")
        if not line.strip() or line.startswith("# "):
            begins = True
            continue
        if len(fields) < 2:
            raise UserError(f"{path}: line {number} has one column: give words with tags")
        if len(fields) > 2 and not fields[0].isdigit():
            continue
        if begins:
            sentences.append([])
            tags.append([])
            begins = False
        word, tag = _WORD_AND_TAG.get(len(fields), (1, 2))
        sentences[-1].append(fields[word])
        tags[-1].append(fields[tag])
    if not sentences:
        raise UserError(f"{path} holds no words with tags")
    return Tagged(sentences, tags)


Row = tuple[str, str, str]  # where, text, label


def _from_json(path: Path) -> Iterator[Row]:
    for where, row in json_rows(path):
        text, label = columns(path, list(row), _TEXTS, _LABELS)
        yield where, str(row[text]), str(row[label])


def _from_table(path: Path) -> Iterator[Row]:
    rows = table_rows(path)
    _, first = next(rows, ("", []))
    if len(first) == 4 and first[1] in ("0", "1"):
        text, label = 3, 1
        yield "line 1", first[text], first[label]
    else:
        names = [name.strip().lower() for name in first]
        text, label = (names.index(name) for name in columns(path, names, _TEXTS, _LABELS))
    for where, row in rows:
        yield where, row[text], row[label]


def _from_lines(path: Path) -> Iterator[Row]:
    try:
        found = list(read_lines(path))
    except UserError:
        found = list(read_lines(path, "latin-1"))
    for number, line in enumerate(found, start=1):
        label, _, text = line.strip().partition(" ")
        yield f"line {number}", text, label.split(":")[0]
