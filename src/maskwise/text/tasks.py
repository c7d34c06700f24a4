"""Tasks to probe or fine-tune a language model on: texts with labels, to train and to test on."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskwise.errors import UserError
from maskwise.measure.features import encode_labels, random_groups, random_subset
from maskwise.text.labels import read_labelled, read_tagged


class TaskFiles(NamedTuple):
    """What a task is called, and where it is."""

    name: str
    train: Path
    test: Path


@dataclass(frozen=True, eq=False)
class TextTask:
    """Texts with classes, int64 from 0."""

    name: str
    train: list[str]
    train_y: np.ndarray
    test: list[str]
    test_y: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class WordTask:
    """Sentences, as lists of words, and the classes of all words one after the other."""

    name: str
    train: list[list[str]]
    train_y: np.ndarray
    test: list[list[str]]
    test_y: np.ndarray


def parse_task(text: str) -> TaskFiles:
    """Read TRAIN:TEST or NAME=TRAIN:TEST; the name is otherwise that of the training file.

    Raises:
        UserError: it is neither.

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
    """Read labelled texts, some of them chosen at random where there are more.

    Args:
        text: see `parse_task`; the files, see `read_labelled`.
        num_train: texts to train on at most.
        num_test: texts to test on at most.
        seed: of the choice.

    Raises:
        UserError: a file that cannot be used, or a single class.
    """
    files = parse_task(text)
    texts, labels = [], []
    for path, num in ((files.train, num_train), (files.test, num_test)):
        found = read_labelled(path)
        index = random_subset(len(found), num, seed)
        texts.append([found.texts[place] for place in index])
        labels.append([found.labels[place] for place in index])
    classes, names = _classes(files, *labels)
    return TextTask(files.name, texts[0], classes[0], texts[1], classes[1], names)


def read_tagged_task(text: str, num_train: int, num_test: int, seed: int) -> WordTask:
    """Read tagged words, in whole sentences chosen at random where there are more.

    Args:
        text: see `parse_task`; the files, see `read_tagged`.
        num_train: words to train on at most.
        num_test: words to test on at most.
        seed: of the choice.

    Raises:
        UserError: a file that cannot be used, or a single tag.
    """
    files = parse_task(text)
    sentences, tags = [], []
    for path, num in ((files.train, num_train), (files.test, num_test)):
        found = read_tagged(path)
        index = random_groups(np.array([len(words) for words in found.sentences]), num, seed)
        sentences.append([found.sentences[place] for place in index])
        tags.append([tag for place in index for tag in found.tags[place]])
    classes, _ = _classes(files, *tags)
    return WordTask(files.name, sentences[0], classes[0], sentences[1], classes[1])


def _classes(
    files: TaskFiles, train: list[str], test: list[str]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    if len(set(train)) < 2:
        raise UserError(f"{files.train} has the single class '{train[0]}': give two or more")
    classes, names = encode_labels(np.array(train + test))
    return np.split(classes, [len(train)]), names
