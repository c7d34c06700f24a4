"""Classes of rows: what a law, its options and its loss weights make of Σ, and their fixed point.

A row masked at ratio p has second moment a Σ + b D and covariance γ Σβ with the target:
a = (1-p)², b = p(1-p), γ = 1-p, and with `rescale` (inverted dropout) a = γ = 1, b = p/(1-p).

Rows of class k with second moment C_k = a_k Σ + b_k D share n samples in the fixed point behind
every risk: for g_k = 1/(offset + η_k),

    Q = (ι I + B₀ D + Σ_k π_k g_k C_k)⁻¹,   η_k = tr(C_k Q)/n.

All C_k are combinations of two matrices, so that two numbers, tr ΣQ and tr DQ, decide everything:
Newton's method in their logarithms, with Jacobian from the second-order traces.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from maskwise import laws
from maskwise.errors import UserError
from maskwise.laws import Law
from maskwise.theory.spectra import Array, Model, check_noise

# Nodes for a continuous law; the risk is smooth in the ratio, so that few are needed.
NODES = 32
# Times at which a schedule is looked at.
TIMES = 16
# Uniforms that a law is asked for: each count's probability is off by at most twice its inverse.
DRAWS = 2**14
# Of the fixed point.
TOLERANCE = 1e-11
MOST_STEPS = 500

# The coefficients a, b and γ.
Moments = tuple[float, float, float]
LawLike = Law | str | float | tuple[ArrayLike, ArrayLike]
Weights = Callable[[Array], ArrayLike] | ArrayLike | None
Masks = Literal["static", "fresh"]


@dataclass(frozen=True)
class Setting:
    """Everything about a risk but data, law and number of samples."""

    noise: float = 0.0
    test_ratio: LawLike = 0.0
    target_hidden: bool = False
    rescale: bool = False
    ridge: float = 0.0
    weights: Weights = None
    masks: Masks = "static"

    def __post_init__(self) -> None:
        check_noise(self.noise)
        if not (np.isfinite(self.ridge) and self.ridge >= 0):
            raise UserError(f"ridge {self.ridge:g} must be a finite number >= 0")
        if self.masks not in ("static", "fresh"):
            raise UserError(f"masks '{self.masks}' are unknown: give 'static' or 'fresh'")


@dataclass(frozen=True)
class Classes:
    """Rows of K kinds: shares [K] that sum to one, and moments [K], times the loss weight."""

    share: Array
    full: Array
    diagonal: Array
    cross: Array
    weight: Array

    @property
    def second(self) -> Array:
        """[K, 2]: the coefficients of Σ and D."""
        return np.stack([self.full, self.diagonal], axis=1)

    @property
    def average(self) -> Moments:
        """The coefficients averaged over rows."""
        full, diagonal, cross = (self.share @ x for x in (self.full, self.diagonal, self.cross))
        return float(full), float(diagonal), float(cross)


def times_of(law: Law) -> Array:
    """Return the times at which a law is looked at: one, unless it moves."""
    num = TIMES if isinstance(law, laws.Scheduled) else 1
    return (np.arange(num) + 0.5) / num


def nodes_of(law: LawLike, num_nodes: int = NODES) -> tuple[Array, Array]:
    """Return the ratios [K] of a law and their probabilities [K].

    A continuous law has `num_nodes`; a scheduled law is the mixture of what is in force over time.

    >>> nodes_of("fixed:0.5")
    (array([0.5]), array([1.]))
    """
    if isinstance(law, str):
        law = laws.parse(law)
    if isinstance(law, Law):
        rules = [law.quadrature(num_nodes, time) for time in times_of(law)]
        ratios = np.concatenate([ratios for ratios, _ in rules])
        weights = np.concatenate([weights / len(rules) for _, weights in rules])
    elif isinstance(law, tuple):
        if len(law) != 2:
            raise UserError(f"a law as a tuple is (ratios, weights), not {len(law)} things")
        ratios, weights = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in law)
    else:
        ratios, weights = np.array([float(law)]), np.ones(1)
    if ratios.shape != weights.shape or ratios.ndim != 1 or not len(ratios):
        raise UserError(f"{ratios.size} ratios and {weights.size} weights: give one of each")
    wrong = ratios[~((ratios > 0) & (ratios < 1))]
    if len(wrong):
        raise UserError(f"ratio {wrong[0]:g} is outside (0, 1)")
    if not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-6:
        raise UserError(f"weights {_short(weights)} must be >= 0 and sum to 1")
    return ratios, weights / weights.sum()


def counts_of(law: Law | str | float, num_positions: int) -> Array:
    """Return the probability that 0..L-1 positions are hidden [L].

    >>> counts_of("fixed:0.75", 4).tolist()
    [0.0, 0.0, 0.0, 1.0]
    >>> counts_of("uniform:0,1", 4).round(3).tolist()
    [0.0, 0.375, 0.25, 0.375]
    """
    law = laws.parse(law)
    u = (np.arange(DRAWS) + 0.5) / DRAWS
    total = np.zeros(num_positions)
    for time in times_of(law):
        counts = laws.num_hidden(law, u, num_positions, time)
        total += np.bincount(counts, minlength=num_positions)[:num_positions]
    return total / total.sum()


def _short(values: Array) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:6])
    return f"({shown}{', ...' if len(values) > 6 else ''})"


def moments(ratios: Array, rescale: bool) -> tuple[Array, Array, Array]:
    """Return a, b, γ of each ratio; see the module."""
    visible = 1 - ratios
    if rescale:
        return np.ones_like(ratios), ratios / visible, np.ones_like(ratios)
    return visible**2, ratios * visible, visible


def classes_of(law: LawLike, setting: Setting, num_nodes: int = NODES) -> Classes:
    """Return the classes of rows under a law; only rows that count have a share.

    With `target_hidden` a row counts when its target is hidden, with probability p.
    """
    ratios, share = nodes_of(law, num_nodes)
    weight = loss_weights(setting.weights, ratios)
    if setting.target_hidden:
        share = share * ratios / (share @ ratios)
    full, diagonal, cross = moments(ratios, setting.rescale)
    return Classes(share, weight * full, weight * diagonal, weight * cross, weight)


def loss_weights(weights: Weights, ratios: Array) -> Array:
    """Return the loss weight of each ratio: one positive number each."""
    if weights is None:
        return np.ones_like(ratios)
    values = np.asarray(weights(ratios) if callable(weights) else weights, dtype=np.float64)
    if values.shape != ratios.shape:
        raise UserError(f"weights of shape {values.shape} must be one per ratio: {len(ratios)}")
    if not (np.isfinite(values) & (values > 0)).all():
        raise UserError(f"loss weights {_short(values)} must be finite and > 0")
    return values


def moments_at(ratio: LawLike, rescale: bool, num_nodes: int = NODES) -> Moments:
    """Return a, b, γ at the test ratio, which may be 0; averaged when it is a law."""
    if isinstance(ratio, (int, float)) and not 0 <= ratio < 1:
        raise UserError(f"test ratio {ratio:g} is outside [0, 1)")
    if ratio == 0:
        return 1.0, 0.0, 1.0
    ratios, share = nodes_of(ratio, num_nodes)
    full, diagonal, cross = (float(share @ part) for part in moments(ratios, rescale))
    return full, diagonal, cross


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
    """Return the fixed point of `num_samples` rows that count, ι = `identity`, B₀ = `diagonal`."""
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
