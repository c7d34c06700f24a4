"""Samples that can be asked with any part of them hidden: what heads, curves and costs share."""

import copy
from collections.abc import Callable
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from maskwise.masks import Mask
from maskwise.measure.features import frozen, in_batches
from maskwise.modality import Incomplete, MaskedModel, VisiblePool


class Asked(Protocol):
    """Samples that can be asked with any part of them hidden."""

    @property
    def there(self) -> np.ndarray:
        """What of each sample is there, and may be hidden, bool [N, L]."""

    @property
    def whole(self) -> np.ndarray:
        """How much is there of a sample from which nothing is missing, int64 [N]."""

    def features(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return features of samples, float32 [n, D]; NaN where nothing is visible.

        Args:
            rows: which samples, int64 [n].
            hidden: what of them is hidden, beside what is missing, bool [n, L].
        """


def visible_shares(asked: Asked, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return how much of samples is visible, of what whole ones have, float64 [n]."""
    seen = (asked.there[rows] & ~hidden).sum(axis=1)
    return np.asarray(seen / np.maximum(asked.whole[rows], 1))


class ModelAsked:
    """Samples, asked through the encoder of a masked model.

    Args:
        model: whose features are asked for.
        data: samples, and what of them is not there.
        pool: see `MaskedModel.visible_features`.
        layer: the same.
        then: what is made of the features, [n, D] to [n, E]; None: they stay.
    """

    def __init__(
        self,
        model: MaskedModel,
        data: Incomplete,
        pool: VisiblePool = "mean",
        layer: int = -1,
        then: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model, self.data, self.pool, self.layer, self.then = model, data, pool, layer, then
        self.rows = np.arange(len(data.source))
        length = int(np.prod(model.tokenizer.grid))
        every = [np.ones((0, length), bool)]
        for part in in_batches(self.rows):
            eligible = model.eligible(data.source.get(part).to(_device(model)))
            whole = np.ones((len(part), length), bool)
            every.append(whole if eligible is None else eligible.cpu().numpy())
        there = np.concatenate(every)
        self.missing = None if data.hidden is None else there & data.hidden
        self.there = there if data.hidden is None else there & ~data.hidden
        self.whole = np.full(len(there), length) if data.whole is None else data.whole

    def some(self, rows: np.ndarray) -> Self:
        """Return some of the samples, by their numbers or bool [N]."""
        made = copy.copy(self)
        made.rows, made.there, made.whole = self.rows[rows], self.there[rows], self.whole[rows]
        return made

    def through(self, model: MaskedModel, then: Callable[[Tensor], Tensor] | None = None) -> Self:
        """Return the same samples, asked through another model of the same positions."""
        made = copy.copy(self)
        made.model, made.then = model, then
        return made

    def features(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return features of samples, float32 [n, D]; see `Asked`."""
        visible = (self.there[rows] & ~hidden).sum(axis=1)
        # Those of which about as much is visible go together: a batch is as wide as its widest.
        order = np.argsort(visible, kind="stable")
        asked = order[visible[order] > 0]
        if not len(asked):
            return np.full((len(rows), 1), np.nan, np.float32)
        with frozen(self.model):
            parts = [self.said(rows[each], hidden[each]).cpu() for each in in_batches(asked)]
        found = torch.cat(parts).numpy()
        made = np.full((len(rows), found.shape[1]), np.nan, np.float32)
        made[asked] = found
        return made

    def said(self, rows: np.ndarray, hidden: np.ndarray) -> Tensor:
        """Return features of a few samples of which something is visible, with their gradient."""
        # What can never be hidden, such as the ends of a text, stays.
        hidden, rows, device = hidden & self.there[rows], self.rows[rows], _device(self.model)
        every = hidden if self.missing is None else hidden | self.missing[rows]
        blank, samples = torch.from_numpy(every).to(device), self.data.source.get(rows).to(device)
        if self.data.shown is not None:
            samples = self.data.shown(samples, blank)
        found = self.model.visible_features(samples, Mask(blank), self.pool, self.layer).float()
        return found if self.then is None else self.then(found)


def _device(model: MaskedModel) -> torch.device:
    return next(model.parameters()).device
