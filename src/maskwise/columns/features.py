"""Features of whole samples: of a model, raw values; and samples as numbers that compare."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import ColumnTokenizer, TabularRows, measured
from maskwise.masks import draw
from maskwise.measure.features import frozen, in_batches
from maskwise.modality import Pool


def embed_rows(
    model: TabularModel,
    rows: TabularRows,
    index: np.ndarray | None = None,
    layer: int = -1,
    pool: Pool = "mean",
) -> np.ndarray:
    """Return the model's features of samples, float32 [N, D]; only what is missing is hidden.

    The samples are those at `index`, [N], by default all; a layer of -1 is the last.

    Raises:
        UserError: a layer or a pool that the model lacks.
    """
    index = np.arange(len(rows)) if index is None else index
    with frozen(model) as device:
        parts = [
            model.encode(rows.get(part).to(device), pool, layer).float().cpu().numpy()
            for part in in_batches(index)
        ]
    return np.concatenate(parts)


def expected_rows(
    model: TabularModel, rows: TabularRows, index: np.ndarray, *, pairs: int = 4, seed: int = 0
) -> np.ndarray:
    """Return what the model expects of every feature from others, float32 [N, D].

    The features of a sample are split at random into halves, each is predicted from the other,
    and the predictions of `pairs` such splits averaged. No feature is predicted from itself:
    what remains of a sample is what its features agree on. Categories are one-hot, and counts
    in logarithms.
    """
    modality, found = model.tokenizer, []
    with frozen(model) as device:
        for part in in_batches(index):
            samples, ids = rows.get(part).to(device), torch.from_numpy(part)
            total = np.zeros((len(part), sum(size or 1 for size in modality.sizes)), np.float32)
            for pair in range(pairs):
                mask = draw("fixed:0.5", modality.grid, sample_ids=ids, seed=seed, epoch=pair)
                half = mask.hidden.to(device)
                first, second = model.predict(samples, half), model.predict(samples, ~half)
                said = torch.where(half, first, second).cpu().numpy()
                total += one_hot(said, modality.sizes)
            found.append(total / pairs)
    values = np.concatenate(found)
    return values if modality.loss == "mse" else np.log1p(values)


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
