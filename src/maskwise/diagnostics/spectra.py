"""The singular spectrum of features, and how many directions they use.

Figures take features [N, d] with N >= d and warn where N < 4 d, because few samples bend a
spectrum. Features that have no spectrum are refused, as `spectrum` says.
`center=True` takes the mean feature away first: a mean far from 0 is one large singular value,
which hides the others.
"""

import warnings
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskwise.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]
Features: TypeAlias = "ArrayLike | Tensor"

# Samples for each feature from which on an effective rank reads at most 4 % low.
ENOUGH = 4
# Below it, squares and their sums are finite.
HUGE = 1e100
BIAS = (
    "ranks read low (with 1, 2 or 4 samples for each of d features of full rank: effective rank by"
    " 20, 7 or 3 %, participation ratio by 50, 33 or 20 %, stable rank by 75, 66 or 56 %) and"
    " alpha-ReQ reads high"
)


def spectrum(z: Features, center: bool = True) -> Array:
    """Return the singular values [d] of features, falling.

    Eigenvalues of the covariance (`center=True`) are their squares / (N - 1); those of the
    uncentred second moment (`center=False`) their squares / N.

    Raises:
        UserError: fewer samples than dimensions, one sample, no features, values that are not
            finite, or features that are all 0 (all the same, with `center`).

    >>> [float(value) for value in spectrum([[2, 0], [-2, 0], [0, 1], [0, -1]] * 2).round(6)]
    [4.0, 2.0]
    """
    return _singular_values(z, center)


def effective_rank(z: Features, center: bool = True) -> float:
    """Return exp(-Σ p log p), p = s / Σ s, of the singular values s: from 1 to d.

    The number of equal singular values with the same entropy. Features of full rank read 20 % low
    with N = d samples, 7 % with 2 d, 3 % with 4 d, 2 % with 8 d: compare at one N.

    Source: Roy and Vetterli, The effective rank (EUSIPCO 2007).

    >>> round(effective_rank([[2, 0], [-2, 0], [0, 2], [0, -2]] * 2), 6)
    2.0
    """
    return entropy_rank(_singular_values(z, center))


def rankme(z: Features) -> float:
    """Return the effective rank of features as they are, not centred: from 1 to d.

    Without the 1e-7 that the paper adds to every p: 0 log 0 is 0. It ranks runs of one family of
    methods, on the same data with the same N; it does not compare families.

    Source: Garrido et al., RankMe (ICML 2023), arXiv 2210.02885, equation 1.

    >>> round(rankme([[3, 1], [3, 1], [3, 1], [3, 1], [3, 1], [3, 1], [3, 1], [3, 1]]), 6)
    1.0
    """
    return entropy_rank(_singular_values(z, center=False))


def participation_ratio(z: Features, center: bool = True) -> float:
    """Return (Σ λ)² / Σ λ² of the eigenvalues λ of the covariance: from 1 to d.

    Large eigenvalues count more than in the effective rank, which it never exceeds. N samples
    of a Gaussian with participation ratio R read about R / (1 + R / N).

    >>> round(participation_ratio([[3, 0], [-3, 0], [0, 1], [0, -1]] * 2), 6)  # λ ∝ 9, 1
    1.219512
    """
    return participation(_singular_values(z, center))


def stable_rank(z: Features, center: bool = True) -> float:
    """Return Σ λ / λ₁ of the eigenvalues λ of the covariance: from 1 to d.

    Its inverse is the share of the first direction. λ₁ of few samples is too large: features of
    full rank read 1 / (1 + √(d/N))² of d, still 56 % low at N = 4 d.

    >>> round(stable_rank([[2, 0], [-2, 0], [0, 1], [0, -1]] * 2), 6)
    1.25
    """
    return stable(_singular_values(z, center))


def alpha_req(z: Features) -> float:
    """Return α of the fit λ_i ∝ i^-α to the eigenvalues of the (centred) covariance.

    Least squares on log λ_i against log i, weighted 1/i, over the decade of i that starts at 10,
    or at ⌊d/10⌋ where d < 100. Noise makes the spectrum of few samples steeper: white features of
    d = 64 read α = 1.5, 0.9 and 0.6 with N = d, 2 d and 4 d instead of 0.

    Raises:
        UserError: d < 10, or eigenvalues of the decade that are 0.

    Source: Agrawal et al., α-ReQ (NeurIPS 2022).

    >>> import numpy as np
    >>> hadamard = np.array([[1.0]])
    >>> for _ in range(6):
    ...     hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    >>> z = hadamard[:, 1:17] / np.sqrt(np.arange(1, 17))  # eigenvalues 1/i
    >>> round(alpha_req(z), 6)
    1.0
    """
    return decay(_singular_values(z, center=True))


def _singular_values(z: Features, center: bool) -> Array:
    x = read(z)
    warn_if_few(len(x), x.shape[1], depth=4)
    return singular_values(x, center)


def read(z: Features, axes: str = "[samples, width]") -> Array:
    """Return features as a float64 array with the axes named; refuse what is none."""
    if hasattr(z, "detach"):  # a tensor of any precision on any device
        z = z.detach().cpu().double().numpy()
    try:
        x = np.asarray(z, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"features must be an array {axes} of numbers") from None
    if x.ndim != axes.count(",") + 1:
        raise UserError(f"features of shape {x.shape} must be {axes}")
    if 0 in x.shape:
        raise UserError(f"no features in an array of shape {x.shape}: it must be {axes}")
    if len(x) == 1:
        raise UserError("one sample says nothing about how features spread: give more")
    bad = x.size - np.count_nonzero(np.abs(x) < HUGE)
    if bad:
        raise UserError(f"{bad} of {x.size} values of the features are NaN, infinite or huge")
    return x


def directions(x: Array) -> Array:
    """Return features divided by their lengths (along the last axis); refuse those of length 0."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    zero = length.size - np.count_nonzero(length)
    if zero:
        raise UserError(
            f"{zero} of {length.size} samples have features that are all 0, without a direction:"
            " leave them out"
        )
    return x / length


def too_few(num_samples: int, dim: int, bias: str = BIAS) -> str:
    """Return what to know where samples are few, "" = enough; refuse fewer than dimensions."""
    if num_samples < dim:
        raise UserError(
            f"{num_samples} samples of {dim} features span at most {num_samples} directions:"
            f" give at least {dim} samples, better {ENOUGH * dim}"
        )
    if num_samples >= ENOUGH * dim:
        return ""
    return f"{num_samples} samples of {dim} features, fewer than {ENOUGH} for each: {bias}"


def singular_values(x: Array, center: bool) -> Array:
    """Return the singular values [d] of features [N, d], N >= d, falling; rounding is 0."""
    rounding = np.finfo(np.float64).eps * max(x.shape) * np.linalg.norm(x)
    about = x.mean(axis=0) if center else 0.0
    values = np.asarray(np.linalg.svd(x - about, compute_uv=False), dtype=np.float64)
    values[values <= rounding] = 0.0
    if not values.any():
        same = "the same for every sample (complete collapse)" if x.any() else "all 0"
        raise UserError(f"the features are {same}: their spectrum says nothing")
    return values


def entropy_rank(values: Array) -> float:
    """Return exp(-Σ p log p), p = values / Σ values, with 0 log 0 = 0."""
    share = values[values > 0] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def participation(values: Array) -> float:
    """Return (Σ λ)² / Σ λ², λ = values²."""
    variances = (values / values[0]) ** 2
    return float(variances.sum() ** 2 / (variances**2).sum())


def stable(values: Array) -> float:
    """Return Σ λ / λ₁, λ = values²."""
    return float(((values / values[0]) ** 2).sum())


def decay(values: Array) -> float:
    """Return α of the fit λ_i ∝ i^-α, λ = values², over one decade of i, if none of it is 0."""
    dim, rank = len(values), np.count_nonzero(values)
    if dim < 10:
        raise UserError(f"alpha-ReQ fits 10 eigenvalues or more: these features have {dim}")
    first = min(10, dim // 10)
    if rank < 10 * first:
        raise UserError(
            f"alpha-ReQ fits eigenvalues {first} to {10 * first}: these features have rank {rank}"
        )
    index = np.arange(first, 10 * first + 1)
    # Weights 1/i make every stretch of the logarithmic axis count alike.
    slope, _ = np.polyfit(np.log(index), 2 * np.log(values[index - 1]), 1, w=index**-0.5)
    return float(-slope)


def warn_if_few(num_samples: int, dim: int, bias: str = BIAS, depth: int = 3) -> None:
    """Warn whoever called the function `depth` frames up of what `too_few` says."""
    if few := too_few(num_samples, dim, bias):
        warnings.warn(few, stacklevel=depth)
