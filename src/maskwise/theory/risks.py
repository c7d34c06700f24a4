"""The test risk of minimum-norm regression from masked inputs, in closed form.

x has covariance Σ, y = xᵀβ + noise, and entry j of sample i is hidden with probability p_i, drawn
from the law; the model sees zeros where hidden. The paper characterises masked pretraining by
this risk (arXiv 2509.21650); the formulas, for any covariance and any law, are derived in
docs/theory.md.

A row masked at ratio p has second moment a Σ + b D and covariance γ Σβ with the target:
a = (1-p)², b = p(1-p), γ = 1-p, and with `rescale` (inverted dropout) a = γ = 1, b = p/(1-p).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskwise import laws
from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.laws import Law
from maskwise.theory.spectra import Array, FixedPoint, Model, check_noise, solve

# Nodes for a continuous law; the risk is smooth in the ratio, so that few are needed.
NODES = 32
# Times at which a schedule is looked at.
TIMES = 16
# Uniforms that a law is asked for: each count's probability is off by at most twice its inverse.
DRAWS = 2**14
# A law that goes beyond this ratio is looked at twice; see `_risk_of`.
NEARLY_ALL = 0.99

# The coefficients a, b and γ.
Moments = tuple[float, float, float]
LawLike = Law | str | float | tuple[ArrayLike, ArrayLike]
Weights = Callable[[Array], ArrayLike] | ArrayLike | None
Masks = Literal["static", "fresh"]
LawGrid = LawLike | Sequence[LawLike] | NDArray[np.float64]


class InfiniteRiskError(UserError):
    """The risk without ridge is infinite: as many rows as features, or rows that see nothing."""


@dataclass(frozen=True)
class Risk:
    """Expected squared error on a new sample: total = bias + variance + irreducible.

    Numbers, or arrays in the shape of the grid that was asked for.
    """

    total: float | Array
    bias: float | Array
    variance: float | Array
    irreducible: float | Array


class RiskOptions(TypedDict, total=False):
    """What else `risk` may be told."""

    test_ratio: LawGrid
    target_hidden: bool
    rescale: bool
    ridge: float
    weights: Weights
    masks: Masks


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


@checked()
def risk(
    model: Model,
    law: LawGrid,
    num_samples: ArrayLike,
    noise: float | None = None,
    *,
    test_ratio: LawGrid = 0.0,
    target_hidden: bool = False,
    rescale: bool = False,
    ridge: float = 0.0,
    weights: Weights = None,
    masks: Masks = "static",
) -> Risk:
    """Return the test risk of the linear model that fits masked inputs.

    Args:
        model: the data: a `Spectrum`, a `Covariance`, or what `estimate` found.
        law: a `Law`, its string, a ratio, or (ratios, weights); an array of ratios, or a list
            of laws, gives a grid. Grids are broadcast against each other.
        num_samples: n, samples to fit, a number or an array.
        noise: variance of the noise in the target (default: the model's own).
        test_ratio: ratio at which the fitted model is tested; a law is averaged over; a grid
            as for `law`.
        target_hidden: the target is itself hidden with the sample's ratio, and only then counts.
        rescale: divide visible entries by 1 - ratio (inverted dropout), in training and test.
        ridge: λ of the penalty n λ ‖b‖²; 0 is the solution of minimum norm.
        weights: loss weight of a row, as a function of its ratio or one per ratio of the law.
        masks: "static", one mask per sample, or "fresh", a new one in each of many epochs.

    Raises:
        UserError: a ratio is outside (0, 1), weights do not sum to one, the risk is infinite
            (without ridge: n equals d; or n < d and a law that goes up to 1), or a number makes
            no sense.

    >>> from maskwise.theory import isotropic
    >>> found = risk(isotropic(400), "uniform:0.1,0.5", num_samples=200, noise=0.2)
    >>> round(float(found.total), 3)
    1.463
    """
    own = model.noise if noise is None else noise
    setting = Setting(own, 0.0, target_hidden, rescale, ridge, weights, masks)
    grids = _grid(law), np.asarray(num_samples, dtype=np.float64), _grid(test_ratio)
    try:
        each, sizes, tests = np.broadcast_arrays(*grids)
    except ValueError:
        shapes = ", ".join(str(grid.shape) for grid in grids)
        raise UserError(
            f"law, num_samples and test_ratio of shapes {shapes} do not broadcast: give some of "
            "them more axes"
        ) from None
    found = [
        _risk_of(model, single, float(size), replace(setting, test_ratio=tested))
        for single, size, tested in zip(each.flat, sizes.flat, tests.flat, strict=True)
    ]
    if not each.ndim:
        return found[0]
    parts = [np.array([getattr(one, field.name) for one in found]) for field in fields(Risk)]
    return Risk(*(part.reshape(each.shape) for part in parts))


def _grid(law: LawGrid) -> NDArray[np.object_]:
    """Return laws as an array of objects, with no axis for a single law."""
    if isinstance(law, np.ndarray):
        return law.astype(object)
    # Filled one by one, because numpy would take a tuple apart.
    grid = np.empty(len(law) if isinstance(law, list) else (), dtype=object)
    for index, one in enumerate(law) if isinstance(law, list) else [((), law)]:
        grid[index] = one
    return grid


def _risk_of(model: Model, law: LawLike, num_samples: float, setting: Setting) -> Risk:
    """Return the risk of one law at one number of samples."""
    rows = rows_of(model, law, num_samples, setting)
    found = _with_nodes(NODES, model, law, num_samples, rows, setting)
    tested = setting.test_ratio
    highest = max(nodes_of(one)[0].max() for one in (law, tested) if one != 0)
    if highest > NEARLY_ALL:
        # Rows that see nearly nothing may weigh so much that no number of nodes is enough.
        finer = _with_nodes(2 * NODES, model, law, num_samples, rows, setting)
        if abs(float(finer.total) / float(found.total) - 1) > 0.01:
            raise InfiniteRiskError(
                f"law {law}, tested at {tested}, goes up to ratio 1, where rows that show next to "
                "nothing make the risk infinite; bound it below 1, or give a ridge > 0"
            )
    return found


def _with_nodes(
    num_nodes: int, model: Model, law: LawLike, num_samples: float, rows: float, setting: Setting
) -> Risk:
    """Return the risk with `num_nodes` ratios in the place of a continuous law."""
    classes = classes_of(law, setting, num_nodes)
    tested = moments_at(setting.test_ratio, setting.rescale, num_nodes)
    # Without ridge, the limit of a small one, on either side of as many rows as features.
    few = setting.ridge == 0 and rows < model.dim
    identity, offset = (1.0, 0.0) if few else (setting.ridge, 1.0)
    extra, factor = 0.0, 1.0
    if setting.masks == "fresh":
        # Averaged over masks first it is ridge in the metric D, and a scaled solution:
        # b = A₁ (A₂ Σ̂ + A₃ D + λ I)⁻¹ ĉ with A₁, A₂, A₃ the averages of γ, a, b.
        full, diagonal, cross = classes.average
        identity, offset = setting.ridge / full, 1.0
        extra, factor = diagonal / full, cross / full
        rows, one = num_samples, np.ones(1)
        classes = Classes(one, one, np.zeros(1), one, one)
    point = solve(
        model,
        classes.share,
        classes.second,
        rows,
        identity=identity,
        offset=offset,
        diagonal=extra,
    )
    return _parts(model, classes, rows, point, setting.noise, tested, factor)


def rows_of(model: Model, law: LawLike, num_samples: float, setting: Setting) -> float:
    """Return how many rows count, where the risk is finite."""
    if not (np.isfinite(num_samples) and num_samples >= 1):
        raise UserError(f"num_samples {num_samples:g} is no number of samples: give at least 1")
    ratios, share = nodes_of(law)
    rows = num_samples * float(share @ ratios) if setting.target_hidden else num_samples
    # Not ==, because n E[p] is rounded, and nothing is accurate where the risk is that large.
    close = abs(rows - model.dim) <= 1e-6 * model.dim
    if close and setting.ridge == 0 and setting.masks == "static":
        raise InfiniteRiskError(
            f"{rows:g} rows count and there are {model.dim} features (law {law}): the risk "
            f"without ridge is infinite there; give a ridge > 0 or another num_samples"
        )
    return rows


def _parts(
    model: Model,
    classes: Classes,
    rows: float,
    point: FixedPoint,
    noise: float,
    tested: Moments,
    factor: float,
) -> Risk:
    """Return R_t(b̄) + Σ_k π_k e_k g_k² R_k(b̄) in parts; `factor` scales the fitted solution."""
    target = model.variance + noise
    full, diagonal, cross = tested
    gain = point.gain
    length = float((classes.share * gain) @ classes.cross)
    along, in_full, in_diagonal = model.energies(point.identity, point.full, point.diagonal)

    # b̄ = length · Q Σβ, tested at t and on the rows that were fitted.
    mean_risk = target - 2 * cross * factor * length * along
    mean_risk += (factor * length) ** 2 * (full * in_full + diagonal * in_diagonal)
    row_risks = classes.weight * target - 2 * classes.cross * length * along
    row_risks += length**2 * (classes.full * in_full + classes.diagonal * in_diagonal)

    between = classes.second @ point.second / rows
    coupling = (between @ classes.second.T) * (classes.share * gain**2)
    leverage = np.linalg.solve(np.eye(len(gain)) - coupling, between @ np.array([full, diagonal]))
    variance = factor**2 * float((classes.share * gain**2 * leverage) @ row_risks)

    # With nothing hidden, the best predictor is β itself.
    explained = model.variance
    if diagonal > 0:
        explained = cross**2 * float(model.energies(0.0, full, diagonal)[0])
    irreducible = target - explained
    parts = mean_risk + variance, mean_risk - irreducible, variance, irreducible
    return Risk(*map(float, parts))


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
