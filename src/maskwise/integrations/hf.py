"""Hugging Face's transformers: its masked language models, and batches for its Trainer."""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskwise import laws, masks
from maskwise.errors import UserError
from maskwise.integrations.hf_rows import IGNORED, Rows, Sample, read
from maskwise.integrations.hf_samples import Sightings, WordMarks
from maskwise.integrations.hf_units import changes, check_pattern, units
from maskwise.laws import Law, Scheduled
from maskwise.objectives.cross_entropy import corrupt
from maskwise.rng import Keys
from maskwise.run import untrained
from maskwise.text.hf_models import export, load
from maskwise.text.ngrams import Ngrams
from maskwise.text.text import of_transformers

if TYPE_CHECKING:  # it is an extra
    from transformers import PreTrainedTokenizerFast, TrainerCallback, TrainerState

log = logging.getLogger("maskwise")

__all__ = ["DataCollatorForRandomRatioMLM", "export", "load", "untrained"]


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
        name = check_pattern(pattern, ngrams)
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
        self._fill = self._pad
        if self._pad < 0:  # any token will do, since models leave it out
            self._fill = [self._mask, *text.start, *text.stop][-1]
            log.warning(
                "the tokenizer has no padding token: shorter rows are filled up with %s, which"
                " attention_mask leaves out",
                text.tokenizer.id_to_token(self._fill),
            )
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
        """Return `input_ids`, `attention_mask`, `labels`, int64 [B, L] each, and all further keys.

        Labels are -100 where nothing is hidden. Of further keys, those with a value for each token
        (`token_type_ids`, `position_ids`, `bbox` [n, 4]) are padded with the tokens, [B, L, ...],
        by 0 or, if they are some kind of label, -100. Others, such as `next_sentence_label`, have
        one shape in all samples, and become [B, ...].

        Args:
            features: samples: `input_ids`, and maybe `attention_mask`, `special_tokens_mask` and
                `word_ids`, as lists, arrays or tensors of any length, which are read here;
                `labels`, which this batch has of its own; and any other arrays of numbers.

        Raises:
            UserError: no samples, or one that cannot be read; a further key that is no array of
                numbers, fits neither tokens nor other samples, or is not in all of them; a batch
                in which nothing can be hidden; a law that moves while nobody calls `set_epoch`.
        """
        if not len(features):
            raise UserError("the batch is empty: give at least one sample")
        about = len(self._alphabet), self._pad, self._unknown
        samples = [read(sample, place, *about) for place, sample in enumerate(features)]
        rows = Rows(samples, self._multiple, left=self._left)
        ids = rows.of([sample.ids for sample in samples], self._fill)
        attention = rows.of([sample.attention for sample in samples], 0)
        closed = rows.of([sample.closed for sample in samples], 1)
        eligible = self._alphabet[ids] & (closed == 0) & (attention == 1)
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
            units=self._units(rows, ids, eligible),
        ).hidden
        seen = corrupt(
            ids, hidden, keys, mask=self._mask, alphabet=self._alphabet, shares=self._shares
        )
        batch = {
            "input_ids": seen,
            "attention_mask": attention,
            "labels": ids.masked_fill(~hidden, IGNORED),
        }
        placed = {name: rows.placed(values) for name, values in batch.items()}
        return placed | rows.more(self._type)

    def _sample_ids(self, samples: Sequence[Sample]) -> Tensor:
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

    def _units(self, rows: Rows, ids: Tensor, eligible: Tensor) -> Tensor | None:
        """Return the word or n-gram of each position, int64 [B, L], where the pattern asks."""
        if self._marks is None:
            return None
        if all(len(sample.words) == len(sample.ids) for sample in rows.samples):
            words = rows.of([sample.words for sample in rows.samples], IGNORED)
            starts = changes(words)
        elif self._marks.known:
            starts = self._marks.starts(ids)
        else:
            raise UserError(
                f"pattern {self.pattern} needs words, and the tokenizer does not mark them: give"
                " samples their word_ids (and Trainer remove_unused_columns=False)"
            )
        return units(ids, starts, eligible, self.ngrams)
