"""The likelihood of a text under a masked language model."""

import math
from pathlib import Path
from typing import Any

import torch

from maskwise.errors import UserError
from maskwise.evaluation.likelihoods import choose, curve_and_area, in_units, points, units
from maskwise.likelihood.estimates import convert
from maskwise.models.language import LanguageModel

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
    num_samples: int = 64,
    passes: int = 64,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Return score by number of hidden tokens, area and anchor, in the shape of likelihood.json.

    Windows of running text are scored without their special tokens. Bits per byte count the bytes
    of the text that the tokens stand for, whatever the tokenizer made of them.

    Args:
        model: the model.
        text: the text.
        name: what to call it.
        length: tokens of a window; default: that of the model.
        num_samples: windows at most, chosen at random.
        passes: masked inputs for each window, for the area.
        seed: of the windows and the masks.
        batch_size: masked inputs in one call of the model.

    Raises:
        UserError: too few windows or passes for a standard error, or a text without a window.
    """
    ids, _, num_bytes = model.modality.windows(text, length)
    index = torch.from_numpy(choose(len(ids), num_samples, passes, seed))
    ids, num_bytes = ids[index], num_bytes[index]
    with torch.no_grad():
        curve, area = curve_and_area(model, ids, passes=passes, seed=seed, batch_size=batch_size)
    num_words = int(model.modality.alphabet.sum())
    anchor = -math.log(num_words)
    return {
        "words": {
            "sample": "window",
            "position": "token",
            "dimension": "token",
            "anchor": f"uniform predictor, -ln {num_words:,}",
        },
        "data": name,
        "num_samples": len(ids),
        "passes": area.passes,
        "seed": seed,
        "length": curve.length,
        "num_dims": curve.length,
        "curve": points(curve),
        "area": {
            **in_units(area, curve.length),
            "perplexity": area.perplexity,
            "bits_per_byte": convert(area.value, int(num_bytes.sum()), "bits_per_dim"),
        },
        "anchor": {"score": anchor, **units(anchor * curve.length, curve.length)},
        "law": None,
    }
