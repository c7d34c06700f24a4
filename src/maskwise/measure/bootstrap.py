"""Intervals for means: bootstrap over test samples, Student's t over repetitions."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

_CELLS = 1 << 21  # resampled values held at once: 16 MiB of float64


def interval(
    values: np.ndarray,
    seed: int,
    num: int = 1000,
    level: float = 0.95,
    groups: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """Return the mean of `values`, and the low and high end of its percentile bootstrap interval.

    The interval covers the choice of test samples, not the choice of training seed. Equal
    lengths and seeds resample the same samples, so intervals of two methods on the same test set
    are comparable. Values that are all equal, such as an accuracy of 1, give an interval of
    width 0.

    Args:
        values: one number per sample, [N].
        seed: of the resampling.
        num: how many resamples.
        level: covered probability, in (0, 1).
        groups: values of one number are resampled together, [N]; default: each is its own.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    >>> interval(np.array([1.0, 1.0, 1.0]), seed=0)
    (1.0, 1.0, 1.0)
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


def resampled(values: np.ndarray, seed: int | Sequence[int], num: int = 1000) -> np.ndarray:
    """Return the means of `num` resamples of `values`, float64 [num].

    Equal lengths and seeds resample the same samples.
    """
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

    >>> over_draws([0.5])
    (0.5, None, None)
    """
    mean, num = float(np.mean(values)), len(values)
    if num < 2:
        return mean, None, None
    half = float(student.ppf(0.975, num - 1) * np.std(values, ddof=1) / num**0.5)
    return mean, mean - half, mean + half
