"""What models of tokens are measured by: losses by ratio, likelihoods, rows filled in."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.files import write_json
from maskwise.masks import Mask
from maskwise.measure.features import frozen, in_batches, random_subset
from maskwise.measure.losses import Held, fixed_mask, loss_curves, measure
from maskwise.modality import Entries, Source
from maskwise.progress import track
from maskwise.tokens.model import LanguageModel, Symbols, SymbolTokenizer

BATCH = 128  # rows at once
MOST = 128  # tokens of a row that are shown
RATIOS = (0.15, 0.3, 0.5, 0.8)  # at which they are hidden
NUM_ROWS = 3
NUM_GUESSES = 3


def losses_by_ratio(
    model: LanguageModel[Symbols],
    source: Source,
    index: np.ndarray,
    ratios: Sequence[float],
    pattern: str,
    seed: int,
    baselines: Mapping[str, Tensor],
) -> Entries:
    """Return the "reconstruction" entry of result.json: mean cross-entropies; see `loss_curves`.

    The mean of the curve over all ratios would be -log p(row) per token, averaged over orders
    (arXiv 2306.00520). `baselines` are the loss of each token whatever is visible, [V].
    """
    found = loss_curves(
        *(model, source, index, sorted(set(ratios)), pattern, seed),
        partial(_costs, model, list(baselines.values())),
        list(baselines),
        batch_size=BATCH,
        mean=True,
    )
    return {"target": "tokens"} | found


def _costs(
    model: LanguageModel[Symbols], tables: Sequence[Tensor], samples: Tensor, masks: Sequence[Mask]
) -> Iterator[tuple[Tensor, ...]]:
    """Give each row's losses, the model's first, then those of tables [V], under each mask."""
    ids = model.tokenizer.ids(samples)
    guesses = [table.to(ids.device)[ids.clamp(min=0)] for table in tables]
    for mask in masks:
        losses = (-model.conditional_log_prob(ids, mask.hidden), *guesses)
        sums = [torch.where(mask.hidden, values, 0).sum(dim=1) for values in losses]
        yield tuple(each / mask.num_hidden for each in sums)


def each_layer(
    models: Mapping[str, LanguageModel[Symbols]], layers: Sequence[int], task: str
) -> Iterator[tuple[str, LanguageModel[Symbols], int]]:
    """Give every model with each of its layers that are probed, none = all; and its title."""
    for title, model in track(models.items(), f"probes, {task}"):
        for layer in track(layers or range(model.num_layers), "layers"):
            yield f"{title} layer {layer % model.num_layers}", model, layer


def shares(tokenizer: SymbolTokenizer, source: Source, index: np.ndarray) -> Tensor:
    """Return the share of every token in rows, float64 [V]; +1 for every count."""
    counts = tokenizer.alphabet.double()
    for part in in_batches(index, BATCH):
        batch = source.get(part)
        ids = tokenizer.ids(batch)[tokenizer.eligible(batch)]
        counts += torch.bincount(ids, minlength=len(counts))
    return counts / counts.sum()


def held_tokens(model: LanguageModel[Symbols], ids: Tensor, words: dict[str, str]) -> Held:
    """Return rows of tokens [N, L] for `measure`; the anchor is the uniform predictor."""
    # Rows may hold different numbers of tokens.
    num_tokens = float(model.eligible(ids).sum(dim=1).double().mean())
    num_words = int(model.tokenizer.alphabet.sum())
    score = -math.log(num_words)
    words = {**words, "anchor": f"uniform predictor, -ln {num_words:,}"}
    return Held(ids, num_tokens, num_tokens, (score, score * num_tokens), words, perplexity=True)


def measured(
    model: LanguageModel[Symbols], held: Callable[[np.ndarray], Held], *what: Any, **options: Any
) -> Entries:
    """Return what `measure` does, of 64 samples unless told otherwise."""
    num = options.pop("num_samples", None)
    return measure(model, held, *what, num_samples=64 if num is None else num, **options)


def write_rows(
    folder: Path, model: LanguageModel[Symbols], source: Source, *, pattern: str, seed: int
) -> None:
    """Write what the report shows of tokens to samples.json, which is complete or absent.

    The "documents" of a row are lists of the text that each token adds; a hidden token has its
    "place" among those of all documents, the "probability" of the true token, and the likeliest
    "guesses" with theirs.
    """
    index = random_subset(len(source), NUM_ROWS, seed)
    ids, units = model.tokenizer.ids(source.get(index)), source.units(index)
    eligible = model.eligible(ids)
    shown = eligible & (eligible.cumsum(dim=1) <= MOST)
    rows: list[Entries] = []
    for row, of in zip(ids, model.tokenizer.documents(ids) * shown, strict=True):
        parts = [row[of == each].tolist() for each in of[of > 0].unique()]
        rows.append({"documents": [model.tokenizer.spell(part) for part in parts], "masks": []})
    with frozen(model):
        for ratio in RATIOS:
            mask = fixed_mask(
                *(model.tokenizer.grid, ratio, index, pattern, seed, torch.device("cpu")),
                *(eligible, units),
            )
            filled = _filled(model, ids, mask.hidden, shown)
            for row, found in zip(rows, filled, strict=True):
                row["masks"].append({"ratio": ratio, "hidden": found})
    write_json(folder / "samples.json", {"pattern": pattern, "rows": rows})


def _filled(
    model: LanguageModel[Symbols], ids: Tensor, hidden: Tensor, shown: Tensor
) -> list[list[Entries]]:
    """Return what the model makes of the hidden tokens that are shown, by row."""
    best, true = [], []
    for predicted, wanted in model.predictions(ids, hidden, ids):
        best.append(predicted.topk(NUM_GUESSES, dim=1))
        true.append(predicted.gather(1, wanted[:, None])[:, 0])
    chance = torch.cat(true).exp().cpu()
    values, tokens = (torch.cat(part).cpu() for part in zip(*best, strict=True))
    documents = model.tokenizer.documents(ids)
    place = shown.long().cumsum(dim=1) - 1
    rows: list[list[Entries]] = [[] for _ in ids]
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
