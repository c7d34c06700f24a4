"""How values come to be missing: completely at random, by what is seen, by what is not."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

MECHANISMS = ("MCAR", "MAR", "MNAR")
SEEN = 0.3  # share of the columns that MAR leaves whole


def hide(values: np.ndarray, mechanism: str, share: float, seed: int) -> np.ndarray:
    """Return which of standardised values [N, D] are hidden, bool [N, D].

    MCAR hides each alike. MAR leaves three in ten columns whole, and hides each value of the
    others with a probability that is logistic in a random combination of those. MNAR hides each
    with a probability logistic in the value itself, large or small ones of a column.

    >>> values = np.random.default_rng(0).normal(size=(1000, 4))
    >>> [hide(values, each, 0.3, 0).mean().round(1).item() for each in MECHANISMS]
    [0.3, 0.2, 0.3]
    """
    rng = np.random.default_rng([seed, MECHANISMS.index(mechanism)])
    num, width = values.shape
    if mechanism == "MCAR":
        return rng.random(values.shape) < share
    hidden = np.zeros(values.shape, dtype=bool)
    seen = rng.choice(width, max(round(SEEN * width), 1), replace=False)
    for column in range(width):
        if mechanism == "MNAR":
            score = values[:, column] * rng.choice([-1, 1])
        elif column in seen:
            continue
        else:
            score = values[:, seen] @ rng.normal(size=len(seen))
            score = score / score.std()
        hidden[:, column] = rng.random(num) < expit(score + _offset(score, share))
    return hidden


def _offset(score: np.ndarray, share: float) -> float:
    """Return what to add to scores so that a share of the values is hidden."""
    return float(brentq(lambda offset: expit(score + offset).mean() - share, -50, 50))
