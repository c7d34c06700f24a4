"""Where a random law beats the best fixed ratio, and by how much."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from maskwise.errors import UserError
from maskwise.theory.optimise import best_interval, best_law, best_ratio
from maskwise.theory.spectra import Array, Model

FAMILIES = {"any": best_law, "interval": best_interval}


@dataclass(frozen=True)
class WinMap:
    """The best fixed ratio against the best law, over numbers of samples and noise.

    Args:
        num_samples: [N] samples to fit.
        noise: [M] variances of the noise.
        ratio: [N, M] best fixed ratio.
        fixed: [N, M] its risk.
        law: [N, M] risk of the best law.
        gain: [N, M] share of the risk that the law saves, 1 - law / fixed; 0 where no law is
            better than a fixed ratio.
        laws: [N][M] the laws.
    """

    num_samples: Array
    noise: Array
    ratio: Array
    fixed: Array
    law: Array
    gain: Array
    laws: list[list[str]]


def win_map(
    model: Model,
    num_samples: ArrayLike,
    noise: ArrayLike,
    *,
    family: Literal["any", "interval"] = "any",
    **options: Any,
) -> WinMap:
    """Return where, and by how much, a random law beats the best fixed ratio.

    Args:
        model: the data.
        num_samples: [N] samples to fit.
        noise: [M] variances of the noise.
        family: "any" law on a grid of ratios, or "interval", U[a, b].
        options: those of `risk`.

    Raises:
        UserError: an unknown family, or what `risk` refuses.

    >>> from maskwise.theory import spiked
    >>> found = win_map(spiked(100, 30.0, alignment=1.0), [50, 90], [0.2], target_hidden=True)
    >>> bool((found.gain >= 0).all())
    True
    """
    if family not in FAMILIES:
        raise UserError(f"family '{family}' is unknown: give one of {', '.join(FAMILIES)}")
    sizes, levels = (np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (num_samples, noise))
    cells = [
        [
            (
                best_ratio(model, size, level, **options),
                FAMILIES[family](model, size, level, **options),
            )
            for level in levels
        ]
        for size in sizes
    ]
    fixed = np.array([[float(best.risk.total) for best, _ in row] for row in cells])
    law = np.array([[float(best.risk.total) for _, best in row] for row in cells])
    return WinMap(
        num_samples=sizes,
        noise=levels,
        ratio=np.array([[best.law.mean() for best, _ in row] for row in cells]),
        fixed=fixed,
        law=law,
        gain=np.maximum(1 - law / fixed, 0.0),
        laws=[[str(best.law) for _, best in row] for row in cells],
    )
