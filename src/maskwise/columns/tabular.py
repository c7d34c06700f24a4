"""Samples by features, the common shape of single cells and tables; settings of runs on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from maskwise.errors import UserError
from maskwise.measure.features import Ratio, in_batches
from maskwise.measure.protocols import ScoringName
from maskwise.modality import Entries, Tokenizer
from maskwise.predict.parts import VisibleSettings
from maskwise.rng import Keys
from maskwise.settings import check_layer, settings
from maskwise.train.config import RunSettings
from maskwise.train.stream import StreamSource

Loss = Literal["mse", "nb", "zinb"]
"""of numbers: half the squared error, or minus the log-probability of counts"""
D = TypeVar("D")
S = TypeVar("S")
T = TypeVar("T")


@settings
class TabularModelSettings:
    """The shape of a masked model of features."""

    kind: Literal["mlp", "transformer"] = "mlp"
    """an MLP with a bottleneck, or a transformer with a token for each feature"""
    width: PositiveInt = 256
    """width of the blocks"""
    depth: PositiveInt = 2
    """blocks; of the MLP on the way to the code, and as many back"""
    code: PositiveInt = 64
    """width of the bottleneck (mlp)"""
    heads: PositiveInt = 4
    """attention heads (transformer)"""
    mlp_ratio: Annotated[float, Field(gt=0)] = 2.0
    """width of the MLPs over that of the tokens (transformer)"""
    corruption: Literal["indicator", "zero", "permute"] = "indicator"
    """what stands for a hidden value in training: a sign that it is hidden, zero without a sign,
    or the value of another sample of the batch, which keeps the feature's distribution"""
    norm: bool = True
    """LayerNorm in the blocks of an mlp: tables are learned better with it, cells without"""
    linear: NonNegativeInt = 0
    """how often a linear path around the code fills in blank numbers; 0 = there is none (mlp of
    numbers that are no counts)"""
    predict_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """share of the hidden values that training predicts"""
    init: str | None = None
    """a run to start from, or its model's folder, whose shape the model then has"""

    @property
    def num_layers(self) -> int:
        """Layers that can be read: the blocks, and the code of an mlp."""
        return self.depth + (self.kind == "mlp")


@settings
class TabularEvaluateSettings(VisibleSettings):
    """How a model of single cells or of a table is evaluated."""

    named: ClassVar[bool] = True

    ratios: tuple[Ratio, ...] = tuple(n / 10 for n in range(1, 10))
    """Hidden fractions at which the loss is measured."""
    impute: tuple[Ratio, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Hidden fractions at which imputation is measured; none = it is not."""
    layer: int = -1
    """Layer that is probed; -1 is the last."""
    protocols: tuple[ScoringName, ...] = ("logistic", "knn")
    """Probes of labelled samples."""
    few: tuple[PositiveInt, ...] = (5, 10, 20)
    """Labels a class of further probes."""
    draws: Annotated[int, Field(ge=2)] = 5
    """How often so few labelled samples are drawn; of one draw there is no interval."""
    num_train: Annotated[int, Field(ge=2)] = 10_000
    """Training samples that probes and baselines see at most, chosen at random."""
    num_test: Annotated[int, Field(ge=2)] = 2_000
    """Held-out samples at most, chosen at random, for all but imputation."""
    num_impute: Annotated[int, Field(ge=2)] = 256
    """Held-out samples that are imputed at most, chosen at random."""
    baselines: bool = True
    """Also probe the untrained model, raw values and principal components, and impute by
    neighbours and by components."""
    slow_baselines: bool = False
    """Also impute by scikit-learn's IterativeImputer, of up to 150 columns."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of samples, the masks, the probes and the bootstrap."""


@settings
class TabularRunSettings(RunSettings):
    """Everything that decides what a run on samples by features does."""

    model: TabularModelSettings = Field(default_factory=TabularModelSettings)
    evaluate: TabularEvaluateSettings = Field(default_factory=TabularEvaluateSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer("evaluate.layer", self.evaluate.layer, self.model.num_layers)


class ColumnTokenizer(Tokenizer, Protocol):
    """What a model of samples by features asks of its data.

    Samples are float32 [B, F]: a number, the code of a category, or NaN where nothing was
    measured. With batches (`num_batches` > 0) they are [B, F + 1], and the last column is the
    number of a sample's batch, or -1.
    """

    @property
    def words(self) -> tuple[str, str]:
        """What a sample is called, and a feature."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the features are called, F of them."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many categories each feature has; 0 = it is a number."""

    @property
    def log_scale(self) -> Tensor:
        """Log of how much larger a unit of each number is in the data than here, [F]."""

    def inputs(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return what a network reads, float32 [B, F]; 0 where hidden or not measured."""

    def intensities(self, values: Tensor) -> Tensor:
        """Return how much likelier large values, as `inputs` returns them, are to be hidden."""

    # What differs where numbers are counts, where batches are known, or where most is zero.

    @property
    def loss(self) -> Loss:
        """What numbers cost: half their squared error, or minus the log-probability of counts."""
        return "mse"

    @property
    def num_batches(self) -> int:
        """How many batches are known; 0 = samples do not say theirs."""
        return 0

    @property
    def sparse(self) -> bool:
        """Whether most numbers are zero, so that those that are not tell more."""
        return False

    def as_inputs(self, expected: Tensor, batch: Tensor) -> Tensor:
        """Return expected values [B, F] as `inputs` returns samples with nothing hidden."""
        return expected

    def told(self, batch: Tensor) -> list[list[str]]:
        """Return the values of samples as people read them, F of each."""
        return [[f"{value:.4g}" for value in row[: len(self.sizes)]] for row in batch.tolist()]

    def log_library(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return the log of what each count is expected to be of an average sample, [B, F]."""
        raise NotImplementedError

    @property
    def grid(self) -> tuple[int]:
        return (len(self.sizes),)

    def eligible(self, batch: Tensor, keys: Keys | None = None) -> Tensor:
        """Return what may be hidden, bool [B, F]: with `keys` in a step of training, else ever."""
        return measured(batch, len(self.sizes))

    def weights(self, batch: Tensor) -> Tensor | None:
        return None


@dataclass(frozen=True, eq=False)
class TabularRows:
    """Some samples of a table.

    Args:
        read: returns the samples in rows, int64 [b], of the whole table, [b, F] or [b, F + 1].
        index: which rows, int64 [N].
        labels: their classes, int64 [N], -1 = not known.
        batches: where they come from, int64 [N], -1 = not known.
    """

    read: Callable[[np.ndarray], Tensor]
    index: np.ndarray
    labels: np.ndarray | None = None
    batches: np.ndarray | None = None

    in_memory = True  # or mapped into it

    def __len__(self) -> int:
        return len(self.index)

    def some(self, part: np.ndarray) -> "TabularRows":
        """Return some of these rows."""
        known = (None if each is None else each[part] for each in (self.labels, self.batches))
        return TabularRows(self.read, self.index[part], *known)

    def get(self, indices: ArrayLike) -> Tensor:
        """Return samples by their number among these rows."""
        return self.read(self.index[np.asarray(indices)])

    def units(self, indices: ArrayLike) -> Tensor | None:
        return None


def rows_of(samples: np.ndarray) -> TabularRows:
    """Return samples in memory, float32 [N, F], as rows."""
    values = torch.from_numpy(samples)
    return TabularRows(lambda index: values[index], np.arange(len(samples)))


@dataclass(frozen=True, eq=False)
class TabularSplits:
    """Samples ready for use: `train` to learn from, `test` to evaluate on.

    Args:
        train: rows.
        test: rows that are not among those.
        name: of the data.
        classes: names of the classes that labels number.
        batches: names of the batches.
        fingerprint: what must be the same when a run is resumed.
        tokenizer: what the features are.
        stream: what is learned from, where these are the first samples of it.
    """

    train: TabularRows
    test: TabularRows
    name: str
    classes: tuple[str, ...] | None
    batches: tuple[str, ...] | None
    fingerprint: Entries
    tokenizer: ColumnTokenizer
    stream: StreamSource | None = None


def measured(batch: Tensor, num: int) -> Tensor:
    """Return which of the `num` features of samples were measured, bool [B, F]."""
    return ~batch[:, :num].isnan()


def comparable(modality: ColumnTokenizer, samples: Tensor, hidden: Tensor | None = None) -> Tensor:
    """Return values in which errors are measured, float32 [B, F]; NaN where hidden or missing.

    Samples [B, F] or [B, F + 1] as they are; of counts the logarithm of 1 + counts scaled to one
    library size, that of the visible genes only. By default nothing is hidden.
    """
    known = measured(samples, len(modality.sizes))
    hidden = torch.zeros_like(known) if hidden is None else hidden
    values = samples[:, : len(modality.sizes)]
    if modality.loss != "mse":
        values = modality.inputs(samples, hidden)
    return values.masked_fill(hidden | ~known, torch.nan)


def numbers(modality: ColumnTokenizer, rows: TabularRows, index: np.ndarray) -> np.ndarray:
    """Return what `comparable` does of samples by their number, categories one-hot, [N, D]."""
    parts = [
        one_hot(comparable(modality, rows.get(part)).numpy(), modality.sizes)
        for part in in_batches(index)
    ]
    return np.concatenate(parts)


def filled(values: np.ndarray, mean: ArrayLike) -> np.ndarray:
    """Return values [N, D] with those that are missing replaced by the mean of their column."""
    return np.where(np.isnan(values), mean, values)


def column_means(values: np.ndarray) -> np.ndarray:
    """Return the means of columns [N, D] over what is not missing; 0 where all is.

    >>> column_means(np.array([[1.0, np.nan], [3.0, np.nan]]))
    array([2., 0.])
    """
    num = (~np.isnan(values)).sum(axis=0)
    return (np.nansum(values, axis=0, dtype=np.float64) / np.maximum(num, 1)).astype(values.dtype)


def one_hot(values: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return values [N, F] with K columns for a feature of K categories, float32 [N, D].

    A missing category is missing in all of them.

    >>> one_hot(np.array([[0.5, 1.0], [0.7, np.nan]], dtype=np.float32), (0, 2))
    array([[0.5, 0. , 1. ],
           [0.7, nan, nan]], dtype=float32)
    """
    if not any(sizes):
        return values
    parts = [
        np.where(np.isnan(column), np.nan, column == np.arange(size)) if size else column
        for column, size in zip(values.T[..., None], sizes, strict=True)
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def from_one_hot(values: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the numbers, and the code of the greatest column of categories, float32 [N, F].

    >>> from_one_hot(np.array([[0.5, 0.3, 0.4]]), (0, 2))
    array([[0.5, 1. ]], dtype=float32)
    """
    if not any(sizes):
        return values.astype(np.float32)
    first = np.cumsum([0, *(size or 1 for size in sizes)])
    parts = [
        values[:, start : start + size].argmax(axis=1) if size else values[:, start]
        for start, size in zip(first, sizes, strict=False)
    ]
    return np.stack(parts, axis=1).astype(np.float32)


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that means something in an order of positions only.

    Raises:
        UserError: such a pattern.
    """
    if pattern not in ("scattered", "shared", "copied", "proportional"):
        raise UserError(
            f"pattern {pattern} is not for features, which have no order: take scattered,"
            " shared (the same features in all samples of a step), copied (what is missing in"
            " another sample) or proportional (more often what is missing more often)",
            {"pattern": "scattered"},
        )


def splits_of(
    data: object, config: RunSettings, read: Callable[[D], S], take: Callable[[T, D], S], what: str
) -> S:
    """Return the splits of data in memory, which `take` takes, or else those that `read` reads.

    Raises:
        UserError: data is lacking, or a pattern means something in an order of positions only.
    """
    check_pattern(config.pattern)
    if data is not None:
        return take(cast(T, data), config.data)
    if config.data.source == "array":
        raise UserError(f"this run was given {what}: give it again, as data=")
    return read(config.data)
