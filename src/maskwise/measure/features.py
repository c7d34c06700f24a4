"""What evaluations have in common: frozen models, features, choices of samples, intervals."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, TypeVar

import numpy as np
import torch
from pydantic import Field
from scipy.stats import t as student
from torch import nn

from maskwise.modality import Entries, Splits

Ratio = Annotated[float, Field(gt=0, lt=1)]
ALWAYS = 0.15  # the ratio that published results of symbols are at
BATCH = 256  # samples at once
_CELLS = 1 << 21  # resampled values held at once: 16 MiB of float64

M = TypeVar("M")


def models_of(model: M, untrained: M | None, *, baselines: bool) -> dict[str, M]:
    """Return what is probed and fine-tuned, by name: a model, and the same before training."""
    before = {"untrained encoder": untrained} if baselines and untrained is not None else {}
    return {"encoder": model, **before}


def data_entry(
    splits: Splits, shape: Sequence[int], classes: Sequence[str] | None = None
) -> Entries:
    """Return the "data" entry of result.json."""
    return {
        "name": splits.name,
        "num_train": len(splits.train),
        "num_test": len(splits.test),
        "shape": list(shape),
        "classes": None if classes is None else list(classes),
    }


@contextmanager
def frozen(model: nn.Module) -> Iterator[torch.device]:
    """Put `model` in evaluation mode without gradients for a while; give its device."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next(model.parameters()).device
    finally:
        model.train(training)


def pca(parts: Sequence[np.ndarray], seed: int, num: int = 64) -> list[np.ndarray]:
    """Project on the `num` first principal components, at most N and D, of the first of `parts`.

    From features of training samples [N, D] and of others [M, D] to float32 [N, num], [M, num].
    `seed` is of the randomised solver, used on large matrices.
    """
    from sklearn.decomposition import PCA

    model = PCA(min(num, *parts[0].shape), random_state=seed).fit(parts[0])
    return [model.transform(part).astype(np.float32) for part in parts]


def random_subset(length: int, num: int, seed: int) -> np.ndarray:
    """Choose `num` of `length` samples at random, or all of them, in order."""
    chosen = np.random.default_rng(seed).choice(length, min(num, length), replace=False)
    return np.sort(chosen)


def random_groups(sizes: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Choose whole groups of `sizes` [G] at random: `num` samples at most, one group at least."""
    order = np.random.default_rng(seed).permutation(len(sizes))
    return np.sort(order[: max(1, int((sizes[order].cumsum() <= num).sum()))])


def in_batches(index: np.ndarray, size: int = BATCH) -> list[np.ndarray]:
    """Return an index in parts."""
    return [index[start : start + size] for start in range(0, len(index), size)]


def same_length(lengths: Sequence[int], batch_size: int) -> Iterator[np.ndarray]:
    """Give the indices of samples in batches of one length each, so that nothing is padded."""
    for length in np.unique(lengths):
        yield from in_batches(np.flatnonzero(np.asarray(lengths) == length), batch_size)


def interval(
    values: np.ndarray,
    seed: int,
    num: int = 1000,
    level: float = 0.95,
    groups: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """Return the mean of values [N] and the ends of its percentile bootstrap interval.

    It covers the choice of test samples, not that of the training seed, with a probability of
    `level`. Equal lengths and seeds resample the same samples, so that methods can be compared on
    one test set; values of equal `groups` [N] are resampled together, `num` times.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    values = np.asarray(values, dtype=np.float64)
    _, groups = np.unique(
        np.arange(len(values)) if groups is None else groups, return_inverse=True
    )
    counts = np.bincount(groups)
    means = resampled(np.bincount(groups, values), seed, num)
    if counts.max() > 1:
        # Equal seeds resample the same groups, so this is the mean of the values in them.
        means = means / resampled(counts, seed, num)
    return float(values.mean()), *ends(means, level)


def spread(found: Iterable[float | None], name: str = "value") -> Entries:
    """Return a value and the ends of its interval by name: `name`, "low" and "high"."""
    return dict(zip((name, "low", "high"), found, strict=True))


def resampled(values: np.ndarray, seed: int | Sequence[int], num: int = 1000) -> np.ndarray:
    """Return the means of `num` resamples of `values`, float64 [num]."""
    values = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    rows = max(_CELLS // len(values), 1)
    return np.concatenate(
        [
            values[rng.integers(0, len(values), (min(rows, num - start), len(values)))].mean(1)
            for start in range(0, num, rows)
        ]
    )


def ends(means: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the percentile interval of resampled means."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def over_draws(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Return the mean of repetitions and its interval (Student's t, 95 %); none of a single one.

    It covers what differs between repetitions, such as seeds, not the choice of test samples.
    """
    mean, num = float(np.mean(values)), len(values)
    if num < 2:
        return mean, None, None
    half = float(student.ppf(0.975, num - 1) * np.std(values, ddof=1) / num**0.5)
    return mean, mean - half, mean + half
