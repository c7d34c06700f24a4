"""Which sizes a law never hides, and so a model has never been trained on."""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskwise import laws
from maskwise.laws import Law


class RatioSupportWarning(UserWarning):
    """Scores are asked for at ratios that training never hid: there a model extrapolates."""


def support_of(law: Law | str) -> tuple[float, float]:
    """Return the smallest and the largest ratio of a law at any time of the training.

    >>> support_of("scheduled:linear,fixed:0.1..fixed:0.6")
    (0.1, 0.6)
    """
    law = laws.parse(law)
    lows, highs = zip(*(law.support(t) for t in np.linspace(0, 1, 101)), strict=True)
    return min(lows), max(highs)


def outside_support(law: Law | str, ratios: ArrayLike, length: float) -> NDArray[np.bool_]:
    """Return where ratios lie outside those of a law, at any time of the training.

    Args:
        law: a law, or its string.
        ratios: hidden fractions.
        length: number of positions; laws are rounded to whole ones, which is allowed for.

    >>> outside_support("uniform:0.4,0.9", [0.1, 0.5, 1.0], 100).tolist()
    [True, False, True]
    """
    low, high = support_of(law)
    ratios = np.asarray(ratios, dtype=np.float64)
    slack = 0.5 / length + 1e-9
    return (ratios < low - slack) | (ratios > high + slack)


def warn_outside(law: Law | str | None, ratios: ArrayLike, length: float) -> None:
    """Warn where ratios lie outside those of a law."""
    if law is None:
        return
    outside = outside_support(law, ratios, length)
    if outside.any():
        warnings.warn(
            f"{outside.mean():.0%} of the sizes asked for were never hidden in training with"
            f" {laws.parse(law)}: there the model extrapolates",
            RatioSupportWarning,
            stacklevel=3,
        )
