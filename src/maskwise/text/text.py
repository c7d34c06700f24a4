"""Texts as token ids: a fast tokenizer, and what its special tokens are for."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.modality import Entries
from maskwise.rng import Keys
from maskwise.tokens.tokenizer_files import FILE, read_tokenizer, write_tokenizer

if TYPE_CHECKING:  # it is an extra
    from tokenizers import Encoding, Tokenizer

PARTIAL = "\N{REPLACEMENT CHARACTER}"  # what decoders make of a part of a character


class Encoded(NamedTuple):
    """The tokens of one text, without special ones."""

    ids: np.ndarray
    """int64 [n]"""
    starts: np.ndarray
    """bool [n], whether a token begins a word"""
    offsets: np.ndarray
    """int64 [n], the first character that a token stands for"""


class Tokens(NamedTuple):
    """Texts as token ids, one in each row."""

    ids: Tensor
    """int64 [B, L]"""
    eligible: Tensor
    """bool [B, L]: tokens of the text, neither special ones nor padding"""
    num_bytes: Tensor
    """int64 [B]: size of the text, as UTF-8"""


@dataclass(frozen=True, eq=False)
class Text:
    """How texts become tokens.

    Args:
        tokenizer: a `tokenizers.Tokenizer`; special tokens within a text count as its text.
        length: tokens in a row, special ones included.
        mask: id of the mask token.
        pad: id of the padding token, -1 without one.
        start: ids in front of every piece of text.
        stop: ids behind it.
        special: ids that no text can hold: all special tokens but that of unknown words.
        longest: tokens in a row that the model can take at most, or None.

    Example:
        >>> from maskwise.text.tokenizer import train_tokenizer
        >>> text = train_tokenizer(["the cat sat on the mat"] * 9, vocab_size=300, length=8)
        >>> ids = text.tokenize(["the cat"]).ids
        >>> text.decode(ids[0])
        'the cat'
    """

    modality: ClassVar[str] = "text"

    tokenizer: "Tokenizer"
    length: int
    mask: int
    pad: int
    start: tuple[int, ...]
    stop: tuple[int, ...]
    special: tuple[int, ...]
    longest: int | None = None

    def __post_init__(self) -> None:
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        # A "[MASK]" that somebody wrote is text.
        self.tokenizer.encode_special_tokens = True
        if not self.alphabet.sum() > 1:
            raise UserError("the tokenizer has special tokens only: its files are missing")

    @property
    def grid(self) -> tuple[int]:
        """Positions of a row."""
        return (self.length,)

    @cached_property
    def num_tokens(self) -> int:
        """Size of the vocabulary, V."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def alphabet(self) -> Tensor:
        """Which tokens a text can hold, bool [V]."""
        known = torch.tensor(list(self.tokenizer.get_vocab(with_added_tokens=True).values()))
        alphabet = torch.zeros(self.num_tokens, dtype=torch.bool).index_fill(0, known, True)
        return alphabet.index_fill(0, torch.tensor(self.special, dtype=torch.int64), False)

    @property
    def num_frame(self) -> int:
        """Special tokens around a piece of text."""
        return len(self.start) + len(self.stop)

    def room(self, length: int | None = None) -> int:
        """Return how many tokens of a text fit between the special ones of a row.

        Raises:
            UserError: a length out of range.
        """
        length = self.length if length is None else length
        longest = self.longest or 10**6
        if not self.num_frame < length <= longest:
            raise UserError(
                f"length {length} is outside {self.num_frame + 1}..{longest}, what the model can"
                f" take with its {self.num_frame} special tokens"
            )
        return length - self.num_frame

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return the tokens of each text, without special ones."""
        found = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [_encoded(each, text) for each, text in zip(found, texts, strict=True)]

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of token ids; special tokens are left out."""
        values = [int(i) for i in ids if int(i) >= 0 and bool(self.alphabet[int(i)])]
        return self.tokenizer.decode(values, skip_special_tokens=True).strip()

    def spell(self, ids: Sequence[int]) -> list[str]:
        """Return the text that each token adds to those before it; together they are the text.

        A token that ends within a character adds nothing; the last one of the character adds it.
        """
        added, done = [], ""
        for end in range(1, len(ids) + 1):
            now = self._spelled(ids[:end])
            if now.endswith(PARTIAL) and end < len(ids):
                now = done
            added.append(now[len(done) :])
            done = now
        return added

    def spell_next(self, before: Sequence[int], token: int) -> str:
        """Return the text that a token adds behind others."""
        done = self._spelled(before).rstrip(PARTIAL)
        return self._spelled([*before, token])[len(done) :]

    def _spelled(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)

    def ids(self, batch: Tensor) -> Tensor:
        """Return token ids, int64 [B, L]: samples of texts are ids already."""
        return batch

    def inputs(self, ids: Tensor) -> Tensor:
        """Return what a network embeds for token ids: themselves."""
        return ids

    def weights(self, batch: Tensor) -> None:
        """Return what each token counts in the loss: all the same."""

    def eligible(self, ids: Tensor, keys: Keys | None = None) -> Tensor:
        """Return which tokens may be hidden: neither special ones nor padding, bool like `ids`."""
        # Padding without a token of its own is -1.
        return self.alphabet.to(ids.device)[ids.clamp(min=0)] & (ids >= 0)

    def documents(self, ids: Tensor) -> Tensor:
        """Return which document of its row each token belongs to, int64 [B, L]; 0 = padding.

        A document begins where the row does and at each token that stands in front of pieces.
        """
        begins = [*self.start, -1][0]
        first = (ids == begins).long()
        first[:, 0] = 1
        return torch.where(ids == self.pad, 0, first.cumsum(dim=1))

    def tokenize(self, texts: Sequence[str], length: int | None = None) -> Tokens:
        """Return texts, one in each row, cut and padded to the same length.

        The length is L at most, special tokens included; default: that of the model.

        Raises:
            UserError: no texts, a text without a token, or a length out of range.
        """
        room = self.room(length)
        if not len(texts):
            raise UserError("no texts: give at least one")
        pieces = []
        for place, (text, found) in enumerate(zip(texts, self.encode(texts), strict=True)):
            if not len(found.ids):
                raise UserError(f"text {place} has no token: leave it out")
            end = found.offsets[room] if len(found.ids) > room else len(text)
            pieces.append((found.ids[:room], len(text[:end].encode())))
        return self._framed(pieces)

    def windows(self, text: str, length: int | None = None) -> Tokens:
        """Return running text, cut into rows of equal length; what is left over is dropped.

        The length is L, special tokens included; default: that of the model.

        Raises:
            UserError: a text that fills no row, or a length out of range.
        """
        room = self.room(length)
        [found] = self.encode([text])
        num = len(found.ids)
        if num < room:
            raise UserError(
                f"the text has {num} tokens, too few for a window of {room}: give more text, or a"
                " smaller length"
            )
        # A token stands for the text up to the next one, so that no byte is lost between windows.
        ends = [0, *found.offsets[room::room].tolist(), len(text)]
        pieces = [
            (found.ids[place * room : (place + 1) * room], len(text[start:stop].encode()))
            for place, (start, stop) in enumerate(itertools.pairwise(ends))
        ]
        return self._framed(pieces[: num // room])

    def _framed(self, pieces: list[tuple[np.ndarray, int]]) -> Tokens:
        """Put special tokens around pieces of texts, and padding behind."""
        sizes = [len(ids) for ids, _ in pieces]
        if self.pad < 0 and min(sizes) < max(sizes):
            raise UserError("the tokenizer has no padding token: give texts of equal length")
        ids = torch.full((len(pieces), max(sizes) + self.num_frame), self.pad)
        for row, (piece, _) in zip(ids, pieces, strict=True):
            framed = [*self.start, *piece.tolist(), *self.stop]
            row[: len(framed)] = torch.tensor(framed)
        return Tokens(ids, self.eligible(ids), torch.tensor([num for _, num in pieces]))

    def save(self, folder: Path) -> Entries:
        """Write tokenizer.json; return what else there is to know, as plain values."""
        write_tokenizer(folder / FILE, self.tokenizer)
        keys = ("length", "mask", "pad", "start", "stop", "special", "longest")
        return {key: getattr(self, key) for key in keys}

    @classmethod
    def load(cls, folder: Path, values: Entries) -> Self:
        """Read what `save` wrote.

        Raises:
            UserError: a file is missing or damaged.
        """
        lists = {key: tuple(values[key]) for key in ("start", "stop", "special")}
        return cls(read_tokenizer(folder / FILE), **{**values, **lists})

    def with_length(self, length: int) -> "Text":
        """Return the same tokens in rows of another length."""
        self.room(length)
        return replace(self, length=length)


def _encoded(found: "Encoding", text: str) -> Encoded:
    ids = np.asarray(found.ids, dtype=np.int64)
    offsets = np.asarray([start for start, _ in found.offsets], dtype=np.int64)
    words = found.word_ids
    if len(set(words[:2048])) > 1 or len(words) < 2:
        starts = np.array([a != b for a, b in zip(words, [-1, *words], strict=False)], dtype=bool)
    else:  # The tokenizer does not tell words apart: white space does.
        spaced = np.array([text[at : at + 1].isspace() for at in offsets], dtype=bool)
        behind = np.array([at == 0 or text[at - 1].isspace() for at in offsets], dtype=bool)
        # A token that is the space has begun the word.
        starts = spaced | (behind & ~np.concatenate([[False], spaced[:-1]]))
    return Encoded(ids, starts, offsets)
