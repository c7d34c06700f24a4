"""The best fixed ratio, the best interval, the best law, and where a random law wins."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.laws import Choice, Fixed, Law, Uniform
from maskwise.theory.risks import InfiniteRiskError, LawLike, Risk, RiskOptions, risk
from maskwise.theory.spectra import Array, Model
from maskwise.ties import smallest

GRID = np.linspace(0.01, 0.99, 50)
FLAT = 0.01
# How much of the law is moved when a ratio is tried; 1 replaces the law.
STEPS = (1e-3, 0.01, 0.05, 0.2, 0.5, 1.0)
MOST_ROUNDS = 50
NARROWEST = 0.01
# Laws are written with as many decimals as anybody needs.
DECIMALS = 4


@dataclass(frozen=True)
class Best:
    """The law of least risk in its family.

    Args:
        law: the law.
        risk: what it costs.
        flat: of a fixed ratio: the ratios around it whose risk is within 1 % of the least.
        certificate: of a law: the largest relative gain found by adding any single ratio of the
            grid, in any of a range of amounts; at most the tolerance that was asked for.
    """

    law: Law
    risk: Risk
    flat: tuple[float, float] | None = None
    certificate: float | None = None


@checked()
def best_ratio(
    model: Model,
    num_samples: float,
    noise: float | None = None,
    *,
    ratios: ArrayLike = GRID,
    **options: Unpack[RiskOptions],
) -> Best:
    """Return the fixed ratio of least risk: the best of a grid, refined between its neighbours.

    `ratios` is the grid, rising, in (0, 1); other arguments are those of `risk`.

    >>> from maskwise.theory import isotropic
    >>> best = best_ratio(isotropic(400), 100, 0.5, target_hidden=True)
    >>> round(best.law.ratio, 2)
    0.12
    """
    grid = _grid(ratios)
    cost = cost_of(model, num_samples, noise, options)
    totals = np.array([cost(ratio) for ratio in grid])
    index = _least(totals)
    low, high = grid[max(index - 1, 0)], grid[min(index + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        cost, bounds=(low, high), method="bounded", options={"xatol": 1e-4}
    )
    better = smallest(np.array([totals[index], found.fun])) == 1
    ratio = round(float(found.x if better else grid[index]), DECIMALS)
    least = risk(model, ratio, num_samples, noise, **options)
    place = int(np.searchsorted(grid, ratio))
    with_best = np.insert(grid, place, ratio), np.insert(totals, place, float(least.total))
    return Best(Fixed(ratio), least, flat=_flat(*with_best, place))


def _grid(ratios: ArrayLike) -> Array:
    grid = np.asarray(ratios, dtype=np.float64)
    if grid.ndim != 1 or not len(grid):
        raise UserError(f"ratios of shape {grid.shape} must be a list of some")
    return grid


@checked()
def best_interval(
    model: Model,
    num_samples: float,
    noise: float | None = None,
    *,
    ratios: ArrayLike = GRID[::6],
    **options: Unpack[RiskOptions],
) -> Best:
    """Return the uniform law U[a, b] of least risk: the best of a grid, refined.

    `ratios` is the grid of bounds a < b, in (0, 1); other arguments are those of `risk`.

    >>> from maskwise.theory import isotropic
    >>> best = best_interval(isotropic(400), 100, 0.5, target_hidden=True)
    >>> [round(bound, 2) for bound in best.law.support()]
    [0.12, 0.13]
    """
    grid = _grid(ratios)
    cost = cost_of(model, num_samples, noise, options)

    # Bounds as centre and half-width, so that every point of the search is an interval.
    def interval(point: Array) -> Uniform:
        centre = float(np.clip(point[0], grid[0] + NARROWEST / 2, grid[-1] - NARROWEST / 2))
        widest = min(centre - grid[0], grid[-1] - centre)
        half = float(np.clip(abs(point[1]), NARROWEST / 2, widest))
        return Uniform(round(centre - half, DECIMALS), round(centre + half, DECIMALS))

    pairs = itertools.combinations(grid, 2)
    starts = [np.array([(low + high) / 2, (high - low) / 2]) for low, high in pairs]
    best = best_ratio(model, num_samples, noise, **options).law
    starts.append(np.array([best.mean(), NARROWEST / 2]))
    totals = np.array([cost(interval(start)) for start in starts])
    start = starts[_least(totals)]
    simplex = start + np.array([[0, 0], [0.05, 0], [0, 0.05]])
    found = optimize.minimize(
        lambda point: cost(interval(point)),
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-7},
    )
    better = smallest(np.array([totals.min(), found.fun])) == 1
    law = interval(found.x if better else start)
    return Best(law, risk(model, law, num_samples, noise, **options))


@checked()
def best_law(
    model: Model,
    num_samples: float,
    noise: float | None = None,
    *,
    ratios: ArrayLike = GRID,
    tolerance: float = 1e-4,
    **options: Unpack[RiskOptions],
) -> Best:
    """Return the law of least risk among all laws on a grid of ratios, with a certificate.

    From the best fixed ratio on: find the ratio whose addition helps most, add it, then choose
    all weights anew; stop when no addition helps by more than the tolerance.

    The law may use the ratios of the grid, in (0, 1), besides the best fixed ratio; `tolerance`
    is the relative gain in risk that is not worth another ratio. Other arguments are those of
    `risk`.

    Raises:
        UserError: the search does not end within `tolerance`.

    >>> from maskwise.theory import isotropic
    >>> best = best_law(isotropic(400), 100, 0.5, target_hidden=True)
    >>> round(best.law.mean(), 2), best.certificate <= 1e-4
    (0.12, True)
    """
    grid = _grid(ratios)
    cost = cost_of(model, num_samples, noise, options)
    start = best_ratio(model, num_samples, noise, ratios=grid, **options).law.mean()
    support, weights, total = np.array([start]), np.ones(1), cost(start)
    for _ in range(MOST_ROUNDS):
        added = {
            (ratio, step): cost((np.append(support, ratio), np.append((1 - step) * weights, step)))
            for ratio in grid
            for step in STEPS
        }
        ratio, step = list(added)[smallest(np.array(list(added.values())))]
        gain = 1 - added[ratio, step] / total
        if gain <= tolerance:
            law = _as_law(support, weights)
            least = risk(model, law, num_samples, noise, **options)
            return Best(law, least, certificate=max(gain, 0.0))
        weights = np.append((1 - step) * weights, step)
        support, weights, total = _reweigh(cost, np.append(support, ratio), weights)
    raise UserError(
        f"no law within {tolerance:g} of the best after {MOST_ROUNDS} rounds (last gain "
        f"{gain:.1e}): raise the tolerance"
    )


def cost_of(
    model: Model, num_samples: float, noise: float | None, options: RiskOptions
) -> Callable[[LawLike], float]:
    """Return the total risk as a function of the law; infinite where rows equal features."""

    def cost(law: LawLike) -> float:
        try:
            return float(risk(model, law, num_samples, noise, **options).total)
        except InfiniteRiskError:
            return np.inf

    return cost


def _least(totals: Array) -> int:
    if not np.isfinite(totals).any():
        raise UserError("the risk is infinite at every ratio of the grid: give a ridge > 0")
    return smallest(totals)


def _flat(grid: Array, totals: Array, index: int) -> tuple[float, float]:
    """Return where the curve leaves 1 % above its least value, on both sides of `index`."""
    limit = (1 + FLAT) * totals[index]

    def edge(order: Sequence[int]) -> float:
        for here, there in itertools.pairwise(order):
            if totals[there] > limit:
                share = (limit - totals[here]) / (totals[there] - totals[here])
                return float(grid[here] + share * (grid[there] - grid[here]))
        return float(grid[order[-1]])

    return edge(range(index, -1, -1)), edge(range(index, len(grid)))


def _reweigh(
    cost: Callable[[LawLike], float], support: Array, weights: Array
) -> tuple[Array, Array, float]:
    """Return the weights of least risk on `support`, without ratios of no weight."""

    def objective(values: Array) -> float:
        values = np.clip(values, 0.0, None)
        return cost((support, values / values.sum()))

    found = optimize.minimize(
        objective,
        weights,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(weights),
        constraints={"type": "eq", "fun": lambda values: values.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 100},
    )
    if found.fun < objective(weights):
        weights = np.clip(found.x, 0.0, None)
    kept = weights > 0.5 * 10**-DECIMALS
    weights = weights[kept] / weights[kept].sum()
    return support[kept], weights, cost((support[kept], weights))


def _as_law(support: Array, weights: Array) -> Law:
    if len(support) == 1:
        return Fixed(float(support[0]))
    order = np.argsort(support, kind="stable")
    rounded = (np.round(values[order], DECIMALS).tolist() for values in (support, weights))
    return Choice(*rounded)


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


@checked()
def win_map(
    model: Model,
    num_samples: ArrayLike,
    noise: ArrayLike,
    *,
    family: Literal["any", "interval"] = "any",
    **options: Unpack[RiskOptions],
) -> WinMap:
    """Return where, and by how much, a random law beats the best fixed ratio.

    `family` is "any", laws on a grid of ratios, or "interval", U[a, b]; other arguments are those
    of `risk`, with numbers of samples [N] and variances of the noise [M].

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
    fixed = [[best_ratio(model, n, level, **options) for level in levels] for n in sizes]
    best = [[FAMILIES[family](model, n, level, **options) for level in levels] for n in sizes]
    of_fixed, of_law = (
        np.array([[each.risk.total for each in row] for row in rows]) for rows in (fixed, best)
    )
    return WinMap(
        num_samples=sizes,
        noise=levels,
        ratio=np.array([[each.law.mean() for each in row] for row in fixed]),
        fixed=of_fixed,
        law=of_law,
        gain=np.maximum(1 - of_law / of_fixed, 0.0),
        laws=[[str(each.law) for each in row] for row in best],
    )
