"""What evaluations have in common: frozen models, features, choices and batches of samples."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import nn

from maskwise.modality import Entries, Splits

Ratio = Annotated[float, Field(gt=0, lt=1)]
ALWAYS = 0.15  # the ratio that published results of symbols are at
BATCH = 256  # samples at once

M = TypeVar("M")


def models_of(model: M, untrained: M | None, *, baselines: bool) -> dict[str, M]:
    """Return what is probed and fine-tuned, by name: a model, and the same before training.

    >>> models_of(1, 0, baselines=True), models_of(1, None, baselines=True)
    ({'encoder': 1, 'untrained encoder': 0}, {'encoder': 1})
    """
    if not baselines or untrained is None:
        return {"encoder": model}
    return {"encoder": model, "untrained encoder": untrained}


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
    """Put `model` in evaluation mode without gradients for a while; give its device.

    >>> model = nn.Linear(1, 1)
    >>> with frozen(model) as device:
    ...     model.training, torch.is_grad_enabled()
    (False, False)
    >>> model.training, torch.is_grad_enabled()
    (True, True)
    """
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
    """Choose `num` of `length` samples at random, or all of them, in order.

    >>> random_subset(3, 8, seed=0)
    array([0, 1, 2])
    """
    chosen = np.random.default_rng(seed).choice(length, min(num, length), replace=False)
    return np.sort(chosen)


def random_groups(sizes: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Choose whole groups of `sizes` [G] at random: `num` samples at most, but one group at least.

    >>> random_groups(np.array([2, 2, 2]), 4, seed=0)
    array([0, 2])
    """
    order = np.random.default_rng(seed).permutation(len(sizes))
    return np.sort(order[: max(1, int((sizes[order].cumsum() <= num).sum()))])


def in_batches(index: np.ndarray, size: int = BATCH) -> list[np.ndarray]:
    """Return an index in parts."""
    return [index[start : start + size] for start in range(0, len(index), size)]


def same_length(lengths: Sequence[int], batch_size: int) -> Iterator[np.ndarray]:
    """Give the indices of samples in batches of one length each, so that nothing is padded.

    >>> [index.tolist() for index in same_length([2, 1, 2, 2], batch_size=2)]
    [[1], [0, 2], [3]]
    """
    for length in np.unique(lengths):
        [index] = np.nonzero(np.asarray(lengths) == length)
        for start in range(0, len(index), batch_size):
            yield index[start : start + batch_size]
