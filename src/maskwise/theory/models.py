"""Models of data by their names: spectra and covariances to try laws on."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.theory.spectra import Array, Covariance, Model, Spectrum, non_negative, scale


@checked()
def isotropic(dim: int, *, variance: float = 1.0, noise: float = 0.0) -> Spectrum:
    """Return uncorrelated features: Σ = I, ‖β‖² = `variance`.

    >>> round(isotropic(100).variance, 9)
    1.0
    """
    return _scaled(np.ones(_checked(dim)), np.ones(dim), variance, noise)


@checked()
def spiked(
    dim: int,
    strengths: Sequence[float] | float,
    *,
    rank: int = 1,
    alignment: float = 0.5,
    variance: float = 1.0,
    noise: float = 0.0,
) -> Spectrum:
    """Return Σ = I + Σ_i strength_i P_i, each P_i a projection of the same `rank`.

    Args:
        dim: number of features d.
        strengths: how far each spike stands above the bulk, whose eigenvalue is 1.
        rank: eigenvalues per spike.
        alignment: share of the signal's variance that lies in the spikes, in [0, 1].
        variance: variance βᵀΣβ of the signal.
        noise: variance of the noise.

    Raises:
        UserError: the spikes do not fit, or `alignment` is outside [0, 1].

    >>> spiked(4, 8.0, alignment=1.0).eigenvalues.tolist()
    [9.0, 1.0, 1.0, 1.0]
    """
    heights = np.repeat(non_negative("strength", np.atleast_1d(strengths)), max(rank, 0))
    if not 0 < len(heights) < _checked(dim):
        raise UserError(f"{len(heights)} spiked eigenvalues must be fewer than the {dim} features")
    if not 0 <= alignment <= 1:
        raise UserError(f"alignment {alignment:g} is outside [0, 1]: it is a share of the signal")
    eigenvalues = np.ones(dim)
    eigenvalues[: len(heights)] += heights
    share = np.full(dim, (1 - alignment) / (dim - len(heights)))
    share[: len(heights)] = alignment / len(heights)
    return _scaled(eigenvalues, share / eigenvalues, variance, noise)


@checked()
def power_law(
    dim: int,
    exponent: float = 1.0,
    *,
    signal_exponent: float = 0.0,
    variance: float = 1.0,
    noise: float = 0.0,
) -> Spectrum:
    """Return eigenvalues ∝ i^-exponent of mean 1, squared coefficients of β ∝ i^-signal_exponent.

    >>> round(float(power_law(400).eigenvalues.mean()), 9)
    1.0
    """
    order = np.arange(1, _checked(dim) + 1, dtype=np.float64)
    eigenvalues = order**-exponent
    return _scaled(eigenvalues / eigenvalues.mean(), order**-signal_exponent, variance, noise)


@checked(seed=0)
def ar1(
    dim: int,
    rho: float,
    *,
    beta: ArrayLike | None = None,
    variance: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Covariance:
    """Return Σ_ij = rho^|i-j|: a sequence whose neighbours are alike.

    Args:
        dim: number of features d.
        rho: correlation of neighbours, in (-1, 1).
        beta: [d] coefficients, used as they are; a random direction when not given.
        variance: variance βᵀΣβ of the signal, when `beta` is not given.
        noise: variance of the noise.
        seed: decides the random direction.

    >>> ar1(3, 0.5).matrix[0].tolist()
    [1.0, 0.5, 0.25]
    """
    if not -1 < rho < 1:
        raise UserError(f"rho {rho:g} is outside (-1, 1): it is a correlation")
    order = np.arange(_checked(dim))
    matrix = float(rho) ** np.abs(order[:, None] - order)
    return _with_signal(matrix, beta, variance, noise, seed)


@checked(seed=0)
def block(
    sizes: Sequence[int],
    rho: float,
    *,
    beta: ArrayLike | None = None,
    variance: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Covariance:
    """Return groups of features, correlated `rho` within a group and not at all between groups.

    >>> block([2, 1], 0.5).matrix.tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not 0 <= rho < 1:
        raise UserError(f"rho {rho:g} is outside [0, 1): it is the correlation within a block")
    group = np.repeat(np.arange(len(sizes)), [_checked(size) for size in sizes])
    _checked(len(group))
    matrix = np.where(group[:, None] == group, float(rho), 0.0)
    np.fill_diagonal(matrix, 1.0)
    return _with_signal(matrix, beta, variance, noise, seed)


@checked(seed=0)
def latent_factor(
    dim: int,
    num_factors: int,
    *,
    uniqueness: float = 0.5,
    variance: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Covariance:
    """Return x = W f + e with y linear in the factors f, as far as x tells about them.

    Σ = W Wᵀ + uniqueness I, W Gaussian with rows of mean square 1 - uniqueness, so that features
    differ in variance (mean 1); β is the regression of a random mix of factors on x.

    Args:
        dim: number of features d.
        num_factors: number of factors, fewer than features.
        uniqueness: variance of a feature that no factor explains, in (0, 1).
        variance: variance βᵀΣβ of the signal.
        noise: variance of the noise.
        seed: decides loadings and mix.

    >>> latent_factor(50, 3).dim
    50
    """
    if not 0 < uniqueness < 1:
        raise UserError(f"uniqueness {uniqueness:g} is outside (0, 1): it is a share of variance")
    if not 0 < num_factors < _checked(dim):
        raise UserError(f"{num_factors} factors must be at least 1 and fewer than {dim} features")
    rng = np.random.default_rng(seed)
    loadings = rng.standard_normal((dim, num_factors)) * np.sqrt((1 - uniqueness) / num_factors)
    matrix = loadings @ loadings.T + uniqueness * np.eye(dim)
    beta = np.linalg.solve(matrix, loadings @ rng.standard_normal(num_factors))
    return _along(matrix, beta, variance, noise)


def _checked(dim: int) -> int:
    if dim < 1:
        raise UserError(f"dim {dim} is no number of features: give at least 1")
    return dim


def _scaled(eigenvalues: Array, signal: Array, variance: float, noise: float) -> Spectrum:
    return Spectrum(eigenvalues, signal * scale(float(eigenvalues @ signal), variance), noise)


def _along(matrix: Array, direction: Array, variance: float, noise: float) -> Covariance:
    factor = np.sqrt(scale(float(direction @ matrix @ direction), variance))
    return Covariance(matrix, direction * factor, noise)


def _with_signal(
    matrix: Array, beta: ArrayLike | None, variance: float, noise: float, seed: int
) -> Covariance:
    if beta is not None:
        return Covariance(matrix, beta, noise)
    direction = np.random.default_rng(seed).standard_normal(len(matrix))
    return _along(matrix, direction, variance, noise)


# What makes the model of dim and noise, its numbers, and the arguments that these are.
FORMS: dict[str, tuple[Callable[..., Model], str, list[str]]] = {
    "isotropic": (isotropic, "", []),
    "spiked": (spiked, ":STRENGTH[,ALIGNMENT]", ["strengths", "alignment"]),
    "power_law": (power_law, ":EXPONENT[,SIGNAL_EXPONENT]", ["exponent", "signal_exponent"]),
    "ar1": (ar1, ":RHO", ["rho"]),
    "latent_factor": (
        lambda num, **rest: latent_factor(num_factors=int(num), **rest),
        ":NUM_FACTORS",
        ["num"],
    ),
}


def parse_model(text: str, dim: int, noise: float = 0.0) -> Model:
    """Read a model of the data, as in `FORMS`, of `dim` features; its signal has variance 1.

    >>> parse_model("spiked:8,1", 4).eigenvalues.tolist()
    [9.0, 1.0, 1.0, 1.0]
    """
    name, _, arguments = text.partition(":")
    if name not in FORMS:
        known = ", ".join(name + form for name, (_, form, _) in FORMS.items())
        raise UserError(f"unknown spectrum '{text}'; spectra are {known}")
    build, form, names = FORMS[name]
    try:
        numbers = [float(part) for part in arguments.split(",")] if arguments else []
        given = dict(zip(names[: len(numbers)], numbers, strict=True))
        return build(dim=dim, noise=noise, **given)
    except UserError as error:
        raise UserError(f"spectrum '{text}': {error}") from None
    except (TypeError, ValueError):
        raise UserError(f"spectrum '{text}' cannot be read; the form is {name}{form}") from None
