"""Simulated gaps: at random, by what is seen, by what is not, and in whole parts."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit

from maskwise.checks import checked
from maskwise.errors import UserError

Array = NDArray[np.float64]
Hidden = NDArray[np.bool_]
SEEN = 0.3  # share of the columns that MAR leaves whole


@checked()
def hide(
    values: ArrayLike,
    mechanism: str,
    share: float | None = None,
    seed: int = 0,
    *,
    groups: ArrayLike | None = None,
    masks: ArrayLike | None = None,
) -> Hidden:
    """Return which values are hidden, in one of the ways in which real ones come to be missing.

    - "MCAR", completely at random: each value with the probability `share`.
    - "MAR", at random given what is seen: three in ten columns stay whole, and each value of the
      others is hidden with a probability that is logistic in a random combination of those.
    - "MNAR": with a probability that is logistic in the value itself, large or small ones of a
      column.
    - "quantile", MNAR as of an instrument with a limit: of each column exactly its largest, or its
      smallest, values.
    - "block": of each row a run of neighbouring columns, which may leave the last and come back as
      the first; a panel that failed.
    - "groups": whole groups of columns, each for itself: a modality that was not measured.
    - "copied": what a random row of `masks` lacks.

    The expected share is exact: offsets of the logistic are solved for, on the values given.

    Args:
        values: numbers [N, D], of any scale; NaN, what is missing already, is never hidden.
        mechanism: one of these.
        share: of the values, in (0, 1); of those of the columns that are not whole under "MAR".
            None for "copied", whose masks have a share of their own.
        seed: any integer from 0.
        groups: of "groups", the group of each column, [D] whole numbers.
        masks: of "copied", rows of gaps, bool [M, D], True = missing.

    Raises:
        UserError: an unknown mechanism, a share outside (0, 1), or shapes that do not fit.

    >>> values = np.random.default_rng(0).normal(size=(1000, 4))
    >>> [hide(values, each, 0.3).mean().round(1).item() for each in ("MCAR", "MAR", "MNAR")]
    [0.3, 0.2, 0.3]
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise UserError(f"values have the shape {values.shape}: give [N, D]")
    if mechanism not in MECHANISMS:
        raise UserError(f"unknown mechanism '{mechanism}'; known: {', '.join(MECHANISMS)}")
    if (share is None) != (mechanism == "copied"):
        said = (
            "the masks have a share of their own: leave it out"
            if share is not None
            else "give a share"
        )
        raise UserError(f"mechanism {mechanism}, share {share}: {said}")
    if share is not None and not 0 < share < 1:
        raise UserError(f"share {share:g} is outside (0, 1)")
    if seed < 0:
        raise UserError(f"seed={seed}: it must be 0 or more")
    rng = np.random.default_rng([seed, MECHANISMS.index(mechanism)])
    if mechanism == "copied":
        hidden = _copied(values.shape, _told(masks, "masks", mechanism), rng)
    elif mechanism == "groups":
        hidden = _groups(values.shape, _told(groups, "groups", mechanism), share or 0.0, rng)
    else:
        hidden = PLAIN[mechanism](_standardised(values), share or 0.0, rng)
    return hidden & ~np.isnan(values)


def _told(given: ArrayLike | None, name: str, mechanism: str) -> np.ndarray:
    if given is None:
        raise UserError(f"mechanism {mechanism} needs {name}: give {name}=")
    return np.asarray(given)


def _standardised(values: Array) -> Array:
    """Return columns of mean 0 and deviation 1, or 0; what is missing is as the mean."""
    known = ~np.isnan(values)
    num = known.sum(axis=0).clip(1)
    values = np.where(known, values - np.where(known, values, 0).sum(axis=0) / num, 0)
    deviation = np.sqrt(np.square(values).sum(axis=0) / num)
    return np.asarray(values / np.where(deviation > 0, deviation, 1))


def _completely(values: Array, share: float, rng: Generator) -> Hidden:
    return rng.random(values.shape) < share


def _logistic(values: Array, share: float, rng: Generator, *, itself: bool) -> Hidden:
    num, width = values.shape
    if width < 2 and not itself:
        raise UserError("mechanism MAR: a single column depends on no other: give two or more")
    hidden = np.zeros(values.shape, dtype=bool)
    seen = rng.choice(width, max(round(SEEN * width), 1), replace=False)
    for column in range(width):
        if itself:
            score = values[:, column] * rng.choice([-1, 1])
        elif column in seen:
            continue
        else:
            score = values[:, seen] @ rng.normal(size=len(seen))
            score = score / (score.std() or 1.0)
        hidden[:, column] = rng.random(num) < expit(score + offset(score, share))
    return hidden


def _quantile(values: Array, share: float, rng: Generator) -> Hidden:
    """Hide the ends of columns; what is over of a whole number of values is left to chance."""
    num, width = values.shape
    order = np.argsort(values * rng.choice([-1, 1], size=width), axis=0, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(num)[:, None], axis=0)
    return np.asarray(place < np.floor(share * num + rng.random(width)))


def _block(values: Array, share: float, rng: Generator) -> Hidden:
    num, width = values.shape
    first = rng.integers(width, size=(num, 1))
    length = np.floor(share * width + rng.random((num, 1)))
    return np.asarray((np.arange(width) - first) % width < length)


def _groups(shape: tuple[int, ...], groups: np.ndarray, share: float, rng: Generator) -> Hidden:
    if groups.shape != shape[1:]:
        raise UserError(f"groups have the shape {groups.shape}: give one for each of {shape[1]}")
    names, place = np.unique(groups, return_inverse=True)
    return (rng.random((shape[0], len(names))) < share)[:, place]


def _copied(shape: tuple[int, ...], masks: np.ndarray, rng: Generator) -> Hidden:
    if masks.dtype != bool or masks.ndim != 2 or masks.shape[1] != shape[1] or not len(masks):
        raise UserError(f"masks are {masks.dtype} {list(masks.shape)}: give bool [M, {shape[1]}]")
    return np.asarray(masks[rng.integers(len(masks), size=shape[0])])


def offset(score: Array, share: float) -> float:
    """Return what to add to scores [N] so that their logistic has a mean.

    >>> round(offset(np.zeros(3), 0.5), 6)
    0.0
    """
    ends = 50 + np.abs(score).max(initial=0.0)
    return float(brentq(lambda more: expit(score + more).mean() - share, -ends, ends))


# Those that need values and a share only; their places in MECHANISMS are part of their seeds.
PLAIN: dict[str, Callable[[Array, float, Generator], Hidden]] = {
    "MCAR": _completely,
    "MAR": partial(_logistic, itself=False),
    "MNAR": partial(_logistic, itself=True),
    "quantile": _quantile,
    "block": _block,
}
MECHANISMS = (*PLAIN, "groups", "copied")
