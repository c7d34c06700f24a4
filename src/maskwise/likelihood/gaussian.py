"""The normal distribution with any covariance, and what normal models share."""

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.likelihood.exact import (
    hidden_of,
    in_pieces,
    own_keys,
    parameter,
    refuse,
    rows,
    uniforms,
)
from maskwise.rng import Keys, Stream
from maskwise.theory.covariance import check_covariance

LOG_2PI = math.log(2 * math.pi)


class Gaussian:
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

    def __init__(self, mean: Any, covariance: Any) -> None:
        self.covariance = parameter(covariance, "covariance", "DD")
        check_covariance(self.covariance.detach().double().cpu().numpy())
        self.mean = mean_of(mean, self.covariance)
        if torch.linalg.cholesky_ex(self._parameters()[1]).info:
            raise UserError(
                "the covariance is singular (a position follows from others): raise its diagonal"
            )

    def log_prob(self, x: Any) -> Tensor:
        """Return log p(x), [B] nats."""
        mean, covariance = self._parameters()
        root = torch.linalg.cholesky(covariance)
        x = finite(rows(x, mean))
        white = torch.linalg.solve_triangular(root, (x - mean).T, upper=False)
        log_det = 2 * root.diagonal().log().sum()
        return -0.5 * (len(mean) * LOG_2PI + log_det + white.square().sum(dim=0))

    @torch.no_grad()
    def sample(self, num: int, seed: int = 0) -> Tensor:
        """Return `num` samples, float64 [num, D].

        The first ones are the same for any `num`, but for rounding.
        """
        mean, covariance = self._parameters()
        normal = normals(num, len(mean), seed).to(mean.device)
        return mean + normal @ torch.linalg.cholesky(covariance).T

    def conditional_moments(self, x: Any, hidden: Any) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each hidden position given the visible ones, [B, D] each.

        A visible position has its own value, and variance 0. What `x` holds at hidden positions
        is not looked at.
        """
        mean, covariance = self._parameters()
        x, hidden = given(x, hidden, mean)

        def moments(deviation: Tensor, hidden: Tensor) -> Tensor:
            # Rows that hide the same share the cubic part of the work.
            masks, place = hidden.unique(dim=0, return_inverse=True)
            root, half = _factors(covariance, ~masks)
            white = torch.linalg.solve_triangular(root[place], deviation[..., None], upper=False)
            variance = covariance.diagonal() - half.square().sum(dim=1)
            return torch.stack([(white.mT @ half[place])[:, 0], variance[place]])

        deviation = torch.where(hidden, 0.0, x - mean)
        predicted, variance = in_pieces(moments, len(mean) ** 2, deviation, hidden)
        return torch.where(hidden, mean + predicted, x), torch.where(hidden, variance, 0.0)

    def conditional_log_prob(self, x: Any, hidden: Any) -> Tensor:
        """Return log p(x_t | x_R) for every hidden t, [B, D] nats."""
        return log_density(self, x, hidden)

    def conditional_sample(self, x: Any, hidden: Any, keys: Keys) -> Tensor:
        """Return `x` with each hidden position drawn given the visible ones, for itself."""
        return draw(self, x, hidden, keys)

    def empty(self, num: int) -> Tensor:
        """Return `num` samples of zeros, [num, D]."""
        return self.mean.new_zeros(num, len(self.mean), dtype=torch.float64)

    def _parameters(self) -> tuple[Tensor, Tensor]:
        # Checked again: training may have moved them.
        covariance = parameter(self.covariance, "covariance", "DD").double()
        return parameter(self.mean, "mean", "D").double(), (covariance + covariance.T) / 2


def _factors(covariance: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return L with L L' = Σ_RR, and L⁻¹ Σ_R·, [M, D, D] each, for M masks [M, D]."""
    # Hidden positions are made independent ones of variance 1: nothing then flows from them.
    both = visible[:, :, None] & visible[:, None, :]
    block = torch.where(both, covariance, torch.eye(len(covariance)).to(covariance))
    root = torch.linalg.cholesky(block)
    cross = torch.where(visible[:, :, None], covariance, 0.0)
    return root, torch.linalg.solve_triangular(root, cross, upper=False)


class Normal(Protocol):
    """A model whose conditionals are normal."""

    def conditional_moments(self, x: Any, hidden: Any) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each hidden position given the visible ones, [B, D] each."""
        ...


def log_density(model: Normal, x: Any, hidden: Any) -> Tensor:
    """Return log p(x_t | x_R) for every hidden t, [B, D] nats, from mean and variance."""
    mean, variance = model.conditional_moments(x, hidden)
    x = finite(rows(x, mean[0]))
    # A visible position has no density: any finite number will do.
    variance = torch.where(hidden_of(hidden, x), variance, 1.0)
    return -0.5 * (LOG_2PI + variance.log() + (x - mean).square() / variance)


@torch.no_grad()
def draw(model: Normal, x: Any, hidden: Any, keys: Keys) -> Tensor:
    """Return `x` with each hidden position drawn given the visible ones, for itself."""
    mean, variance = model.conditional_moments(x, hidden)
    return mean + variance.sqrt() * torch.special.ndtri(uniforms(keys, mean))


def mean_of(mean: Any, like: Tensor) -> Tensor:
    """Return μ [D], by default 0, for a model whose positions are the rows of `like`.

    Raises:
        UserError: another number of positions.
    """
    if mean is None:
        return like.new_zeros(len(like), dtype=torch.float64)
    found = parameter(mean, "mean", "D").to(like.device)
    if len(found) != len(like):
        raise UserError(f"mean has {len(found)} positions, the model {len(like)}: give [D]")
    return found


def finite(x: Tensor) -> Tensor:
    """Return samples whose every value is to be given a probability."""
    refuse(~x.isfinite(), x, "a probability needs a number there")
    return x


def given(x: Any, hidden: Any, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return samples of which the visible values are used, and what is hidden, [B, D] each."""
    x = rows(x, mean)
    hidden = hidden_of(hidden, x)
    refuse(~hidden & ~x.isfinite(), x, "hide it, or give a number")
    return x, hidden


def normals(num: int, width: int, seed: int) -> Tensor:
    """Return standard normal numbers for samples of a model's own, [num, width]."""
    return torch.special.ndtri(own_keys(num, seed).open_uniform(Stream.SAMPLE, width))
