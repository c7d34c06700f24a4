"""Sequences of DNA as token ids: which there are, what may be hidden, and what it weighs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from maskwise.dna.bases import NUM_BASES, REPEAT, UNKNOWN, decode
from maskwise.dna.tokens import Bases, Kmers, Overlapping, Pieces
from maskwise.errors import UserError
from maskwise.rng import Keys
from maskwise.tokens.tokenizer_files import FILE, read_tokenizer, write_tokenizer

# Form, and what makes the tokens from the number after the colon; pieces are learned from data.
TOKENS: dict[str, tuple[str, Callable[..., Bases] | None]] = {
    "bases": ("bases", Bases),
    "kmers": ("kmers:K", Kmers),
    "overlapping": ("overlapping:K", Overlapping),
    "pieces": ("pieces:V", None),
}


def parse_tokens(text: str) -> tuple[str, int | None]:
    """Read a kind of tokens and its number, as in ``kmers:6``.

    Raises:
        UserError: an unknown kind, or a number that is missing or of no use.

    >>> parse_tokens("kmers:6"), parse_tokens("bases")
    (('kmers', 6), ('bases', None))
    """
    name, _, argument = text.partition(":")
    known = ", ".join(form for form, _ in TOKENS.values())
    form, make = TOKENS.get(name, ("", None))
    if not form or (":" in form) != argument.isdigit() or (not argument and ":" in text):
        raise UserError(f"tokens '{text}' cannot be read; tokens are {known}")
    number = int(argument) if argument else None
    if make is not None and number is not None:
        make(number)
    return name, number


@dataclass(frozen=True, eq=False)
class DNA:
    """How sequences become tokens. Samples are codes of bases, uint8 [B, W], or ids, int64 [B, L].

    Args:
        window: W, the number of bases of a training sample; any number can be encoded.
        tokens: "bases", "kmers:K", "overlapping:K" or "pieces:V".
        repeat_weight: weight of a soft-masked (lower-case) base in the loss; others have 1.
        kind: what turns codes into ids; by default what `tokens` says.

    Raises:
        UserError: tokens that cannot be read, or a window without a token.

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

    window: int
    tokens: str = "bases"
    repeat_weight: float = 1.0
    kind: Bases | None = None

    def __post_init__(self) -> None:
        name, number = parse_tokens(self.tokens)
        if self.kind is None:
            make = TOKENS[name][1]
            if make is None:
                raise UserError(f"tokens '{self.tokens}' are learned from data: give kind=")
            object.__setattr__(self, "kind", make() if number is None else make(number))
        if self._kind.positions(self.window) < 1:
            raise UserError(f"a window of {self.window} bases holds no token of {self.tokens}")

    @property
    def _kind(self) -> Bases:
        assert self.kind is not None
        return self.kind

    # What a language model asks of any modality. Sequences have no frame of special tokens.
    start: ClassVar[tuple[int, ...]] = ()

    @property
    def length(self) -> int:
        """L, the number of tokens of a training sample."""
        return self._kind.positions(self.window)

    @property
    def grid(self) -> tuple[int]:
        """Positions of a training sample."""
        return (self.length,)

    @property
    def alphabet(self) -> Tensor:
        """Which tokens a sequence can hold and be predicted to hold, bool [V]."""
        return self._kind.alphabet

    @property
    def num_tokens(self) -> int:
        """V, special tokens included."""
        return len(self.alphabet)

    @property
    def num_inputs(self) -> int:
        """Tokens that a network embeds; more than V for overlapping k-mers."""
        return self._kind.num_inputs

    @property
    def mask(self) -> int:
        """The token of what is hidden."""
        return self._kind.mask

    @property
    def complement(self) -> Tensor:
        """The token of the other strand, int64 [V]."""
        return self._kind.complement

    @property
    def input_complement(self) -> Tensor:
        """The same for what a network embeds, int64 [num_inputs]."""
        return self._kind.input_complement

    def ids(self, batch: Tensor) -> Tensor:
        """Return token ids, int64 [B, L]; those that are ids already stay."""
        return batch if batch.dtype == torch.int64 else self._kind.ids(batch)

    def inputs(self, ids: Tensor) -> Tensor:
        """Return what a network embeds for token ids, some of them hidden, int64 [B, L]."""
        return self._kind.inputs(ids)

    def eligible(self, batch: Tensor, keys: Keys | None = None) -> Tensor:
        """Return which tokens may be hidden: those of known bases, bool [B, L]."""
        ids = self.ids(batch)
        return self.alphabet.to(ids.device)[ids]

    def weights(self, batch: Tensor) -> Tensor | None:
        """Return what each token counts in the loss, float32 [B, L]: the mean of its bases."""
        if self.repeat_weight == 1:
            return None
        of_bases = torch.where(batch >= REPEAT, self.repeat_weight, 1.0)
        return self._kind.means(of_bases, batch)

    def documents(self, ids: Tensor) -> Tensor:
        """Return 1 for tokens of the sequence and 0 for padding, int64 [B, L]."""
        return (ids != self._kind.nothing).long()

    def letters(self, ids: Sequence[int]) -> list[str]:
        """Return the bases of each token; N where they are unknown."""
        if isinstance(self.kind, Pieces):
            return [self.kind.tokenizer.id_to_token(i) or "N" for i in ids]
        k = self.kind.k if isinstance(self.kind, Kmers) else 1
        tokens = torch.tensor(ids, dtype=torch.int64)
        bases = tokens[:, None] // NUM_BASES ** torch.arange(k - 1, -1, -1) % NUM_BASES
        bases[~self.alphabet[tokens]] = UNKNOWN
        return [decode(each) for each in bases]

    spell = letters

    def spell_next(self, before: Sequence[int], token: int) -> str:
        """Return the bases that a token adds behind others: its own."""
        return self.letters([token])[0]

    def save(self, folder: Path) -> dict[str, Any]:
        """Return plain values that `load` reads; pieces write tokenizer.json."""
        values = {key: getattr(self, key) for key in ("window", "tokens", "repeat_weight")}
        if isinstance(self.kind, Pieces):
            write_tokenizer(folder / FILE, self.kind.tokenizer)
            values["density"] = self.kind.density
        return values

    @classmethod
    def load(cls, folder: Path, values: dict[str, Any]) -> Self:
        """Read what `save` wrote.

        Raises:
            UserError: a file is missing or damaged.
        """
        rest = dict(values)
        if (density := rest.pop("density", None)) is not None:
            rest["kind"] = Pieces(read_tokenizer(folder / FILE), density)
        return cls(**rest)
