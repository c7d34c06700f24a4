"""Simulated gaps: completely at random, by what is seen, by what is not."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

MECHANISMS = ("MCAR", "MAR", "MNAR")
SEEN = 0.3  # share of the columns that MAR leaves whole


def hide(values: np.ndarray, mechanism: str, share: float, seed: int = 0) -> np.ndarray:
    """Return which of values [N, D] are hidden, bool [N, D]; NaN never is.

    MCAR hides each alike. MAR leaves three in ten columns whole, and hides each value of the
    others with a probability that is logistic in a random combination of those. MNAR hides each
    with a probability logistic in the value itself, large or small ones of a column.

    >>> values = np.random.default_rng(0).normal(size=(1000, 4))
    >>> [hide(values, each, 0.3, 0).mean().round(1).item() for each in MECHANISMS]
    [0.3, 0.2, 0.3]
    """
    known = ~np.isnan(values)
    num = known.sum(axis=0).clip(1)
    values = np.where(known, values - np.where(known, values, 0).sum(axis=0) / num, 0)
    values = values / np.where(values.std(axis=0) > 0, values.std(axis=0), 1)
    rng = np.random.default_rng([seed, MECHANISMS.index(mechanism)])
    rows, width = values.shape
    if mechanism == "MCAR":
        return np.asarray((rng.random(values.shape) < share) & known)
    hidden = np.zeros(values.shape, dtype=bool)
    seen = rng.choice(width, max(round(SEEN * width), 1), replace=False)
    for column in range(width):
        if mechanism == "MNAR":
            score = values[:, column] * rng.choice([-1, 1])
        elif column in seen:
            continue
        else:
            score = values[:, seen] @ rng.normal(size=len(seen))
            score = score / (score.std() or 1.0)
        hidden[:, column] = rng.random(rows) < expit(score + _offset(score, share))
    return hidden & known


def _offset(score: np.ndarray, share: float) -> float:
    """Return what to add to scores so that a share of the values is hidden."""
    ends = 50 + np.abs(score).max(initial=0.0)
    return float(brentq(lambda offset: expit(score + offset).mean() - share, -ends, ends))
