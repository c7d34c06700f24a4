"""The identities that make a masked score a likelihood, each to rounding or to its standard error.

arXiv 2306.00520 for the sum over sizes; arXiv 1905.08737 for its transpose over observations.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from maskwise import likelihood
from maskwise.likelihood import PPCA, Gaussian, Tabular

DOUBLE = torch.float64


def normals(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=DOUBLE)


def ppca(num_positions, num_components, noise=0.2, seed=0):
    return PPCA(normals(num_positions, num_components, seed=seed), noise)


def all_sizes(model, x):
    """S(x; 1), ..., S(x; D) over all masks, [D, B]."""
    sizes = range(1, x.shape[1] + 1)
    return torch.stack([likelihood.score_at_size(model, x, M, exhaustive=True) for M in sizes])


class Uniform:
    """Every one of V values is as likely as any other."""

    def __init__(self, num_values):
        self.num_values = num_values

    def conditional_log_prob(self, x, hidden):
        return torch.full(hidden.shape, -math.log(self.num_values), dtype=DOUBLE)


class Incompatible:
    """Binary conditionals of a table each: p(x_t = 1 | x_R) for every t and every (R, x_R)."""

    def __init__(self, num_positions, seed):
        shape = (3,) * num_positions  # of each position: value 0, value 1, or hidden
        self.logits = 1.5 * normals(num_positions, *shape, seed=seed)

    def conditional_log_prob(self, x, hidden):
        state = torch.where(hidden, 2, x)
        logits = torch.stack([table[tuple(state.T)] for table in self.logits], dim=1)
        return torch.nn.functional.logsigmoid(torch.where(x == 1, logits, -logits))


@pytest.mark.parametrize("num_positions", range(2, 13))
def test_1_scores_of_all_sizes_sum_to_the_log_likelihood(num_positions):
    model = ppca(num_positions, min(num_positions, 3), seed=num_positions)
    x = torch.cat([model.sample(3), 2 * normals(3, num_positions, seed=1)])  # half off the model
    found = all_sizes(model, x).sum(dim=0)
    torch.testing.assert_close(found, model.log_prob(x), rtol=1e-10, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("num_positions", [13, 14])
def test_1_scores_of_all_sizes_sum_to_the_log_likelihood_with_many_masks(num_positions):
    test_1_scores_of_all_sizes_sum_to_the_log_likelihood(num_positions)


def test_2_the_chain_rule_is_the_same_in_every_order():
    model = ppca(12, 3)
    x = model.sample(1).expand(200, -1)
    generator = torch.Generator().manual_seed(0)
    orders = torch.stack([torch.randperm(12, generator=generator) for _ in range(200)])
    found = likelihood.chain_rule(model, x, orders)
    assert float(found.std()) < 1e-10
    torch.testing.assert_close(found, model.log_prob(x), rtol=0, atol=1e-10)


def test_3_a_discrete_joint():
    probabilities = torch.softmax(1.5 * normals(3**5), dim=0).view(3, 3, 3, 3, 3)
    model = Tabular(probabilities)
    x = torch.cartesian_prod(*[torch.arange(3)] * 5)
    found = all_sizes(model, x).sum(dim=0)
    torch.testing.assert_close(found, probabilities.flatten().log(), rtol=0, atol=1e-12)


def test_4_low_rank_conditionals_are_the_dense_ones():
    model = ppca(30, 4)
    dense = Gaussian(
        torch.zeros(30), model.loadings @ model.loadings.T + 0.2 * torch.eye(30, dtype=DOUBLE)
    )
    x = model.sample(50)
    hidden = normals(50, 30, seed=2) > normals(50, 1, seed=3)
    found, wanted = (m.conditional_log_prob(x, hidden)[hidden] for m in (model, dense))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_5_a_partial_sum_is_the_mean_joint_conditional():
    model, num_positions, size = ppca(7, 2), 7, 3
    x = model.sample(4)
    covariance = (model.loadings @ model.loadings.T + 0.2 * torch.eye(7, dtype=DOUBLE)).numpy()
    whole = model.log_prob(x).numpy()
    joint = []
    for hidden in itertools.combinations(range(num_positions), size):
        rest = [t for t in range(num_positions) if t not in hidden]
        visible = stats.multivariate_normal(cov=covariance[np.ix_(rest, rest)])
        joint.append(whole - visible.logpdf(x[:, rest].numpy()))
    found = likelihood.partial(model, x, size, exhaustive=True)
    np.testing.assert_allclose(found, np.mean(joint, axis=0), rtol=0, atol=1e-10)


def test_6_gradients_agree_too():
    loadings = normals(7, 2).requires_grad_()
    model = PPCA(loadings, 0.2)
    x = normals(5, 7, seed=4)
    [wanted] = torch.autograd.grad(model.log_prob(x).sum(), loadings)
    [found] = torch.autograd.grad(all_sizes(model, x).sum(), loadings)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def second_moment(covariance):
    """Samples whose second moment is the covariance: what is quadratic in x has its mean."""
    return math.sqrt(len(covariance)) * torch.linalg.cholesky(covariance).T


def test_7_biases_sum_to_zero_and_scores_fall_on_the_model():
    model = ppca(10, 3)
    x = second_moment(model.loadings @ model.loadings.T + 0.2 * torch.eye(10, dtype=DOUBLE))
    curve = likelihood.score_curve(model, x, exhaustive=True)
    assert abs(likelihood.fixed_ratio_bias(curve).sum()) < 1e-10
    assert (np.diff(curve.scores) <= 1e-12).all()
    assert likelihood.fixed_ratio_bias(curve)[0] > 0 > likelihood.fixed_ratio_bias(curve)[-1]
    assert 0 < likelihood.crossing_ratio(curve) < 1


@pytest.mark.parametrize("num_positions", [5, 12, 40])
def test_8_the_weight_of_masked_diffusion_is_that_of_a_size(num_positions):
    for size in range(1, num_positions + 1):
        found, _ = integrate.quad(
            lambda t, M=size: t ** (M - 1) * (1 - t) ** (num_positions - M),
            *(0, 1),
            epsabs=1e-14,
        )
        assert abs(found - 1 / (size * special.comb(num_positions, size))) < 1e-10


@pytest.mark.parametrize("seed", range(3))
def test_9_incompatible_conditionals_bound_the_mixture_of_orders(seed):
    model = Incompatible(5, seed)
    x = torch.cartesian_prod(*[torch.arange(2)] * 5)
    orders = torch.tensor(list(itertools.permutations(range(5))))
    each = torch.stack([likelihood.chain_rule(model, x, order) for order in orders])
    area = all_sizes(model, x).sum(dim=0)
    torch.testing.assert_close(area, each.mean(dim=0), rtol=0, atol=1e-10)
    mixture = each.logsumexp(dim=0) - math.log(len(orders))
    assert abs(float(mixture.exp().sum()) - 1) < 1e-10
    assert float((mixture - area).min()) > 0.01  # they are not compatible


def test_10_cumulative_cross_validation_is_the_log_evidence():
    n, prior, noise = 8, 1.7, 0.6
    y = normals(3, n) + 1
    model = likelihood.conjugate_mean(n, prior_variance=prior, noise=noise)
    found = all_sizes(model, y).sum(dim=0)
    # The evidence from sufficient statistics: n observations with a common unknown mean.
    mean, square = y.mean(dim=1), (y - y.mean(dim=1, keepdim=True)).square().sum(dim=1)
    total = noise / n + prior
    wanted = -0.5 * (
        (n - 1) * math.log(2 * math.pi * noise)
        + math.log(n)
        + square / noise
        + math.log(2 * math.pi * total)
        + mean.square() / total
    )
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", ["systematic", "per_size", "bernoulli", "chain_rule"])
def test_11_estimators_have_the_log_likelihood_as_mean(method):
    model = ppca(20, 2)
    x = model.sample(1, seed=3).expand(4000, -1)
    found = likelihood.log_likelihood(model, x, method, passes=40).per_sample
    off = float(found.mean() - model.log_prob(x[:1]))
    assert abs(off) < 4 * float(found.std()) / math.sqrt(4000) + 1e-12


def test_12_edge_cases():
    model = ppca(6, 2)
    x = model.sample(3)
    nothing_visible = torch.ones(3, 6, dtype=torch.bool)
    marginals = model.conditional_log_prob(x, nothing_visible).mean(dim=1)
    torch.testing.assert_close(all_sizes(model, x)[-1], marginals, rtol=0, atol=1e-12)

    one = ppca(1, 1)
    x = one.sample(3)
    torch.testing.assert_close(all_sizes(one, x)[0], one.log_prob(x), rtol=0, atol=1e-12)

    independent = Gaussian(torch.zeros(5), torch.diag(torch.arange(1.0, 6.0)))
    x = independent.sample(3)
    wanted = independent.log_prob(x).expand(5, -1)
    torch.testing.assert_close(5 * all_sizes(independent, x), wanted, rtol=0, atol=1e-12)


def test_13_the_diffusion_bound_rises_to_the_log_likelihood_as_one_over_steps():
    """sum_{i=1}^T (1/i) sum_M Binomial(M; D, i/T) M S(M)."""
    model = ppca(6, 2)
    x = second_moment(model.loadings @ model.loadings.T + 0.2 * torch.eye(6, dtype=DOUBLE))
    curve = likelihood.score_curve(model, x, exhaustive=True)
    sizes = np.arange(1, 7)
    gaps = {}
    for num_steps in (1, 2, 8, 64, 1024):
        steps = np.arange(1, num_steps + 1)
        weights = stats.binom.pmf(sizes, 6, steps[:, None] / num_steps) * sizes / steps[:, None]
        gaps[num_steps] = float((weights @ curve.scores).sum()) - curve.area
    found = list(gaps.values())
    assert found == sorted(found)
    assert found[-1] < 0
    assert gaps[64] / gaps[1024] == pytest.approx(16, rel=0.05)


def best(objective, num_components, starts=4):
    """The loadings that maximise an objective, by L-BFGS from several starts."""
    found = []
    for seed in range(starts):
        loadings = normals(6, num_components, seed=10 + seed).requires_grad_()
        optimizer = torch.optim.LBFGS(
            [loadings],
            max_iter=500,
            tolerance_grad=1e-10,
            tolerance_change=1e-14,
            line_search_fn="strong_wolfe",
        )

        def step(loadings=loadings, optimizer=optimizer):
            optimizer.zero_grad()
            value = -objective(PPCA(loadings, 0.2))
            value.backward()
            return value

        optimizer.step(step)
        found.append((float(-step().detach()), loadings.detach()))
    return max(found, key=lambda pair: pair[0])[1]


def lost(num_true, num_fitted, size):
    """The log-likelihood per sample lost by maximising S(size) instead of it."""
    truth = ppca(6, num_true, seed=7)
    x = second_moment(truth.loadings @ truth.loadings.T + 0.2 * torch.eye(6, dtype=DOUBLE))
    attainable = PPCA.fit(x, num_fitted, noise=0.2, mean=torch.zeros(6)).log_prob(x).mean()
    score = best(
        lambda model: likelihood.score_at_size(model, x, size, exhaustive=True).mean(), num_fitted
    )
    return float(attainable - PPCA(score, 0.2).log_prob(x).mean())


@pytest.mark.parametrize("size", range(1, 6))
def test_14_a_fixed_size_finds_the_maximum_when_the_model_is_right(size):
    assert abs(lost(2, 2, size)) < 1e-4


@pytest.mark.parametrize(("num_true", "num_fitted", "size"), [(2, 2, 6), (4, 1, 1), (4, 1, 5)])
def test_14_it_does_not_fully_hidden_or_when_the_model_is_wrong(num_true, num_fitted, size):
    assert lost(num_true, num_fitted, size) > 0.05


def test_15_the_uniform_predictor():
    x = torch.zeros(3, 12, dtype=torch.int64)
    found = all_sizes(Uniform(30522), x).sum(dim=0)
    torch.testing.assert_close(
        found / -12 / math.log(30522), torch.ones(3, dtype=DOUBLE), rtol=1e-12, atol=0
    )
    for method in ("systematic", "per_size", "chain_rule", "quadrature", "exhaustive"):
        found = likelihood.log_likelihood(Uniform(30522), x, method)
        assert found.value == pytest.approx(-36 * math.log(30522), rel=1e-12)
        assert found.perplexity == pytest.approx(30522)
        assert found.stderr == pytest.approx(0, abs=1e-9)
