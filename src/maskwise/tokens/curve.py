"""How right answers are that see a part of the tokens of a sample, beside bags of the same."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from maskwise.measure.features import random_subset
from maskwise.measure.probes import unscored
from maskwise.modality import Entries, Incomplete
from maskwise.predict.asked import ModelAsked
from maskwise.predict.curve import ENCODER, Labelled, curve
from maskwise.predict.parts import Positions, VisibleSettings, parts_of
from maskwise.tokens.model import LanguageModel, Symbols

MOST_TRAIN, MOST_TEST = 1000, 300  # samples: each is as long as a row of the model
MOST_TOKENS = 500  # the most frequent ones are counted
BAG = "bag of visible tokens"


@dataclass(frozen=True, eq=False)
class TokenRows:
    """Samples as a model of tokens takes them, in memory: [N, L], or codes of bases [N, W]."""

    samples: Tensor

    in_memory = True

    def __len__(self) -> int:
        return len(self.samples)

    def get(self, indices: ArrayLike) -> Tensor:
        """Return the samples at `indices`."""
        return self.samples[torch.as_tensor(np.asarray(indices))]

    def units(self, indices: ArrayLike) -> None:
        """Every position is hidden for itself."""


def partial_rows(
    model: LanguageModel[Symbols],
    samples: tuple[Tensor, Tensor],
    labels: tuple[np.ndarray, np.ndarray],
    task: str,
    config: VisibleSettings,
    *,
    baselines: bool,
    seed: int,
) -> list[Entries]:
    """Return the rows of "partial" of a task, see `curve`; none without two classes.

    Args:
        model: whose features have a head.
        samples: to learn from and to answer for, of the model's length.
        labels: classes of both, from 0.
        task: what it is called.
        config: how much of samples is visible.
        baselines: whether bags of tokens have answers too.
        seed: of the choice of samples, the masks, the heads and the bootstrap.
    """
    if not config.visible or unscored(*labels):
        return []
    (y, test_y), sizes = labels, (MOST_TRAIN, MOST_TEST)
    chosen, ids = (
        random_subset(len(each), num, seed) for each, num in zip(labels, sizes, strict=True)
    )
    train, test = TokenRows(samples[0][chosen]), TokenRows(samples[1][ids])
    kept = _frequent(model, train)

    def labelled(source: TokenRows, y: np.ndarray) -> Labelled:
        read = partial(_bag, model, source, kept) if baselines else None
        return Labelled({ENCODER: _asked(model, source)}, y, read)

    known, asked = labelled(train, y[chosen]), labelled(test, test_y[ids])
    positions = Positions(asked.first.there, ids, model.tokenizer.grid)
    parts = parts_of(positions, config, seed)
    bags = {BAG: lambda values: lambda visible: visible}
    found = curve(known, asked, parts, linear=bags, others=False, seed=seed)
    return [{"task": task} | row for row in found]


def padded(rows: Tensor, width: int, value: int) -> Tensor:
    """Return rows [N, L] with a value behind their ends, [N, `width`]."""
    return F.pad(rows, (0, width - rows.shape[1]), value=value)


def _asked(model: LanguageModel[Symbols], source: TokenRows) -> ModelAsked:
    """Return samples, of which as much could be there as they have tokens."""
    num = model.eligible(source.samples).sum(dim=1).cpu().numpy()
    return ModelAsked(model, Incomplete(source, whole=num))


def _frequent(model: LanguageModel[Symbols], source: TokenRows) -> np.ndarray:
    """Return the column of each token, [V]; -1 of those that are not counted."""
    ids = model.tokenizer.ids(source.samples)[model.eligible(source.samples)]
    counts = torch.bincount(ids, minlength=len(model.tokenizer.alphabet)).numpy()
    order = np.argsort(-counts, kind="stable")[: min(MOST_TOKENS, (counts > 0).sum())]
    columns = np.full(len(counts), -1)
    columns[order] = np.arange(len(order))
    return columns


def _bag(
    model: LanguageModel[Symbols],
    source: TokenRows,
    columns: np.ndarray,
    rows: np.ndarray,
    hidden: np.ndarray,
) -> np.ndarray:
    """Return the logarithm of 1 + how often each frequent token is visible, float32 [n, D]."""
    samples = source.get(rows)
    seen = model.eligible(samples).numpy() & ~hidden
    of = columns[model.tokenizer.ids(samples).clamp(min=0).numpy()]
    row, place = np.nonzero(seen & (of >= 0))
    found = np.zeros((len(rows), columns.max() + 1), dtype=np.float32)
    np.add.at(found, (row, of[row, place]), 1)
    return np.log1p(found)
