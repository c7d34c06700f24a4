"""Masked language models of Hugging Face's transformers."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.integrations.hf_collator import DataCollatorForRandomRatioMLM
from maskwise.models import hf_load
from maskwise.rng import Keys, Stream

__all__ = ["DataCollatorForRandomRatioMLM", "MaskedLM", "Tokens"]

# Logits held at once: vocabularies are large.
MOST_LOGITS = 2**25
DEFAULT_LENGTH = 128


class Tokens(NamedTuple):
    """Texts as token ids, one in each row."""

    ids: Tensor
    """int64 [B, D]"""
    eligible: Tensor
    """bool [B, D]: tokens of the text, neither special ones nor padding"""
    num_bytes: Tensor
    """int64 [B]: size of the text, as UTF-8"""


class MaskedLM:
    """A masked language model with its tokenizer. Samples are token ids, int64 [B, D].

    Every hidden token is replaced by the mask token. (Leaving one in ten as it is, as in the
    training of BERT, would give away what is asked for.) Only what a text can hold has a
    probability: special tokens, but that of unknown words, have none, and are not eligible.

    Args:
        model: an `AutoModelForMaskedLM`; put into evaluation mode.
        tokenizer: its tokenizer, a fast one.

    Raises:
        UserError: a tokenizer without mask token, or not of this model.

    Example:
        >>> from maskwise.likelihood import log_likelihood
        >>> model = MaskedLM.load("bert-base-uncased")  # doctest: +SKIP
        >>> text = model.tokenize(["A sentence.", "And a longer one."])  # doctest: +SKIP
        >>> log_likelihood(model, text.ids).perplexity  # doctest: +SKIP
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        if tokenizer.mask_token_id is None:
            raise UserError("the tokenizer has no mask token: it is not of a masked model")
        if not tokenizer.is_fast:
            raise UserError("the tokenizer is a slow one: give a fast one (tokenizer.json)")
        num_tokens, known = model.config.vocab_size, set(tokenizer.get_vocab().values())
        if max(known) >= num_tokens:
            raise UserError(
                f"the tokenizer has {max(known) + 1:,} tokens, but the model {num_tokens:,}: give"
                " the model's own tokenizer"
            )
        words = known - (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
        if len(words) < 2:
            raise UserError("the tokenizer has special tokens only: its files are missing")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.alphabet = torch.isin(torch.arange(num_tokens), torch.tensor(list(words)))
        """bool [V]: which tokens a text can hold"""
        self._padding = -1 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        special = tokenizer("a", return_special_tokens_mask=True)
        start, stop = _zeros(special["special_tokens_mask"])
        self._before, self._after = special["input_ids"][:start], special["input_ids"][stop:]

    @classmethod
    def load(cls, name: str | Path, device: str | torch.device | None = None) -> Self:
        """Load a model: safetensors weights only, and no code of anyone's.

        Args:
            name: a folder, or a name on the Hugging Face hub.
            device: where it computes; default: a GPU if there is one.

        Raises:
            UserError: transformers is missing, there is no such model, or it predicts no masked
                tokens.
        """
        model, tokenizer = hf_load.load(str(name))
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            return cls(model.to(device), tokenizer)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None

    def untrained(self, seed: int = 0) -> "MaskedLM":
        """Return the same architecture with random weights, as transformers initialises them."""
        model = hf_load.untrained(self.model, seed).to(self.model.device)
        return MaskedLM(model, self.tokenizer)

    @property
    def training(self) -> bool:
        """Whether dropout is on."""
        return self.model.training

    def tokenize(self, texts: Sequence[str], length: int | None = None) -> Tokens:
        """Return texts, one in each row, cut and padded to the same length.

        Args:
            texts: documents.
            length: D at most, special tokens included; default: 128, or what the model can take.

        Raises:
            UserError: no texts, a text without a token, or a length out of range.
        """
        room = self._room(length)
        pieces = [self._pieces(text, room)[:1] for text in texts]
        if not pieces:
            raise UserError("no texts: give at least one")
        if [] in pieces:
            raise UserError(f"text {pieces.index([])} has no token: leave it out")
        return self._framed([piece for (piece,) in pieces])

    def windows(self, text: str, length: int | None = None) -> Tokens:
        """Return running text, cut into rows of equal length; what is left over is dropped.

        Args:
            text: any text; its lines are not told apart.
            length: D, special tokens included; default: 128, or what the model can take.

        Raises:
            UserError: a text that fills no row, or a length out of range.
        """
        room = self._room(length)
        pieces = self._pieces(text, room)
        num = sum(len(ids) for ids, _ in pieces)
        if num < room:
            raise UserError(
                f"the text has {num} tokens, too few for a window of {room}: give more text, or a"
                " smaller length"
            )
        return self._framed(pieces[: num // room])

    def eligible(self, ids: Tensor) -> Tensor:
        """Return which tokens may be hidden, bool [B, D]: neither special ones nor padding."""
        return self.alphabet.to(ids.device)[ids]

    def conditional_log_prob(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return log p(x_t | x_R) of every hidden token, float32 [B, D]; -inf for special ones."""
        found = [
            predicted.gather(1, wanted[:, None])[:, 0]
            for predicted, wanted in self._predict(x, hidden, x)
        ]
        values = torch.cat(found).to(x.device)
        return torch.zeros(hidden.shape, device=x.device).masked_scatter(hidden, values)

    def conditional_sample(self, x: Tensor, hidden: Tensor, keys: Keys) -> Tensor:
        """Return `x` with each hidden token drawn for itself, by the inverse of its CDF."""
        u = keys.open_uniform(Stream.SAMPLE, x.shape[1])
        drawn = []
        for predicted, level in self._predict(x, hidden, u):
            cumulative = predicted.double().exp().cumsum(dim=1)
            # u in (0, 1) meets no token without probability, be it the first or the last.
            drawn.append((cumulative < level[:, None] * cumulative[:, -1:]).sum(dim=1))
        return x.masked_scatter(hidden, torch.cat(drawn).to(x.device))

    def _predict(
        self, x: Tensor, hidden: Tensor, other: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give log-probabilities of all tokens where hidden, [n, V], and `other` there, [n].

        Some rows at a time.
        """
        device = self.model.device
        alphabet = self.alphabet.to(device)
        ids = torch.where(hidden, self.tokenizer.mask_token_id, x)
        # What `x` holds at a hidden position is not looked at, be it padding.
        attention = hidden | (x != self._padding)
        num = max(1, MOST_LOGITS // (x.shape[1] * len(alphabet)))
        each = (part.to(device).split(num) for part in (ids, attention.long(), hidden, other))
        for row_ids, row_attention, row_hidden, row_other in zip(*each, strict=True):
            logits = self.model(input_ids=row_ids, attention_mask=row_attention).logits
            logits = logits[row_hidden].float().masked_fill(~alphabet, -torch.inf)
            yield logits.log_softmax(dim=1), row_other[row_hidden]

    def _room(self, length: int | None) -> int:
        """Return how many tokens of a text fit between the special ones."""
        longest = getattr(self.model.config, "max_position_embeddings", None) or 10**6
        longest = min(self.tokenizer.model_max_length, longest)
        frame = len(self._before) + len(self._after)
        length = min(DEFAULT_LENGTH, longest) if length is None else length
        if not frame < length <= longest:
            raise UserError(
                f"length {length} is outside {frame + 1}..{longest}, what the model can take with"
                f" its {frame} special tokens"
            )
        return length - frame

    def _pieces(self, text: str, size: int) -> list[tuple[list[int], int]]:
        """Return the token ids of a text, `size` at a time, with the bytes that they stand for."""
        found = self.tokenizer(
            text,
            add_special_tokens=False,
            return_attention_mask=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        ids = found["input_ids"]
        if not ids:
            return []
        # A token stands for the text up to the next one, so that no byte is lost between pieces.
        ends = [0, *(start for start, _ in found["offset_mapping"][size::size]), len(text)]
        return [
            (ids[place * size : (place + 1) * size], len(text[start:stop].encode()))
            for place, (start, stop) in enumerate(itertools.pairwise(ends))
        ]

    def _framed(self, pieces: list[tuple[list[int], int]]) -> Tokens:
        """Put special tokens around pieces of texts, and padding behind."""
        rows = [[*self._before, *ids, *self._after] for ids, _ in pieces]
        most = max(map(len, rows))
        if self._padding < 0 and min(map(len, rows)) < most:
            raise UserError("the tokenizer has no padding token: give texts of equal length")
        ids = torch.tensor([row + [self._padding] * (most - len(row)) for row in rows])
        num_bytes = torch.tensor([num for _, num in pieces])
        return Tokens(ids, self.eligible(ids), num_bytes)


def _zeros(flags: list[int]) -> tuple[int, int]:
    """Return the first 0 and where the zeros end.

    >>> _zeros([1, 0, 0, 1])
    (1, 3)
    """
    return flags.index(0), len(flags) - flags[::-1].index(0)
