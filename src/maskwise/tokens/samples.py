"""A few held-out rows of tokens, hidden at several ratios and filled in, for the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.files import write_json
from maskwise.measure.features import frozen, random_subset
from maskwise.measure.losses import fixed_mask
from maskwise.modality import Source
from maskwise.tokens.model import LanguageModel

MOST = 128  # tokens of a row that are shown
NUM_GUESSES = 3


def write_rows(
    path: Path,
    model: LanguageModel,
    source: Source,
    *,
    pattern: str,
    seed: int,
    ratios: Sequence[float] = (0.15, 0.3, 0.5, 0.8),
    num: int = 3,
) -> None:
    """Write what the report shows of tokens to `path`, which is complete or absent.

    JSON: the "pattern" and "rows", each with its "documents", which are lists of the text that
    each token adds (a character of several tokens comes with the last of them), and "masks", one
    for each ratio: the "ratio" asked for and what is "hidden", each token with its "place" among
    those of all documents, the "probability" of the true token, whether the first guess is
    "right", and the "guesses", the likeliest tokens with their probabilities. Masks are nested
    where the pattern is.

    Args:
        path: a .json file.
        model: its device is used, and its training mode is restored.
        source: where rows come from.
        pattern: how hidden tokens lie.
        seed: of the choice of rows and of the masks.
        ratios: hidden fractions, each in (0, 1).
        num: rows at most.
    """
    index = random_subset(len(source), num, seed)
    ids, units = model.tokenizer.ids(source.get(index)), source.units(index)
    eligible = model.eligible(ids)
    shown = eligible & (eligible.cumsum(dim=1) <= MOST)
    rows: list[dict[str, Any]] = [
        {"documents": [model.tokenizer.spell(part) for part in parts], "masks": []}
        for parts in _documents(model, ids, shown)
    ]
    with frozen(model) as device:
        for ratio in ratios:
            mask = fixed_mask(
                *(model.tokenizer.grid, ratio, index, pattern, seed, torch.device("cpu")),
                *(eligible, units),
            )
            for row, found in zip(
                rows, _filled(model, ids, mask.hidden, shown, device), strict=True
            ):
                row["masks"].append({"ratio": ratio, "hidden": found})
    write_json(path, {"pattern": pattern, "rows": rows})


def _documents(model: LanguageModel, ids: Tensor, shown: Tensor) -> list[list[list[int]]]:
    """Return the ids of the tokens that are shown, by row and document."""
    documents = model.tokenizer.documents(ids)
    found = []
    for row in range(len(ids)):
        kept, of = ids[row, shown[row]], documents[row, shown[row]]
        found.append([kept[of == each].tolist() for each in of.unique().tolist()])
    return found


def _filled(
    model: LanguageModel, ids: Tensor, hidden: Tensor, shown: Tensor, device: torch.device
) -> list[list[dict[str, Any]]]:
    """Return what the model makes of the hidden tokens that are shown, by row."""
    best, true = [], []
    for predicted, wanted in model.predictions(ids.to(device), hidden.to(device), ids.to(device)):
        best.append(predicted.topk(NUM_GUESSES, dim=1))
        true.append(predicted.gather(1, wanted[:, None])[:, 0])
    chance = torch.cat(true).exp().cpu()
    values, tokens = (torch.cat(part).cpu() for part in zip(*best, strict=True))
    documents = model.tokenizer.documents(ids)
    place = shown.long().cumsum(dim=1) - 1
    rows: list[list[dict[str, Any]]] = [[] for _ in ids]
    for number, (row, at) in enumerate(hidden.nonzero().tolist()):
        if not shown[row, at]:
            continue
        same = shown[row, :at] & (documents[row, :at] == documents[row, at])
        before = ids[row, :at][same].tolist()
        guesses = [
            [model.tokenizer.spell_next(before, token), round(float(np.exp(value)), 4)]
            for token, value in zip(tokens[number].tolist(), values[number].tolist(), strict=True)
        ]
        rows[row].append(
            {
                "place": int(place[row, at]),
                "probability": round(float(chance[number]), 4),
                "right": bool(tokens[number, 0] == ids[row, at]),
                "guesses": guesses,
            }
        )
    return rows
