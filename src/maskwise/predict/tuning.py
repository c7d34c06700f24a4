"""Fine-tuning: a copy of an encoder and a linear head, trained together on any part of samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maskwise.measure.finetuning import (
    MAX_NORM,
    WEIGHT_DECAY,
    FineTuneSettings,
    fit,
    rise_and_fall,
    trainable,
)
from maskwise.modality import MaskedModel
from maskwise.predict.asked import ModelAsked
from maskwise.rng import shuffled

SHARE = 5  # one sample in so many is kept for the head that is calibrated
FEWEST_STEPS = 1000


@dataclass(frozen=True, eq=False)
class Tuned:
    """An encoder, and what a linear head makes of its features."""

    model: MaskedModel
    weight: Tensor
    """[K, D]: logits of classes, or one number, standardised"""
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return what the head says of features [n, D], [n, K]."""
        return F.linear(features, self.weight.to(features), self.bias.to(features))


def kept_apart(y: np.ndarray, classes: bool, seed: int) -> np.ndarray:
    """Return which samples are kept for calibration, bool [N], with about equal shares of classes.

    >>> int(kept_apart(np.array([0] * 10 + [1] * 10), True, 0).sum())
    4
    """
    order = np.random.default_rng([seed, 5]).permutation(len(y))
    if classes:
        order = order[np.argsort(y[order], kind="stable")]
    apart = np.zeros(len(y), dtype=bool)
    apart[order[SHARE // 2 :: SHARE]] = True
    return apart


def tune(
    asked: ModelAsked, y: np.ndarray, hidden: np.ndarray, num_classes: int, seed: int = 0
) -> Tuned:
    """Train a copy of a model and a linear head on samples of which parts are hidden.

    All weights are trained as in `maskwise.measure.finetuning.tune`. An epoch shows each sample
    once, under the masks of one copy; there are as many epochs as copies, or more where samples
    are few, so that 1,000 steps are taken.

    Args:
        asked: the samples.
        y: classes from 0, or numbers, [N].
        hidden: what of copies is hidden, bool [copies, N, L].
        num_classes: how many classes there are; 0: `y` are numbers.
        seed: of the head's first weights and the order of samples.
    """
    config, model = FineTuneSettings(), trainable(asked.model)
    tuned, device = asked.through(model), next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    [rows], copies = np.nonzero(asked.there.any(axis=1)), len(hidden)
    if not num_classes:
        y = (y - y.mean()) / max(float(y.std()), 1e-12)
    target = torch.from_numpy(y if num_classes else y.astype(np.float32)).to(device)
    with torch.no_grad():
        width = tuned.said(rows[:1], np.zeros_like(hidden[0, :1])).shape[1]
    weight = 0.02 * torch.randn(max(num_classes, 1), width, generator=generator)
    head = [each.to(device).requires_grad_() for each in (weight, torch.zeros(len(weight)))]
    group = {"params": [*model.parameters(), *head], "scale": 1.0}
    optimizer = torch.optim.AdamW([group], lr=config.lr, weight_decay=WEIGHT_DECAY)
    steps = -(-len(rows) // config.batch_size)
    epochs = max(copies, -(-FEWEST_STEPS // steps))

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        copy = epoch % copies
        for part in shuffled(len(rows), seed=seed, epoch=epoch).split(config.batch_size):
            chosen = rows[part.numpy()]
            chosen = chosen[(asked.there[chosen] & ~hidden[copy, chosen]).any(axis=1)]
            if len(chosen):
                yield torch.from_numpy(np.append(copy, chosen)), target[chosen]

    def scores(inputs: Tensor) -> Tensor:
        copy, *chosen = inputs.tolist()
        some = np.array(chosen)
        return F.linear(tuned.said(some, hidden[copy, some]), *head)

    fit(
        scores,
        batches,
        optimizer,
        lambda step: config.lr * rise_and_fall(min((step + 0.5) / (steps * epochs), 1.0)),
        epochs,
        MAX_NORM,
        F.cross_entropy if num_classes else _squared_error,
    )
    model.requires_grad_(False)
    return Tuned(model, *(each.detach().cpu() for each in head))


def _squared_error(scores: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(scores[:, 0], targets)
