"""The fixed point behind every risk: how rows of several kinds share n samples.

Rows of class k with second moment C_k = a_k Σ + b_k D give, for g_k = 1/(offset + η_k),

    Q = (ι I + B₀ D + Σ_k π_k g_k C_k)⁻¹,   η_k = tr(C_k Q)/n.

All C_k are combinations of two matrices, so that two numbers, tr ΣQ and tr DQ, decide everything:
Newton's method in their logarithms, with Jacobian from the second-order traces.
"""

from dataclasses import dataclass

import numpy as np

from maskwise.errors import UserError
from maskwise.theory.classes import Classes
from maskwise.theory.spectra import Array, Model

TOLERANCE = 1e-11
MOST_STEPS = 500


@dataclass(frozen=True)
class FixedPoint:
    """A solved resolvent Q = (identity I + full Σ + diagonal D)⁻¹ and g [K]."""

    identity: float
    full: float
    diagonal: float
    gain: Array
    second: Array


def solve(
    model: Model,
    classes: Classes,
    num_samples: float,
    *,
    identity: float,
    offset: float,
    diagonal: float = 0.0,
) -> FixedPoint:
    """Return the fixed point.

    Args:
        model: the data.
        classes: kinds of rows.
        num_samples: n, rows that count.
        identity: coefficient ι of I in Q's inverse.
        offset: what is added to η_k in 1/g_k.
        diagonal: coefficient B₀ of D in Q's inverse.

    Raises:
        UserError: the iteration does not converge.
    """
    moments = classes.second

    def step(traces: Array) -> tuple[FixedPoint, Array, Array]:
        """Return the resolvent that `traces` give, its traces, and their Jacobian."""
        gain = 1 / (offset + moments @ traces / num_samples)
        full, extra = (classes.share * gain) @ moments
        first, second = model.traces(identity, full, diagonal + extra)
        spread = (moments.T * (classes.share * gain**2)) @ moments / num_samples
        point = FixedPoint(identity, float(full), float(diagonal + extra), gain, second)
        return point, first, second @ spread

    # Any positive start will do: the map is increasing and scalable, so that it has one solution.
    traces = model.traces(max(identity, offset), 1.0, 1.0)[0]
    point, first, jacobian = step(traces)
    for _ in range(MOST_STEPS):
        residual = np.log(first / traces)
        if np.abs(residual).max() < TOLERANCE:
            return point
        slope = np.eye(2) - jacobian / first[:, None] * traces
        newton = traces * np.exp(np.clip(np.linalg.solve(slope, residual), -5.0, 5.0))
        # Newton's step when it helps, else the map itself, which always does.
        candidate = step(newton)
        if np.abs(np.log(candidate[1] / newton)).max() < np.abs(residual).max():
            traces, (point, first, jacobian) = newton, candidate
        else:
            traces, (point, first, jacobian) = first, step(first)
    raise UserError(
        f"the fixed point did not converge in {MOST_STEPS} steps (last change "
        f"{np.abs(residual).max():.1e}): the number of rows that count, {num_samples:g}, is too "
        f"close to the number of features, {model.dim}; give a ridge > 0"
    )
