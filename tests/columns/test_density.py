"""What models of features say is how likely, and what they draw."""

import math

import numpy as np
import pytest
import torch

from maskwise import likelihood
from maskwise.columns.model import TabularModelSettings
from maskwise.modalities import build
from maskwise.rng import Keys
from tests.columns.small_models import CASES, KINDS, NUM, each_case, hide, make, rows, table


@pytest.mark.parametrize("kind", KINDS)
@each_case("nb", "zinb with holes", "numbers", "mixed")
@torch.no_grad()
def test_draws_are_as_predicted(case, kind):
    modality, samples = CASES[case]
    model = make(modality, kind=kind)
    num = 6000
    one = samples[3:4].expand(num, -1)
    hidden = hide(samples, model.length, seed=4)[3:4].expand(num, -1)
    assert 1 < int(hidden[0].sum()) < model.length
    drawn = model.conditional_sample(one, hidden, Keys(1, 0, torch.arange(num)))
    expected = model.predict(one[:1], hidden[:1])[0]
    for feature in hidden[0].nonzero().flatten().tolist():
        values = drawn[:, feature].double()
        if size := modality.sizes[feature]:
            found = torch.bincount(values.long(), minlength=size) / num
            each = one[:size].clone()
            each[:, feature] = torch.arange(size)
            probs = model.conditional_log_prob(each, hidden[:size])[:, feature].exp()
            assert int(expected[feature]) == int(probs.argmax())
            np.testing.assert_allclose(found, probs, atol=4 / (2 * num**0.5))
            continue
        error = float(values.std()) / num**0.5
        assert float(values.mean()) == pytest.approx(float(expected[feature]), abs=4.5 * error)
        if modality.loss == "mse":
            blank = int(hidden[0].sum())
            variance = math.exp(model.log_variance[blank - 1] + model.log_spread[feature])
            assert float(values.var()) == pytest.approx(variance, rel=0.1)
        else:
            assert (values == values.round()).all()
            assert (values >= 0).all()


def asked(model, sample, hidden, feature, values):
    """Return log-probabilities of one feature's values, given the rest of a sample."""
    many = sample.repeat(len(values), 1)
    many[:, feature] = values
    return model.conditional_log_prob(many, hidden.expand(len(values), -1))[:, feature].double()


@pytest.mark.parametrize("kind", KINDS)
@each_case()
@torch.no_grad()
def test_probabilities_sum_to_one(case, kind):
    """Densities integrate to one in the units of the data."""
    modality, samples = CASES[case]
    model = make(modality, kind=kind)
    if model.log_dispersion is not None:
        model.log_dispersion += 1.0  # shorter tails
    for row, feature in ((1, 0), (4, 1), (7, model.length - 1)):
        hidden = hide(samples, model.length, seed=row)[row]
        hidden[feature] = True
        sample = samples[row].clone()
        size = modality.sizes[feature]
        if size:
            total = asked(model, sample, hidden, feature, torch.arange(size)).exp().sum()
        elif modality.loss == "mse":
            scale = math.exp(modality.log_scale[feature])
            # A fine grid in the units of the data, far beyond what is predicted.
            raw = torch.linspace(-30 * scale, 30 * scale, 3001, dtype=torch.float64)
            values = (raw / scale).float()
            total = asked(model, sample, hidden, feature, values).exp().sum() * (raw[1] - raw[0])
        else:
            log_prob = asked(model, sample, hidden, feature, torch.arange(5000))
            total = log_prob.exp().sum()
        assert float(total) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@each_case("mixed with holes", "expression", "zinb with holes", "nb of batches")
@torch.no_grad()
def test_the_likelihood_package_works_with_it(case, kind):
    modality, samples = CASES[case]
    model = make(modality, kind=kind)
    samples = samples[: NUM - 1]  # of the last one nothing may be known
    scores = likelihood.score_samples(model, samples, passes=6)
    assert scores.shape == (NUM - 1,)
    assert scores.isfinite().all()
    likelihood.check_leak(model, samples)
    torch.testing.assert_close(
        likelihood.score_samples(model, samples[3:7], passes=6), scores[3:7]
    )
    estimate = likelihood.log_likelihood(model, samples, passes=6)
    assert estimate.per_sample.isfinite().all()
    new = likelihood.sample(model, 3, blocks=2)
    assert new.shape == (3, samples.shape[1])
    assert new.isfinite().all()
    observed = ~samples[:, : model.length].isnan() & ~hide(samples, model.length)
    found = likelihood.impute(model, samples, observed, num_samples=4, blocks=2)
    assert found.samples.shape[-1] == samples.shape[1]
    assert found.samples.isfinite().all()


def test_of_one_feature_only_the_score_is_exact():
    """With one feature measured, the likelihood is its one conditional."""
    modality, samples = table((0, 3)), rows((0, 3))
    samples[:, 1] = torch.nan
    model = make(modality)
    hidden = torch.ones(NUM, 2, dtype=torch.bool)
    with torch.no_grad():
        exact = model.conditional_log_prob(samples, hidden)[:, 0]
        scores = likelihood.score_samples(model, samples, passes=2)
    # As near as single precision: it is another batch, and other kernels may work on it.
    torch.testing.assert_close(scores.to(exact.dtype), exact)


def test_a_model_of_categories_needs_no_noise():
    modality, samples = CASES["categories"]
    fresh = build(modality, TabularModelSettings(width=8, depth=1, code=3), seed=0)
    hidden = hide(samples, 3)
    assert torch.equal(fresh.conditional_log_prob(samples, hidden), -fresh.losses(samples, hidden))
