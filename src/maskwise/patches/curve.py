"""How right answers are that see a part of the positions of an array, beside baselines."""

from functools import partial

import numpy as np

from maskwise.measure.features import in_batches
from maskwise.measure.probes import unscored
from maskwise.modality import Entries, Incomplete, Source, VisiblePool
from maskwise.patches.arrays import read_ahead
from maskwise.patches.model import PatchModel
from maskwise.predict.asked import ModelAsked
from maskwise.predict.curve import ENCODER, Labelled, curve
from maskwise.predict.parts import Positions, VisibleSettings, parts_of

MOST = 1024  # values of a sample that baselines see, but at least one of each position


def partial_curve(
    model: PatchModel,
    train: tuple[Source, np.ndarray | None],
    test: tuple[Source, np.ndarray | None],
    ids: np.ndarray,
    config: VisibleSettings,
    *,
    pool: VisiblePool = "mean",
    layer: int = -1,
    baselines: bool = True,
    seed: int = 0,
) -> list[Entries]:
    """Return the rows of "partial" in result.json, see `curve`; none without two classes.

    Args:
        model: whose features have a head.
        train: samples to learn from, and their classes from 0, [N].
        test: samples to answer for, and theirs.
        ids: the numbers of these, on which masks depend, int64.
        config: how much of them is visible.
        pool: see `MaskedModel.visible_features`.
        layer: the same.
        baselines: whether values have answers too.
        seed: of the masks, the heads and the bootstrap.
    """
    (known, known_y), (asked, asked_y) = train, test
    if not config.visible or known_y is None or asked_y is None or unscored(known_y, asked_y):
        return []

    def labelled(source: Source, y: np.ndarray) -> Labelled:
        said = {ENCODER: ModelAsked(model, Incomplete(source), pool, layer)}
        return Labelled(said, y, partial(_read, *values_of(model, source)) if baselines else None)

    every = labelled(asked, asked_y)
    there, values = every.first.there, None
    if any(pattern in ("MAR", "MNAR") for pattern in config.visible_patterns):
        values, width = values_of(model, asked)
        values = values.reshape(len(values), -1, width).mean(axis=2)
    positions = Positions(there, ids, tuple(model.tokenizer.grid), values=values)
    return curve(labelled(known, known_y), every, parts_of(positions, config, seed), seed=seed)


def values_of(model: PatchModel, source: Source) -> tuple[np.ndarray, int]:
    """Return values of samples, float32 [N, L W], and how many there are of a position, W.

    They are those of tokens; of large ones means of neighbours.
    """
    parts = in_batches(np.arange(len(source)))
    tokens = model.tokenizer
    width = min(max(MOST // model.length, 1), tokens.token_dim)
    found = []
    for samples in read_ahead(source, parts):
        every = np.array_split(tokens.tokenize(samples).numpy(), width, axis=2)
        found.append(np.stack([each.mean(axis=2) for each in every], axis=2))
    return np.concatenate(found).reshape(len(source), -1), width


def _read(values: np.ndarray, width: int, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return np.where(hidden.repeat(width, axis=1), np.nan, values[rows])
