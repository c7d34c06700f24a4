"""From ratios to counts, and what a loss makes of a law."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskwise.laws.base import Array, Law
from maskwise.laws.plain import LikelihoodUniform

Scope = Literal["step", "sample"]
Reduction = Literal["sample_mean", "token_mean", "inverse_ratio"]


def num_hidden(
    law: Law, u: ArrayLike, eligible: ArrayLike, progress: float = 0.0
) -> NDArray[np.int64]:
    """Return how many of the eligible positions a law hides: the only place that rounds.

    round(ratio * eligible), half up, kept between 1 and eligible - 1 where there are two or more
    eligible positions. `LikelihoodUniform` is 1 + floor(u * eligible) instead: exactly uniform on
    1..eligible, where everything may be hidden.

    Args:
        law: the ratio law.
        u: uniforms in (0, 1), broadcast against `eligible`.
        eligible: numbers of eligible positions.
        progress: share of training done.

    >>> from maskwise.laws import Fixed
    >>> num_hidden(Fixed(0.75), 0.5, [64, 10, 2, 1, 0]).tolist()
    [48, 8, 1, 1, 0]
    """
    eligible = np.asarray(eligible, dtype=np.int64)
    if isinstance(law, LikelihoodUniform):
        return np.minimum(1 + np.floor(np.asarray(u) * eligible).astype(np.int64), eligible)
    # The small nudge keeps products such as 0.7 * 45 = 31.499999999999996 on the half.
    counts = np.floor(law.draw(u, progress) * eligible + (0.5 + 1e-9)).astype(np.int64)
    return np.minimum(np.clip(counts, 1, np.maximum(eligible - 1, 1)), eligible)


def effective(
    law: Law, reduction: Reduction, scope: Scope, progress: float = 0.0, k: int = 64
) -> tuple[Array, Array]:
    """Return (ratios, weights) of the law that the loss sees.

    A mean over all hidden positions of a batch whose samples have ratios of their own gives a
    sample a weight in proportion to its ratio, which tilts the law: density(r) r / E[r]. With one
    ratio per step, and with the other reductions, the loss sees the law itself.

    >>> from maskwise.laws import Uniform
    >>> ratios, weights = effective(Uniform(0.0, 1.0), "token_mean", "sample")
    >>> round(float(ratios @ weights), 4)
    0.6667
    """
    ratios, weights = law.quadrature(k, progress)
    if scope == "sample" and reduction == "token_mean":
        weights = weights * ratios / (weights @ ratios)
    return ratios, weights
