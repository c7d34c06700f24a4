"""The test risk by simulation: what the closed form in risks.py is checked against.

Gaussian data is drawn and masked, the linear model is fitted, and its risk is computed exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TypeAlias, cast

import numpy as np

from maskwise.errors import UserError
from maskwise.theory.risks import (
    LawLike,
    Masks,
    Setting,
    Weights,
    classes_of,
    loss_weights,
    moments_at,
    nodes_of,
    rows_of,
)
from maskwise.theory.spectra import Array, Covariance, Model, Spectrum

# Directions of a Gram matrix below this share of the largest are dependent rows or columns.
CUTOFF = 1e-12
# What puts an array where the linear algebra runs, numpy's or torch's.
_Put: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Simulation:
    """Mean risk of the repeats, its standard error, and the risk of each [repeats]."""

    mean: float
    stderr: float
    risks: Array


class _Experiment:
    """What is drawn, masked and fitted."""

    def __init__(self, source: Covariance, law: LawLike, setting: Setting, put: _Put) -> None:
        self.law, self.setting, self.put = law, setting, put
        values, vectors = np.linalg.eigh(source.matrix)
        # The symmetric root: there is but one, where eigenvectors have any sign, and those of
        # equal eigenvalues any direction, so that another CPU would draw other samples.
        self.root = put((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
        self.beta = put(source.beta)
        units = np.arange(len(values)) if source.units is None else source.units
        self.unit = np.unique(units, return_inverse=True)[1]
        self.same = put((self.unit[:, None] == self.unit).astype(np.float64))

    def draw(self, rng: np.random.Generator, num_samples: int) -> tuple[Array, Array]:
        """Return features [n, d] and targets [n, m]; each target has its share of the noise."""
        dim, num_targets = self.beta.shape
        x = self.put(rng.standard_normal((num_samples, dim))) @ self.root.T
        deviation = np.sqrt(self.setting.noise / num_targets)
        errors = rng.standard_normal((num_samples, num_targets)) * deviation
        return x, x @ self.beta + self.put(errors)

    def masked(
        self, rng: np.random.Generator, x: Array, y: Array, masks_per_sample: int
    ) -> tuple[Array, Array]:
        """Return what the model sees and its target, in rows that count, times √weight."""
        ratios, share = nodes_of(self.law)
        roots = np.sqrt(loss_weights(self.setting.weights, ratios))
        scale = roots / (1 - ratios) if self.setting.rescale else roots
        rows, factors, weights = [], [], []
        for _ in range(masks_per_sample):
            kind = rng.choice(len(ratios), len(x), p=share)
            hidden = rng.random((len(x), self.unit.max() + 1)) < ratios[kind, None]
            counts = np.arange(len(x))
            if self.setting.target_hidden:
                counts = np.flatnonzero(rng.random(len(x)) < ratios[kind])
            rows.append(counts)
            factors.append(np.where(hidden[:, self.unit], 0.0, scale[kind, None])[counts])
            weights.append(roots[kind[counts], None])
        place, factor, weight = map(np.concatenate, (rows, factors, weights))
        return x[place] * self.put(factor), y[place] * self.put(weight)

    def fit_fresh(self, x: Array, y: Array) -> Array:
        """Return the minimiser of the loss averaged over masks: A₁ (A₂ Σ̂ + A₃ D̂ + λ I)⁻¹ ĉ."""
        full, diagonal, cross = classes_of(self.law, self.setting).average
        second = (x.T @ x / len(x)) * (full + diagonal * self.same)
        return _solve(second, self.setting.ridge, cross * (x.T @ y) / len(x), self.put)


def simulate(
    model: Model,
    law: LawLike,
    num_samples: int,
    noise: float | None = None,
    *,
    test_ratio: LawLike = 0.0,
    target_hidden: bool = False,
    rescale: bool = False,
    ridge: float = 0.0,
    weights: Weights = None,
    masks: Masks = "static",
    repeats: int = 20,
    seed: int = 0,
    masks_per_sample: int = 1,
    device: str | None = None,
) -> Simulation:
    """Return what `risk` predicts, found by fitting data that is drawn.

    Ratios are drawn from the nodes that `risk` puts in a continuous law's place, so that both
    have the same law. A repeat depends on `seed` and its number only.

    Arguments are those of `risk`, `ridge` is the penalty λ ‖b‖² per row that counts, and

    - model: a `Spectrum` is given a basis by `dense`;
    - masks: "static" is `masks_per_sample` for each sample, each with a ratio of its own; "fresh"
      is the exact average over all masks;
    - repeats: how often data is drawn and fitted; seed: decides all draws;
    - device: where torch runs the linear algebra ("cuda"); numpy does when not given.

    Raises:
        UserError: what `risk` refuses, too few repeats or masks, or no such device.

    >>> from maskwise.theory import isotropic
    >>> round(simulate(isotropic(100), 0.5, num_samples=50, repeats=8).mean, 1)  # the risk is 1.5
    1.6
    """
    own = model.noise if noise is None else noise
    setting = Setting(own, test_ratio, target_hidden, rescale, ridge, weights, masks)
    for name, value, least in [
        ("num_samples", num_samples, 1),
        ("repeats", repeats, 2),
        ("masks_per_sample", masks_per_sample, 1),
        ("seed", seed, 0),
    ]:
        if value != value // 1 or value < least:
            raise UserError(f"{name} {value:g} must be a whole number, at least {least}")
    if masks == "fresh" and masks_per_sample > 1:
        raise UserError(f"masks_per_sample {masks_per_sample} is for static masks: leave it out")
    rows_of(model, law, num_samples * masks_per_sample, setting)
    put = _put_on(device)
    source = dense(model)
    experiment = _Experiment(source, law, setting, put)
    full, diagonal, cross = moments_at(test_ratio, rescale)
    second = put(source.matrix) * (full + diagonal * experiment.same)
    target = put(cross * source.cross)

    risks = np.empty(repeats)
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        x, y = experiment.draw(rng, int(num_samples))
        if masks == "fresh":
            b = experiment.fit_fresh(x, y)
        else:
            z, y = experiment.masked(rng, x, y, masks_per_sample)
            b = least_squares(z, y, ridge * len(z), put)
        risks[repeat] = source.variance + own + float((b * (second @ b - 2 * target)).sum())
    return Simulation(float(risks.mean()), float(risks.std(ddof=1) / np.sqrt(repeats)), risks)


def _put_on(device: str | None) -> _Put:
    if device is None:
        return np.asarray
    import torch

    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device '{device}' is of no use here ({reason}); leave it out") from None
    return lambda array: cast(Array, torch.as_tensor(array, device=device))


def least_squares(z: Array, y: Array, penalty: float, put: _Put) -> Array:
    """Return the b of smallest norm that minimises ‖y - zb‖² + penalty ‖b‖²."""
    if len(z) < z.shape[1]:
        return z.T @ _solve(z @ z.T, penalty, y, put)
    return _solve(z.T @ z, penalty, z.T @ y, put)


def _solve(gram: Array, penalty: float, right: Array, put: _Put) -> Array:
    """Solve (gram + penalty I) b = right, by the inverse on the range when that is singular."""
    if not len(gram):
        return right
    gram = gram + penalty * put(np.eye(len(gram)))
    # Tensors of torch answer to the same names as arrays.
    linalg = np.linalg if isinstance(gram, np.ndarray) else import_module("torch.linalg")
    try:
        pivots = linalg.cholesky(gram).diagonal()
        if pivots.min() ** 2 > CUTOFF * pivots.max() ** 2:
            return linalg.solve(gram, right)
    except linalg.LinAlgError:
        pass  # Rows that see nothing, or the same twice.
    values, vectors = linalg.eigh(gram)
    keep = values > CUTOFF * values[-1]
    return vectors[:, keep] @ (vectors[:, keep].T @ right / values[keep, None])


def dense(model: Model, seed: int = 0) -> Covariance:
    """Return a model as a covariance, from which data can be drawn.

    The eigenvectors of a `Spectrum` are a random basis in which every feature has the same
    variance, and β has random signs along them; a `Covariance` is returned as it is.

    >>> from maskwise.theory import Spectrum
    >>> dense(Spectrum([2.0, 0.5, 0.5], [1.0, 0.0, 0.0])).matrix.diagonal().tolist()
    [1.0, 1.0, 1.0]
    """
    if isinstance(model, Covariance):
        return model
    if not isinstance(model, Spectrum):
        raise UserError(
            f"no data can be drawn from a {type(model).__name__}: give a Spectrum or a Covariance"
        )
    rng = np.random.default_rng(seed)
    values = model.eigenvalues
    vectors = _levelled(np.linalg.qr(rng.standard_normal((model.dim, model.dim)))[0], values)
    matrix = (vectors * values) @ vectors.T
    np.fill_diagonal(matrix, values.mean())
    beta = vectors @ (np.sqrt(model.signal) * rng.choice([-1.0, 1.0], model.dim))
    return Covariance(matrix, beta, model.noise)


def _levelled(vectors: Array, values: Array) -> Array:
    """Rotate pairs of features until each has the mean variance.

    Each rotation sets one feature's variance to the mean, as in Bendel and Mickey, "Population
    correlation matrices for sampling experiments" (1978), but of eigenvectors, which are kept.
    """
    mean = values.mean()
    above = vectors**2 @ values - mean
    for _ in range(len(values) - 1):
        low, high = above.argmin(), above.argmax()
        if above[high] - above[low] <= 1e-13 * mean:
            break
        # The smaller root t, the tangent, of above_low + 2 t covariance + t² above_high = 0.
        covariance = (vectors[low] * values) @ vectors[high]
        root = np.sqrt(covariance**2 - above[low] * above[high])
        tangent = -above[low] / (covariance + np.copysign(root, covariance))
        rotation = np.array([[1.0, tangent], [-tangent, 1.0]]) / np.sqrt(1 + tangent**2)
        vectors[[low, high]] = rotation @ vectors[[low, high]]
        above[high] += above[low]
        above[low] = 0.0
    return vectors
