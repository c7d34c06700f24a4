"""Where texts come from: settings, and `load`, which turns them into rows of tokens."""

import dataclasses
import hashlib
import logging
import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from maskwise.errors import UserError
from maskwise.modalities.text import Text
from maskwise.modalities.text_files import (
    Document,
    Part,
    hub_split,
    hub_test_split,
    read_parts,
    text_files,
)
from maskwise.modalities.text_packing import Rows, cut, expand, one_per_row, pack
from maskwise.modalities.text_tokenizer import load_tokenizer, train_tokenizer
from maskwise.modalities.text_tokens import Corpus, cached, open_corpus, write_corpus
from maskwise.settings import settings

log = logging.getLogger("maskwise")

_TRAINING_CHARACTERS = 2 * 10**8  # a tokenizer learns little more from more text
_FEW_DOCUMENTS = 20


@settings
class TextData:
    """Which texts to use and how to read them."""

    source: str = "pydoc"
    """`pydoc` (Python's own manual, built in), a text file (.txt, .md, also .gz or .xz), .jsonl,
    .parquet, a folder of these, or `hf:NAME`."""
    heldout: str | None = None
    """Texts to evaluate on; none: the test split of `hf:NAME`, else `holdout` of the texts."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the documents held out; of less than 20 documents, the end of the texts."""
    column: str = "text"
    """Where the text is in .jsonl, .parquet and `hf:NAME`, whose rows are documents."""
    document: Document = "file"
    """What a document is in a text file: the whole file, a paragraph (up to a blank line) or a
    line."""
    tokenizer: str | None = None
    """A tokenizer.json, or a folder or hub name of transformers; none: one is trained on the
    texts."""
    vocab_size: PositiveInt = 8192
    """Tokens of a trained tokenizer."""
    lowercase: bool = False
    """A trained tokenizer makes everything lower-case."""
    length: PositiveInt = 128
    """Tokens in a row, special ones included."""
    pack: bool = True
    """Put several short documents in a row; none attends to another."""
    ngrams: str | None = None
    """For the pattern `ngrams`: a text file with one n-gram in a line; none: the 2- to 5-grams of
    the texts with the highest pointwise mutual information."""


@dataclasses.dataclass(frozen=True, eq=False)
class TextSource:
    """Rows of tokens by index.

    Args:
        corpus: the tokens.
        rows: which pieces each row holds.
        starts: uint8 [n], where units begin; None where nobody asks for units.
    """

    corpus: Corpus
    rows: Rows
    starts: np.ndarray | None = None
    in_memory: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, indices: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        """Return token ids, int64 [b, L], framed and padded, at `indices`."""
        text, rows = self.corpus.text, np.asarray(indices, dtype=np.int64)
        ids = np.full((len(rows), text.length), text.pad, dtype=np.int64)
        source, row, place = self.rows.tokens_of(rows)
        ids[row, place] = self.corpus.ids[source]
        begin, count = self.rows.begin[rows], self.rows.begin[rows + 1] - self.rows.begin[rows]
        piece, row = expand(begin, count)
        for back, token in enumerate(reversed(text.start), start=1):
            ids[row, self.rows.place[piece] - back] = token
        for on, token in enumerate(text.stop):
            ids[row, self.rows.place[piece] + self.rows.size[piece] + on] = token
        return torch.from_numpy(ids)

    def units(self, indices: Sequence[int] | np.ndarray | Tensor) -> Tensor | None:
        """Return the unit of each position, int64 [b, L], if units are asked for.

        Special tokens and the beginnings of pieces begin units too.
        """
        if self.starts is None:
            return None
        rows = np.asarray(indices, dtype=np.int64)
        begins = np.ones((len(rows), self.corpus.text.length), dtype=np.int64)
        source, row, place = self.rows.tokens_of(rows)
        begins[row, place] = self.starts[source]
        return torch.from_numpy(begins).cumsum(dim=1)

    @property
    def padding(self) -> float:
        """Share of positions that hold nothing."""
        frame = self.corpus.text.num_frame * len(self.rows.size)
        filled = int(self.rows.size.sum()) + frame
        return 1 - filled / (len(self) * self.corpus.text.length)


@dataclasses.dataclass(frozen=True, eq=False)
class TextSplits:
    """Texts ready for use: `train` to learn from, `test` to evaluate on."""

    train: TextSource
    test: TextSource
    name: str


def load(data: TextData, *, units: str | None = None) -> TextSplits:
    """Tokenize the texts that `data` describes, unless it was done before, and cut them in rows.

    Args:
        data: the settings.
        units: "words" or "ngrams": what masks hide as one.

    Raises:
        UserError: a source that does not exist or cannot be used, saying which and why.
    """
    corpus = tokenized(data)
    heldout = _held_out_source(data)
    if heldout is None:
        parts = _hold_out(corpus.documents, data.holdout)
        corpora = [dataclasses.replace(corpus, documents=part) for part in parts]
    else:
        changed = dataclasses.replace(data, source=heldout, heldout=None)
        corpora = [corpus, tokenized(changed, corpus.text)]
    train, test = (_source(each, data, units) for each in corpora)
    counts = corpus.counts
    log.info(
        "%s: %d documents, %d tokens, %d documents of fewer than two tokens left out; %d rows of"
        " %d tokens to train on (%.1f %% padding), %d held out",
        *(data.source, counts["documents"] - counts["dropped_documents"], counts["tokens"]),
        *(counts["dropped_documents"], len(train), data.length, 100 * train.padding, len(test)),
    )
    return TextSplits(train, test, name_of(data.source))


def tokenized(data: TextData, text: Text | None = None) -> Corpus:
    """Return the tokens of a source, from the cache or written to it.

    Args:
        data: the settings.
        text: how texts become tokens; default: as the settings say.
    """
    key = _key(data, text)
    folder = cached(key)
    corpus = open_corpus(folder)
    if corpus is None:
        log.info("tokenizing %s (kept in %s)", data.source, folder)
        text = text or _text(data)
        parts = read_parts(data.source, data.column, data.document)
        corpus = write_corpus(folder, text, parts)
    return dataclasses.replace(corpus, text=corpus.text.with_length(data.length))


def name_of(source: str) -> str:
    """Return what reports call a source.

    >>> name_of("texts/corpus.txt.gz"), name_of("hf:user/set")
    ('corpus', 'user/set')
    """
    if source.startswith("hf:"):
        return source.removeprefix("hf:")
    return Path(source).name.split(".")[0] or source


def _text(data: TextData) -> Text:
    if data.tokenizer is not None:
        return load_tokenizer(data.tokenizer, data.length)
    parts = read_parts(data.source, data.column, data.document)
    return train_tokenizer(
        _beginning(parts, _TRAINING_CHARACTERS),
        vocab_size=data.vocab_size,
        length=data.length,
        lowercase=data.lowercase,
    )


def _beginning(parts: Iterable[Part], most: int) -> Iterator[str]:
    for part in parts:
        yield part.text
        most -= len(part.text)
        if most <= 0:
            return


def _key(data: TextData, text: Text | None) -> dict[str, Any]:
    """Return what decides the tokens of a source."""
    key: dict[str, Any] = {"format": 1, "source": _identity(data)}
    if text is not None:
        key["tokenizer"] = hashlib.sha256(text.tokenizer.to_str().encode()).hexdigest()
    elif data.tokenizer is not None:
        path = Path(data.tokenizer).expanduser()
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        key["tokenizer"] = [data.tokenizer, _stamps(files)]
    else:
        key["tokenizer"] = [data.vocab_size, data.lowercase, version("tokenizers")]
    return key


def _identity(data: TextData) -> Any:
    if data.source == "pydoc":
        return [data.source, platform.python_version()]
    if data.source.startswith("hf:"):
        return [data.source, data.column, str(hub_split(data.source, data.column)._fingerprint)]
    return [data.column, data.document, _stamps(text_files(data.source))]


def _stamps(files: Iterable[Path]) -> list[Any]:
    found = [(path.resolve(), path.stat()) for path in files if path.exists()]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in found]


def _held_out_source(data: TextData) -> str | None:
    if data.heldout is None and data.source.startswith("hf:"):
        return hub_test_split(data.source)
    return data.heldout


def _hold_out(documents: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Split documents [n, 2] in two; of few, the last one is cut, so that the share is right.

    Raises:
        UserError: one part would be empty.
    """
    size = documents[:, 1] - documents[:, 0]
    most = share * size.sum()
    if len(documents) >= _FEW_DOCUMENTS:
        order = np.random.default_rng(0).permutation(len(documents))
        held = np.zeros(len(documents), dtype=bool)
        held[order[: max(1, np.searchsorted(size[order].cumsum(), most))]] = True
        parts = documents[~held], documents[held]
    else:
        left = np.searchsorted(size[::-1].cumsum(), most)
        whole = len(documents) - left
        border = documents[whole - 1, 1] - max(2, round(most - size[whole:].sum()))
        parts = documents.clip(max=border), documents.clip(min=border)
    train, test = (part[part[:, 1] - part[:, 0] >= 2] for part in parts)
    if not len(train) or not len(test):
        raise UserError(
            f"{int(size.sum())} tokens in {len(documents)} documents are too few to hold out"
            f" {share:g} of them: give more text, or --data.heldout"
        )
    return train, test


def _source(corpus: Corpus, data: TextData, units: str | None) -> TextSource:
    text = corpus.text
    first, size = cut(corpus.documents, text.room())
    separate = bool(text.start) and text.pad >= 0
    if data.pack and separate:
        rows = pack(first, size, text.length, len(text.start), len(text.stop))
    else:
        rows = one_per_row(first, size, len(text.start))
    return TextSource(corpus, rows, corpus.starts if units else None)
