"""Hugging Face's transformers: its masked language models, and batches for its Trainer."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskwise import laws, masks
from maskwise.errors import UserError
from maskwise.integrations.hf_samples import Sightings, WordMarks
from maskwise.laws import Law, Scheduled
from maskwise.objectives.cross_entropy import corrupt
from maskwise.rng import Keys
from maskwise.run import untrained
from maskwise.text.hf_models import export, load
from maskwise.text.ngrams import Ngrams
from maskwise.text.text import of_transformers

if TYPE_CHECKING:  # it is an extra
    from transformers import PreTrainedTokenizerFast, TrainerCallback, TrainerState

__all__ = ["DataCollatorForRandomRatioMLM", "export", "load", "untrained"]

PATTERNS = ("scattered", "words", "ngrams", "spans")
IGNORED = -100  # what losses of transformers leave out


class _Sample(NamedTuple):
    """One row without padding, int64 [n] each."""

    ids: np.ndarray
    attention: np.ndarray
    types: np.ndarray
    closed: np.ndarray
    """1 where the caller says that nothing may be hidden"""
    words: np.ndarray
    """The word of each token, -1 for none; empty: not given"""
    width: int
    """Positions with the padding that the caller put there"""


class DataCollatorForRandomRatioMLM:
    """Makes batches whose hidden tokens follow a law; drops into `transformers.Trainer` as it is.

    Every sample has a ratio of its own and hides exactly that part of its tokens, at least one.
    Special tokens and padding are never hidden, nor put in place of a token; unknown words are
    text. A sample without a token that can be hidden has no label; a batch of such samples is
    refused, since its loss would be no number.

    **Masks** are a function of the seed, the tokens of a sample, and how often these tokens were
    seen before: they are new in every epoch, and the same for any batch size, padding, number and
    kind of workers. Copies of one text have masks of their own; which copy has which may then
    depend on the workers. Counting starts anew with the object, so a resumed training repeats the
    first masks; processes that share a training (ranks) count for themselves; and an evaluation
    with the same collator has new masks each time. To repeat a training exactly, and for laws that
    move with training, add `callback()` to the Trainer, or call `set_epoch`.

    **The loss** of transformers is a mean over all hidden tokens of a batch, so a sample with a
    large ratio weighs more: what is trained is E[r l(r)] / E[r], with l(r) the loss at ratio r,
    and the effective mean ratio is E[r²] / E[r]:

    >>> ratios, weights = laws.effective(laws.parse("uniform:0.1,0.5"), "token_mean", "sample")
    >>> round(float(ratios @ weights), 3)
    0.344

    Args:
        tokenizer: a fast tokenizer of transformers.
        law: a ratio law, or its string.
        pattern: "scattered", "words", "ngrams" or "spans[:LENGTH]". Words are those of `word_ids`
            where samples have them, else the tokenizer's marks tell where they begin.
        seed: any integer.
        mask_replace_prob: share of hidden tokens that become the mask token.
        random_replace_prob: share that becomes a random token; the rest stays as it is.
        ngrams: which n-grams are hidden whole, for the pattern "ngrams".
        pad_to_multiple_of: make the length of rows a multiple of this.

    Raises:
        UserError: a slow tokenizer or one without mask token, an unknown law or pattern, shares
            that are no probabilities, or words that the tokenizer does not tell apart.

    Example:
        >>> collator = DataCollatorForRandomRatioMLM(tokenizer)  # doctest: +SKIP
        >>> Trainer(model, data_collator=collator, train_dataset=dataset)  # doctest: +SKIP
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerFast",
        law: Law | str | float = "uniform:0.1,0.5",
        pattern: str = "scattered",
        seed: int = 0,
        mask_replace_prob: float = 1.0,
        random_replace_prob: float = 0.0,
        ngrams: Ngrams | None = None,
        pad_to_multiple_of: int | None = None,
    ) -> None:
        self.law, self.pattern, self.seed, self.ngrams = laws.parse(law), pattern, seed, ngrams
        masks.parse_pattern(pattern)
        name = pattern.partition(":")[0]
        if name not in PATTERNS:
            raise UserError(f"pattern {pattern} is for images; texts have {', '.join(PATTERNS)}")
        if (ngrams is not None) != (name == "ngrams"):
            raise UserError("pattern 'ngrams' and the argument ngrams= need each other: give both")
        shares = (mask_replace_prob, random_replace_prob)
        if min(shares) < 0 or not sum(shares) <= 1 + 1e-9:
            raise UserError(
                f"mask_replace_prob {shares[0]:g} and random_replace_prob {shares[1]:g} are shares"
                " of the hidden tokens: make them at least 0, and their sum at most 1"
            )
        self._shares = (*shares, max(0.0, 1 - sum(shares)))
        if pad_to_multiple_of is not None and pad_to_multiple_of < 1:
            raise UserError(f"pad_to_multiple_of {pad_to_multiple_of} is below 1: leave it out")
        self._multiple = pad_to_multiple_of or 1
        text = of_transformers(tokenizer, length=1)
        self._mask, self._pad, self._alphabet = text.mask, text.pad, text.alphabet
        self._left = tokenizer.padding_side == "left"
        self._unknown, self._type = tokenizer.unk_token_id, tokenizer.pad_token_type_id
        self._marks = None if name == "scattered" else WordMarks(tokenizer.backend_tokenizer)
        self._sightings = Sightings()
        self._rank = int(os.environ.get("RANK", 0))
        # Epoch and progress, which workers see too; -1: nobody said.
        self._now = torch.full((2,), -1.0, dtype=torch.float64).share_memory_()

    def set_epoch(self, epoch: int, progress: float = 0.0) -> None:
        """Say which epoch it is, instead of counting: masks depend on it from now on.

        Args:
            epoch: which pass over the data.
            progress: share of training done, in [0, 1], for laws that move. Batches are prepared
                ahead of time, by Trainer two and by workers more, and see the progress of then.
        """
        self._now.copy_(torch.tensor([epoch, progress]))

    def callback(self) -> "TrainerCallback":
        """Return a callback for Trainer that calls `set_epoch`: `callbacks=[c.callback()]`."""
        from transformers import TrainerCallback

        def follow(
            _: object, args: object, state: "TrainerState", control: object, **more: object
        ) -> None:
            self.set_epoch(int(state.epoch or 0), state.global_step / max(state.max_steps, 1))

        events = {"on_epoch_begin": follow, "on_step_begin": follow}
        return type("FollowTraining", (TrainerCallback,), events)()

    def __call__(self, features: Sequence[Mapping[str, ArrayLike]]) -> dict[str, Tensor]:
        """Return `input_ids`, `attention_mask` and `labels`, int64 [B, L] each.

        Labels are -100 where nothing is hidden. There are `token_type_ids` if samples have them.

        Args:
            features: samples: `input_ids`, and maybe `attention_mask`, `special_tokens_mask`,
                `token_type_ids` and `word_ids`, as lists, arrays or tensors of any length.

        Raises:
            UserError: no samples, or one that cannot be read; a batch in which nothing can be
                hidden; a law that moves while nobody calls `set_epoch`.
        """
        if not len(features):
            raise UserError("the batch is empty: give at least one sample")
        samples = [self._read(sample, place) for place, sample in enumerate(features)]
        ids = self._rows([sample.ids for sample in samples], samples, self._pad)
        attention = self._rows([sample.attention for sample in samples], samples, 0)
        closed = self._rows([sample.closed for sample in samples], samples, 1)
        eligible = self._alphabet[ids.clamp(min=0)] & (closed == 0) & (attention == 1)
        if not bool(eligible.any()):
            raise UserError(
                f"none of the {len(samples)} samples of a batch has a token that can be hidden:"
                " leave empty texts out"
            )
        progress = float(self._now[1])
        if progress < 0 and isinstance(self.law, Scheduled):
            raise UserError(
                f"law '{self.law}' moves with training: add collator.callback() to the callbacks"
                " of the Trainer, or call set_epoch(epoch, progress)"
            )
        keys = Keys(self.seed, 0, self._sample_ids(samples))
        hidden = masks.draw(
            self.law,
            (ids.shape[1],),
            sample_ids=keys.sample_ids,
            seed=self.seed,
            progress=max(progress, 0.0),
            pattern=self.pattern,
            scope="sample",
            eligible=eligible,
            units=self._units(samples, ids, eligible),
        ).hidden
        seen = corrupt(
            ids, hidden, keys, mask=self._mask, alphabet=self._alphabet, shares=self._shares
        )
        batch = {
            "input_ids": seen,
            "attention_mask": attention,
            "labels": ids.masked_fill(~hidden, IGNORED),
        }
        if any(len(sample.types) for sample in samples):
            batch["token_type_ids"] = self._rows([s.types for s in samples], samples, self._type)
        return {name: self._placed(rows, samples) for name, rows in batch.items()}

    def _read(self, sample: Mapping[str, ArrayLike], place: int) -> _Sample:
        """Return what a sample holds, without padding on either side."""
        if not isinstance(sample, Mapping) or "input_ids" not in sample:
            raise UserError(
                f"sample {place} of a batch has no input_ids: tokenize the texts first"
            )
        ids = _array(sample["input_ids"])
        if ids.ndim != 1:
            raise UserError(
                f"sample {place} has input_ids of shape {ids.shape}: give one row each"
            )
        if len(ids) and not 0 <= ids.min() <= ids.max() < len(self._alphabet):
            most = len(self._alphabet) - 1
            raise UserError(f"sample {place} has token ids outside 0..{most}, the tokenizer's own")
        given = {name: _array(sample[name]) for name in _OPTIONAL if sample.get(name) is not None}
        for name, values in given.items():
            if values.shape != ids.shape:
                raise UserError(f"sample {place} has {len(values)} {name} for {len(ids)} tokens")
        none = np.empty(0, np.int64)
        attention = given.get("attention_mask", np.ones_like(ids))
        closed = given.get("special_tokens_mask", np.zeros_like(ids)) * (ids != self._unknown)
        # Padding is at the ends; within a text its token may have another meaning.
        inside = np.flatnonzero(given.get("attention_mask", ids != self._pad))
        part = slice(inside[0], inside[-1] + 1) if len(inside) else slice(0, 0)
        types, words = (given.get(name, none)[part] for name in ("token_type_ids", "word_ids"))
        return _Sample(ids[part], attention[part], types, closed[part], words, len(ids))

    def _rows(self, values: Sequence[np.ndarray], samples: Sequence[_Sample], fill: int) -> Tensor:
        """Return rows of equal length, int64 [B, L], padding behind."""
        length = -(-max(sample.width for sample in samples) // self._multiple) * self._multiple
        rows = np.full((len(samples), max(length, 1)), fill)
        for row, value in zip(rows, values, strict=True):
            row[: len(value)] = value
        if fill == self._pad < 0 and any(len(value) < rows.shape[1] for value in values):
            raise UserError("the tokenizer has no padding token: set tokenizer.pad_token")
        return torch.from_numpy(rows)

    def _placed(self, rows: Tensor, samples: Sequence[_Sample]) -> Tensor:
        """Move padding to the side where the tokenizer has it."""
        if not self._left:
            return rows
        empty = rows.shape[1] - torch.tensor([len(sample.ids) for sample in samples])
        places = torch.arange(rows.shape[1]) - empty[:, None]
        return rows.gather(1, places % rows.shape[1])

    def _sample_ids(self, samples: Sequence[_Sample]) -> Tensor:
        """Return numbers of 56 bits that stand for the tokens and the epoch, int64 [B]."""
        digests = [hashlib.blake2b(s.ids.astype("<i8").tobytes()).digest() for s in samples]
        epoch = int(self._now[0])
        if epoch < 0:
            numbers = [int.from_bytes(digest[:8], signed=True) for digest in digests]
            # A sample may come to another rank in the next epoch, where it counts as new.
            times = [f"{time} {self._rank}" for time in self._sightings.count(numbers)]
        else:
            times = [f"{epoch} 0"] * len(samples)
        named = [time.encode() + digest for time, digest in zip(times, digests, strict=True)]
        found = [hashlib.blake2b(name, digest_size=7).digest() for name in named]
        return torch.tensor([int.from_bytes(digest) for digest in found])

    def _units(self, samples: Sequence[_Sample], ids: Tensor, eligible: Tensor) -> Tensor | None:
        """Return the word or n-gram of each position, int64 [B, L], where the pattern asks."""
        if self._marks is None:
            return None
        if all(len(sample.words) == len(sample.ids) for sample in samples):
            words = self._rows([sample.words for sample in samples], samples, IGNORED)
            starts = words != torch.nn.functional.pad(words, (1, 0), value=IGNORED)[:, :-1]
        elif self._marks.known:
            starts = self._marks.starts(ids.clamp(min=0))
        else:
            raise UserError(
                f"pattern {self.pattern} needs words, and the tokenizer does not mark them: give"
                " samples their word_ids (and Trainer remove_unused_columns=False)"
            )
        breaks = ~eligible | ~torch.nn.functional.pad(eligible, (1, 0))[:, :-1]
        starts |= breaks
        if self.ngrams is not None:
            merged = self.ngrams.merge(ids.numpy(), starts.numpy(), breaks.numpy())
            starts = torch.from_numpy(merged)
        return starts.cumsum(dim=1)


_OPTIONAL = ("attention_mask", "special_tokens_mask", "token_type_ids", "word_ids")


def _array(values: ArrayLike) -> np.ndarray:
    """Return numbers as int64; None, as in `word_ids` of special tokens, is -1."""
    if isinstance(values, (list, tuple)):
        values = [-1 if value is None else value for value in values]
    return np.asarray(values, dtype=np.int64)
