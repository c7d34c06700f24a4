"""Samples that can be asked with any part of them hidden: what heads, curves and costs share."""

from typing import Protocol

import numpy as np
import torch

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
    """

    def __init__(
        self, model: MaskedModel, data: Incomplete, pool: VisiblePool = "mean", layer: int = -1
    ) -> None:
        self.model, self.data, self.pool, self.layer = model, data, pool, layer
        length = int(np.prod(model.tokenizer.grid))
        every = [np.ones((0, length), bool)]
        for part in in_batches(np.arange(len(data.source))):
            eligible = model.eligible(data.source.get(part).to(_device(model)))
            whole = np.ones((len(part), length), bool)
            every.append(whole if eligible is None else eligible.cpu().numpy())
        there = np.concatenate(every)
        self.there = there if data.hidden is None else there & ~data.hidden
        self.whole = np.full(len(there), length) if data.whole is None else data.whole

    def features(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return features of samples, float32 [n, D]; see `Asked`."""
        missing, known = self.data.hidden, (self.there[rows] & ~hidden).any(axis=1)
        blank = hidden if missing is None else hidden | missing[rows]
        found = np.zeros((0, 1), np.float32)
        asked = np.flatnonzero(known)
        if len(asked):
            with frozen(self.model) as device:
                parts = [self._part(rows[each], blank[each], device) for each in in_batches(asked)]
            found = np.concatenate(parts)
        made = np.full((len(rows), found.shape[1]), np.nan, np.float32)
        made[asked] = found
        return made

    def _part(self, rows: np.ndarray, hidden: np.ndarray, device: torch.device) -> np.ndarray:
        mask = Mask(torch.from_numpy(hidden).to(device))
        samples = self.data.source.get(rows).to(device)
        said = self.model.visible_features(samples, mask, self.pool, self.layer)
        return said.float().cpu().numpy()


def _device(model: MaskedModel) -> torch.device:
    return next(model.parameters()).device
