"""The likelihood of a text under a masked language model."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.likelihood.estimates import convert
from maskwise.measure.features import frozen
from maskwise.measure.likelihoods import choose, curve_and_area, in_units, outside, points, units
from maskwise.text.source import TextSplits
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
    options = {"passes": passes, "seed": seed, "batch_size": batch_size}
    words = {"sample": "window", "position": "token", "dimension": "token"}
    found = measured(model, ids[index], name, None, words, options)
    return _in_bytes(found, int(num_bytes[index].sum()))


def measure_rows(
    model: LanguageModel,
    splits: TextSplits,
    law: str,
    *,
    num_samples: int = 64,
    passes: int = 64,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Return what likelihood.json holds, for rows of the test part; arguments as for `measure`."""
    index = choose(len(splits.test), num_samples, passes, seed)
    with frozen(model) as device:
        ids = splits.test.get(index).to(device)
        options = {"passes": passes, "seed": seed, "batch_size": batch_size}
        words = {"sample": "row", "position": "token", "dimension": "token"}
        found = measured(model, ids, splits.name, law, words, options)
        return _in_bytes(found, sum(len(model.modality.decode(row).encode()) for row in ids))


def _in_bytes(found: dict[str, Any], num_bytes: int) -> dict[str, Any]:
    """Add bits per byte; all samples together have `num_bytes`."""
    total = found["area"]["nats"] * found["num_samples"]
    found["area"]["bits_per_byte"] = convert(total, num_bytes, "bits_per_dim")
    return found


def measured(
    model: LanguageModel,
    ids: Tensor,
    name: str,
    law: str | None,
    words: dict[str, str],
    options: dict[str, int],
    num_dims: float | None = None,
) -> dict[str, Any]:
    """Return score by number of hidden tokens, area and anchor, in the shape of likelihood.json.

    Args:
        model: the model.
        ids: tokens, int64 [N, L].
        name: what to call the data.
        law: what the model was trained with, if that is known.
        words: what samples, positions and dimensions are called.
        options: `passes`, `seed` and `batch_size`.
        num_dims: dimensions of a sample; default: its tokens.
    """
    with torch.no_grad():
        curve, area = curve_and_area(model, ids, **options)
    # Rows may hold different numbers of tokens.
    num_tokens = float(model.eligible(ids).sum(dim=1).double().mean())
    num_dims = num_tokens if num_dims is None else num_dims
    num_words = int(model.modality.alphabet.sum())
    anchor = -math.log(num_words)
    return {
        "words": {**words, "anchor": f"uniform predictor, -ln {num_words:,}"},
        "data": name,
        "num_samples": len(ids),
        "passes": area.passes,
        "seed": options["seed"],
        "length": curve.length,
        "num_dims": num_dims,
        "curve": points(curve),
        "area": {**in_units(area, num_dims), "perplexity": area.perplexity},
        "anchor": {"score": anchor, **units(anchor * num_tokens, num_dims)},
        "law": None if law is None else outside(law, curve),
    }
