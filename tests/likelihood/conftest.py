"""Slow twins of the models, written down from their definitions."""

import math

import pytest
import torch

from maskwise.rng import Stream


class Table:
    """A joint of D positions with V values each, by enumeration of all its states."""

    def __init__(self, probs):
        self.probs = probs
        self.num_values = probs.shape[0]
        self.states = torch.cartesian_prod(*[torch.arange(n) for n in probs.shape])

    def values(self, x, hidden):
        """p(x_t = v | x_R), [B, D, V]."""
        agree = ((x[:, None] == self.states) | hidden[:, None]).all(2) * self.probs.flatten()
        is_value = self.states[..., None] == torch.arange(self.num_values)
        found = torch.einsum("bs,sdv->bdv", agree, is_value.double())
        return found / agree.sum(1)[:, None, None]

    def conditional_log_prob(self, x, hidden):
        return self.values(x, hidden).gather(2, x[..., None])[..., 0].log()

    def conditional_sample(self, x, hidden, keys):
        u = keys.open_uniform(Stream.SAMPLE, x.shape[1])
        below = self.values(x, hidden).cumsum(2)[..., :-1]
        return torch.where(hidden, (u[..., None] > below).sum(2), x)

    def empty(self, num):
        return torch.zeros(num, self.probs.ndim, dtype=torch.int64)

    def log_prob(self, x):
        return self.probs[tuple(x.T)].log()


class Dense:
    """A Gaussian, one sample after the other, with the visible block inverted."""

    def __init__(self, mean, covariance):
        self.mean, self.covariance = mean, covariance

    def joint(self, x, hidden):
        """Mean and covariance of the hidden positions of one sample, given the visible."""
        m, r = hidden, ~hidden
        gain = self.covariance[m][:, r] @ torch.linalg.inv(self.covariance[r][:, r])
        mean = self.mean[m] + gain @ (x[r] - self.mean[r])
        return mean, self.covariance[m][:, m] - gain @ self.covariance[r][:, m]

    def moments(self, x, hidden):
        mean, variance = torch.zeros_like(x), torch.ones_like(x)
        for row, where in enumerate(hidden):
            mean[row, where], covariance = self.joint(x[row], where)
            variance[row, where] = covariance.diagonal()
        return mean, variance

    def conditional_log_prob(self, x, hidden):
        mean, variance = self.moments(x, hidden)
        return -0.5 * ((2 * math.pi * variance).log() + (x - mean).square() / variance)

    def conditional_sample(self, x, hidden, keys):
        mean, variance = self.moments(x, hidden)
        u = keys.open_uniform(Stream.SAMPLE, x.shape[1])
        drawn = mean + variance.sqrt() * torch.special.ndtri(u)
        # Times 0, not where(): NaN in what is hidden would be seen.
        return x * ~hidden + drawn * hidden

    def empty(self, num):
        return torch.zeros(num, len(self.mean), dtype=torch.float64)


@pytest.fixture
def make_table():
    """A random joint: `make_table(num_positions, num_values)`."""

    def make(num_positions, num_values, seed=0):
        generator = torch.Generator().manual_seed(seed)
        shape = [num_values] * num_positions
        logits = 1.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
        return Table(logits.exp() / logits.exp().sum())

    return make


@pytest.fixture
def make_dense():
    """A Gaussian of `num_latents` factors and noise: `make_dense(num_positions, num_latents)`."""

    def make(num_positions, num_latents, seed=0):
        generator = torch.Generator().manual_seed(seed)
        shape = num_positions, num_latents + 1
        w = torch.randn(shape, generator=generator, dtype=torch.float64)
        noise = 0.2 * torch.eye(num_positions, dtype=torch.float64)
        return Dense(w[:, 0], w[:, 1:] @ w[:, 1:].T + noise)

    return make
