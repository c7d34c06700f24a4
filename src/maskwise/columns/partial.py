"""How right answers are that see a part of the features of a sample, beside those of baselines."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from maskwise.columns.closed_form import ClosedForm
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import (
    ColumnTokenizer,
    TabularEvaluateSettings,
    TabularRows,
    TabularSplits,
    comparable,
    one_hot,
)
from maskwise.measure.features import random_subset
from maskwise.measure.probes import unscored
from maskwise.modality import Entries, Incomplete
from maskwise.predict.asked import ModelAsked
from maskwise.predict.baselines import DENSE, Learn, by_mean
from maskwise.predict.curve import LINEAR, MOST_TEST, MOST_TRAIN, Labelled, curve
from maskwise.predict.visible import Positions, parts_of

Reader = partial[np.ndarray]
"""takes samples, their numbers and what of them is hidden, and gives their values"""


def partial_curve(
    model: TabularModel, splits: TabularSplits, config: TabularEvaluateSettings
) -> list[Entries]:
    """Return the rows of "partial" in result.json, see `curve`; none without two classes."""
    train, test, seed = splits.train, splits.test, config.seed
    if not config.visible or train.labels is None or test.labels is None:
        return []
    if unscored(train.labels, test.labels):
        return []
    read, linear = _reader(model.tokenizer, train, config)
    labelled = [
        _labelled(model, rows, min(num, most), read, config)
        for rows, num, most in (
            (train, config.num_train, MOST_TRAIN),
            (test, config.num_test, MOST_TEST),
        )
    ]
    (known, _, _), (asked, ids, samples) = labelled
    values = comparable(model.tokenizer, samples).numpy()
    grid, names = model.tokenizer.grid, model.tokenizer.names
    positions = Positions(asked.asked.there, ids, grid, names, values)
    parts = parts_of(positions, config, seed)
    return curve(known, asked, parts, linear=linear, others=config.baselines, seed=seed)


def _labelled(
    model: TabularModel, rows: TabularRows, num: int, read: Reader, config: TabularEvaluateSettings
) -> tuple[Labelled, np.ndarray, Tensor]:
    """Return some samples with labels, their numbers, and what they hold."""
    assert rows.labels is not None
    known = np.flatnonzero(rows.labels >= 0)
    ids = known[random_subset(len(known), num, config.seed)]
    samples = rows.get(ids)  # in memory: they are asked for many times
    source = TabularRows(lambda index: samples[index], np.arange(len(ids)))
    asked = ModelAsked(model, Incomplete(source), layer=config.layer)
    told = partial(read, samples) if config.baselines else None
    return Labelled(asked, rows.labels[ids], told), ids, samples


def _reader(
    modality: ColumnTokenizer, rows: TabularRows, config: TabularEvaluateSettings
) -> tuple[Reader, Mapping[str, Learn]]:
    """Return what reads values for baselines, and those of them that have a linear head.

    Tables have a closed form of their own, which knows categories and skewed numbers.
    """
    sizes = modality.sizes
    if not config.baselines or modality.sparse or len(sizes) > DENSE:
        return partial(_plain, modality), LINEAR
    index = random_subset(len(rows), config.num_train, config.seed)
    closed = ClosedForm.learn(rows.get(index).numpy(), sizes, seed=config.seed)
    fills: dict[str, Learn] = {"Gaussian": lambda values: closed.fill, "mean fill": by_mean}
    return partial(_columns, closed), fills


def _columns(
    closed: ClosedForm, samples: Tensor, rows: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    return closed.columns(np.where(hidden, np.nan, samples[rows].numpy()))


def _plain(
    modality: ColumnTokenizer, samples: Tensor, rows: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    shown = comparable(modality, samples[rows], torch.from_numpy(hidden))
    return one_hot(shown.numpy(), modality.sizes)
