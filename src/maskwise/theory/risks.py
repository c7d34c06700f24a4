"""The test risk of minimum-norm regression from masked inputs, in closed form.

x has covariance Σ, y = xᵀβ + noise, and entry j of sample i is hidden with probability p_i, drawn
from the law; the model sees zeros where hidden. The paper characterises masked pretraining by
this risk (arXiv 2509.21650); the formulas, for any covariance and any law, are derived in
docs/theory.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskwise.errors import UserError
from maskwise.theory.classes import (
    NODES,
    Classes,
    FixedPoint,
    LawLike,
    Masks,
    Moments,
    Setting,
    Weights,
    classes_of,
    moments_at,
    nodes_of,
    solve,
)
from maskwise.theory.spectra import Array, Model

LawGrid = LawLike | Sequence[LawLike] | NDArray[np.float64]
# A law that goes beyond this ratio is looked at twice; see `_risk_of`.
NEARLY_ALL = 0.99


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
        laws, sizes, tests = np.broadcast_arrays(*grids)
    except ValueError:
        shapes = ", ".join(str(grid.shape) for grid in grids)
        raise UserError(
            f"law, num_samples and test_ratio of shapes {shapes} do not broadcast: give some of "
            "them more axes"
        ) from None
    found = [
        _risk_of(model, single, float(size), replace(setting, test_ratio=tested))
        for single, size, tested in zip(laws.flat, sizes.flat, tests.flat, strict=True)
    ]
    if not laws.ndim:
        return found[0]
    parts = [np.array([getattr(one, field.name) for one in found]) for field in fields(Risk)]
    return Risk(*(part.reshape(laws.shape) for part in parts))


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
    point = solve(model, classes, rows, identity=identity, offset=offset, diagonal=extra)
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
