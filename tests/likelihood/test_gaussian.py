"""Gaussian models against dense twins, textbook formulas and many digits."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from maskwise.errors import UserError
from maskwise.likelihood import PPCA, Gaussian, conjugate_mean


def rng(seed=0):
    return np.random.default_rng(seed)


def twin(x, hidden, mean, covariance):
    """Mean and variance of each hidden position, row by row, by the inverted visible block."""
    means, variances = x.copy(), np.zeros_like(x)
    for i in range(len(x)):
        r = np.flatnonzero(~hidden[i])
        inverse = np.linalg.inv(covariance[np.ix_(r, r)])
        for t in np.flatnonzero(hidden[i]):
            a = inverse @ covariance[r, t]
            means[i, t] = mean[t] + a @ (x[i, r] - mean[r])
            variances[i, t] = covariance[t, t] - covariance[t, r] @ a
    return means, variances


def random_case(length, width, num=60, noise=0.3):
    """PPCA's arguments, samples off the model, and masks of all ratios: none and all included."""
    loadings, mean = rng().normal(size=(length, width)), rng(1).normal(size=length)
    x = 3 * rng(2).normal(size=(num, length))
    hidden = rng(3).random((num, length)) < np.linspace(0, 1, num)[:, None]
    covariance = loadings @ loadings.T + noise * np.eye(length)
    return loadings, noise, mean, covariance, x, hidden


@pytest.mark.parametrize(("length", "width"), [(12, 3), (5, 9), (7, 7), (1, 1), (40, 11)])
def test_moments_and_densities_are_those_of_the_dense_formula(length, width):
    loadings, noise, mean, covariance, x, hidden = random_case(length, width)
    assert hidden[-1].all()
    assert not hidden[0].any()
    means, variances = twin(x, hidden, mean, covariance)
    for model in (PPCA(loadings, noise, mean), Gaussian(mean, covariance)):
        found_mean, found_variance = model.conditional_moments(x, hidden)
        np.testing.assert_allclose(found_mean.numpy(), means, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(found_variance.numpy(), variances, rtol=1e-11, atol=1e-11)
        found = model.conditional_log_prob(x, hidden).numpy()
        assert np.isfinite(found).all()
        expected = stats.norm.logpdf(x[hidden], means[hidden], variances[hidden] ** 0.5)
        np.testing.assert_allclose(found[hidden], expected, rtol=1e-11, atol=1e-11)
        expected = stats.multivariate_normal(mean, covariance).logpdf(x)
        np.testing.assert_allclose(model.log_prob(x).numpy(), expected, rtol=1e-11)


def test_nothing_visible_gives_the_marginals():
    loadings, noise, mean, covariance, x, _ = random_case(6, 2)
    for model in (PPCA(loadings, noise, mean), Gaussian(mean, covariance)):
        found = model.conditional_moments(x, np.ones(x.shape, bool))
        np.testing.assert_allclose(found[0].numpy(), np.broadcast_to(mean, x.shape), atol=1e-14)
        np.testing.assert_allclose(found[1][0].numpy(), np.diag(covariance), rtol=1e-14)


def exact_log_prob(model, x, t, visible):
    """log p(x_t | x_R) with 60 digits."""
    with mpmath.workdps(60):
        rows = [mpmath.matrix(model.loadings[r].tolist()) for r in (*visible, t)]
        noise = mpmath.mpf(float(model.noise))

        def covariance(i, j):
            return (rows[i].T * rows[j])[0] + noise * (i == j)

        count = len(visible)
        mean, variance = mpmath.mpf(0), covariance(count, count)
        if visible:
            block = mpmath.matrix(count)
            for i, j in itertools.product(range(count), repeat=2):
                block[i, j] = covariance(i, j)
            cross = mpmath.matrix([covariance(i, count) for i in range(count)])
            a = mpmath.lu_solve(block, cross)
            mean = sum(a[i] * mpmath.mpf(float(x[r])) for i, r in enumerate(visible))
            variance -= (cross.T * a)[0]
        error = (mpmath.mpf(float(x[t])) - mean) ** 2 / variance
        return float(-(mpmath.log(2 * mpmath.pi) + mpmath.log(variance) + error) / 2)


def condition(model, x, t, visible):
    """How far log p(x_t | x_R) moves for a relative change of every number that it is made of.

    Gradients of the dense formula: they need no more than the order of magnitude.
    """
    loadings, noise, x = (
        torch.as_tensor(each, dtype=torch.float64).clone().requires_grad_()
        for each in (model.loadings, model.noise, x)
    )
    r = torch.tensor(visible, dtype=torch.int64)
    block = loadings[r] @ loadings[r].T + noise * torch.eye(len(r))
    a = torch.linalg.solve(block, loadings[r] @ loadings[t])
    variance = loadings[t] @ loadings[t] + noise - a @ (loadings[r] @ loadings[t])
    (variance.log() / 2 + (x[t] - a @ x[r]).square() / variance / 2).backward()
    return sum(float((each.grad * each.detach()).abs().sum()) for each in (loadings, noise, x))


@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-4, 1e-6])
def test_small_noise_costs_no_digits(noise):
    """With fewer visible positions than components, as many, and more; also for twin positions.

    No more is lost than by rounding the model and the sample themselves, once for each number in
    a sum over positions and one over components.
    """
    length, width = 24, 16
    for number, num_visible in enumerate((0, 1, 3, 9, 15, 16, 17, 21)):
        loadings = 2 * rng(number).normal(size=(length, width))
        loadings[1] = loadings[0]
        model = PPCA(loadings, noise)
        x = model.sample(1, seed=number).numpy()
        # Three are asked for: position 1, whose twin is the first to be visible, and two more.
        visible = [0, *range(4, length)][:num_visible]
        asked = [1, 2, 3]
        found = model.conditional_log_prob(x, ~np.isin(np.arange(length), visible)[None])
        expected = [exact_log_prob(model, x[0], t, visible) for t in asked]
        error = np.abs(found[0, asked].numpy() - expected)
        last_bits = (length + width) * np.finfo(float).eps / 2
        for t, each, density in zip(asked[1:], error[1:], expected[1:], strict=True):
            assert each < last_bits * (condition(model, x[0], t, visible) + abs(density))
        # Of a variance of 100, next to nothing remains when the twin is known.
        assert error[0] < 2e-14 / noise
    chain = [exact_log_prob(model, x[0], t, list(range(t))) for t in range(length)]
    np.testing.assert_allclose(model.log_prob(x).item(), sum(chain), rtol=1e-11)


def test_many_rows_with_few_masks():
    """A Gaussian works on each different mask once: the rows must get their own back."""
    _, _, mean, covariance, x, hidden = random_case(8, 3)
    model = Gaussian(mean, covariance)
    few = hidden[[10, 30, 50]][np.arange(len(x)) % 3]
    means, variances = twin(x, few, mean, covariance)
    found = model.conditional_moments(x, few)
    np.testing.assert_allclose(found[0].numpy(), means, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found[1].numpy(), variances, rtol=1e-11, atol=1e-11)


def test_conjugate_mean_is_the_textbook_evidence():
    """log p(y) for y_i ~ N(m, s2), m ~ N(m0, t2), with the sums over y written out."""
    num, prior, noise, center = 8, 2.5, 0.7, 1.5
    y = rng().normal(2, 1, size=(3, num))
    mean = y.mean(axis=1)
    spread = noise + num * prior
    expected = (
        0.5 * math.log(noise)
        - num / 2 * math.log(2 * math.pi * noise)
        - 0.5 * math.log(spread)
        - (y**2).sum(axis=1) / (2 * noise)
        - center**2 / (2 * prior)
        + (prior * num**2 * mean**2 / noise + noise * center**2 / prior + 2 * num * mean * center)
        / (2 * spread)
    )
    model = conjugate_mean(num, prior, noise, center)
    np.testing.assert_allclose(model.log_prob(y).numpy(), expected, rtol=1e-12)
    hidden = np.zeros(y.shape, bool)
    hidden[:, :5] = True
    found_mean, found_variance = model.conditional_moments(y, hidden)
    posterior = 1 / (1 / prior + 3 / noise)
    center = posterior * (center / prior + y[:, 5:].sum(axis=1) / noise)
    np.testing.assert_allclose(found_mean[:, :5].numpy(), np.tile(center[:, None], 5), rtol=1e-12)
    np.testing.assert_allclose(found_variance[:, :5].numpy(), noise + posterior, rtol=1e-12)


def test_gradients_reach_all_that_makes_a_conjugate_mean():
    leaves = [torch.tensor(v, requires_grad=True) for v in (2.5, 0.7, 1.5)]
    conjugate_mean(4, *leaves).log_prob([[1.0, 2.0, 0.0, 9.0]]).sum().backward()
    assert all(float(leaf.grad.abs()) > 1e-3 for leaf in leaves)


@pytest.mark.parametrize("mean", [None, [0.5] * 7])
@pytest.mark.parametrize("noise", [None, 0.2, 30.0])
def test_a_fit_is_a_maximum_of_the_likelihood(noise, mean):
    """No gradient is left, and no model near it is better; with much noise, W loses columns."""
    x = 1 + rng().normal(size=(400, 4)) @ rng(1).normal(size=(4, 7))
    x += 0.5 * rng(2).normal(size=x.shape)
    model = PPCA.fit(x, 3, noise, mean)
    leaves = [model.loadings.requires_grad_()]
    if noise is None:
        leaves.append(model.noise.requires_grad_())
    if mean is None:
        leaves.append(model.mean.requires_grad_())
        np.testing.assert_allclose(model.mean.detach().numpy(), x.mean(axis=0), rtol=1e-12)
    best = model.log_prob(x).mean()
    for gradient in torch.autograd.grad(best, leaves):
        assert gradient.abs().max() < 1e-10
    for seed in range(20):
        loadings = model.loadings.detach().numpy() + 0.05 * rng(seed).normal(size=(7, 3))
        other = PPCA(loadings, model.noise.detach(), model.mean.detach())
        assert other.log_prob(x).mean() < best
    ranks = {None: 3, 0.2: 3, 30.0: 0}
    assert (model.loadings.detach().norm(dim=0) > 0).sum() == ranks[noise]


def test_fit_recovers_the_model():
    truth = PPCA(rng().normal(size=(6, 2)), 0.2, [1.0] * 6)
    model = PPCA.fit(truth.sample(100_000), 2)
    assert float(model.noise) == pytest.approx(0.2, rel=0.01)
    gap = model.loadings @ model.loadings.T - truth.loadings @ truth.loadings.T
    assert gap.abs().max() < 0.1


BAD = [
    (lambda: PPCA([1.0, 2.0], 1.0), r"loadings has shape \[2\]: give \[D, K\]"),
    (lambda: PPCA(np.zeros((3, 0)), 1.0), r"loadings has shape \[3, 0\]: give \[D, K\]"),
    (lambda: PPCA([[1.0], [math.nan]], 1.0), "loadings has values that are not finite"),
    (lambda: PPCA("big", 1.0), "loadings is str, not an array of numbers"),
    (lambda: PPCA([[1.0, 2.0], [1.0]], 1.0), "loadings is list, not an array of numbers"),
    (lambda: PPCA([[1.0]], 0.0), "noise is 0: give a finite number above 0"),
    (lambda: PPCA([[1.0]], -2), "noise is -2: give"),
    (lambda: PPCA([[1.0]], math.nan), "noise is nan: give"),
    (lambda: PPCA([[1.0]], [1.0, 2.0]), r"noise has shape \[2\]: give one number"),
    (lambda: PPCA([[1.0]], 1.0, [1.0, 2.0]), "mean has 2 positions, the model 1"),
    (lambda: PPCA([[1.0]], 1.0, 3.0), r"mean has shape \[\]: give \[D\]"),
    (lambda: Gaussian([0.0], [[1.0, 0.0]]), "must be square"),
    (lambda: Gaussian([0.0, 0.0], [[1.0, 0.5], [0.4, 1.0]]), "not symmetric"),
    (lambda: Gaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "indefinite"),
    (lambda: Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]]), "the covariance is singular"),
    (lambda: Gaussian([0.0], np.eye(2)), "mean has 1 positions, the model 2"),
    (lambda: Gaussian([0.0, math.inf], np.eye(2)), "mean has values that are not finite"),
    (lambda: conjugate_mean(0, 1.0, 1.0), "num 0 is no number of observations"),
    (lambda: conjugate_mean(3, 0.0, 1.0), "prior_variance is 0"),
    (lambda: conjugate_mean(3, 1.0, -1.0), "noise is -1"),
    (lambda: conjugate_mean(3, 1.0, 1.0, [1.0]), r"prior_mean has shape \[1\]: give one number"),
    (lambda: PPCA.fit(np.eye(3), 0), "num_components is 0: give 1 to 2 for 3 positions and unk"),
    (lambda: PPCA.fit(np.eye(3), 3), "num_components is 3: give 1 to 2"),
    (lambda: PPCA.fit(np.eye(3), 4, noise=1.0), "num_components is 4: give 1 to 3"),
    (lambda: PPCA.fit(np.eye(3), 2), "nothing varies beyond 2 components"),
    (lambda: PPCA.fit(np.full((3, 3), math.nan), 1), "x has values that are not finite"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(UserError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_training_that_leaves_the_models_is_told():
    noise = torch.tensor(0.1, requires_grad=True)
    model = PPCA([[1.0], [1.0]], noise)
    noise.data -= 1
    with pytest.raises(UserError, match=r"noise is -0\.9"):
        model.log_prob([[0.0, 0.0]])
