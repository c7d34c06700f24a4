"""Spectra from data: the theory asks for correlations only, and samples tell those.

Tables of samples by features, dense or sparse, are standardised a block at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, cast, overload

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike
from scipy import linalg, sparse

from maskwise.errors import UserError
from maskwise.theory.spectra import Array, Spectrum, scale

Table: TypeAlias = ArrayLike | sparse.spmatrix | sparse.sparray
# Numbers in a block that is made dense and float64 at a time.
BLOCK = 2**22
# A deviation this small beside the mean is rounding: the column never varies.
STILL = 1e-12

# Eigenvalues below this, of a correlation matrix, are rounding.
ZERO = 1e-10
# The series of energies: the range of ζ, and its degree; how energies scale with A.
LOWEST, HIGHEST, DEGREE = 1e-3, 1e5, 71
POWERS = np.array([1.0, 2.0, 2.0])


@dataclass(frozen=True, eq=False)
class Columns:
    """A table [n, d], dense or sparse, with the mean and standard deviation [d] of its columns."""

    values: np.ndarray | sparse.csr_array
    mean: Array
    deviation: Array

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape

    @property
    def still(self) -> np.ndarray:
        """Indices of columns that never vary."""
        return np.flatnonzero(self.deviation == 0)

    def varying(self) -> "Columns":
        """Return the columns that vary."""
        if not len(self.still):
            return self
        keep = np.flatnonzero(self.deviation)
        return Columns(self.values[:, keep], self.mean[keep], self.deviation[keep])

    def blocks(self, axis: int) -> Iterator[tuple[slice, Array]]:
        """Yield blocks of rows (axis 0) or of columns (axis 1), standardised, and their places."""
        for place, block in _blocks(self.values, axis):
            columns = place if axis else slice(None)
            block -= self.mean[columns]
            block /= self.deviation[columns]
            yield place, block


def read_columns(data: Table) -> Columns:
    """Return a table [n, d] with the moments of its columns."""
    values = cast(sparse.csr_array, data).tocsr() if sparse.issparse(data) else np.asarray(data)
    if values.ndim != 2 or min(values.shape) < 2:
        raise UserError(
            f"data of shape {values.shape} must be [samples, features], at least 2 of each"
        )
    if values.dtype.kind not in "biuf":
        raise UserError(f"data of type {values.dtype} must be real numbers")
    mean, deviation = np.empty((2, values.shape[1]))
    for place, block in _blocks(values, axis=1):
        with np.errstate(over="ignore", invalid="ignore"):
            mean[place] = block.mean(axis=0)
            deviation[place] = np.sqrt(((block - mean[place]) ** 2).mean(axis=0))
        if np.isfinite(deviation[place]).all():
            continue
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            row, column = bad[0]
            raise UserError(
                f"row {row}, column {place.start + column} is {block[row, column]}: fill it in, or"
                " leave the row or column out"
            )
        column = place.start + int(np.argmin(np.isfinite(deviation[place])))
        raise UserError(f"column {column} holds numbers too large to square: rescale it")
    deviation[deviation <= STILL * np.abs(mean)] = 0.0
    return Columns(values, mean, deviation)


@dataclass(frozen=True, eq=False)
class FeatureSpectrum:
    """Standardised features, each in turn the target that is predicted from all the others.

    What the theory asks for is averaged over targets. One eigendecomposition of the whole Σ
    serves all of them, exactly: what Q = (ζ I + Σ)⁻¹ is without feature j follows from its column
    j (a Schur complement). The traces are those of Σ times (d-1)/d, which is exact to O(1/d).

    Args:
        eigenvalues: [r] distinct eigenvalues of Σ, whose diagonal is 1.
        multiplicity: [r] how many directions have that eigenvalue; d in all.
        share: [d, r] how much of each feature lies there: squared loadings, rows sum to one.
        num_samples: samples it was estimated from.
        shrinkage: share of the identity in Σ.
    """

    eigenvalues: Array
    multiplicity: Array
    share: Array
    num_samples: int
    shrinkage: float

    @property
    def dim(self) -> int:
        """The number of features that a target is predicted from."""
        return len(self.share) - 1

    @property
    def variance(self) -> float:
        """What the others tell about a feature, whose variance is 1."""
        return float(self._unmasked[0])

    @property
    def noise(self) -> float:
        """What they do not tell: the mean of 1/(Σ⁻¹)ⱼⱼ."""
        return 1 - self.variance

    def traces(self, identity: float, full: float, diagonal: float) -> tuple[Array, Array]:
        dq = 1 / (identity + diagonal + full * self.eigenvalues)
        sq = self.eigenvalues * dq
        count = self.multiplicity * (self.dim / len(self.share))
        cross = (count * sq * dq).sum()
        square = np.array([[(count * sq**2).sum(), cross], [cross, (count * dq**2).sum()]])
        return np.array([(count * sq).sum(), (count * dq).sum()]), square

    def energies(self, identity: float, full: float, diagonal: float) -> Array:
        zeta = (identity + diagonal) / full
        if zeta == 0:
            found = self._unmasked
        elif LOWEST <= zeta <= HIGHEST:
            at = 2 * np.log(zeta / LOWEST) / np.log(HIGHEST / LOWEST) - 1
            found = chebyshev.chebval(at, self._series) * (1 + zeta) ** -POWERS
        else:
            found = self.exact_energies(zeta)
        return found / full**POWERS

    @cached_property
    def _unmasked(self) -> Array:
        return self.exact_energies(0.0)

    @cached_property
    def _series(self) -> Array:
        """Energies as Chebyshev series in log ζ, good to 1e-6, because each is expensive."""

        def scaled(places: Array) -> Array:
            zetas = LOWEST * (HIGHEST / LOWEST) ** ((places + 1) / 2)
            return np.array([self.exact_energies(z) * (1 + z) ** POWERS for z in zetas])

        # numpy's stubs know functions to numbers only.
        return chebyshev.chebinterpolate(scaled, DEGREE)  # type: ignore[arg-type]

    def exact_energies(self, zeta: float) -> Array:
        """Return means over targets of sᵀQs, sᵀQΣQs and sᵀQQs, Q = (ζ I + Σ)⁻¹.

        s, Q and Σ are those of the features other than the target. Everything is a sum of
        non-negative terms of q - 1/(1+ζ), but for one, so that small values keep their digits.
        """
        s = self.eigenvalues
        spread = ((1 - s) / (zeta + s)) ** 2
        plain, times_s = (self.share @ np.stack([spread, spread * s], axis=1)).T
        gap = zeta * plain + times_s
        drop = gap / (1 + zeta)
        own = 1 + drop  # (1+ζ) Qⱼⱼ
        full = times_s + drop * gap * (2 - 1 / (1 + zeta))
        each = gap / own, full / own**2, (plain - drop**2) / own**2
        return np.array([values.mean() for values in each])


@overload
def estimate(
    X: Table | Columns, target: None = None, *, shrinkage: float | None = None
) -> FeatureSpectrum: ...
@overload
def estimate(
    X: Table | Columns, target: ArrayLike, *, shrinkage: float | None = None
) -> Spectrum: ...


def estimate(
    X: Table | Columns, target: ArrayLike | None = None, *, shrinkage: float | None = None
) -> Spectrum | FeatureSpectrum:
    """Return the spectrum of data, for a target or with every feature in turn as the target.

    Features and targets are standardised; their correlations, estimated from n samples, are
    shrunk towards zero: Σ = (1-ρ) S + ρ I. With d > n no d x d matrix is formed.

    What remains unexplained is estimated on the same samples: rough with few samples per feature.

    Args:
        X: [n, d] samples by features, dense or sparse (never made dense as a whole).
        target: [n] numbers to be predicted from the features, or [n, m] for m targets, whose
            risks are summed.
        shrinkage: ρ in [0, 1]; by default the intensity of Ledoit and Wolf (2004, "A
            well-conditioned estimator for large-dimensional covariance matrices").

    Raises:
        UserError: values are missing, features never vary, the target does not fit, or the
            correlations are singular and `shrinkage` is 0.

    >>> x = np.random.default_rng(0).standard_normal((1000, 5))
    >>> round(estimate(x, x[:, 0] + x[:, 1]).noise, 1)
    0.0
    >>> round(estimate(x).noise, 1)
    1.0
    """
    columns = X if isinstance(X, Columns) else read_columns(X)
    n, d = columns.shape
    if len(columns.still):
        shown = ", ".join(map(str, columns.still[:6])) + ", ..." * (len(columns.still) > 6)
        raise UserError(
            f"{len(columns.still)} of {d} columns never vary ({shown}): leave them out"
        )
    targets = None if target is None else _read_targets(target, n)
    values, vectors, intensity = _principal(columns)
    rho = intensity if shrinkage is None else float(shrinkage)
    if not 0 <= rho <= 1:
        raise UserError(f"shrinkage {rho:g} is outside [0, 1]: it is a share of the identity")
    shrunk = (1 - rho) * values + rho
    rest = d - len(values)
    if min(shrunk[0], rho if rest else 1.0) < ZERO:
        raise UserError(
            f"the correlations of {d} features in {n} samples are singular, some features follow "
            "from others exactly: give shrinkage > 0"
        )
    if targets is None:
        count = np.ones(len(values))
        if rest:
            shrunk, count = np.append(shrunk, rho), np.append(count, rest)
        return FeatureSpectrum(shrunk, count, _shares(columns, values, vectors), n, rho)
    squares = np.sum(_cross(columns, targets, values, vectors) ** 2, axis=1)
    noise, signal = _explained(values, shrunk, squares, n, targets.shape[1])
    return Spectrum(
        np.pad(shrunk, (0, rest), constant_values=rho), np.pad(signal, (0, rest)), noise
    )


def _principal(columns: Columns) -> tuple[Array, Array, float]:
    """Return the eigenvalues of the correlations S, their vectors, and how much to shrink S.

    Eigenvectors are those of S [d, r] with n >= d, else those of the samples' Gram matrix [n, r];
    then r < n: directions that no sample shows are left out.

    Ledoit and Wolf's intensity is β²/δ² with β² = (mean ‖x‖⁴ - ‖S‖²)/(n d) and δ² = ‖S - I‖²/d.
    """
    n, d = columns.shape
    gram = np.zeros((min(n, d),) * 2)
    norms = []
    for _, block in columns.blocks(0 if n >= d else 1):
        if n >= d:
            gram += block.T @ block
            norms.append(np.sum(block**2, axis=1))
        else:
            gram += block @ block.T
    squares = np.concatenate(norms) if n >= d else gram.diagonal()
    fourth = float(np.mean(squares**2))
    values, vectors = linalg.eigh(gram, overwrite_a=True, check_finite=False, driver="evd")
    values = np.maximum(values / n, 0.0)
    if n < d:
        seen = values > ZERO * values[-1]
        values, vectors = values[seen], vectors[:, seen]
    square = float((values**2).sum())
    error, distance = (fourth - square) / (n * d), (square - d) / d
    return values, vectors, 1.0 if error >= distance else max(error, 0.0) / distance


def _shares(columns: Columns, values: Array, vectors: Array) -> Array:
    """Return the squared loadings of features, with a last column for directions left out."""
    n, d = columns.shape
    if n >= d:
        return vectors**2
    share = np.empty((d, len(values) + 1))
    directions = vectors / np.sqrt(n * values)
    for place, block in columns.blocks(1):
        share[place, :-1] = (block.T @ directions) ** 2
    share[:, -1] = np.maximum(1 - share[:, :-1].sum(axis=1), 0.0)
    return share


def _cross(columns: Columns, targets: Array, values: Array, vectors: Array) -> Array:
    """Return the correlations of targets with features, along eigenvectors [r, m]."""
    n, d = columns.shape
    if n < d:
        return np.sqrt(values / n)[:, None] * (vectors.T @ targets)
    cross = np.zeros((d, targets.shape[1]))
    for place, block in columns.blocks(0):
        cross += block.T @ targets[place]
    return vectors.T @ cross / n


def _explained(
    values: Array, shrunk: Array, squares: Array, num_samples: int, num_targets: int
) -> tuple[float, Array]:
    """Return the noise of targets, and their signal [r], so that the two make up their variance.

    The noise is the mean square of the residuals of ridge regression over tr (I - H)²/n, the
    share of freedom that the fit leaves them, as in an adjusted R². `squares` [r] are the squared
    correlations of targets along eigenvectors, summed over targets.
    """
    fitted = values / shrunk
    left = num_samples - 1 - float((fitted * (2 - fitted)).sum())
    residual = num_targets - float((squares * (2 - fitted) / shrunk).sum())
    noise = min(max(residual * num_samples / left, 0.0), num_targets) if left > ZERO else 0.0
    signal = squares / shrunk**2
    return noise, signal * scale(float(shrunk @ signal), num_targets - noise)


def _read_targets(target: ArrayLike, num_samples: int) -> Array:
    """Return targets [n, m], standardised."""
    values = np.asarray(target)
    if values.ndim not in (1, 2) or len(values) != num_samples:
        raise UserError(f"a target of shape {values.shape} needs {num_samples} rows, as the data")
    if values.dtype.kind not in "biuf":
        raise UserError(f"a target of type {values.dtype} must be real numbers")
    values = values.reshape(num_samples, -1).astype(np.float64)
    if not np.isfinite(values).all():
        row = np.argwhere(~np.isfinite(values))[0, 0]
        raise UserError(f"target of row {row} is not finite: fill it in or leave the row out")
    centred = values - values.mean(axis=0)
    deviation = np.sqrt((centred**2).mean(axis=0))
    if (deviation <= STILL * np.abs(values.mean(axis=0))).any():
        raise UserError("the target never varies: there is nothing to predict")
    return centred / deviation


def _blocks(values: np.ndarray | sparse.csr_array, axis: int) -> Iterator[tuple[slice, Array]]:
    if not isinstance(values, np.ndarray):
        values = values.tocsc() if axis else values.tocsr()
    step = max(1, BLOCK // values.shape[1 - axis])
    for start in range(0, values.shape[axis], step):
        place = slice(start, start + step)
        part = values[:, place] if axis else values[place]
        dense = part if isinstance(part, np.ndarray) else part.toarray()
        yield place, dense.astype(np.float64)
