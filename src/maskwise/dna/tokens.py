"""Sequences of DNA as tokens: bases, k-mers or byte-pair pieces; what may be hidden and weighs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from maskwise.dna.bases import NOTHING, NUM_BASES, REPEAT, UNKNOWN, decode
from maskwise.errors import UserError, require
from maskwise.modality import Entries
from maskwise.rng import Keys
from maskwise.tokens.files import FILE, read_tokenizer, write_tokenizer

if TYPE_CHECKING:  # an extra, which only pieces need
    from tokenizers import Encoding, Tokenizer

MARGIN = 1.05  # of the most pieces seen in a window
LONGEST = 8  # bases in a k-mer: 65,536 tokens


@dataclass(frozen=True, kw_only=True)
class Kmers:
    """Every k bases are a token, without overlap; what is left over at the end is dropped.

    First come the k-mers, then one of unknown bases, what is beyond an end, and what is hidden.
    """

    k: int = 1

    @property
    def num_kinds(self) -> int:
        """Tokens that may be predicted; they come first."""
        return NUM_BASES**self.k

    @cached_property
    def alphabet(self) -> Tensor:
        """Which tokens may be predicted, bool [V]."""
        return torch.arange(self.mask + 1, device="cpu") < self.num_kinds

    @property
    def nothing(self) -> int:
        """The token of what is beyond an end."""
        return self.num_kinds + 1

    @property
    def mask(self) -> int:
        """The token of what is hidden."""
        return self.num_kinds + 2

    @property
    def num_inputs(self) -> int:
        """Tokens that a network embeds."""
        return self.mask + 1

    def positions(self, width: int) -> int:
        """Return the number of tokens of `width` bases."""
        return width // self.k

    def ids(self, codes: Tensor) -> Tensor:
        """Return the tokens of codes [B, W], int64 [B, L]."""
        parts = self._parts(codes & (REPEAT - 1)).long()
        if self.k == 1:
            return parts[..., 0]
        ids = torch.where((parts < UNKNOWN).all(-1), _number(parts), self.num_kinds)
        return torch.where((parts == NOTHING).any(-1), self.nothing, ids)

    def inputs(self, ids: Tensor) -> Tensor:
        """Return what a network embeds at each position."""
        return ids

    def means(self, values: Tensor, codes: Tensor) -> Tensor:
        """Return the mean of `values` [B, W] over the bases of each token, [B, L]."""
        return self._parts(values).mean(-1)

    def _parts(self, values: Tensor) -> Tensor:
        num = self.positions(values.shape[1])
        return values[:, : num * self.k].unflatten(1, (num, self.k))

    @cached_property
    def complement(self) -> Tensor:
        """The token of the other strand, int64 [V]."""
        return _complements(self.k)

    @property
    def input_complement(self) -> Tensor:
        """The same for what a network embeds, int64 [num_inputs]."""
        return self.complement


@dataclass(frozen=True, kw_only=True)
class Overlapping(Kmers):
    """Bases are hidden and predicted; what a network embeds is the k-mer around each base.

    A k-mer that holds a hidden base is the mask token, so that no visible k-mer tells of one: to
    hide a base is to hide all k neighbours that would leak it. One that holds an unknown base, or
    reaches beyond an end, is unknown.
    """

    around: int

    @property
    def num_inputs(self) -> int:
        return NUM_BASES**self.around + 3

    def inputs(self, ids: Tensor) -> Tensor:
        unknown = NUM_BASES**self.around
        before = (self.around - 1) // 2
        padded = F.pad(ids, (before, self.around - 1 - before), value=NOTHING)
        parts = padded.unfold(1, self.around, 1)
        kmers = torch.where((parts < UNKNOWN).all(-1), _number(parts), unknown)
        kmers = torch.where((parts == self.mask).any(-1), unknown + 2, kmers)
        return torch.where(ids == NOTHING, unknown + 1, kmers)

    @cached_property
    def input_complement(self) -> Tensor:
        if self.around % 2 == 0:
            raise UserError(
                f"overlapping k-mers of {self.around} bases have no middle that both strands"
                " share: an equivariant model needs an odd k"
            )
        return _complements(self.around)


@dataclass(frozen=True, kw_only=True)
class Pieces(Kmers):
    """Byte-pair pieces of sequences; an unknown base is a piece of its own.

    Windows have different numbers of pieces: they are padded, and cut where there are more than
    `density` pieces a base, which is a little more than was seen in training windows.
    """

    tokenizer: "Tokenizer"  # of A, C, G, T and N
    density: float

    @property
    def num_kinds(self) -> int:
        """One less than all pieces: among them is N, which may not be predicted."""
        return self.tokenizer.get_vocab_size() - 1

    @cached_property
    def alphabet(self) -> Tensor:
        alphabet = torch.ones(self.num_inputs, dtype=torch.bool, device="cpu")
        alphabet[[self.tokenizer.token_to_id("N"), self.nothing, self.mask]] = False
        return alphabet

    def positions(self, width: int) -> int:
        return max(1, round(width * self.density))

    def ids(self, codes: Tensor) -> Tensor:
        ids = torch.full((len(codes), self.positions(codes.shape[1])), self.nothing)
        for row, each in zip(ids, self._encoded(codes), strict=True):
            row[: len(each.ids)] = torch.tensor(each.ids[: len(row)])
        return ids.to(codes.device)

    def means(self, values: Tensor, codes: Tensor) -> Tensor:
        means = values.new_zeros(len(codes), self.positions(codes.shape[1]))
        sums = F.pad(values.cumsum(1), (1, 0))
        for row, of_row, each in zip(means, sums, self._encoded(codes), strict=True):
            start, stop = torch.tensor(each.offsets[: len(row)], device=values.device).T
            row[: len(start)] = (of_row[stop] - of_row[start]) / (stop - start)
        return means

    @cached_property
    def complement(self) -> Tensor:
        """There is none: pieces of the other strand begin elsewhere."""
        raise UserError("pieces have no opposite strand: an equivariant model needs other tokens")

    def _encoded(self, codes: Tensor) -> "Sequence[Encoding]":
        return self.tokenizer.encode_batch([decode(row).upper() for row in codes.cpu()])


def train_pieces(windows: Tensor, vocab_size: int) -> Pieces:
    """Learn `vocab_size` pieces at most, A, C, G, T and N included, from windows, uint8 [n, W]."""
    tokenizers = require("tokenizers", "pieces", "text")
    if vocab_size <= NUM_BASES + 1:
        raise UserError(f"pieces:{vocab_size} is too small: the bases and N are {NUM_BASES + 1}")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("N", "isolated")
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=list("ACGTN"), show_progress=False
    )
    letters = [decode(row).upper() for row in windows]
    tokenizer.train_from_iterator(letters, trainer)
    most = max(len(each.ids) for each in tokenizer.encode_batch(letters))
    density = min(1.0, MARGIN * most / windows.shape[1])
    return Pieces(tokenizer=tokenizer, density=density)


def _number(parts: Tensor) -> Tensor:
    """Read k bases [..., k] as a number, the first base counting most."""
    powers = NUM_BASES ** torch.arange(parts.shape[-1] - 1, -1, -1, device=parts.device)
    return (parts * powers).sum(-1)


def _digits(numbers: Tensor, k: int) -> Tensor:
    """Return the k bases that a number stands for, [..., k]."""
    powers = NUM_BASES ** torch.arange(k - 1, -1, -1, device=numbers.device)
    return numbers[..., None] // powers % NUM_BASES


def _complements(k: int) -> Tensor:
    """Return the number of the other strand of each k-mer; special tokens stay, int64 [4^k + 3].

    >>> _complements(2)[:4].tolist()  # AA AC AG AT -> TT GT CT AT
    [15, 11, 7, 3]
    """
    every = torch.arange(NUM_BASES**k, device="cpu")
    others = _number((NUM_BASES - 1 - _digits(every, k)).flip(-1))
    return torch.cat([others, torch.arange(3, device="cpu") + len(others)])


def parse_tokens(text: str) -> Kmers | int:
    """Read tokens, as in ``kmers:6``; of pieces, which are learned from data, their number.

    >>> parse_tokens("kmers:6"), parse_tokens("bases"), parse_tokens("pieces:99")
    (Kmers(k=6), Kmers(k=1), 99)
    """
    match text.partition(":"):
        case "bases", "", _:
            return Kmers()
        case "pieces", _, number if number.isdigit():
            return int(number)
        case ("kmers" | "overlapping") as name, _, k if k.isdigit():
            if not 2 <= int(k) <= LONGEST:
                raise UserError(f"k-mers have 2 to {LONGEST} bases, not {int(k)}")
            return Kmers(k=int(k)) if name == "kmers" else Overlapping(around=int(k))
    known = "bases, kmers:K, overlapping:K, pieces:V"
    raise UserError(f"tokens '{text}' cannot be read; tokens are {known}")


@dataclass(frozen=True, eq=False)
class DNA:
    """How sequences become tokens. Samples are codes of bases, uint8 [B, W], or ids, int64 [B, L].

    Example:
        >>> from maskwise.dna.bases import encode
        >>> dna = DNA(window=6)
        >>> codes = torch.from_numpy(encode("ACgtNA"))[None]
        >>> dna.ids(codes).tolist(), dna.eligible(codes).int().tolist()
        ([[0, 1, 2, 3, 4, 0]], [[1, 1, 1, 1, 0, 1]])
        >>> DNA(window=6, tokens="kmers:3").ids(codes).tolist()
        [[6, 64]]
    """

    modality: ClassVar[str] = "dna"
    start: ClassVar[tuple[int, ...]] = ()  # no special tokens around

    window: int  # bases of a training sample; any number can be encoded
    tokens: str = "bases"  # or "kmers:K", "overlapping:K" or "pieces:V"
    repeat_weight: float = 1.0  # of a soft-masked (lower-case) base in the loss; others have 1
    kind: Kmers = Kmers()  # given where it is learned from data; else `tokens` says all

    def __post_init__(self) -> None:
        kind = parse_tokens(self.tokens)
        if isinstance(kind, Kmers):
            object.__setattr__(self, "kind", kind)
        elif not isinstance(self.kind, Pieces):
            raise UserError(f"tokens '{self.tokens}' are learned from data: give kind=")
        if self.kind.positions(self.window) < 1:
            raise UserError(f"a window of {self.window} bases holds no token of {self.tokens}")

    @property
    def grid(self) -> tuple[int]:
        return (self.kind.positions(self.window),)

    @property
    def alphabet(self) -> Tensor:
        return self.kind.alphabet

    @property
    def mask(self) -> int:
        return self.kind.mask

    def ids(self, batch: Tensor) -> Tensor:
        """Return token ids, int64 [B, L]; those that are ids already stay."""
        return batch if batch.dtype == torch.int64 else self.kind.ids(batch)

    def inputs(self, ids: Tensor) -> Tensor:
        return self.kind.inputs(ids)

    def eligible(self, batch: Tensor, keys: Keys | None = None) -> Tensor:
        """Return which tokens may be hidden: those of known bases, bool [B, L]."""
        ids = self.ids(batch)
        return self.alphabet.to(ids.device)[ids]

    def weights(self, batch: Tensor) -> Tensor | None:
        """Return what each token counts in the loss, float32 [B, L]: the mean of its bases."""
        if self.repeat_weight == 1:
            return None
        of_bases = torch.where(batch >= REPEAT, self.repeat_weight, 1.0)
        return self.kind.means(of_bases, batch)

    def documents(self, ids: Tensor) -> Tensor:
        """Return 1 for tokens of the sequence and 0 for padding, int64 [B, L]."""
        return (ids != self.kind.nothing).long()

    def spell(self, ids: Sequence[int]) -> list[str]:
        """Return the bases of each token; N where they are unknown."""
        if isinstance(self.kind, Pieces):
            return [self.kind.tokenizer.id_to_token(i) or "N" for i in ids]
        tokens = torch.tensor(ids, dtype=torch.int64)
        bases = _digits(tokens, self.kind.k)
        bases[~self.alphabet[tokens]] = UNKNOWN
        return list(map(decode, bases))

    def spell_next(self, before: Sequence[int], token: int) -> str:
        """Return the bases that a token adds behind others: its own."""
        return self.spell([token])[0]

    def save(self, folder: Path) -> Entries:
        keys = ("window", "tokens", "repeat_weight")
        values: Entries = {key: getattr(self, key) for key in keys}
        if isinstance(self.kind, Pieces):
            write_tokenizer(folder / FILE, self.kind.tokenizer)
            values["density"] = self.kind.density
        return values

    @classmethod
    def load(cls, folder: Path, values: Entries) -> Self:
        values = dict(values)
        if "density" in values:
            pieces = read_tokenizer(folder / FILE)
            values["kind"] = Pieces(tokenizer=pieces, density=values.pop("density"))
        return cls(**values)
