"""The likelihood of texts under a masked language model."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwise.errors import UserError
from maskwise.measure.likelihoods import Held, measure
from maskwise.text.source import TextSplits
from maskwise.tokens.losses import held_tokens
from maskwise.tokens.model import LanguageModel

# Enough for some thousand windows; more would only take longer to cut into tokens.
MOST_CHARACTERS = 2**20


def read_text(path: Path) -> tuple[str, str]:
    """Return a text file, or the beginning of a long one, and what to call it.

    Raises:
        UserError: it cannot be read, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text, more = file.read(MOST_CHARACTERS), file.read(1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8: convert it") from None
    return text, f"the first {MOST_CHARACTERS:,} characters of {path.name}" if more else path.name


def measure_text(
    model: LanguageModel,
    text: str,
    name: str = "text",
    *,
    length: int | None = None,
    num_samples: int | None = None,
    **options: int,
) -> dict[str, Any]:
    """Return what `measure` does, of windows of running text without their special tokens.

    Bits per byte count the bytes of the text that the tokens stand for, whatever the tokenizer
    made of them.

    Args:
        model: the model.
        text: the text.
        name: what to call it.
        length: tokens of a window; default: that of the model.
        num_samples: windows at most, chosen at random; default: 64.
        **options: `passes`, `seed` and `batch_size` of `measure`.

    Raises:
        UserError: too few windows or passes for a standard error, or a text without a window.
    """
    ids, _, num_bytes = model.tokenizer.windows(text, length)
    words = {"sample": "window", "position": "token", "dimension": "token"}

    def held(index: np.ndarray) -> Held:
        chosen = torch.from_numpy(index)
        found = held_tokens(model, ids[chosen], words)
        return found._replace(num_bytes=int(num_bytes[chosen].sum()))

    options["num_samples"] = 64 if num_samples is None else num_samples
    return measure(model, held, len(ids), name, None, **options)


def text_likelihood(
    model: LanguageModel,
    splits: TextSplits,
    law: str,
    *,
    num_samples: int | None = None,
    **options: int,
) -> dict[str, Any]:
    """Return what likelihood.json holds, for rows of the test part; see `measure`."""
    words = {"sample": "row", "position": "token", "dimension": "token"}

    def held(index: np.ndarray) -> Held:
        ids = splits.test.get(index)
        num_bytes = sum(len(model.tokenizer.decode(row).encode()) for row in ids)
        return held_tokens(model, ids, words)._replace(num_bytes=num_bytes)

    options["num_samples"] = 64 if num_samples is None else num_samples
    return measure(model, held, len(splits.test), splits.name, law, **options)
