"""Where texts come from: settings, and `load`, which turns them into rows of tokens, by index."""

import hashlib
import logging
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from maskwise.errors import UserError
from maskwise.files import Stamp, atomic_folder, cached, stamp
from maskwise.modality import Indices
from maskwise.settings import settings
from maskwise.text.corpus import (
    Corpus,
    Document,
    Part,
    hub_split,
    hub_test_split,
    open_corpus,
    read_parts,
    text_files,
    write_corpus,
)
from maskwise.text.ngrams import ngram_starts
from maskwise.text.text import Text, load_tokenizer, train_tokenizer
from maskwise.textio import user_path

log = logging.getLogger("maskwise")

_TRAINING_CHARACTERS = 2 * 10**8  # a tokenizer learns little more from more text
_FEW_DOCUMENTS = 20


@dataclass(frozen=True, eq=False)
class PackedRows:
    """Which pieces each row holds, int64 each."""

    first: np.ndarray  # where in the corpus a piece begins, row by row, [pieces]
    size: np.ndarray  # how many tokens it has, [pieces]
    place: np.ndarray  # where in its row its first token stands, [pieces]
    begin: np.ndarray  # the first piece of each row, and the number of pieces, [rows + 1]

    def __len__(self) -> int:
        return len(self.begin) - 1

    def pieces_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pieces of some rows, and which of these each is in."""
        return expand(self.begin[rows], self.begin[rows + 1] - self.begin[rows])

    def tokens_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where each token of some rows lies: in the corpus, its row, its place in it."""
        pieces, row = self.pieces_of(rows)
        source, piece = expand(self.first[pieces], self.size[pieces])
        start = self.place[pieces] - self.first[pieces]
        return source, row[piece], source + start[piece]


def expand(first: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of all ranges [first, first + size), and which range each is of.

    >>> expand(np.array([5, 0]), np.array([2, 3]))
    (array([5, 6, 0, 1, 2]), array([0, 0, 1, 1, 1]))
    """
    which = np.repeat(np.arange(len(size)), size)
    begin = np.cumsum(size) - size
    return np.arange(len(which)) - begin[which] + first[which], which


def cut(documents: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where pieces of documents [n, 2] begin, and their sizes: as few as fit, about equal.

    >>> cut(np.array([[0, 5], [5, 7]]), 4)
    (array([0, 3, 5]), array([3, 2, 2]))
    """
    size = documents[:, 1] - documents[:, 0]
    num = -(-size // room)
    number, which = expand(np.zeros_like(num), num)
    base, extra = size // np.maximum(num, 1), size % np.maximum(num, 1)
    first = documents[which, 0] + number * base[which] + np.minimum(number, extra[which])
    return first, base[which] + (number < extra[which])


def pack(first: np.ndarray, size: np.ndarray, length: int, start: int, stop: int) -> PackedRows:
    """Fill rows of `length` with whole pieces: the largest, then the largest that still fits.

    In front of a piece are `start` special tokens, behind it `stop`.

    >>> rows = pack(np.array([0, 6, 9]), np.array([6, 3, 1]), length=8, start=1, stop=1)
    >>> rows.begin.tolist(), rows.place.tolist()
    ([0, 1, 3], [1, 1, 6])
    """
    frame = start + stop
    left = np.bincount(size, minlength=length - frame + 1)
    # Pieces of one size in order of the corpus; `taken` counts those that are in a row.
    order = np.argsort(size, kind="stable")
    offset = np.cumsum(left) - left
    taken = np.zeros_like(left)
    pieces, counts = [], []
    while left.any():
        sizes = _combination(left, length, frame)
        kinds, multiple = np.unique(sizes, return_counts=True)
        repeat = int((left[kinds] // multiple).min())
        columns = []
        for kind, many in zip(kinds[::-1], multiple[::-1], strict=True):
            begin = offset[kind] + taken[kind]
            columns.append(order[begin : begin + repeat * many].reshape(repeat, many))
            left[kind] -= repeat * many
            taken[kind] += repeat * many
        pieces.append(np.concatenate(columns, axis=1).ravel())
        counts.append(np.full(repeat, len(sizes)))
    chosen, count = np.concatenate(pieces), np.concatenate(counts)
    begin = np.concatenate([[0], np.cumsum(count)])
    framed = size[chosen] + frame
    before = np.cumsum(framed) - framed
    place = before - np.repeat(before[begin[:-1]], count) + start
    return PackedRows(first[chosen], size[chosen], place, begin)


def _combination(left: np.ndarray, length: int, frame: int) -> list[int]:
    """Return sizes of pieces for one row, largest first."""
    left, sizes, space = left.copy(), list[int](), length
    while space > frame and len(fits := np.flatnonzero(left[: space - frame + 1])):
        sizes.append(int(fits[-1]))
        left[sizes[-1]] -= 1
        space -= sizes[-1] + frame
    return sizes


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
    """Texts ready for use: `train` to learn from, `test` to evaluate on."""

    train: TextSource
    test: TextSource
    name: str


@settings
class TextDataSettings:
    """Which texts to use and how to read them."""

    source: str = "pydoc"
    """`pydoc` (Python's own manual, built in), a text file (.txt, .md, also .gz or .xz), .jsonl,
    .parquet, a folder of these, or `hf:NAME`."""
    heldout: str | None = None
    """Texts to evaluate on; none: the test split of `hf:NAME`, else `holdout` of the texts."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the texts held out: documents at random; of a few, or of large ones, the end."""
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


class Texts(NamedTuple):
    """Documents that can be read again, and what tells them from others."""

    name: str
    identity: object
    parts: Callable[[], Iterable[Part]]


def load(
    data: TextDataSettings, texts: Sequence[str] | None = None, *, units: str | None = None
) -> TextSplits:
    """Tokenize the texts that `data` describes, or those given, and cut them in rows.

    What was tokenized before is read from the cache. Masks hide `units` as one, "words" or
    "ngrams"; None: single tokens.
    """
    heldout = data.heldout
    if texts is None and heldout is None and data.source.startswith("hf:"):
        heldout = hub_test_split(data.source)
    named = _named(data.source, data) if texts is None else _given(texts)
    corpus = _tokenized(named, data)
    starts = _unit_starts(corpus, data, units)
    if heldout:
        other = _tokenized(_named(heldout, data), data, corpus.text)
        train = _source(corpus, data, starts)
        test = _source(other, data, _unit_starts(other, data, units))
    else:
        parts = _hold_out(corpus.documents, data.holdout)
        train, test = (_source(replace(corpus, documents=p), data, starts) for p in parts)
    counts = corpus.counts
    if data.pack and not corpus.text.start:
        log.info("%s: no token begins a text, so that each row holds one document", named.name)
    log.info(
        "%s: %d documents, %d tokens, %d documents of fewer than two tokens left out; %d rows of"
        " %d tokens to train on (%.1f %% padding), %d held out",
        *(named.name, counts["documents"] - counts["dropped_documents"], counts["tokens"]),
        *(counts["dropped_documents"], len(train), data.length, 100 * train.padding, len(test)),
    )
    return TextSplits(train, test, named.name)


def _tokenized(texts: Texts, data: TextDataSettings, text: Text | None = None) -> Corpus:
    """Return the tokens of texts, by `text` or as the settings say; they are kept on disk."""
    key = {"format": 2, "texts": texts.identity, "tokenizer": _tokenizer_identity(data, text)}
    folder = cached("tokens", key)
    if not (folder / "meta.json").is_file():
        log.info("%s: tokenizing (kept in %s)", texts.name, folder)
        with atomic_folder(folder) as work:
            write_corpus(work, text or _text(texts, data), texts.parts())
    corpus = open_corpus(folder)
    return replace(corpus, text=corpus.text.with_length(data.length))


def _given(texts: Sequence[str]) -> Texts:
    digest = hashlib.sha256()
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"text {number} is {type(text).__name__}, not str: give a list of str")
        digest.update(f"{len(text)} ".encode() + text.encode())
    return Texts("array", digest.hexdigest(), lambda: [Part(text, True) for text in texts])


def _named(source: str, data: TextDataSettings) -> Texts:
    name = Path(source).name.split(".")[0] or source
    if source == "pydoc":
        identity: list[object] = [source, platform.python_version()]
    elif source.startswith("hf:"):
        name = source.removeprefix("hf:")
        identity = [source, data.column, str(hub_split(source, data.column)._fingerprint)]
    else:
        identity = [data.column, data.document, _stamps(text_files(source))]
    return Texts(name, identity, partial(read_parts, source, data.column, data.document))


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
            f" {share:g} of them: give more text, or --data.heldout"
        )
    return train, test


def _unit_starts(corpus: Corpus, data: TextDataSettings, units: str | None) -> np.ndarray | None:
    """Return where units begin in a corpus; None where nobody asks."""
    if units == "ngrams":
        return ngram_starts(corpus, data.ngrams)
    return corpus.starts if units else None


def _source(corpus: Corpus, data: TextDataSettings, starts: np.ndarray | None) -> TextSource:
    text = corpus.text
    first, size = cut(corpus.documents, text.room())
    if data.pack and text.start and text.pad >= 0:
        rows = pack(first, size, text.length, len(text.start), len(text.stop))
    else:  # one piece each, after special tokens
        place = np.full(len(size), len(text.start))
        rows = PackedRows(first, size, place, np.arange(len(size) + 1))
    return TextSource(corpus, rows, starts)
