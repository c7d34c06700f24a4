"""Masked language models of transformers, and of all who name theirs alike."""

import hashlib
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from maskwise.attaching.adapter import Adapter, Inputs, Positions
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.objectives.cross_entropy import Shares, check_shares, corrupt

IGNORED = -100  # what losses of transformers leave out


class MaskedLM(Adapter):
    """A class named ...ForMaskedLM: it takes masked `input_ids`, and `labels` of what is hidden.

    Both are made of clean `input_ids` before each training forward, so that any batch of texts
    will do. Special tokens and padding are never hidden. A call may give `special_tokens_mask` and
    `word_ids`, int64 [B, L], which the model does not see.
    """

    takes_masks: ClassVar[bool] = True
    recompiles: ClassVar[bool] = False
    strict: ClassVar[bool] = True
    extras: ClassVar[tuple[str, ...]] = ("special_tokens_mask", "word_ids")

    def __init__(self, model: nn.Module, tokenizer: Any = None) -> None:
        super().__init__(model, tokenizer)
        self._shares: Shares = (1.0, 0.0, 0.0)
        self._ngrams: Any = None
        self._marks: Any = None
        self._wording = ""
        if tokenizer is None:
            raise UserError(
                f"{self.name} makes no masks itself: give tokenizer=, so that they are made for"
                " it, or attach the law to the collator that makes them"
            )
        if getattr(tokenizer, "mask_token_id", None) is None:
            raise UserError("the tokenizer has no mask token: it is not of a masked model")
        self._mask, self._unknown = tokenizer.mask_token_id, tokenizer.unk_token_id
        added = getattr(tokenizer, "added_tokens_decoder", {})
        special = {i for i, token in added.items() if token.special} | {*tokenizer.all_special_ids}
        known = {*tokenizer.get_vocab().values()} - (special - {self._unknown})
        self._alphabet = torch.zeros(max(known | special) + 1, dtype=torch.bool)
        self._alphabet[sorted(known)] = True

    @classmethod
    def knows(cls, kind: type) -> bool:
        return kind.__name__.endswith("ForMaskedLM")

    def prepare(self, pattern: str | None, options: dict[str, Any]) -> None:
        # It imports all kinds of data, which others need not wait for.
        from maskwise.integrations.hf_samples import WordMarks
        from maskwise.integrations.hf_units import check_pattern

        self._shares = tuple(options.get("shares", self._shares))
        self._ngrams = options.get("ngrams")
        check_shares(self._shares)
        self._wording = check_pattern(str(pattern), self._ngrams)
        if self._wording != "scattered" and getattr(self.tokenizer, "is_fast", False):
            self._marks = WordMarks(self.tokenizer.backend_tokenizer)

    def positions(self, inputs: Inputs) -> Positions:
        ids = inputs.get("input_ids")
        if ids is None or ids.dim() != 2:
            what = "no input_ids" if ids is None else f"input_ids {list(ids.shape)}"
            raise UserError(f"the call gives {self.name} {what}: masks need token ids [B, L]")
        if inputs.get("labels") is not None:
            raise UserError(
                "the call gives labels, so its tokens are masked already: leave labels out, or"
                " attach the law to the collator that makes them"
            )
        if self._alphabet.device != ids.device:
            self._alphabet = self._alphabet.to(ids.device)
        num = len(self._alphabet)
        if int(ids.max()) >= num or int(ids.min()) < 0:
            raise UserError(
                f"input_ids are in {int(ids.min())}..{int(ids.max())}, and the tokenizer has ids"
                f" 0..{num - 1}: give the one that made them"
            )
        eligible = self._eligible(ids, inputs)
        if not bool(eligible.any()):
            raise UserError(
                f"none of the {len(ids)} samples of a batch has a token that can be hidden: leave"
                " empty texts out"
            )
        units = self._units(ids, eligible, inputs.get("word_ids"))
        samples = None if self.model.training else numbers(ids, eligible)
        return Positions(len(ids), (ids.shape[1],), ids.device, eligible, units, samples=samples)

    def _eligible(self, ids: Tensor, inputs: Inputs) -> Tensor:
        eligible = self._alphabet[ids]
        attention, closed = inputs.get("attention_mask"), inputs.get("special_tokens_mask")
        if attention is not None and attention.shape == ids.shape:
            eligible = eligible & (attention != 0)
        if closed is not None:
            # Unknown words are text, whatever tokenizers say.
            unknown = ids == (-1 if self._unknown is None else self._unknown)
            eligible = eligible & ((closed == 0) | unknown)
        return eligible

    def _units(self, ids: Tensor, eligible: Tensor, words: Tensor | None) -> Tensor | None:
        """Return what is hidden together, where the pattern asks."""
        from maskwise.integrations.hf_units import changes, units

        if self._wording == "scattered":
            return None
        ids, eligible = ids.cpu(), eligible.cpu()
        if words is not None:
            starts = changes(words.cpu())
        elif self._marks is not None and self._marks.known:
            starts = self._marks.starts(ids)
        elif self._wording == "spans":
            return None
        else:
            raise UserError(
                f"pattern {self._wording} needs words, and the tokenizer does not mark them: give"
                " the call word_ids, or take pattern='spans'"
            )
        return units(ids, starts, eligible, self._ngrams)

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        ids = inputs["input_ids"]
        seen = corrupt(
            *(ids, mask.hidden, self.keys),
            mask=self._mask,
            alphabet=self._alphabet,
            shares=self._shares,
        )
        return {"input_ids": seen, "labels": ids.masked_fill(~mask.hidden, IGNORED)}

    def fault(self) -> str | None:
        if not self._rescaling():
            return None
        return (
            f"{self.name} divides what it sees by the share that is not masked (token_dropout),"
            " made for 15 %: a visible token is 9 times larger with 90 % hidden than with 10 %"
        )

    def mend(self) -> None:
        """Take the rescaling away for good; the mask token begins as the zeros that it was."""
        for module in self._rescaling():
            module.token_dropout = False
        model: Any = self.model
        model.config.token_dropout = False
        with torch.no_grad():
            model.get_input_embeddings().weight[self._mask] = 0

    def _rescaling(self) -> list[Any]:
        return [each for each in self.model.modules() if getattr(each, "token_dropout", False)]


def numbers(ids: Tensor, eligible: Tensor) -> Tensor:
    """Return numbers of 56 bits that stand for the tokens of each row, int64 [B], on the CPU.

    Padding, which differs from batch to batch, plays no part.

    >>> ids = torch.tensor([[5, 6, 0], [5, 6, 7]])
    >>> alone = numbers(ids[:1, :2], ids[:1, :2] > 0)
    >>> torch.equal(numbers(ids, ids > 0)[:1], alone)
    True
    """
    rows = zip(ids.cpu().numpy(), eligible.cpu().numpy(), strict=True)
    digests = [hashlib.blake2b(row[open_].tobytes(), digest_size=7) for row, open_ in rows]
    return torch.tensor([int.from_bytes(each.digest()) for each in digests])


ADAPTERS: tuple[type[Adapter], ...] = (MaskedLM,)
