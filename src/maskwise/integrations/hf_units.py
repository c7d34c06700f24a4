"""What masks of texts hide as one: words, or n-grams of them."""

import torch
from torch import Tensor

from maskwise import masks
from maskwise.errors import UserError
from maskwise.text.ngrams import Ngrams

PATTERNS = ("scattered", "words", "ngrams", "spans")
"""those of texts"""


def check_pattern(pattern: str, ngrams: Ngrams | None) -> str:
    """Return the name of a pattern of texts, without its argument; refuse any other."""
    masks.parse_pattern(pattern)
    name = pattern.partition(":")[0]
    if name not in PATTERNS:
        raise UserError(f"pattern {pattern} is for images; texts have {', '.join(PATTERNS)}")
    if (ngrams is not None) != (name == "ngrams"):
        raise UserError("pattern 'ngrams' and the argument ngrams= need each other: give both")
    return name


def changes(words: Tensor) -> Tensor:
    """Return where the number of a word differs from the one before, bool [B, L]."""
    return words != torch.nn.functional.pad(words, (1, 0), value=-100)[:, :-1]


def units(ids: Tensor, starts: Tensor, eligible: Tensor, ngrams: Ngrams | None) -> Tensor:
    """Return the word or n-gram of each position, int64 [B, L].

    Args:
        ids: int64 [B, L], on the CPU.
        starts: which tokens begin a word, bool [B, L].
        eligible: which may be hidden, bool [B, L]; no word runs over others.
        ngrams: which n-grams are one.
    """
    breaks = ~eligible | ~torch.nn.functional.pad(eligible, (1, 0))[:, :-1]
    starts = starts | breaks
    if ngrams is not None:
        merged = ngrams.merge(ids.numpy(), starts.numpy(), breaks.numpy())
        starts = torch.from_numpy(merged)
    return starts.cumsum(dim=1)
