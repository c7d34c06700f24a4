"""Where texts come from: settings, and `load`, which turns them into rows of tokens, by index."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from maskwise.encodings import check_encoding
from maskwise.errors import UserError, option
from maskwise.files import Stamp, atomic_folder, cached, stamp
from maskwise.given import ItemSettings
from maskwise.modality import Indices
from maskwise.settings import settings
from maskwise.text.corpus import Corpus, open_corpus, write_corpus
from maskwise.text.given import Given, read_given
from maskwise.text.ngrams import ngram_starts
from maskwise.text.packing import PackedRows, cut, pack
from maskwise.text.sources import Document, How, Part, hub_test_split, identity, read_parts
from maskwise.text.survey import look, of_given, parts_of, say
from maskwise.text.text import Text, load_tokenizer, train_tokenizer
from maskwise.textio import Broken, is_data, splits_among, user_path
from maskwise.train.stream import StreamSource

log = logging.getLogger("maskwise")

_TRAINING_CHARACTERS = 2 * 10**8  # a tokenizer learns little more from more text
_FEW_DOCUMENTS = 20


@dataclass(frozen=True, eq=False)
class TextSource:
    """Rows of tokens by index."""

    corpus: Corpus
    rows: PackedRows
    starts: np.ndarray | None = None
    """uint8 [n], where units begin; None where nobody asks for units"""
    in_memory: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, indices: Indices) -> Tensor:
        """Return token ids, int64 [b, L], framed and padded, at `indices`."""
        text, rows = self.corpus.text, np.asarray(indices, dtype=np.int64)
        ids = np.full((len(rows), text.length), text.pad, dtype=np.int64)
        source, row, place = self.rows.tokens_of(rows)
        ids[row, place] = self.corpus.ids[source]
        piece, row = self.rows.pieces_of(rows)
        place, end = self.rows.place[piece], self.rows.place[piece] + self.rows.size[piece]
        for on, token in enumerate(text.start):
            ids[row, place - len(text.start) + on] = token
        for on, token in enumerate(text.stop):
            ids[row, end + on] = token
        return torch.from_numpy(ids)

    def units(self, indices: Indices) -> Tensor | None:
        """Return the unit of each position, int64 [b, L]; special tokens begin units too."""
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
        text = self.corpus.text
        filled = int(self.rows.size.sum()) + text.num_frame * len(self.rows.size)
        return 1 - filled / (len(self) * text.length)


@dataclass(frozen=True, eq=False)
class TextSplits:
    """Texts ready for use: `train` to learn from, `test` to evaluate on.

    Of a stream they are its first ones, and `stream` is what is learned from.
    """

    train: TextSource
    test: TextSource
    name: str
    stream: StreamSource | None = None


@settings
class TextDataSettings(ItemSettings):
    """Which texts to use and how to read them."""

    source: str = "pydoc"
    """`pydoc` (Python's own manual, built in), a text file (.txt, .md, also .gz or .xz), .jsonl,
    .json, .parquet, .csv or .tsv, a folder of these, or `hf:NAME`."""
    heldout: str | None = None
    """Texts to evaluate on; none: the test split of `hf:NAME`, or the part of a folder that is
    called so (`train.txt` and `test.txt`, or folders), else `holdout` of the texts."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the texts held out: documents at random; of a few, or of large ones, the end."""
    column: str = "text"
    """Where the text is in rows, which are documents: of .jsonl, .json, .parquet, .csv, .tsv and
    `hf:NAME`."""
    document: Document = "file"
    """What a document is in a text file: the whole file, a paragraph (up to a blank line) or a
    line that is not blank."""
    encoding: str = "auto"
    """Of text files; by default UTF-8, or UTF-16, Windows-1252 or Latin-1, which is then said."""
    broken: Broken = "stop"
    """What is done about rows without a text: `stop`, with the names of all, or `skip`, which
    counts them."""
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

    def __post_init__(self) -> None:
        if self.encoding != "auto":
            check_encoding(self.encoding)

    @property
    def how(self) -> How:
        """How texts are read."""
        return How(self.column, self.document, self.encoding)


class Texts(NamedTuple):
    """Documents that can be read again, and what tells them from others."""

    name: str
    identity: object
    parts: Callable[[], Iterable[Part]]


def load(
    data: TextDataSettings,
    texts: Any = None,
    *,
    units: str | None = None,
    quiet: bool = False,
) -> TextSplits:
    """Tokenize the texts that `data` describes, or those given, and cut them in rows.

    What was tokenized before is read from the cache. Masks hide `units` as one, "words" or
    "ngrams"; None: single tokens.

    Raises:
        UserError: texts that cannot be read, or too few.
    """
    name, data = Path(data.source).name, parted(data, texts)
    given = texts is not None
    named = _given(texts, data, quiet) if given else _named(data.source, data, quiet)
    named = named if given or Path(data.source).name == name else named._replace(name=name)
    corpus = tokenized(named, data)
    starts = _unit_starts(corpus, data, units)
    if data.heldout:
        other = tokenized(_named(data.heldout, data, quiet), data, corpus.text)
        train = rows_of(corpus, data, starts)
        test = rows_of(other, data, _unit_starts(other, data, units))
    else:
        parts = _hold_out(corpus.documents, data.holdout)
        train, test = (rows_of(replace(corpus, documents=p), data, starts) for p in parts)
    if not quiet:
        counts = corpus.counts
        if data.pack and not corpus.text.start:
            log.info("%s: no token begins a text, so that each row holds one document", named.name)
        log.info(
            "%s: %d documents, %d tokens, %d documents of fewer than two tokens left out; %d rows"
            " of %d tokens to train on (%.1f %% padding), %d held out",
            *(named.name, counts["documents"] - counts["dropped_documents"], counts["tokens"]),
            *(counts["dropped_documents"], len(train), data.length, 100 * train.padding),
            len(test),
        )
    return TextSplits(train, test, named.name)


def parted(data: TextDataSettings, texts: object = None) -> TextDataSettings:
    """Return settings that name the texts to evaluate on, where the source has some of its own.

    In a folder these are the file or folder that is called as splits are, beside one to train on.

    Raises:
        UserError: something else beside the splits of a folder.

    """
    if texts is not None or data.heldout is not None:
        return data
    if data.source.startswith("hf:"):
        return replace(data, heldout=hub_test_split(data.source))
    path = user_path(data.source)
    if not path.is_dir():
        return data
    every = [each for each in sorted(path.iterdir()) if is_data(each)]
    stems = [each.name.partition(".")[0] for each in every]
    alone = {stem for stem, num in Counter(stems).items() if num == 1}
    named = zip(stems, every, strict=True)
    parts = {stem if stem in alone else each.name: each for stem, each in named}
    names = splits_among(parts, path)
    if len(names) < 2:
        return data
    train, test = (str(parts[name]) for name in names)
    return replace(data, source=train, heldout=test)


def is_tokenized(data: TextDataSettings) -> bool:
    """Say whether the tokens of a source are kept."""
    return (_kept(identity(data.source, data.how), data) / "meta.json").is_file()


def _kept(texts: object, data: TextDataSettings, text: Text | None = None) -> Path:
    key = {"format": 3, "texts": texts, "tokenizer": _tokenizer_identity(data, text)}
    return cached("tokens", key)


def tokenized(texts: Texts, data: TextDataSettings, text: Text | None = None) -> Corpus:
    """Return the tokens of texts, by `text` or as the settings say; they are kept on disk."""
    folder = _kept(texts.identity, data, text)
    if not (folder / "meta.json").is_file():
        log.info("%s: tokenizing (kept in %s)", texts.name, folder)
        with atomic_folder(folder) as work:
            write_corpus(work, text or _text(texts, data), texts.parts())
    corpus = open_corpus(folder)
    return replace(corpus, text=corpus.text.with_length(data.length))


def _given(data: object, how: TextDataSettings, quiet: bool) -> Texts:
    given = read_given(data)
    if not quiet:
        say("texts", of_given(given), how.broken)
    return texts_of(given)


def texts_of(given: Given) -> Texts:
    """Return texts from Python as documents that can be read again."""
    parts = parts_of(given)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part.text)} ".encode() + part.text.encode())
    return Texts("array", digest.hexdigest(), lambda: parts)


def _named(source: str, data: TextDataSettings, quiet: bool) -> Texts:
    name = Path(source).name.split(".")[0] or source
    if source.startswith("hf:"):
        name = source.removeprefix("hf:")
    if not quiet:
        say(source, look(source, data.how), data.broken)
    return Texts(name, identity(source, data.how), partial(read_parts, source, data.how))


def _tokenizer_identity(data: TextDataSettings, text: Text | None) -> object:
    if text is not None:
        return hashlib.sha256(text.tokenizer.to_str().encode()).hexdigest()
    if data.tokenizer is not None:
        path = user_path(data.tokenizer)
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        return [data.tokenizer, _stamps(files)]
    return [data.vocab_size, data.lowercase, version("tokenizers")]


def _stamps(files: Iterable[Path]) -> list[Stamp]:
    return [stamp(path) for path in files if path.exists()]


def _text(texts: Texts, data: TextDataSettings) -> Text:
    if data.tokenizer is not None:
        return load_tokenizer(data.tokenizer, data.length)

    def beginning() -> Iterator[str]:
        num = 0
        for part in texts.parts():
            yield part.text
            if (num := num + len(part.text)) >= _TRAINING_CHARACTERS:
                return

    return train_tokenizer(
        beginning(), vocab_size=data.vocab_size, length=data.length, lowercase=data.lowercase
    )


def _hold_out(documents: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Split documents [n, 2] in two: whole ones at random, or where they are few the end."""
    size = documents[:, 1] - documents[:, 0]
    most = share * size.sum()
    order = np.random.default_rng(0).permutation(len(documents))
    order = order[size[order] <= most]
    held = np.zeros(len(documents), dtype=bool)
    held[order[size[order].cumsum() <= most]] = True
    # A few documents, or large ones, may make no share that is nearly right.
    if len(documents) >= _FEW_DOCUMENTS and size[held].sum() > most / 2:
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
            f" {share:g} of them: give more text, or {option('data.heldout')}"
        )
    return train, test


def _unit_starts(corpus: Corpus, data: TextDataSettings, units: str | None) -> np.ndarray | None:
    """Return where units begin in a corpus; None where nobody asks."""
    if units == "ngrams":
        return ngram_starts(corpus, data.ngrams)
    return corpus.starts if units else None


def rows_of(corpus: Corpus, data: TextDataSettings, starts: np.ndarray | None) -> TextSource:
    """Return the documents of a corpus in rows, packed if the settings say so."""
    text = corpus.text
    first, size = cut(corpus.documents, text.room())
    if data.pack and text.start and text.pad >= 0:
        rows = pack(first, size, text.length, len(text.start), len(text.stop))
    else:  # one piece each, after special tokens
        place = np.full(len(size), len(text.start))
        rows = PackedRows(first, size, place, np.arange(len(size) + 1))
    return TextSource(corpus, rows, starts)
