"""What hidden tokens cost, by ratio and in nats, beside what knows how frequent tokens are."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.masks import Mask
from maskwise.measure.features import in_batches
from maskwise.measure.likelihoods import Held
from maskwise.measure.losses import loss_curves
from maskwise.modality import Source
from maskwise.tokens.model import LanguageModel

BATCH = 128  # rows at once


def losses_by_ratio(
    model: LanguageModel,
    source: Source,
    index: np.ndarray,
    ratios: Sequence[float],
    pattern: str,
    seed: int,
    baselines: Mapping[str, Tensor],
) -> dict[str, Any]:
    """Return the "reconstruction" entry of result.json: mean cross-entropies; see `loss_curves`.

    The mean of the curve over ratios from 0 to 1 would be -log p(row) per token, averaged over
    orders (arXiv 2306.00520); "mean" is that over the ratios measured.

    Args:
        model: its device is used, and its training mode is restored.
        source: where rows come from.
        index: which rows, [N].
        ratios: hidden fractions, each in (0, 1).
        pattern: how hidden tokens lie.
        seed: of the masks and of the bootstrap.
        baselines: by name, the loss of each token whatever is visible, [V].
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
    model: LanguageModel, tables: Sequence[Tensor], samples: Tensor, masks: Sequence[Mask]
) -> Iterator[tuple[Tensor, ...]]:
    """Give each row's losses, the model's first, then those of tables [V], under each mask."""
    ids = model.tokenizer.ids(samples)
    guesses = [table.to(ids.device)[ids.clamp(min=0)] for table in tables]
    for mask in masks:
        losses = (-model.conditional_log_prob(ids, mask.hidden), *guesses)
        sums = [torch.where(mask.hidden, values, 0).sum(dim=1) for values in losses]
        yield tuple(each / mask.num_hidden for each in sums)


def shares(modality: Any, source: Source, index: np.ndarray) -> Tensor:
    """Return the share of every token in rows, float64 [V]; +1 for every count."""
    counts = modality.alphabet.double()
    for part in in_batches(index, BATCH):
        batch = source.get(part)
        ids = modality.ids(batch)[modality.eligible(batch)]
        counts += torch.bincount(ids, minlength=len(counts))
    return counts / counts.sum()


def held_tokens(model: LanguageModel, ids: Tensor, words: dict[str, str]) -> Held:
    """Return rows of tokens for `measure`; the anchor is the uniform predictor.

    Args:
        model: says which tokens there are.
        ids: int64 [N, L].
        words: what samples, positions and dimensions are called.
    """
    # Rows may hold different numbers of tokens.
    num_tokens = float(model.eligible(ids).sum(dim=1).double().mean())
    num_words = int(model.tokenizer.alphabet.sum())
    score = -math.log(num_words)
    words = {**words, "anchor": f"uniform predictor, -ln {num_words:,}"}
    return Held(ids, num_tokens, num_tokens, (score, score * num_tokens), words, perplexity=True)
