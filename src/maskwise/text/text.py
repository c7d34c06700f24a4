"""Texts as token ids: a fast tokenizer, what its special tokens are for, and where it is from."""

import itertools
import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from maskwise.encodings import whole_texts
from maskwise.errors import UserError, require
from maskwise.modality import Entries
from maskwise.rng import Keys
from maskwise.text.specials import (
    SPECIAL,
    UNKNOWN,
    UNKNOWN_NAMES,
    extended,
    find_special,
    missing_tokens,
    unknown_of,
)
from maskwise.textio import user_path
from maskwise.tokens.checked import calling, check_ids, check_patterns
from maskwise.tokens.files import FILE, read_tokenizer, write_tokenizer

if TYPE_CHECKING:  # they are extras
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger("maskwise")

PARTIAL = "\N{REPLACEMENT CHARACTER}"  # what decoders make of a part of a character
MOST = 10**6  # tokens in a row, where the model knows no limit
_FRAME = ("start", "stop")
# The smallest vocabulary of a trained tokenizer, and how many tokens it puts around a text.
LEAST, FRAME = 256 + len(SPECIAL), 2
_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


class Encoded(NamedTuple):
    """The tokens of one text, without special ones."""

    ids: np.ndarray  # int64 [n]
    starts: np.ndarray  # bool [n], whether a token begins a word
    offsets: np.ndarray  # int64 [n], the first character that a token stands for


class Tokens(NamedTuple):
    """Texts as token ids, one in each row."""

    ids: Tensor  # int64 [B, L]
    eligible: Tensor  # bool [B, L]: tokens of the text, neither special ones nor padding
    num_bytes: Tensor  # int64 [B]: size of the text, as UTF-8


@dataclass(frozen=True, eq=False)
class Text:
    """How texts become tokens.

    Example:
        >>> from maskwise.text.text import train_tokenizer
        >>> text = train_tokenizer(["the cat sat on the mat"] * 9, vocab_size=300, length=8)
        >>> ids = text.tokenize(["the cat"]).ids
        >>> text.decode(ids[0])
        'the cat'
    """

    modality: ClassVar[str] = "text"

    tokenizer: "Tokenizer"  # special tokens within a text count as its text
    length: int  # tokens in a row, special ones included
    mask: int  # id of the mask token
    pad: int  # id of the padding token, -1 without one
    start: tuple[int, ...]  # ids in front of every piece of text
    stop: tuple[int, ...]  # ids behind it
    special: tuple[int, ...]  # ids that no text can hold, but that of unknown words
    longest: int | None = None  # tokens in a row that the model can take at most

    def __post_init__(self) -> None:
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        # A "[MASK]" that somebody wrote is text.
        self.tokenizer.encode_special_tokens = True
        for number in {self.mask, *self.start, *self.stop, *self.special, max(self.pad, 0)}:
            if type(number) is not int or not 0 <= number < self.num_tokens:
                raise UserError(f"{number} is none of the tokenizer's {self.num_tokens:,} tokens")
        if not self.alphabet.sum() > 1:
            raise UserError("the tokenizer has special tokens only: its files are missing")

    @property
    def grid(self) -> tuple[int]:
        return (self.length,)

    @cached_property
    def num_tokens(self) -> int:
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
        """Return how many tokens of a text fit between the special ones of a row."""
        length = self.length if length is None else length
        longest = min(self.longest or MOST, MOST)
        if not self.num_frame < length <= longest:
            raise UserError(
                f"length {length} is outside {self.num_frame + 1}..{longest}, what the model can"
                f" take with its {self.num_frame} special tokens"
            )
        return length - self.num_frame

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return the tokens of each text, without special ones.

        Halves of characters, which UTF-8 lacks, are U+FFFD.
        """
        texts = whole_texts(texts)
        try:
            found = calling(lambda: self.tokenizer.encode_batch(texts, add_special_tokens=False))
        except UserError as error:
            raise UserError(f"the tokenizer cannot read these texts: {error}") from None
        return [_encoded(each, text) for each, text in zip(found, texts, strict=True)]

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of token ids; special tokens are left out."""
        values = [int(i) for i in ids if int(i) >= 0 and bool(self.alphabet[int(i)])]
        return self.tokenizer.decode(values, skip_special_tokens=True).strip()

    def spell(self, ids: Sequence[int]) -> list[str]:
        """Return what each token adds to the text; of a character the last one adds it."""
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
        """Return what a network embeds: padding without a token of its own, which is -1, as 0."""
        return ids.clamp(min=0)

    def weights(self, batch: Tensor) -> None:
        return None

    def eligible(self, ids: Tensor, keys: Keys | None = None) -> Tensor:
        """Return which tokens may be hidden: neither special ones nor padding, bool like `ids`."""
        # Padding without a token of its own is -1.
        return self.alphabet.to(ids.device)[ids.clamp(min=0)] & (ids >= 0)

    def documents(self, ids: Tensor) -> Tensor:
        """Return which document of its row each token belongs to, int64 [B, L]; 0 = padding."""
        first = (ids == [*self.start, -1][0]).long()
        first[:, 0] = 1
        return torch.where(ids == self.pad, 0, first.cumsum(dim=1))

    def tokenize(self, texts: Sequence[str], length: int | None = None) -> Tokens:
        """Return texts, one in each row, cut to a length, by default the model's, and padded."""
        room = self.room(length)
        if not len(texts):
            raise UserError("no texts: give at least one")
        pieces = []
        texts = whole_texts(texts)
        for place, (text, found) in enumerate(zip(texts, self.encode(texts), strict=True), 1):
            if not len(found.ids):
                raise UserError(f"text {place} has no token: leave it out")
            end = found.offsets[room] if len(found.ids) > room else len(text)
            pieces.append((found.ids[:room], len(text[:end].encode())))
        return self._framed(pieces)

    def windows(self, text: str, length: int | None = None) -> Tokens:
        """Return running text in rows of a length; what is left over is dropped."""
        room = self.room(length)
        [text] = whole_texts([text])
        [found] = self.encode([text])
        num = len(found.ids)
        if num < room:
            what = "give more text, or a smaller length"
            raise UserError(f"the text has {num} tokens, too few for a window of {room}: {what}")
        # A token stands for the text up to the next one, so that no byte is lost between windows.
        spans = itertools.pairwise([0, *found.offsets[room::room].tolist(), len(text)])
        sizes = [len(text[start:stop].encode()) for start, stop in spans]
        pieces = zip(np.split(found.ids, range(room, num, room)), sizes, strict=True)
        return self._framed(list(pieces)[: num // room])

    def _framed(self, pieces: list[tuple[np.ndarray, int]]) -> Tokens:
        """Put special tokens around pieces of texts, and padding behind."""
        rows = [torch.tensor([*self.start, *piece.tolist(), *self.stop]) for piece, _ in pieces]
        ids = pad_sequence(rows, batch_first=True, padding_value=self.pad)
        return Tokens(ids, self.eligible(ids), torch.tensor([num for _, num in pieces]))

    def save(self, folder: Path) -> Entries:
        """Write tokenizer.json; return what else there is to know, as plain values."""
        write_tokenizer(folder / FILE, self.tokenizer)
        keys = ("length", "mask", "pad", "start", "stop", "special", "longest")
        return {key: getattr(self, key) for key in keys}

    @classmethod
    def load(cls, folder: Path, values: Entries) -> Self:
        lists = {key: tuple(values[key]) for key in ("start", "stop", "special")}
        text = cls(read_tokenizer(folder / FILE), **{**values, **lists})
        text.room()
        return text

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


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, length: int, lowercase: bool = False
) -> Text:
    """Train a byte-level BPE tokenizer: any text in any language, no unknown words.

    It has `vocab_size` tokens at most, special ones and the 256 bytes included.
    """
    tokenizers = require("tokenizers", "text", "text")
    if vocab_size < LEAST:
        raise UserError(f"vocab_size {vocab_size} is too small: bytes and specials are {LEAST}")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=UNKNOWN))
    lower = [tokenizers.normalizers.Lowercase()] if lowercase else []
    tokenizer.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.NFC(), *lower])
    # A word is the same token in front of a text and within it.
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _described(tokenizer, length)


def load_tokenizer(name: str, length: int) -> Text:
    """Load a tokenizer.json, or the tokenizer of a folder or hub name of transformers.

    What it lacks is added, and said: a token of padding, and one of unknown words.
    """
    path = user_path(name)
    try:
        if path.is_file() or path.suffix == ".json":
            return _completed(_described(read_tokenizer(path), length), name)
        found = named_tokenizer(name)
        # Tokenizers that know no limit name a huge one.
        longest = found.model_max_length if found.model_max_length < MOST else None
        return _completed(of_transformers(found, length, longest), name)
    except UserError as error:
        raise UserError(f"tokenizer {name}: {error}") from None


def named_tokenizer(name: str) -> "PreTrainedTokenizerFast":
    """Return the tokenizer of a folder or hub name of transformers."""
    transformers = require("transformers", name, "text")
    file = user_path(name) / FILE
    if file.is_file():  # before anybody uses it
        read_tokenizer(file)
    found = read_named(name, transformers.AutoTokenizer)
    if found.is_fast:
        check_ids(found.backend_tokenizer)
        check_patterns(json.loads(found.backend_tokenizer.to_str()))
    return found


def _completed(text: Text, name: str) -> Text:
    """Return the same with the tokens that it needs and lacks."""
    like = str(text.tokenizer.id_to_token(text.mask))
    added = missing_tokens(text.tokenizer, like, pad=text.pad >= 0)
    if not added:
        return text
    log.warning(
        "tokenizer %s has no token of %s: %s added, and saved with the model",
        *(name, " and none of ".join(added), " and ".join(added.values())),
    )
    tokenizer = extended(text.tokenizer, list(added.values()), added.get("unknown words"))
    ids = tokenizer.get_vocab(with_added_tokens=True)
    pad = ids[added["padding"]] if "padding" in added else text.pad
    special = tuple(sorted({*text.special, pad}))
    return replace(text, tokenizer=tokenizer, pad=pad, special=special)


def of_transformers(
    tokenizer: "PreTrainedTokenizerFast", length: int, longest: int | None = None
) -> Text:
    """Return the tokens of a fast tokenizer of transformers, `longest` as `Text` has it."""
    if tokenizer.mask_token_id is None:
        raise UserError("the tokenizer has no mask token: it is not of a masked model")
    if not tokenizer.is_fast:
        raise UserError("the tokenizer is a slow one: give a fast one (tokenizer.json)")
    tokenizers = require("tokenizers", "text", "text")
    ids, flags = _framed(tokenizer)
    first, behind = flags.index(0), len(flags) - flags[::-1].index(0)
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    special = (added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}
    return Text(
        tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        length=length,
        mask=tokenizer.mask_token_id,
        pad=-1 if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        start=tuple(ids[:first]),
        stop=tuple(ids[behind:]),
        special=tuple(sorted(special)),
        longest=longest,
    )


def _framed(tokenizer: "PreTrainedTokenizerFast") -> tuple[list[int], list[int]]:
    """Return the ids of some text between special tokens, and which of them are special."""
    known = (tokenizer.decode([number]) for number in range(min(len(tokenizer), 1000)))
    for text in ("a", *known):
        try:
            found = tokenizer(text, return_special_tokens_mask=True)
        except Exception:  # it has no token of unknown words
            continue
        if 0 in found["special_tokens_mask"]:
            return found["input_ids"], found["special_tokens_mask"]
    raise UserError("the tokenizer has special tokens only: its files are missing")


def _described(tokenizer: "Tokenizer", length: int) -> Text:
    """Find the special tokens of a bare tokenizer by their usual names."""
    names = find_special(tokenizer)
    added = tokenizer.get_added_tokens_decoder()
    special = {str(token.content) for token in added.values() if token.special}
    if plain := [name for name in names.values() if name not in special]:
        tokenizer = extended(tokenizer, plain, None)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    start, stop = (tuple(ids[names[role]] for role in [key] if role in names) for key in _FRAME)
    pad = ids[names["pad"]] if "pad" in names else -1
    closed = {*special, *plain} - {unknown_of(tokenizer), *UNKNOWN_NAMES}
    closed_ids = tuple(sorted(ids[name] for name in closed))
    return Text(tokenizer, length, ids[names["mask"]], pad, start, stop, closed_ids)


def read_named(name: str, kind: Any, **options: object) -> Any:
    """Return what a class of transformers loads from a folder or the hub."""
    path = user_path(name)
    local = path.is_dir()
    if not local and not _HUB_NAME.fullmatch(name):
        raise UserError(f"{name} is no folder")
    place, where = (str(path), "") if local else (name, " (no folder here, so sought on the hub)")
    try:
        options |= {"local_files_only": local, "trust_remote_code": False}
        return kind.from_pretrained(place, **options)
    except Exception as error:  # whatever hub, network, cache and file formats raise
        raise UserError(f"{place}{where} cannot be loaded: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Return the first line of what went wrong."""
    return (str(error) or type(error).__name__).split("\n")[0]
