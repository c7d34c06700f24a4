"""Labelled texts to probe or fine-tune a language model on, and features of texts and words."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from maskwise.encodings import whole_texts
from maskwise.errors import UserError
from maskwise.measure.features import frozen, random_groups, random_subset, same_length
from maskwise.measure.finetuning import Samples
from maskwise.modality import Pool
from maskwise.rows import SUFFIXES as TABLES
from maskwise.rows import is_missing, said_encoding, table_rows
from maskwise.text.text import Encoded, Text
from maskwise.textio import encode_labels, few, kind_of, read_lines, user_path
from maskwise.tokens.files import labelled_rows
from maskwise.tokens.model import LanguageModel

TEXTS = ("text", "sentence", "content", "question", "review")
_LABELS = ("label", "category", "intent", "class")
# Where word and tag are, by number of columns: word-tag, number-word-tag..., CoNLL-U.
_WORD_AND_TAG = {2: (0, 1), 10: (1, 3)}
BATCH = 128  # texts encoded at once
log = logging.getLogger("maskwise")
T = TypeVar("T")


class TaskFiles(NamedTuple):
    """What a task is called, and where it is."""

    name: str
    train: Path
    test: Path


@dataclass(frozen=True, eq=False)
class Task(Generic[T]):
    """Texts, or sentences as lists of words, and classes of texts or of all words, from 0."""

    name: str
    train: list[T]
    train_y: np.ndarray
    test: list[T]
    test_y: np.ndarray
    classes: tuple[str, ...] = ()


TextTask = Task[str]
WordTask = Task[list[str]]


def parse_task(text: str) -> TaskFiles:
    """Read TRAIN:TEST or NAME=TRAIN:TEST; the name is otherwise that of the training file.

    >>> parse_task("sst2_train.tsv.xz:sst2_dev.tsv.xz").name
    'sst2'
    """
    name, equals, files = text.rpartition("=")
    train, colon, test = files.partition(":")
    if not (train and colon and test) or (equals and not name):
        raise UserError(f"task '{text}' cannot be read: give TRAIN:TEST or NAME=TRAIN:TEST, files")
    path = user_path(train)
    stem = re.sub(r"\.(?:tsv|csv|jsonl|txt|conllu|gz|xz)\b", "", path.name)
    stem = re.sub(r"[._-]*train(?:ing)?\b", "", stem)
    return TaskFiles(name or stem or path.absolute().parent.name, path, user_path(test))


def read_task(text: str, num_train: int, num_test: int, seed: int) -> TextTask:
    """Read labelled texts, at most so many of each part, chosen at random."""

    def choose(path: Path, num: int) -> tuple[list[str], list[str]]:
        texts, labels = read_labelled(path)
        index = random_subset(len(texts), num, seed)
        return [texts[place] for place in index], [labels[place] for place in index]

    return _task(text, choose, num_train, num_test)


def read_tagged_task(text: str, num_train: int, num_test: int, seed: int) -> WordTask:
    """Read tagged words, at most so many of each part, in whole sentences chosen at random."""

    def choose(path: Path, num: int) -> tuple[list[list[str]], list[str]]:
        sentences, tags = read_tagged(path)
        index = random_groups(np.array([len(words) for words in sentences]), num, seed)
        chosen = [sentences[place] for place in index]
        return chosen, [tag for place in index for tag in tags[place]]

    return _task(text, choose, num_train, num_test)


def _task(
    text: str, choose: Callable[[Path, int], tuple[list[T], list[str]]], *nums: int
) -> Task[T]:
    name, *files = parse_task(text)
    (train, labels), (test, test_labels) = map(choose, files, nums)
    if len(set(labels)) < 2:
        raise UserError(f"{files[0]} has the single class '{labels[0]}': give two or more")
    classes, names = encode_labels(np.array(labels + test_labels))
    y, test_y = np.split(classes, [len(labels)])
    return Task(name, train, y, test, test_y, names)


def read_labelled(path: Path) -> tuple[list[str], list[str]]:
    """Read the texts and the labels of a file; .gz and .xz too.

    - .csv (quoted), .tsv (not), .jsonl, .json and .parquet with a column `text`, `sentence`,
      `content`, `question` or `review` and a column `label`, `category`, `intent` or `class`;
    - .tsv without header and with four columns: source, label, mark, sentence (CoLA);
    - any other file: a label, a space and the text in each line; what follows a colon in the label
      is left out (TREC).

    Rows without a label are left out and counted, blank lines are none.
    """
    read = _from_table if kind_of(path) in TABLES else _from_lines
    texts, labels = [], []
    for where, text, label in read(path):
        if not text.strip():
            raise UserError(f"{path}: {where} has no text")
        texts.append(text.strip())
        labels.append(label.strip())
    if not texts:
        raise UserError(f"{path} holds no texts")
    return whole_texts(texts, path), labels


def read_tagged(path: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Read the words of sentences and their tags: one in each line, an empty line in between.

    Columns are separated by tabs: word and tag; number, word, tag and any others; or the ten of
    CoNLL-U, where the tag is the universal part of speech. Lines with # are comments. Numbers that
    are not whole (1-2, 1.1) are of no word, and left out.
    """
    sentences: list[list[tuple[str, str]]] = [[]]
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.rstrip("\r\n").split("\t")
        if not line.strip() or line.startswith("# "):
            sentences.append([])
        elif len(fields) < 2:
            raise UserError(f"{path}: line {number} has one column: give words with tags")
        elif len(fields) == 2 or fields[0].isdigit():
            word, tag = _WORD_AND_TAG.get(len(fields), (1, 2))
            sentences[-1].append((fields[word], fields[tag]))
    if not any(sentences):
        raise UserError(f"{path} holds no words with tags")
    words, tags = ([[pair[at] for pair in each] for each in sentences if each] for at in (0, 1))
    return words, tags


Row = tuple[str, str, str]  # where, text, label


def _from_table(path: Path) -> Iterator[Row]:
    encoding = "utf-8" if kind_of(path) == ".parquet" else said_encoding(path)
    table = kind_of(path) in (".csv", ".tsv")
    first: list[str] = next(table_rows(path, encoding), ("", []))[1] if table else []
    if len(first) == 4 and first[1] in ("0", "1"):  # without names
        rows = [(where, row[3], row[1]) for where, row in table_rows(path, encoding)]
        bare = [where for where, _, label in rows if is_missing(label)]
        if bare:
            log.warning("%s: %d rows without a label left out: %s", path, len(bare), few(bare))
        yield from (row for row in rows if not is_missing(row[2]))
    else:
        yield from (row[:3] for row in labelled_rows(path, TEXTS, _LABELS, encoding))


def _from_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            label, _, text = line.strip().partition(" ")
            yield f"line {number}", text, label.split(":")[0]


def embed_texts(
    model: LanguageModel[Text], texts: Sequence[str], pool: Pool = "mean", layer: int = -1
) -> np.ndarray:
    """Return features of texts, float32 [N, D]; those longer than a row of the model are cut."""
    pieces, _ = cut_texts(model.tokenizer, texts, model.tokenizer.room())
    found = _by_piece(model, pieces, lambda ids: model.encode(ids, pool, layer))
    return np.stack([values.numpy() for values in found])


def _by_piece(
    model: LanguageModel[Text], pieces: Sequence[Encoded], compute: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Return what is computed from the ids of each piece, between special tokens."""
    found = [torch.empty(0)] * len(pieces)
    with frozen(model) as device:
        for index, ids in equal_lengths(model.tokenizer, pieces, BATCH):
            for place, values in zip(index, compute(ids.to(device)).float().cpu(), strict=True):
                found[place] = values
    return found


def cut_texts(text: Text, texts: Sequence[str], room: int) -> tuple[list[Encoded], int]:
    """Return the first `room` tokens of each text, and how many texts were longer."""
    if not len(texts):
        raise UserError("no texts: give at least one")
    found = text.encode(texts)
    for place, each in enumerate(found):
        if not len(each.ids):
            told = f"text {place + 1} ('{texts[place][:40]}')"
            raise UserError(f"{told} has no token: leave it out")
    num_cut = sum(len(each.ids) > room for each in found)
    return [Encoded(*(values[:room] for values in each)) for each in found], num_cut


def cut_note(text: Text, texts: Sequence[str]) -> str:
    """Return how many texts are longer than a row, in words; nothing if none is."""
    _, num = cut_texts(text, texts, text.room())
    return f"{num} texts cut at {text.room()} tokens" if num else ""


def equal_lengths(
    text: Text, pieces: Sequence[Encoded], batch_size: int
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Give batches of pieces of one length: their numbers [b], and framed ids, int64 [b, L]."""
    for batch in same_length([len(piece.ids) for piece in pieces], batch_size):
        rows = [[*text.start, *pieces[place].ids, *text.stop] for place in batch]
        yield batch, torch.from_numpy(np.array(rows, dtype=np.int64))


def word_features(
    model: LanguageModel[Text], sentences: Sequence[Sequence[str]], layer: int = -1
) -> list[np.ndarray]:
    """Return features of the words of each sentence, joined by spaces, each float32 [words, D].

    They are means of tokens'; NaN where the sentence was cut or a token spans several words.
    """
    text = model.tokenizer
    pieces, _ = cut_texts(text, [" ".join(words) for words in sentences], text.room())
    found = _by_piece(model, pieces, lambda ids: model.features(ids, layer))
    means = []
    for words, tokens, values in zip(sentences, pieces, found, strict=True):
        word = torch.from_numpy(words_of(words, tokens.offsets))
        sums = values.new_zeros(len(words), values.shape[1])
        sums.index_add_(0, word, values[len(text.start) :][: len(word)])
        means.append((sums / torch.bincount(word, minlength=len(words))[:, None]).numpy())
    return means


def words_of(words: Sequence[str], offsets: np.ndarray) -> np.ndarray:
    """Return which word each token is of, by its first character, maybe the space before one."""
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    return np.searchsorted(ends, offsets, side="right")


def text_samples(model: LanguageModel[Text], task: TextTask) -> Samples[LanguageModel[Text]]:
    """Return texts as a model takes them; those longer than a row of the model are cut."""
    text = model.tokenizer
    ids = text.tokenize(task.train).ids
    lengths = (ids != text.pad).sum(dim=1)
    return Samples(
        *(task.name, task.train_y, task.test_y, len(task.classes), lengths),
        lambda index, seed, epoch: ids[index, : int(lengths[index].max())],
        lambda tuned: embed_texts(tuned, task.test),
        cut_note(text, [*task.train, *task.test]),
    )
