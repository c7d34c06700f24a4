"""The singular spectrum of features, how many directions they use, and all figures of a set.

All take features [N, d] with N >= d and warn where N < 4 d, because few samples bend a spectrum.
Features that have no spectrum are refused, as `spectrum` says.
`center=True` takes the mean feature away first: a mean far from 0 is one large singular value,
which hides the others.
"""

import warnings
from typing import Any

from maskwise.diagnostics.pairs import energy, mean_cosine, uniformity
from maskwise.diagnostics.reading import (
    Array,
    Features,
    decay,
    entropy_rank,
    participation,
    read,
    singular_values,
    stable,
    too_few,
)
from maskwise.errors import UserError

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


def describe(z: Features) -> dict[str, Any]:
    """Return every figure of features [N, d] that needs no views, by name.

    `num_samples` and `dim`; centred: `effective_rank`, `participation_ratio`, `stable_rank`,
    `alpha_req` (None where it cannot be fitted) and `spectrum` (the d singular values, divided by
    the largest); uncentred: `effective_rank_uncentred`, which is `rankme`, `energy`, `uniformity`
    and `mean_cosine`. `notes` are sentences on what to beware of, instead of warnings.

    >>> found = describe([[2, 0], [-2, 0], [0, 1], [0, -1]] * 2)
    >>> found["num_samples"], found["dim"], round(found["stable_rank"], 6)
    (8, 2, 1.25)
    """
    x = read(z)
    few = too_few(len(x), x.shape[1], BIAS)
    notes = [few] if few else []
    values = singular_values(x, center=True)
    uncentred = entropy_rank(singular_values(x, center=False))
    try:
        alpha = decay(values)
    except UserError as error:
        alpha = None
        notes.append(str(error))
    return {
        "num_samples": len(x),
        "dim": x.shape[1],
        "effective_rank": entropy_rank(values),
        "effective_rank_uncentred": uncentred,
        "rankme": uncentred,
        "participation_ratio": participation(values),
        "stable_rank": stable(values),
        "alpha_req": alpha,
        "energy": energy(x),
        "uniformity": uniformity(x),
        "mean_cosine": mean_cosine(x),
        "spectrum": (values / values[0]).tolist(),
        "notes": notes,
    }


def _singular_values(z: Features, center: bool) -> Array:
    x = read(z)
    few = too_few(len(x), x.shape[1], BIAS)
    if few:
        warnings.warn(few, stacklevel=3)
    return singular_values(x, center)
