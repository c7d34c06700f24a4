"""Samples of a batch as rows of one length: their tokens, and whatever else they hold, padded."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskwise.errors import UserError

IGNORED = -100  # what losses of transformers leave out
_TOLD = ("attention_mask", "special_tokens_mask", "word_ids")
_OF_TOKENS = ("token_type_ids", "position_ids")
# What a batch has of its own.
_MADE = {"input_ids", "labels", *_TOLD}


class Sample(NamedTuple):
    """One row without padding, int64 [n] each."""

    ids: np.ndarray
    attention: np.ndarray
    closed: np.ndarray
    """1 where the caller says that nothing may be hidden"""
    words: np.ndarray
    """The word of each token, -1 for none; empty: not given"""
    width: int
    """Positions with the padding that the caller put there"""
    part: slice
    """Where among these the tokens are"""
    more: dict[str, Tensor]
    """What else the caller gave, with padding"""


class Rows:
    """Makes rows of one length, a multiple of `multiple`, of what samples hold.

    Padding is behind; `placed` moves it in front if it is to be on the `left`.
    """

    def __init__(self, samples: Sequence[Sample], multiple: int, *, left: bool) -> None:
        self.samples, self.left = samples, left
        longest = max(sample.width for sample in samples)
        self.length = max(-(-longest // multiple) * multiple, 1)

    def of(self, values: Iterable[np.ndarray], fill: int) -> Tensor:
        """Return rows int64 [B, L]."""
        rows = np.full((len(self.samples), self.length), fill)
        for row, value in zip(rows, values, strict=True):
            row[: len(value)] = value
        return torch.from_numpy(rows)

    def placed(self, rows: Tensor) -> Tensor:
        """Move padding, of rows [B, L, ...], to its side."""
        if not self.left:
            return rows
        empty = self.length - torch.tensor([len(sample.ids) for sample in self.samples])
        places = (torch.arange(self.length) - empty[:, None]) % self.length
        return rows[torch.arange(len(rows))[:, None], places]

    def more(self, token_type: int) -> dict[str, Tensor]:
        """Return what else samples hold: [B, L, ...] with a value for each token, or [B, ...].

        Padding is 0, of labels what losses leave out, of token types `token_type`.
        """
        named = dict.fromkeys(name for sample in self.samples for name in sample.more)
        return {name: self._more(name, token_type) for name in named}

    def _more(self, name: str, token_type: int) -> Tensor:
        for place, sample in enumerate(self.samples):
            if name not in sample.more:
                raise UserError(f"sample {place} of a batch has no {name}, which others have")
        values = [sample.more[name] for sample in self.samples]
        aligned = all(
            value.ndim and len(value) == sample.width
            for value, sample in zip(values, self.samples, strict=True)
        )
        if aligned:
            values = [v[sample.part] for v, sample in zip(values, self.samples, strict=True)]
        shapes = [tuple(value.shape)[aligned:] for value in values]
        for place, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise UserError(
                    f"{name} is neither one value for each token nor of one shape in all samples"
                    f" of a batch: {tuple(self.samples[0].more[name].shape)} in sample 0 and"
                    f" {tuple(self.samples[place].more[name].shape)} in sample {place},"
                    f" of {self.samples[place].width} tokens; pad it, or leave it out"
                )
        if not aligned:
            return torch.stack(values)
        fill = IGNORED if "label" in name else token_type if name == "token_type_ids" else 0
        rows = values[0].new_full((len(values), self.length, *shapes[0]), fill)
        for row, value in zip(rows, values, strict=True):
            row[: len(value)] = value
        return self.placed(rows)


def read(
    sample: Mapping[str, ArrayLike], place: int, num_tokens: int, pad: int, unknown: int | None
) -> Sample:
    """Return what the sample at a `place` of a batch holds.

    Args:
        sample: `input_ids` and anything else.
        place: its number in the batch.
        num_tokens: ids of the tokenizer.
        pad: id of padding, -1 without one.
        unknown: id of the token of unknown words, which are text whatever samples say.

    Raises:
        UserError: no ids, ids of no tokens, or another number of values than of tokens.
    """
    if not isinstance(sample, Mapping) or "input_ids" not in sample:
        raise UserError(f"sample {place} of a batch has no input_ids: tokenize the texts first")
    given = {name: value for name, value in sample.items() if value is not None}
    ids = _whole(sample["input_ids"], "input_ids", place)
    if ids.ndim != 1:
        raise UserError(f"sample {place} has input_ids of shape {ids.shape}: give one row each")
    if len(ids) and not 0 <= ids.min() <= ids.max() < num_tokens:
        most = num_tokens - 1
        raise UserError(f"sample {place} has token ids outside 0..{most}, the tokenizer's own")
    told = {name: _whole(given[name], name, place) for name in _TOLD if name in given}
    more = {name: _tensor(given[name], name, place) for name in given if name not in _MADE}
    shapes = {name: values.shape for name, values in told.items()}
    shapes |= {name: tuple(values.shape) for name, values in more.items() if name in _OF_TOKENS}
    for name, shape in shapes.items():
        if shape != ids.shape:
            found = shape[0] if len(shape) == 1 else f"an array {shape} of"
            raise UserError(f"sample {place} has {found} {name} for {len(ids)} tokens")
    attention = told.get("attention_mask", np.ones_like(ids))
    closed = told.get("special_tokens_mask", np.zeros_like(ids)) * (ids != unknown)
    # Padding is at the ends; within a text its token may have another meaning.
    inside = np.flatnonzero(told.get("attention_mask", ids != pad))
    part = slice(inside[0], inside[-1] + 1) if len(inside) else slice(0, 0)
    words = told.get("word_ids", np.empty(0, np.int64))[part]
    return Sample(ids[part], attention[part], closed[part], words, len(ids), part, more)


def _whole(values: ArrayLike, name: str, place: int) -> np.ndarray:
    """Return numbers as int64; None, as in `word_ids` of special tokens, is -1."""
    if isinstance(values, (list, tuple)):
        values = [-1 if value is None else value for value in values]
    found = _array(values, name, place)
    if found.dtype.kind == "f" and found.size:
        raise UserError(f"sample {place} has {name} that are no whole numbers: tokenize the texts")
    return found.astype(np.int64)


def _tensor(values: ArrayLike, name: str, place: int) -> Tensor:
    """Return any numbers, those of lists as torch has them: int64, float32 or bool."""
    if isinstance(values, Tensor):
        return values
    found = _array(values, name, place)
    if found.dtype == np.float64 and not isinstance(values, np.ndarray):
        found = found.astype(np.float32)
    return torch.from_numpy(found)


def _array(values: ArrayLike, name: str, place: int) -> np.ndarray:
    try:
        found = np.asarray(values)
    except (ValueError, TypeError):  # rows of lists differ in length
        found = np.empty(0, dtype=object)
    if found.dtype.kind not in "biuf":
        raise UserError(
            f"sample {place} has {name} {values!r:.60}, which is no array of numbers: leave it out"
        )
    return found
