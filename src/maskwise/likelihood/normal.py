"""Normal distributions: of any covariance, and of low rank, probabilistic PCA."""

import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.likelihood.contract import (
    Values,
    hidden_of,
    in_pieces,
    own_uniforms,
    parameter,
    positive,
    refuse,
    rows,
    uniforms,
)
from maskwise.rng import Keys
from maskwise.theory.spectra import check_covariance

LOG_2PI = math.log(2 * math.pi)


class Normal(ABC):
    """A model whose conditionals are normal."""

    mean: Tensor

    @abstractmethod
    def _predict(self, deviation: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return the moments of hidden positions given deviations from the mean, 0 if hidden."""

    def conditional_moments(self, x: Values, hidden: Values) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each hidden position given the visible ones, [B, D] each.

        A visible position has its own value, and variance 0. What `x` holds at hidden positions
        is not looked at.
        """
        mean = self._mean()
        x = rows(x, mean)
        hidden = hidden_of(hidden, x)
        refuse(~hidden & ~x.isfinite(), x, "hide it, or give a number")
        predicted, variance = self._predict(torch.where(hidden, 0.0, x - mean), hidden)
        return torch.where(hidden, mean + predicted, x), torch.where(hidden, variance, 0.0)

    def conditional_log_prob(self, x: Values, hidden: Values) -> Tensor:
        """Return log p(x_t | x_R) for every hidden t, [B, D] nats, from mean and variance."""
        mean, variance = self.conditional_moments(x, hidden)
        x = finite(x, mean[0])
        # A visible position has no density: any finite number will do.
        variance = torch.where(hidden_of(hidden, x), variance, 1.0)
        return -0.5 * (LOG_2PI + variance.log() + (x - mean).square() / variance)

    @torch.no_grad()
    def conditional_sample(self, x: Values, hidden: Values, keys: Keys) -> Tensor:
        """Return `x` with each hidden position drawn given the visible ones, for itself."""
        mean, variance = self.conditional_moments(x, hidden)
        return mean + variance.sqrt() * torch.special.ndtri(uniforms(keys, mean))

    def empty(self, num: int) -> Tensor:
        """Return `num` samples of zeros, [num, D]."""
        return self.mean.new_zeros(num, len(self.mean), dtype=torch.float64)

    def _mean(self) -> Tensor:
        # Checked again, as all parameters are: training may have moved them.
        return parameter(self.mean, "mean", "D").double()


class Gaussian(Normal):
    """The normal distribution N(μ, Σ), by dense algebra.

    Position t given the visible R has mean μ_t + a'(x_R - μ_R) and variance Σ_tt - Σ_tR a, with
    a = Σ_RR⁻¹ Σ_Rt. Tensors are read at each call: they may be trained, and gradients reach them.

    Args:
        mean: μ [D].
        covariance: Σ [D, D], symmetric and positive definite.

    Raises:
        UserError: shapes that do not agree, or no positive definite covariance.

    Example:
        >>> model = Gaussian([0.0, 0.0], [[2.0, 1.0], [1.0, 2.0]])
        >>> mean, variance = model.conditional_moments([[3.0, 0.0]], [[False, True]])
        >>> round(float(mean[0, 1]), 6), round(float(variance[0, 1]), 6)
        (1.5, 1.5)
    """

    def __init__(self, mean: Values, covariance: Values) -> None:
        self.covariance = parameter(covariance, "covariance", "DD")
        check_covariance(self.covariance.detach().double().cpu().numpy())
        self.mean = mean_of(mean, self.covariance)
        if torch.linalg.cholesky_ex(self._covariance()).info:
            raise UserError(
                "the covariance is singular (a position follows from others): raise its diagonal"
            )

    def log_prob(self, x: Values) -> Tensor:
        """Return log p(x), [B] nats."""
        mean, root = self._mean(), torch.linalg.cholesky(self._covariance())
        x = finite(x, mean)
        white = torch.linalg.solve_triangular(root, (x - mean).T, upper=False)
        log_det = 2 * root.diagonal().log().sum()
        return -0.5 * (len(mean) * LOG_2PI + log_det + white.square().sum(dim=0))

    @torch.no_grad()
    def sample(self, num: int, seed: int = 0) -> Tensor:
        """Return `num` samples, float64 [num, D].

        The first ones are the same for any `num`, but for rounding.
        """
        mean, root = self._mean(), torch.linalg.cholesky(self._covariance())
        normal = torch.special.ndtri(own_uniforms(num, len(mean), seed)).to(mean.device)
        return mean + normal @ root.T

    def _predict(self, deviation: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        covariance = self._covariance()
        dim = len(covariance)

        def moments(deviation: Tensor, hidden: Tensor) -> Tensor:
            # Rows that hide the same share the cubic part of the work.
            masks, place = hidden.unique(dim=0, return_inverse=True)
            visible = ~masks[:, :, None]
            # Hidden positions are made independent ones of variance 1: nothing flows from them.
            block = torch.where(visible & visible.mT, covariance, torch.eye(dim).to(covariance))
            root, cross = torch.linalg.cholesky(block), torch.where(visible, covariance, 0.0)
            half = torch.linalg.solve_triangular(root, cross, upper=False)
            white = torch.linalg.solve_triangular(root[place], deviation[..., None], upper=False)
            variance = covariance.diagonal() - half.square().sum(dim=1)
            return torch.stack([(white.mT @ half[place])[:, 0], variance[place]])

        found = in_pieces(moments, dim**2, deviation, hidden)
        return found[0], found[1]

    def _covariance(self) -> Tensor:
        covariance = parameter(self.covariance, "covariance", "DD").double()
        return (covariance + covariance.T) / 2


class PPCA(Normal):
    """Probabilistic PCA: x = μ + W z + e with z ~ N(0, I_K) and e ~ N(0, σ² I_D).

    Given the visible positions R, with Λ = I + W_R'W_R/σ² and z̄ = Λ⁻¹ W_R'(x_R - μ_R)/σ²,
    position t has mean μ_t + w_t'z̄ and variance σ² + w_t'Λ⁻¹w_t (Tipping and Bishop, 1999). No
    matrix is of size D x D, and all positions may be hidden. Tensors are read at each call: they
    may be trained, and gradients reach them.

    Args:
        loadings: W [D, K].
        noise: σ², a variance.
        mean: μ [D]; default: 0.

    Raises:
        UserError: shapes that do not agree, values that are not finite, a noise of 0 or less.

    Example:
        >>> model = PPCA(loadings=[[1.0], [1.0]], noise=1.0)
        >>> mean, variance = model.conditional_moments([[3.0, 0.0]], [[False, True]])
        >>> round(float(mean[0, 1]), 6), round(float(variance[0, 1]), 6)
        (1.5, 1.5)
    """

    def __init__(self, loadings: Values, noise: Values, mean: Values | None = None) -> None:
        self.loadings = parameter(loadings, "loadings", "DK")
        self.noise = positive(noise, "noise").to(self.loadings.device)
        self.mean = mean_of(mean, self.loadings)

    @classmethod
    def fit(
        cls,
        x: Values,
        num_components: int,
        noise: Values | None = None,
        mean: Values | None = None,
    ) -> Self:
        """Return the model of the greatest likelihood: W = U_K (L_K - σ² I)^½.

        U and L are eigenvectors and eigenvalues of the samples' second moment about the mean;
        the best σ² is the average of the eigenvalues beyond the K largest (Tipping and Bishop,
        1999, equations 7 and 8).

        Of samples [N, D], with K = `num_components`, and σ² and μ where they are known.

        Raises:
            UserError: more components than the positions allow, samples that are not finite, or
                that vary in K dimensions only, so that the best σ² is 0.

        >>> x = PPCA([[2.0], [1.0], [1.0]], noise=0.1).sample(5000)
        >>> round(float(PPCA.fit(x, 1).noise), 2)
        0.1
        """
        x = parameter(x, "x", "ND").detach().double()
        most = x.shape[1] - (noise is None)
        if not 1 <= num_components <= most:
            raise UserError(
                f"num_components is {num_components}: give 1 to {most} for {x.shape[1]} positions"
                + (" and unknown noise" if noise is None else "")
            )
        mean = x.mean(dim=0) if mean is None else mean_of(mean, x.T)
        deviation = x - mean
        values, vectors = torch.linalg.eigh(deviation.T @ deviation / len(x))
        values, vectors = values.flip(0), vectors.flip(1)
        if noise is None:
            noise = values[num_components:].mean()
            if noise <= 1e-14 * values[0]:
                raise UserError(
                    f"nothing varies beyond {num_components} components, so that the noise is 0:"
                    " give noise, or fewer components"
                )
        scale = (values[:num_components] - positive(noise, "noise")).clamp(min=0).sqrt()
        return cls(vectors[:, :num_components] * scale, noise, mean)

    def log_prob(self, x: Values) -> Tensor:
        """Return log p(x), [B] nats, by a matrix of size K x K."""
        loadings, noise = self._parameters()
        mean = self._mean()
        deviation = (finite(x, mean) - mean).T
        scaled = loadings / noise.sqrt()
        root = torch.linalg.cholesky(scaled.T @ scaled + torch.eye(scaled.shape[1]).to(scaled))
        # (x-μ)'Σ⁻¹(x-μ) = min over z of |x-μ-Wz|²/σ² + |z|²: without the cancellation of
        # Woodbury's difference, and an error of z counts only by its square.
        latent = torch.cholesky_solve(scaled.T @ deviation / noise.sqrt(), root)
        residual = deviation - loadings @ latent
        square = residual.square().sum(dim=0) / noise + latent.square().sum(dim=0)
        log_det = len(mean) * noise.log() + 2 * root.diagonal().log().sum()
        return -0.5 * (len(mean) * LOG_2PI + log_det + square)

    @torch.no_grad()
    def sample(self, num: int, seed: int = 0) -> Tensor:
        """Return `num` samples, float64 [num, D].

        The first ones are the same for any `num`, but for rounding.
        """
        loadings, noise = self._parameters()
        mean = self._mean()
        widths = [loadings.shape[1], len(mean)]
        normal = torch.special.ndtri(own_uniforms(num, sum(widths), seed)).to(mean.device)
        latent, rest = normal.split(widths, dim=1)
        return mean + latent @ loadings.T + noise.sqrt() * rest

    def _predict(self, deviation: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        loadings, noise = self._parameters()
        # In units of the noise's standard deviation.
        scale = noise.sqrt()
        scaled, white = loadings / scale, deviation / scale
        width = scaled.shape[1]
        # Matrices [K, K] are symmetric, so that half of each is enough: a sum of w_r w_r' over
        # visible r is one product with the pairs of loadings for all rows, and a form w_t'Λ⁻¹w_t
        # another.
        row, column = torch.tril_indices(width, width, device=scaled.device)
        pairs = scaled[:, row] * scaled[:, column]
        diagonal = (row == column).to(pairs)
        twice = (pairs * (2 - diagonal)).T
        entry = torch.empty(width, width, dtype=torch.int64, device=scaled.device)
        entry[row, column] = entry[column, row] = torch.arange(len(row), device=scaled.device)

        def predict(latent: Tensor, inverse: Tensor) -> Tensor:
            # index_select is several times as fast as inverse[:, row, column].
            half = inverse.flatten(1).index_select(1, row * width + column)
            return torch.stack([latent @ scaled.T, half @ twice])

        def by_components(white: Tensor, hidden: Tensor) -> Tensor:
            half = (~hidden).to(pairs) @ pairs + diagonal
            precision = half.index_select(1, entry.flatten()).view(-1, width, width)
            root = torch.linalg.cholesky(precision)
            latent = torch.cholesky_solve((white @ scaled)[..., None], root)[..., 0]
            return predict(latent, torch.cholesky_inverse(root))

        def by_positions(white: Tensor, hidden: Tensor) -> Tensor:
            return predict(*_few_visible(scaled, white, hidden))

        # With fewer visible positions than components, Λ has directions without data beside others
        # of size 1/σ², and small noise would cost digits: then the positions' covariance is used.
        few = (~hidden).sum(dim=1) < width
        found = white.new_empty(2, *white.shape)
        for part, function in ((few, by_positions), (~few, by_components)):
            if part.any():
                size = width**2 + len(scaled)
                found[:, part] = in_pieces(function, size, white[part], hidden[part])
        return scale * found[0], noise * (1 + found[1])

    def _parameters(self) -> tuple[Tensor, Tensor]:
        loadings = parameter(self.loadings, "loadings", "DK").double()
        return loadings, positive(self.noise, "noise").double().reshape(())


def _few_visible(scaled: Tensor, white: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Return z̄ [B, K] and Λ⁻¹ = I - W_R'(W_R W_R' + I)⁻¹W_R [B, K, K] for less than K visible."""
    width = scaled.shape[1]
    # The visible positions come first; what is hidden among these has no loadings.
    first = hidden.to(torch.uint8).argsort(dim=1, stable=True)[:, :width]
    block = scaled[first] * ~hidden.gather(1, first)[..., None]
    identity = torch.eye(first.shape[1]).to(block)
    root = torch.linalg.cholesky(block @ block.mT + identity)
    right = torch.cat([block, white.gather(1, first)[..., None]], dim=-1)
    half = torch.linalg.solve_triangular(root, right, upper=False)
    cross, deviation = half.split([width, 1], dim=-1)
    latent = (cross.mT @ deviation)[..., 0]
    return latent, torch.eye(width).to(block) - cross.mT @ cross


def conjugate_mean(
    num: int, prior_variance: Values, noise: Values, prior_mean: Values = 0.0
) -> PPCA:
    """Return the model of `num` observations y_i ~ N(m, σ²) that share m ~ N(m₀, τ²), unknown.

    With m integrated out they are a PPCA with one column of loadings, τ. A row of x is a whole
    data set, `log_prob` its log evidence, and hiding positions leaves observations out: the
    cumulative masked score is Bayesian cumulative leave-p-out cross-validation (Fong and Holmes,
    Biometrika 2020, arXiv 1905.08737).

    τ² is the `prior_variance`, m₀ the `prior_mean`, σ² the `noise`.

    Raises:
        UserError: no observation, or a variance of 0 or less.

    >>> round(float(conjugate_mean(1, 3.0, 1.0).log_prob([[2.0]])), 4)  # N(0, 4)
    -2.1121
    """
    if num < 1:
        raise UserError(f"num {num} is no number of observations: give at least 1")
    column = positive(prior_variance, "prior_variance").sqrt().expand(num, 1)
    return PPCA(column, noise, parameter(prior_mean, "prior_mean", "").expand(num))


def mean_of(mean: Values | None, like: Tensor) -> Tensor:
    """Return μ [D], by default 0, for a model whose positions are the rows of `like`."""
    if mean is None:
        return like.new_zeros(len(like), dtype=torch.float64)
    found = parameter(mean, "mean", "D").to(like.device)
    if len(found) != len(like):
        raise UserError(f"mean has {len(found)} positions, the model {len(like)}: give [D]")
    return found


def finite(x: Values, like: Tensor) -> Tensor:
    """Return samples whose every value is to be given a probability, [B, D]."""
    x = rows(x, like)
    refuse(~x.isfinite(), x, "a probability needs a number there")
    return x
