"""How right answers are that see a part of the features of a sample, beside those of baselines."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

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
from maskwise.measure.features import frozen, in_batches, random_subset
from maskwise.measure.probes import unscored
from maskwise.modality import Entries, Incomplete, Source
from maskwise.predict.asked import Asked, ModelAsked
from maskwise.predict.baselines import DENSE, NUM_COMPONENTS, Learn, by_mean
from maskwise.predict.curve import ENCODER, LINEAR, MOST_TEST, MOST_TRAIN, Labelled, curve
from maskwise.predict.parts import Positions, parts_of

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

EXPECTED = f"{ENCODER}, expected values"

Reader = partial[np.ndarray]
"""takes samples, their numbers and what of them is hidden, and gives their values"""


def partial_curve(
    model: TabularModel, splits: TabularSplits, config: TabularEvaluateSettings
) -> list[Entries]:
    """Return the rows of "partial" in result.json, see `curve`; none without two classes.

    The encoder's features have a head, and so have values that are filled in with what the model
    expects.
    """
    train, test, seed = splits.train, splits.test, config.seed
    if not config.visible or train.labels is None or test.labels is None:
        return []
    if unscored(train.labels, test.labels):
        return []
    known, y, _ = _some(train, train.labels, min(config.num_train, MOST_TRAIN), seed)
    asked, test_y, ids = _some(test, test.labels, min(config.num_test, MOST_TEST), seed)
    read, linear = reader(model.tokenizer, train, config)
    reads = (partial(read, rows) if config.baselines else None for rows in (known, asked))
    said = both(model, known, asked, config.layer)
    one, other = map(Labelled, said, (y, test_y), reads)
    tokens, samples = model.tokenizer, asked.get(np.arange(len(asked)))
    there, values = tokens.eligible(samples).numpy(), comparable(tokens, samples).numpy()
    positions = Positions(there, ids, tokens.grid, tokens.names, values)
    parts = parts_of(positions, config, seed)
    return curve(one, other, parts, linear=linear, others=config.baselines, seed=seed)


def _some(
    rows: TabularRows, labels: np.ndarray, num: int, seed: int
) -> tuple[TabularRows, np.ndarray, np.ndarray]:
    """Return some samples, in memory as they are asked for many times, their labels and ids."""
    known = np.flatnonzero(labels >= 0)
    ids = known[random_subset(len(known), num, seed)]
    samples = rows.get(ids)
    return TabularRows(lambda index: samples[index], np.arange(len(ids))), labels[ids], ids


def both(
    model: TabularModel, train: TabularRows, test: TabularRows, layer: int = -1
) -> Iterator[dict[str, Asked]]:
    """Give what a model says of training samples and of others: features, and values it expects.

    Of many values the features are principal components of those of training samples.
    """
    from sklearn.decomposition import PCA

    narrow = None
    for rows in (train, test):
        asked = ModelAsked(model, Incomplete(rows), layer=layer)
        if rows is train:
            values = Expected(asked).features(np.arange(len(rows)), np.zeros_like(asked.there))
            values = values[~np.isnan(values).any(axis=1)]
            if values.shape[1] > DENSE:
                narrow = PCA(min(NUM_COMPONENTS, *values.shape), random_state=0).fit(values)
        yield {ENCODER: asked, EXPECTED: Expected(asked, narrow)}


class Expected:
    """Samples whose features are their values, and what the model expects of those not visible.

    Args:
        asked: the same samples.
        narrow: makes fewer of many values; default: they stay as they are.
    """

    def __init__(self, asked: ModelAsked, narrow: "PCA | None" = None) -> None:
        assert isinstance(asked.model, TabularModel)
        self.asked, self.model, self.narrow = asked, asked.model, narrow
        self.there, self.whole = asked.there, asked.whole

    def features(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return features of samples, float32 [n, D]; see `maskwise.predict.asked.Asked`."""
        samples, tokens = _blanked(self.asked.data.source, rows, hidden), self.model.tokenizer
        with frozen(self.model) as device:
            parts = [
                self._expected(samples[i].to(device)) for i in in_batches(np.arange(len(rows)))
            ]
        visible = comparable(tokens, samples)
        values = torch.where(visible.isnan(), torch.cat(parts), visible).numpy()
        found = one_hot(values, tokens.sizes)
        if self.narrow is not None:
            found = self.narrow.transform(found).astype(np.float32)
        found[~(self.there[rows] & ~hidden).any(axis=1)] = np.nan
        return found

    def _expected(self, samples: Tensor) -> Tensor:
        said = self.model.predict(
            samples, torch.zeros_like(self.model.tokenizer.eligible(samples))
        )
        return self.model.tokenizer.as_inputs(said, samples).cpu()


def _blanked(source: Source, rows: np.ndarray, hidden: np.ndarray) -> Tensor:
    """Return samples as if what is hidden had not been measured: it is in no sum either."""
    samples = source.get(rows)
    blank = torch.zeros(samples.shape, dtype=torch.bool)
    blank[:, : hidden.shape[1]] = torch.from_numpy(hidden)
    return samples.masked_fill(blank, torch.nan)


def reader(
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
    closed: ClosedForm, source: TabularRows, rows: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    return closed.columns(_blanked(source, rows, hidden).numpy())


def _plain(
    modality: ColumnTokenizer, source: TabularRows, rows: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    return one_hot(comparable(modality, _blanked(source, rows, hidden)).numpy(), modality.sizes)
