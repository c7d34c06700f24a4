import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from maskwise.columns.networks import category_log_probs, count_losses


def everything(dropout=None):
    """Counts by means by dispersions, as count_losses takes them."""
    values = [0.0, 1, 2, 7, 60, 900], [0.01, 0.8, 5, 300], [0.05, 1, 12, 1e4]
    grid = torch.meshgrid(*(torch.tensor(v, dtype=torch.float64) for v in values), indexing="ij")
    counts, mean, dispersion = (each.flatten() for each in grid)
    logits = None if dropout is None else torch.full_like(counts, dropout)
    return counts, mean.log(), dispersion.log(), logits


def negative_binomial(counts, log_mean, log_dispersion):
    mean, size = log_mean.exp().numpy(), log_dispersion.exp().numpy()
    return stats.nbinom.logpmf(counts.numpy(), size, size / (size + mean))


def test_counts_are_negative_binomial():
    args = everything()
    np.testing.assert_allclose(-count_losses(*args), negative_binomial(*args[:3]), rtol=1e-8)
    # In single precision too: the log-gammas of large numbers cancel.
    single = count_losses(*(each.float() for each in args[:3]))
    np.testing.assert_allclose(single, -negative_binomial(*args[:3]), rtol=1e-4, atol=0.02)


@pytest.mark.parametrize("dropout", [-3.0, 0.4, 6.0])
def test_zero_inflation_is_a_mixture(dropout):
    args = everything(dropout)
    zero = 1 / (1 + np.exp(-dropout))
    mixture = (1 - zero) * np.exp(negative_binomial(*args[:3])) + zero * (args[0] == 0).numpy()
    likely = mixture > 1e-300
    assert likely.mean() > 0.7
    found = -count_losses(*args).numpy()
    np.testing.assert_allclose(found[likely], np.log(mixture[likely]), rtol=1e-8, atol=1e-12)


def test_extreme_logits_of_dropout_stay_finite():
    torch.testing.assert_close(count_losses(*everything(-2000.0)), count_losses(*everything()))
    counts, *others = everything(2000.0)
    found = count_losses(counts, *others)
    assert found.isfinite().all()
    assert (found[counts == 0] == 0).all()
    assert (found[counts > 0] > 2000).all()


def test_counts_of_no_dispersion_are_poisson():
    counts, log_mean, log_dispersion, _ = everything()
    found = -count_losses(counts, log_mean, torch.full_like(log_dispersion, np.log(1e9)))
    near = counts < 100  # elsewhere the log-gammas cancel
    expected = stats.poisson.logpmf(counts.numpy(), log_mean.exp().numpy())
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dropout", [None, 0.3])
def test_gradients_are_those_of_the_loss(dropout):
    """Finite differences."""
    args = [None if each is None else each[::7] for each in everything(dropout)]
    for each in args[1:]:
        if each is not None:
            each.requires_grad_()
    given_ = [each for each in args[1:] if each is not None]
    assert torch.autograd.gradcheck(
        lambda *free: count_losses(args[0], *free), given_, eps=1e-6, atol=1e-4, rtol=1e-4
    )


@settings(max_examples=20)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 2**20),
)
def test_categories_of_each_feature_are_a_softmax(sizes, seed):
    first = np.cumsum([0, *sizes])
    places = np.full((len(sizes), max(sizes)), -1)
    for feature, size in enumerate(sizes):
        places[feature, :size] = first[feature] + np.arange(size)
    logits = 30 * torch.randn(3, sum(sizes), generator=torch.Generator().manual_seed(seed))
    found = category_log_probs(logits, torch.from_numpy(places))
    assert found.shape == (3, len(sizes), max(sizes))
    for feature, size in enumerate(sizes):
        own = logits[:, first[feature] : first[feature + 1]].double()
        expected = own - own.exp().sum(dim=1, keepdim=True).log()
        np.testing.assert_allclose(found[:, feature, :size], expected, rtol=1e-5, atol=1e-5)
        assert (found[:, feature, size:] == -torch.inf).all()
