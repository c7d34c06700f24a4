"""Texts of data sets and streams from Python; streams are tokenized and packed as they pass."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.encodings import whole_texts
from maskwise.errors import UserError, option
from maskwise.given import Items, Streamed, head
from maskwise.labels import is_nothing
from maskwise.text.corpus import Corpus
from maskwise.text.data import TextDataSettings, TextSplits, rows_of, texts_of, tokenized
from maskwise.text.given import Given
from maskwise.text.text import Text
from maskwise.textio import few
from maskwise.train.stream import StreamSource

log = logging.getLogger("maskwise")
TEXT = ("text", "content", "sentence", "document")
"""usual keys of texts"""
PACKED = 256  # texts of which rows are packed together


def are_texts(data: Items | Streamed) -> bool:
    """Say whether the first item of data is a text, or a dict or pair with one.

    >>> are_texts(Items([{"text": "a"}])), are_texts(Items([{"image": 1}]))
    (True, False)
    """
    first = data.peeked
    try:
        return first is not None and isinstance(text_of(data, first, 0), str)
    except UserError:
        return False


def text_of(data: Items | Streamed, item: Any, number: int, column: str = "text") -> str | None:
    """Return the text of an item; None where it has none.

    Raises:
        UserError: it is something else.
    """
    text, _ = data.parts(item, number, (column, *TEXT))
    if isinstance(text, (tuple, list)) and 1 <= len(text) <= 2:
        text = text[0]
    if isinstance(text, str):
        return text
    if is_nothing(text):
        return None
    keys = f" with the keys {few([str(key) for key in text])}" if isinstance(text, dict) else ""
    hint = f": name the one of the text, {option('data.x')}" if keys else ""
    raise UserError(f"{data.named(number)} is no text, but {type(text).__name__}{keys}{hint}")


def of_items(items: Items, column: str = "text") -> list[str | None]:
    """Return the texts of a data set, which are read once.

    Raises:
        UserError: an item that is no text.
    """
    return [text_of(items, item, number, column) for number, item in enumerate(items.every())]


def load_stream(stream: Streamed, data: TextDataSettings, units: str | None) -> TextSplits:
    """Return rows of the first texts of a stream, and a stream of those after the ones to test on.

    A tokenizer is trained on the first texts that are trained on. Rows are packed of 256 texts.

    Raises:
        UserError: it holds something else, or ends too soon.
    """
    if units == "ngrams":
        raise UserError(
            "pattern ngrams needs all texts to find them in: a stream has words or spans"
        )
    if data.heldout is not None:
        raise UserError(
            f"a stream is tested on its first texts ({option('data.stream_test')}): leave out"
            f" {option('data.heldout')}"
        )
    first = head(stream, data.stream_test, partial(_kept, stream, data))
    parts = [texts_of(_given(part)) for part in (first.train, first.test)]
    corpus = tokenized(parts[0], data)
    other = tokenized(parts[1], data, corpus.text)
    train, test = (rows_of(each, data, each.starts if units else None) for each in (corpus, other))
    log.info(
        "stream: %d rows of %d tokens to look at, %d held out, of %d texts each",
        *(len(train), data.length, len(test), data.stream_test),
    )
    samples = partial(_samples, stream, data, corpus.text, bool(units))
    num = None if first.num is None else sum(1 for _ in samples())
    rows = max(len(train) / len(first.train), 1e-9)
    source = StreamSource(samples, _collate, data.buffer, num, first.seconds / rows)
    return TextSplits(train, test, "stream", source)


def _kept(stream: Streamed, data: TextDataSettings, item: Any, number: int) -> str | None:
    text = text_of(stream, item, number, data.column)
    if text is None and data.broken == "stop":
        raise UserError(
            f"{stream.named(number)} has no text: leave it out, or give"
            f" {option('data.broken', 'skip')}"
        )
    return text


def _given(texts: Sequence[str | None]) -> Given:
    missing = [row for row, text in enumerate(texts) if text is None]
    if missing:
        log.warning("stream: %d of its first texts are missing and left out", len(missing))
    return Given(whole_texts([text or "" for text in texts]), missing)


def _samples(
    stream: Streamed, data: TextDataSettings, text: Text, units: bool
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Give the rows of a pass over the texts to train on, packed a few hundred texts at a time."""
    rest = itertools.islice(enumerate(stream), data.stream_test, None)
    kept = (_kept(stream, data, item, number) for number, item in rest)
    while some := list(itertools.islice(kept, PACKED)):
        corpus = _corpus(text, [each for each in some if each is not None])
        if not len(corpus.documents):
            continue
        rows = rows_of(corpus, data, corpus.starts if units else None)
        every = np.arange(len(rows))
        ids, of = rows.get(every).int(), rows.units(every)
        for row in range(len(rows)):  # copies, so that one that waits does not keep all others
            yield ids[row].clone(), None if of is None else of[row].clone()


def _corpus(text: Text, texts: list[str]) -> Corpus:
    """Return texts as a corpus in memory, without those of fewer than two tokens."""
    found = [each for each in text.encode(texts) if len(each.ids) >= 2]
    ids = np.concatenate([each.ids for each in found] or [np.zeros(0, np.uint32)])
    starts = np.concatenate([each.starts for each in found] or [np.zeros(0, bool)])
    ends = np.cumsum([0, *(len(each.ids) for each in found)], dtype=np.int64)
    documents = np.stack([ends[:-1], ends[1:]], axis=1)
    return Corpus(text, ids, starts.astype(np.uint8), documents, {})


def _collate(some: Sequence[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor | None]:
    units = [each for _, each in some if each is not None]
    return torch.stack([ids for ids, _ in some]).long(), torch.stack(units) if units else None
