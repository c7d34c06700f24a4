"""Estimates of the log-likelihood: values, standard errors, units, and what is refused."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from maskwise import likelihood
from maskwise.likelihood import PPCA, contract, estimators, log_likelihood
from maskwise.likelihood.estimators import Estimate, score_samples

METHODS = ("systematic", "per_size", "bernoulli", "quadrature", "chain_rule")


@pytest.fixture(scope="module")
def model():
    generator = torch.Generator().manual_seed(1)
    return PPCA(torch.randn(20, 2, generator=generator, dtype=torch.float64), 0.2)


def repeated(model, method, passes, num, seed=5, times=2000):
    """Return (estimates - truth, stderr, dof) of `times` estimates of the same `num` samples."""
    x = model.sample(num, seed=seed)
    truth = float(model.log_prob(x).sum())
    job = contract.Job(
        model,
        x.repeat(times, 1),
        torch.ones(times * num, 20, dtype=torch.bool),
        torch.arange(times * num),
        seed,
        4096,
    )
    found = estimators.METHODS[method](job, method, passes)
    value, variance, spread = (each.view(times, num).sum(dim=1).numpy() for each in found[:3])
    return value - truth, np.sqrt(variance), variance**2 / spread


@pytest.mark.parametrize("num", [4, pytest.param(16, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["systematic", "per_size", "bernoulli"])
def test_intervals_cover_as_often_as_they_say(model, method, num):
    off, stderr, dof = repeated(model, method, 40, num)
    covered = np.abs(off) < stats.t.ppf(0.975, dof) * stderr
    assert 0.93 <= covered.mean() <= 0.97


@pytest.mark.parametrize("method", ["systematic", "per_size", "bernoulli"])
def test_standard_errors_are_those_of_the_estimates(model, method):
    off, stderr, _ = repeated(model, method, 40, 1)
    assert math.sqrt(np.mean(stderr**2)) == pytest.approx(off.std(), rel=0.1)
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off))


def test_systematic_needs_the_fewest_passes(model):
    spread = {method: repeated(model, method, 20, 1)[0].std() for method in METHODS[:3]}
    assert spread["systematic"] < 0.9 * spread["per_size"] < 0.9 * spread["bernoulli"]


def test_removing_token_effects_changes_the_variance_only(model, monkeypatch):
    with_effects = repeated(model, "systematic", 64, 1)[0]
    monkeypatch.setattr(estimators, "_token_effects", lambda found, scores, *rest: 0 * scores)
    without = repeated(model, "systematic", 64, 1)[0]
    assert with_effects.std() < 0.8 * without.std()
    stderr = math.hypot(with_effects.std(), without.std()) / math.sqrt(len(without))
    assert abs(with_effects.mean() - without.mean()) < 4 * stderr


def drawn_effects(changed=None):
    """Effects of 12 passes with random masks of 5 positions; one pass may be another one."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.rand(1, 12, 5, generator=generator) < 0.5
    found = torch.where(hidden, torch.rand(1, 12, 5, generator=generator).double(), 0.0)
    if changed is not None:
        hidden[0, changed] = torch.tensor([True, False, False, True, False])
        found[0, changed] = torch.tensor([7.0, 0, 0, -3, 0])
    scores = found.sum(dim=2) / hidden.sum(dim=2).clamp(min=1)
    eligible = torch.ones(1, 5, dtype=torch.bool)
    return estimators._token_effects(found, scores, hidden, eligible)[0]


@pytest.mark.parametrize("changed", [2, 7])
def test_effects_come_from_the_other_half_alone(changed):
    moved = drawn_effects() != drawn_effects(changed)
    same_half = torch.arange(12) % 2 == changed % 2
    assert not moved[same_half & (torch.arange(12) != changed)].any()
    assert moved[~same_half].any()


def test_effects_have_mean_zero_over_all_masks_of_a_size():
    masks = [[place in pair for place in range(5)] for pair in itertools.combinations(range(5), 2)]
    generator = torch.Generator().manual_seed(0)
    hidden = torch.rand(1, 20, 5, generator=generator) < 0.5
    hidden[0, 1::2] = torch.tensor(masks)
    found = torch.where(hidden, torch.rand(1, 20, 5, generator=generator).double(), 0.0)
    scores = found.sum(dim=2) / hidden.sum(dim=2).clamp(min=1)
    eligible = torch.ones(1, 5, dtype=torch.bool)
    effects = estimators._token_effects(found, scores, hidden, eligible)[0, 1::2]
    assert float(effects.abs().max()) > 0.01
    assert abs(float(effects.mean())) < 1e-12


def test_interval_of_one_call_is_the_t_interval(model):
    x = model.sample(6)
    found = likelihood.log_likelihood(model, x, passes=40)
    half = stats.t.ppf(0.975, found.dof) * found.stderr
    assert found.interval() == pytest.approx((found.value - half, found.value + half))
    assert found.value == pytest.approx(float(found.per_sample.sum()))
    assert found.stderr == pytest.approx(float(found.per_sample_stderr.square().sum().sqrt()))


def test_exhaustive_is_exact_with_eligible_positions_of_each_sample():
    model = PPCA(torch.ones(8, 1), 0.3)
    x = model.sample(4)
    eligible = torch.ones(4, 8, dtype=torch.bool)
    eligible[0, 2:], eligible[1, :5], eligible[3, 1:] = False, False, False
    found = likelihood.log_likelihood(model, x, "exhaustive", eligible=eligible)
    assert found.stderr == 0
    for row in range(4):
        # log p(eligible | context) = log p(all) - log p(context).
        context = ~eligible[row]
        rest = PPCA(torch.ones(int(context.sum()), 1), 0.3) if context.any() else None
        wanted = model.log_prob(x[row : row + 1])
        if rest is not None:
            wanted = wanted - rest.log_prob(x[row : row + 1, context])
        torch.testing.assert_close(found.per_sample[row : row + 1], wanted, rtol=1e-10, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_context_and_lengths_of_each_sample(method):
    model = PPCA(torch.linspace(-1, 1, 12)[:, None], 0.3)
    x = model.sample(3)
    eligible = torch.ones(3, 12, dtype=torch.bool)
    eligible[0, 4:], eligible[1, :5] = False, False
    exact = likelihood.log_likelihood(model, x, "exhaustive", eligible=eligible)
    passes = 24 if method == "quadrature" else 720
    found = likelihood.log_likelihood(model, x, method, passes, eligible=eligible)
    slack = 0.3 if method == "quadrature" else 1e-9
    off = (found.per_sample - exact.per_sample).abs()
    assert (off <= 4.5 * found.per_sample_stderr + slack).all()
    assert found.num_dims == 4 + 7 + 12


@pytest.mark.parametrize("method", METHODS)
def test_an_estimate_depends_on_seed_and_sample_alone(model, method):
    x = model.sample(5)
    whole = likelihood.log_likelihood(model, x, method, passes=20, batch_size=7)
    part = likelihood.log_likelihood(
        model, x[3:], method, passes=20, sample_ids=torch.tensor([3, 4]), batch_size=64
    )
    torch.testing.assert_close(whole.per_sample[3:], part.per_sample, rtol=1e-12, atol=0)
    other = likelihood.log_likelihood(model, x, method, passes=20, seed=1)
    assert method == "chain_rule" or not torch.equal(other.per_sample, whole.per_sample)


def test_samples_are_taken_in_parts_where_memory_is_short(model, monkeypatch):
    x = model.sample(5)
    whole = likelihood.log_likelihood(model, x, passes=20)
    monkeypatch.setattr(estimators, "MOST_VALUES", 2 * 20 * 20)
    parts = likelihood.log_likelihood(model, x, passes=20)
    torch.testing.assert_close(parts.per_sample, whole.per_sample, rtol=1e-12, atol=0)
    assert parts.stderr == pytest.approx(whole.stderr)


def test_units():
    found = Estimate(
        -200 * math.log(2), 1.0, torch.zeros(1), 1, torch.zeros(1), num_dims=100, dof=math.inf
    )
    assert found.bits_per_dim == pytest.approx(2)
    assert found.perplexity == pytest.approx(4)
    low, high = found.interval(0.95, "bits_per_dim")
    assert high - 2 == pytest.approx(2 - low)
    assert high - low == pytest.approx(2 * 1.959964 / 100 / math.log(2), rel=1e-6)
    low, high = found.interval(0.5, "perplexity")
    assert low < 4 < high
    with pytest.raises(ValueError, match="level 1 is outside"):
        found.interval(1)
    with pytest.raises(ValueError, match="unknown units 'bits'"):
        found.interval(units="bits")


@pytest.mark.parametrize(
    ("method", "passes", "used"),
    [("systematic", 50, 50), ("per_size", 50, 40), ("chain_rule", 50, 40), ("bernoulli", 50, 50)],
)
def test_passes_that_were_used(model, method, passes, used):
    assert likelihood.log_likelihood(model, model.sample(2), method, passes=passes).passes == used


def test_what_cannot_have_an_error_says_so(model):
    x = model.sample(2)
    assert math.isnan(likelihood.log_likelihood(model, x, "per_size", passes=20).stderr)
    assert math.isnan(likelihood.log_likelihood(model, x, "chain_rule", passes=20).stderr)
    assert math.isnan(likelihood.log_likelihood(model, x, passes=1).stderr)


def test_an_impossible_sample_has_probability_zero():
    joint = torch.tensor([[0.5, 0.25], [0.25, 0.0]], dtype=torch.float64)
    model = likelihood.Tabular(joint)
    x = torch.tensor([[1, 1], [0, 0]])
    found = likelihood.log_likelihood(model, x, passes=16)
    assert found.per_sample[0] == -math.inf
    assert math.isfinite(found.per_sample[1])


class Wrapped:
    """A model with something wrong."""

    def __init__(self, model, change):
        self.model, self.change = model, change

    def conditional_log_prob(self, x, hidden):
        return self.change(self.model.conditional_log_prob(x, hidden), x, hidden)


def nan_at(found, x, hidden):
    found[x[:, 0] == x[1, 0], 3] = math.nan
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nan_at, r"position 3 in sample 1 is nan"),
        (lambda found, x, hidden: found + math.inf, r"position \d+ in sample 0 is inf"),
        (
            lambda found, x, hidden: found[:, :-1],
            r"returned shape \[4, 19\]: it must be",
        ),
        (lambda found, x, hidden: found + 0.1 * x.sum(1)[:, None], "the model leaks"),
    ],
)
def test_models_that_cannot_be_trusted(model, change, message):
    x = model.sample(4)
    with pytest.raises(ValueError, match=message) as caught:
        likelihood.log_likelihood(Wrapped(model, change), x, passes=20)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "best"}, "unknown method 'best'; methods are systematic"),
        ({"passes": 0}, "passes 0 must be at least 1"),
        ({"method": "per_size", "passes": 19}, "a pass for each of 20 sizes"),
        ({"method": "chain_rule", "passes": 19}, "a pass for each of 20 positions"),
        ({"eligible": [True] * 19}, r"eligible is torch.bool \[19\]: give bool \[20\]"),
        ({"eligible": [1] * 20}, r"eligible is torch.int64 \[20\]"),
        ({"eligible": [False] * 20}, "sample 0 has no eligible position"),
        ({"sample_ids": [1, 2]}, r"sample_ids have shape \[2\]: give one for each of 4"),
        ({"law": "fixe:0.15"}, "fixe"),
    ],
)
def test_bad_arguments(model, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        likelihood.log_likelihood(model, model.sample(4), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("x", [torch.zeros(0, 20), torch.zeros(20)])
def test_no_samples(model, x):
    with pytest.raises(ValueError, match=r"samples have shape \[\d+(, 20)?\]; give \[B, D\]"):
        likelihood.log_likelihood(model, x)


def test_too_many_masks():
    model = PPCA(torch.ones(21, 1), 0.3)
    with pytest.raises(ValueError, match=r"2\^21 masks of 21 positions"):
        likelihood.log_likelihood(model, model.sample(1), "exhaustive")


def test_training_mode_is_refused(model):
    class Network(torch.nn.Module):
        def conditional_log_prob(self, x, hidden):
            return model.conditional_log_prob(x, hidden)

    network, x = Network(), model.sample(2)
    for use in (likelihood.log_likelihood, likelihood.score_curve, likelihood.order_spread):
        with pytest.raises(ValueError, match=r"in training mode: call model.eval\(\)"):
            use(network, x)
    assert likelihood.log_likelihood(network.eval(), x).value < 0


def test_sizes_that_training_never_hid(model):
    x = model.sample(2)
    with pytest.warns(likelihood.RatioSupportWarning, match="never hidden in training"):
        likelihood.log_likelihood(model, x, law="fixed:0.15")
    likelihood.log_likelihood(model, x, law="likelihood")


def test_scores_rank_samples_as_their_density_does():
    model = PPCA([[1.0], [0.5], [-1.0], [2.0], [0.3]], noise=0.3)
    x = model.sample(200) * torch.linspace(0.5, 3, 200, dtype=torch.float64)[:, None]
    found = score_samples(model, x)
    assert stats.spearmanr(found, model.log_prob(x)).statistic > 0.99


def test_all_samples_have_the_same_masks():
    model = PPCA([[1.0], [0.5], [-1.0], [2.0], [0.3]], noise=0.3)
    x = model.sample(6)
    found = score_samples(model, x, passes=9, seed=2)
    torch.testing.assert_close(score_samples(model, x.flip(0), passes=9, seed=2), found.flip(0))
    alone = log_likelihood(model, x[:1], passes=9, seed=2)
    torch.testing.assert_close(alone.per_sample, found[:1])
    eligible = torch.tensor([True, True, False, True, False])
    part = score_samples(model, x, passes=9, seed=2, eligible=eligible)
    assert not torch.isclose(part, found).any()
