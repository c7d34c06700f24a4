"""Sequences of bases as byte-pair pieces, of which the frequent ones are long."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import torch
from torch import Tensor

from maskwise.dna.bases import NUM_BASES, decode
from maskwise.errors import UserError, require

MARGIN = 1.05  # of the most pieces seen in a window


@dataclass(frozen=True, eq=False)
class Pieces:
    """Byte-pair pieces of sequences; an unknown base is a piece of its own.

    Windows have different numbers of pieces: they are padded, and cut where there are more than
    `density` pieces a base, which is a little more than was seen in training windows.

    Args:
        tokenizer: a `tokenizers.Tokenizer` of A, C, G, T and N.
        density: pieces of a row over bases of a window.
    """

    tokenizer: Any
    density: float

    @cached_property
    def alphabet(self) -> Tensor:
        """Which tokens may be predicted, bool [V]."""
        alphabet = torch.ones(self.num_inputs, dtype=torch.bool)
        alphabet[[self.tokenizer.token_to_id("N"), self.nothing, self.mask]] = False
        return alphabet

    @property
    def nothing(self) -> int:
        """The token of what is beyond an end."""
        return self.tokenizer.get_vocab_size()

    @property
    def mask(self) -> int:
        """The token of what is hidden."""
        return self.nothing + 1

    @property
    def num_inputs(self) -> int:
        """Tokens that a network embeds."""
        return self.nothing + 2

    def positions(self, width: int) -> int:
        """Return the number of tokens of `width` bases."""
        return max(1, round(width * self.density))

    def ids(self, codes: Tensor) -> Tensor:
        """Return the tokens of codes [B, W], int64 [B, L]."""
        found = self._encoded(codes)
        ids = torch.full((len(codes), self.positions(codes.shape[1])), self.nothing)
        for row, each in zip(ids, found, strict=True):
            row[: len(each.ids)] = torch.tensor(each.ids[: len(row)])
        return ids.to(codes.device)

    def inputs(self, ids: Tensor) -> Tensor:
        """Return what a network embeds at each position."""
        return ids

    def means(self, values: Tensor, codes: Tensor) -> Tensor:
        """Return the mean of `values` [B, W] over the bases of each token, [B, L]."""
        means = values.new_zeros(len(codes), self.positions(codes.shape[1]))
        sums = torch.nn.functional.pad(values.cumsum(1), (1, 0))
        for row, of_row, each in zip(means, sums, self._encoded(codes), strict=True):
            start, stop = torch.tensor(each.offsets[: len(row)], device=values.device).T
            row[: len(start)] = (of_row[stop] - of_row[start]) / (stop - start)
        return means

    @property
    def complement(self) -> NoReturn:
        """There is none: pieces of the other strand begin elsewhere."""
        raise UserError("pieces have no opposite strand: an equivariant model needs other tokens")

    input_complement = complement

    def _encoded(self, codes: Tensor) -> Sequence[Any]:
        letters = [decode(row).upper() for row in codes.cpu()]
        return self.tokenizer.encode_batch(letters)


def train_pieces(windows: Tensor, vocab_size: int) -> Pieces:
    """Learn byte-pair pieces from windows of training data.

    Args:
        windows: codes, uint8 [n, W].
        vocab_size: pieces at most, single bases and N included.

    Raises:
        UserError: a vocabulary too small, or tokenizers is not installed.
    """
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
    return Pieces(tokenizer, min(1.0, MARGIN * most / windows.shape[1]))
