"""Tasks to probe or fine-tune a language model on: labelled texts, to train and to test on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from maskwise.errors import UserError
from maskwise.measure.features import encode_labels, random_groups, random_subset
from maskwise.textio import columns, json_rows, kind_of, read_lines, table_rows

_TEXTS = ("text", "sentence", "content", "question", "review")
_LABELS = ("label", "category", "intent", "class")
# Where word and tag are, by number of columns: word-tag, number-word-tag..., CoNLL-U.
_WORD_AND_TAG = {2: (0, 1), 10: (1, 3)}


class TaskFiles(NamedTuple):
    """What a task is called, and where it is."""

    name: str
    train: Path
    test: Path


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Task(Generic[T]):
    """Texts, or sentences as lists of words, and classes of texts or of all words, from 0."""

    name: str
    train: list[T]
    train_y: np.ndarray
    test: list[T]
    test_y: np.ndarray
    classes: tuple[str, ...] = ()


TextTask, WordTask = Task[str], Task[list[str]]


def parse_task(text: str) -> TaskFiles:
    """Read TRAIN:TEST or NAME=TRAIN:TEST; the name is otherwise that of the training file.

    >>> parse_task("sst2_train.tsv.xz:sst2_dev.tsv.xz").name
    'sst2'
    """
    name, equals, files = text.rpartition("=")
    train, colon, test = files.partition(":")
    if not (train and colon and test) or (equals and not name):
        raise UserError(f"task '{text}' cannot be read: give TRAIN:TEST or NAME=TRAIN:TEST, files")
    path = Path(train).expanduser()
    stem = re.sub(r"\.(?:tsv|csv|jsonl|txt|conllu|gz|xz)\b", "", path.name)
    stem = re.sub(r"[._-]*train(?:ing)?\b", "", stem)
    return TaskFiles(name or stem or path.absolute().parent.name, path, Path(test).expanduser())


def read_task(text: str, num_train: int, num_test: int, seed: int) -> TextTask:
    """Read labelled texts, at most so many of each part, chosen at random.

    `text` is as for `parse_task`, the files as for `read_labelled`.
    """
    files = parse_task(text)

    def choose(path: Path, num: int) -> tuple[list[str], list[str]]:
        texts, labels = read_labelled(path)
        index = random_subset(len(texts), num, seed)
        return [texts[place] for place in index], [labels[place] for place in index]

    return _task(files, choose(files.train, num_train), choose(files.test, num_test))


def read_tagged_task(text: str, num_train: int, num_test: int, seed: int) -> WordTask:
    """Read tagged words, at most so many of each part, in whole sentences chosen at random.

    `text` is as for `parse_task`, the files as for `read_tagged`.
    """
    files = parse_task(text)

    def choose(path: Path, num: int) -> tuple[list[list[str]], list[str]]:
        sentences, tags = read_tagged(path)
        index = random_groups(np.array([len(words) for words in sentences]), num, seed)
        chosen = [sentences[place] for place in index]
        return chosen, [tag for place in index for tag in tags[place]]

    return _task(files, choose(files.train, num_train), choose(files.test, num_test))


def _task(
    files: TaskFiles, train: tuple[list[T], list[str]], test: tuple[list[T], list[str]]
) -> Task[T]:
    (texts, labels), (test_texts, test_labels) = train, test
    if len(set(labels)) < 2:
        raise UserError(f"{files.train} has the single class '{labels[0]}': give two or more")
    classes, names = encode_labels(np.array(labels + test_labels))
    y, test_y = np.split(classes, [len(labels)])
    return Task(files.name, texts, y, test_texts, test_y, names)


class Labelled(NamedTuple):
    """Texts with a label each."""

    texts: list[str]
    labels: list[str]


class Tagged(NamedTuple):
    """Sentences, whose words have a tag each."""

    sentences: list[list[str]]
    tags: list[list[str]]


def read_labelled(path: Path) -> Labelled:
    """Read a file of labelled texts; .gz and .xz too.

    - .csv (quoted), .tsv (not) and .jsonl with a column `text`, `sentence`, `content`, `question`
      or `review` and a column `label`, `category`, `intent` or `class`;
    - .tsv without header and with four columns: source, label, mark, sentence (CoLA);
    - any other file: a label, a space and the text in each line; what follows a colon in the label
      is left out (TREC). UTF-8, or else Latin-1.
    """
    read = {".jsonl": _from_json, ".csv": _from_table, ".tsv": _from_table}
    texts, labels = [], []
    for where, text, label in read.get(kind_of(path), _from_lines)(path):
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
