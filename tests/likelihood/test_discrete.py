"""Discrete models against loops over every state and every point of the grid."""

import itertools
import math
import time

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from maskwise.errors import UserError
from maskwise.likelihood import BernoulliLatent, Tabular
from maskwise.rng import Keys


def rng(seed=0):
    return np.random.default_rng(seed)


def masks_of(length):
    return np.array(list(itertools.product([False, True], repeat=length)))


def table_twin(table, x, hidden):
    """log p(x_t | x_R) of one sample's hidden positions, by looking at every state."""
    found = []
    for t in np.flatnonzero(hidden):
        above = below = 0.0
        for state in np.ndindex(*table.shape):
            if all(state[r] == x[r] for r in np.flatnonzero(~hidden)):
                below += table[state]
                above += table[state] * (state[t] == x[t])
        found.append(math.log(above / below))
    return found


@pytest.mark.parametrize("shape", [(3, 3, 3), (2, 4, 1, 3), (5,)])
def test_table_by_enumeration(shape):
    table = rng().gamma(0.5, size=shape)
    table /= table.sum()
    model = Tabular(table)
    for x in list(np.ndindex(*shape))[::5]:
        for hidden in masks_of(len(shape)):
            found = model.conditional_log_prob([x], hidden[None]).numpy()[0, hidden]
            np.testing.assert_allclose(found, table_twin(table, x, hidden), rtol=1e-12, atol=1e-14)
        assert model.log_prob([x]).item() == pytest.approx(math.log(table[x]), rel=1e-13)


def test_table_with_states_that_never_occur():
    """What has probability 0 is never drawn, and its conditionals are -inf, not NaN."""
    model = Tabular([[0.5, 0.0], [0.0, 0.5]])
    assert model.log_prob([[0, 1]]).item() == -math.inf
    for hidden in ([True, False], [False, True]):
        found = model.conditional_log_prob([[0, 1]], [hidden])[0]
        assert found[hidden].item() == -math.inf
    drawn = model.conditional_sample(
        [[1, 0]] * 99, [[False, True]] * 99, Keys(0, 0, torch.arange(99))
    )
    assert (drawn == 1).all()
    x = model.sample(200)
    assert (x[:, 0] == x[:, 1]).all()
    assert 60 < x[:, 0].sum() < 140
    lonely = Tabular([[1.0, 0.0], [0.0, 0.0]])
    hidden = [[True, False]]
    assert lonely.conditional_log_prob([[0, 1]], hidden)[0, 0].item() == -math.inf
    with pytest.raises(UserError, match="have probability 0 together"):
        lonely.conditional_sample([[0, 1]], hidden, Keys(0, 0, torch.arange(1)))


def test_rounding_of_a_float32_table_is_put_right():
    table = torch.softmax(torch.arange(9, dtype=torch.float32), dim=0).view(3, 3)
    model = Tabular(table)
    states = list(np.ndindex(3, 3))
    assert float(model.log_prob(states).exp().sum()) == pytest.approx(1, abs=1e-15)


def grid_twin(weights, bias, points, limit):
    """Weights and positions' probabilities [G, D] of each point, point by point."""
    share, chance, pairs = [], [], list(zip(weights, bias, strict=True))
    for z in itertools.product(np.linspace(-limit, limit, points), repeat=weights.shape[1]):
        share.append(math.exp(-0.5 * sum(v * v for v in z)))
        chance.append([1 / (1 + math.exp(-(w @ np.array(z) + b))) for w, b in pairs])
    return np.array(share) / sum(share), np.array(chance)


@pytest.mark.parametrize(("width", "points", "limit"), [(1, 20, 5.0), (2, 4, 5.0), (3, 3, 2.0)])
def test_latent_variable_by_a_loop_over_the_grid(width, points, limit):
    weights, bias = rng().normal(size=(5, width)), rng(1).normal(size=5)
    share, chance = grid_twin(weights, bias, points, limit)
    model = BernoulliLatent(weights, bias, points, limit)
    for x in ([0, 0, 1, 0, 1], [1, 1, 1, 1, 1], [0, 1, 0, 0, 0]):
        x = np.array(x)
        right = np.where(x == 1, chance, 1 - chance)
        whole = math.log(share @ right.prod(axis=1))
        assert model.log_prob(x[None]).item() == pytest.approx(whole, rel=1e-12)
        for hidden in masks_of(5):
            seen = share * right[:, ~hidden].prod(axis=1)
            expected = np.log(seen @ right[:, hidden] / seen.sum())
            found = model.conditional_log_prob(x[None], hidden[None]).numpy()[0, hidden]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_twenty_points_are_enough_for_a_normal_latent_variable():
    """Against adaptive integration over z: the quadrature is that of a normal distribution."""
    weights, bias = np.array([1.0, -0.5, 2.0]), np.array([0.3, 0.0, -1.0])
    model = BernoulliLatent(weights[:, None], bias)
    for x in itertools.product([0, 1], repeat=3):
        sign = 2 * np.array(x) - 1

        def density(z, sign=sign):
            return stats.norm.pdf(z) / np.prod(1 + np.exp(-sign * (weights * z + bias)))

        expected = integrate.quad(density, -10, 10)[0]
        assert model.log_prob([x]).exp().item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("size", [1.0, 0.06])
def test_large_logits_lose_no_probability(size):
    """Points are hundreds of nats apart, and one of two probabilities is 1 - 1e-200, or 1e-13."""
    weights = size * np.array([[80.0], [-80.0], [40.0]])
    bias = size * np.array([100.0, 100.0, -250.0])
    model = BernoulliLatent(weights, bias)
    z = np.linspace(-5, 5, 20)
    prior = -0.5 * z**2
    prior -= np.logaddexp.reduce(prior)
    for x in itertools.product([0, 1], repeat=3):
        log_chance = -np.logaddexp(0, -(2 * np.array(x) - 1) * (np.outer(z, weights) + bias))
        for hidden in masks_of(3):
            seen = prior + log_chance[:, ~hidden].sum(axis=1)
            expected = [
                np.logaddexp.reduce(seen + log_chance[:, t]) - np.logaddexp.reduce(seen)
                for t in np.flatnonzero(hidden)
            ]
            found = model.conditional_log_prob([x], hidden[None]).numpy()[0, hidden]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_a_thousand_images_take_well_below_a_second():
    """784 pixels, 400 points: products of matrices, nothing of size [B, G, D]."""
    weights, bias = (
        torch.tensor(rng().normal(size=(784, 2))),
        torch.tensor(rng(1).normal(size=784)),
    )
    model = BernoulliLatent(weights, bias)
    x = model.sample(1000)
    hidden = torch.tensor(rng(2).random((1000, 784)) < 0.5)
    start = time.perf_counter()
    found = model.conditional_log_prob(x, hidden)
    assert time.perf_counter() - start < 2
    assert found.isfinite().all()


BAD = [
    (lambda: Tabular([[0.5, 0.6], [0.0, 0.0]]), "probabilities sum to 1.1: divide them"),
    (lambda: Tabular([1.5, -0.5]), "a probability is -0.5"),
    (lambda: Tabular([math.nan, 1.0]), "probabilities has values that are not finite"),
    (lambda: Tabular(1.0), r"probabilities has shape \[\]"),
    (lambda: Tabular([0.5, 0.5]).log_prob([[2]]), r"x\[0, 0\] is 2: positions hold 0..1"),
    (
        lambda: Tabular(np.full((3, 2), 1 / 6)).log_prob([[0, 1], [2, 2]]),
        r"x\[1, 1\] is 2: positions hold one of 0..V-1 with V = \[3, 2\]",
    ),
    (lambda: Tabular([0.5, 0.5]).log_prob([[-1]]), r"x\[0, 0\] is -1"),
    (lambda: BernoulliLatent([[1.0]], [0.0]).log_prob([[0.5]]), r"is 0.5: positions hold 0..1"),
    (lambda: BernoulliLatent([[1.0]], [0.0]).log_prob([[2]]), r"is 2: positions hold 0..1"),
    (lambda: BernoulliLatent([1.0], [0.0]), r"weights has shape \[1\]: give \[D, K\]"),
    (lambda: BernoulliLatent([[1.0]], [0.0, 1.0]), "bias has 2 positions, weights 1"),
    (lambda: BernoulliLatent([[math.inf]], [0.0]), "weights has values that are not finite"),
    (lambda: BernoulliLatent([[1.0]], [0.0], points=1), "points 1 on each of 1 axes"),
    (lambda: BernoulliLatent(np.ones((1, 9)), [0.0]), "points 20 on each of 9 axes"),
    (lambda: BernoulliLatent([[1.0]], [0.0], limit=0.0), "limit is 0"),
    (lambda: BernoulliLatent([[200.0]], [0.0]), "a logit on the grid is 1000 in size"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(UserError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
