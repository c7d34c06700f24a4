"""What every exact model promises, of all of them."""

import itertools

import pytest
import torch

from maskwise.errors import UserError
from maskwise.likelihood import (
    PPCA,
    BernoulliLatent,
    Gaussian,
    Tabular,
    check_leak,
    conjugate_mean,
    contract,
)
from maskwise.rng import Keys


def normal(*shape, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def ppca(length, width, noise):
    loadings, mean = normal(length, width), normal(length, seed=1)
    noise = torch.tensor(noise, dtype=torch.float64)
    return PPCA(loadings, noise, mean), (loadings, noise, mean)


def gaussian(length):
    root, mean = normal(length, length), normal(length, seed=1)
    covariance = root @ root.T + 0.1 * torch.eye(length)
    return Gaussian(mean, covariance), (mean, covariance)


def tabular(*shape):
    table = normal(*shape).exp()
    table = table / table.sum()
    return Tabular(table), (table,)


def bernoulli(length, width, **options):
    weights, bias = normal(length, width, scale=2), normal(length, seed=1)
    return BernoulliLatent(weights, bias, **options), (weights, bias)


MODELS = {
    **{f"ppca-{d}": lambda d=d: ppca(d, 2, 0.3) for d in range(2, 11)},
    "ppca-wide": lambda: ppca(4, 7, 0.3),
    "ppca-noise-1e-4": lambda: ppca(8, 3, 1e-4),
    "gaussian": lambda: gaussian(7),
    "conjugate": lambda: (conjugate_mean(8, 2.0, 0.5, prior_mean=1.0), ()),
    "tabular": lambda: tabular(3, 3, 3, 3, 3),
    "tabular-ragged": lambda: tabular(2, 4, 1, 3),
    "tabular-one": lambda: tabular(4),
    "bernoulli": lambda: bernoulli(6, 2),
    "bernoulli-coarse": lambda: bernoulli(5, 3, points=4, limit=2.5),
}
# A few that have every way through the code.
SOME = ["ppca-4", "ppca-wide", "gaussian", "conjugate", "tabular-ragged", "bernoulli-coarse"]


def is_discrete(model):
    return not model.empty(1).is_floating_point()


def states(model):
    """Return all values that a discrete model can have, [N, D]."""
    shape = getattr(model, "probabilities", torch.empty([2] * model.empty(1).shape[1])).shape
    return torch.tensor(list(itertools.product(*map(range, shape))))


def some_samples(model, num=3):
    """Return samples of the model, and as many that are not."""
    x = model.sample(num, seed=5)
    if is_discrete(model):
        return torch.cat([x, states(model)[:: max(1, len(states(model)) // num)]])
    return torch.cat([x, 3 * normal(*x.shape, seed=7)])


def all_masks(length):
    return torch.tensor(list(itertools.product([False, True], repeat=length))[1:])


def area(model, x):
    """Return the sum over M of S(x; M), with all masks of each size, [B]."""
    masks = all_masks(x.shape[1])
    found = model.conditional_log_prob(
        x.repeat_interleave(len(masks), dim=0), masks.repeat(len(x), 1)
    )
    found = torch.where(masks, found.view(len(x), *masks.shape), 0.0)
    sizes = masks.sum(dim=1)
    means = found.sum(dim=2) / sizes
    return sum(means[:, sizes == size].mean(dim=1) for size in sizes.unique())


@pytest.mark.parametrize("name", MODELS)
def test_scores_of_all_sizes_sum_to_the_log_likelihood(name):
    model, _ = MODELS[name]()
    x = some_samples(model)
    found, expected = area(model, x), model.log_prob(x)
    assert found.dtype == expected.dtype == torch.float64
    tolerance = 1e-12 if is_discrete(model) else 1e-10
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=0)


@pytest.mark.parametrize("name", [n for n in MODELS if n != "conjugate"])
def test_gradients_of_scores_sum_to_the_gradient_of_the_log_likelihood(name):
    model, parameters = MODELS[name]()
    for parameter in parameters:
        parameter.requires_grad_()
    x = some_samples(model)
    found = torch.autograd.grad(area(model, x).sum(), parameters)
    expected = torch.autograd.grad(model.log_prob(x).sum(), parameters)
    for one, other in zip(found, expected, strict=True):
        assert other.abs().max() > 1e-3
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * float(other.abs().max()))


@pytest.mark.parametrize("name", MODELS)
def test_chain_rule_in_any_order(name):
    model, _ = MODELS[name]()
    x = some_samples(model, num=1)
    length = x.shape[1]
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        rank = torch.randperm(length, generator=generator)
        total = torch.zeros(len(x), dtype=torch.float64)
        for place in range(length):
            hidden = (rank >= place).expand(len(x), -1)
            total += model.conditional_log_prob(x, hidden)[:, rank == place][:, 0]
        torch.testing.assert_close(total, model.log_prob(x), rtol=1e-10, atol=1e-10)


def check_draws(model, x):
    """Compare counts of states, or means and covariances, by their standard errors."""
    if is_discrete(model):
        place = states(model)
        chance = model.log_prob(place).exp()
        found = (x[:, None] == place).all(dim=2).double().mean(dim=0)
        error = (chance * (1 - chance) / len(x)).sqrt()
        assert (found - chance).abs().max() < 0.1
        assert ((found - chance).abs() <= 4.5 * error + 1e-12).all()
        return
    if isinstance(model, PPCA):
        covariance = model.loadings @ model.loadings.T + model.noise * torch.eye(x.shape[1])
    else:
        covariance = model.covariance
    variance = covariance.diagonal()
    mean_error = (x.mean(dim=0) - model.mean).abs() / (variance / len(x)).sqrt()
    assert mean_error.max() < 4
    error = ((covariance**2 + variance * variance[:, None]) / len(x)).sqrt()
    assert ((x.T.cov() - covariance).abs() < 4 * error).all()


@pytest.mark.parametrize("name", SOME)
def test_samples_have_the_distribution(name):
    model, _ = MODELS[name]()
    check_draws(model, model.sample(20_000))


@pytest.mark.parametrize("name", SOME)
def test_drawing_one_position_after_another_gives_the_joint(name):
    model, _ = MODELS[name]()
    x = model.empty(20_000)
    hidden = torch.ones_like(x, dtype=torch.bool)
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(1))
    for step, position in enumerate(order):
        drawn = model.conditional_sample(x, hidden, Keys(0, step, torch.arange(len(x))))
        x = torch.where(torch.arange(x.shape[1]) == position, drawn, x)
        hidden[:, position] = False
    check_draws(model, x)


@pytest.mark.parametrize("name", SOME)
def test_a_row_depends_on_nothing_but_itself(name, monkeypatch):
    """Neither on the batch, nor on how many rows are worked on at once."""
    model, _ = MODELS[name]()
    few, more = model.sample(5, seed=2), model.sample(9, seed=2)
    torch.testing.assert_close(few, more[:5], rtol=1e-13, atol=1e-13)
    assert not torch.equal(more, model.sample(9, seed=3))
    x = model.sample(9)
    hidden = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    drawn = model.conditional_sample(x, hidden, Keys(0, 0, torch.arange(9)))
    assert drawn.dtype == x.dtype
    assert torch.equal(drawn[~hidden], x[~hidden])
    scores = model.conditional_log_prob(x, hidden)
    one = model.conditional_sample(x[4:5], hidden[4:5], Keys(0, 0, torch.tensor([4])))
    torch.testing.assert_close(one, drawn[4:5], rtol=1e-13, atol=1e-13)
    monkeypatch.setattr(contract, "_PIECE", 1)
    again = model.conditional_sample(x, hidden, Keys(0, 0, torch.arange(9)))
    torch.testing.assert_close(again, drawn, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(model.conditional_log_prob(x, hidden), scores)


@pytest.mark.parametrize("name", SOME)
def test_a_sample_is_independent_of_what_is_drawn_given_it(name):
    """Also where both have the same seed and the same ids."""
    model, _ = MODELS[name]()
    x = model.sample(4000, seed=1).double()
    hidden = torch.ones_like(x, dtype=torch.bool)
    drawn = model.conditional_sample(x, hidden, Keys(1, 0, torch.arange(len(x)))).double()
    varies = (x.std(dim=0) > 0) & (drawn.std(dim=0) > 0)
    both = torch.cat([x[:, varies], drawn[:, varies]], dim=1)
    between = both.T.corrcoef()[: varies.sum(), varies.sum() :]
    assert between.abs().max() < 4.5 / len(x) ** 0.5


@pytest.mark.parametrize("name", SOME)
def test_what_is_hidden_is_not_looked_at(name):
    model, _ = MODELS[name]()
    x = model.sample(6)
    check_leak(model, x)
    hidden = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    keys = Keys(0, 0, torch.arange(6))
    blank = torch.where(hidden, torch.nan, x.double())
    drawn = model.conditional_sample(blank, hidden, keys)
    assert torch.equal(drawn, model.conditional_sample(x, hidden, keys))


@pytest.mark.parametrize("name", [n for n in SOME if n != "conjugate"])
def test_trained_tensors_are_read_at_each_call(name):
    """In float32 too: a step of an optimiser is seen, and gradients arrive more than once."""
    model, parameters = MODELS[name]()
    leaves = [p.float().requires_grad_() for p in parameters]
    kind = type(model)
    coarse = {"points": 4, "limit": 2.5} if kind is BernoulliLatent else {}
    model = kind(*leaves, **coarse)
    x = some_samples(model)
    before = model.log_prob(x).sum()
    before.backward()
    with torch.no_grad():
        for leaf in leaves:
            leaf += 1e-4 * leaf.grad.clamp(-1, 1) * leaf
    stepped = [leaf.detach().double() for leaf in leaves]
    expected = kind(*[p / p.sum() if kind is Tabular else p for p in stepped], **coarse)
    torch.testing.assert_close(model.log_prob(x).detach(), expected.log_prob(x), rtol=1e-6, atol=0)
    assert not torch.allclose(before, model.log_prob(x).sum(), rtol=1e-9)
    area(model, x).sum().backward()


@pytest.mark.parametrize("name", SOME)
def test_arrays_and_lists_do(name):
    model, _ = MODELS[name]()
    x = model.sample(3)
    hidden = torch.arange(x.shape[1]).expand_as(x) % 2 == 0
    expected = model.conditional_log_prob(x, hidden)
    assert torch.equal(model.conditional_log_prob(x.numpy(), hidden.numpy()), expected)
    assert torch.equal(model.conditional_log_prob(x.tolist(), hidden.tolist()), expected)
    assert torch.equal(model.log_prob(x.tolist()), model.log_prob(x))


@pytest.mark.parametrize("name", SOME)
def test_bad_samples_are_refused(name):
    model, _ = MODELS[name]()
    x = model.sample(3).double()
    hidden = torch.zeros_like(x, dtype=torch.bool)
    hidden[:, 0] = True
    keys = Keys(0, 0, torch.arange(3))
    length = x.shape[1]
    with pytest.raises(UserError, match=rf"the model takes \[B, {length}\]"):
        model.log_prob(x[:, 1:])
    with pytest.raises(UserError, match=r"give \[B, D\]"):
        model.log_prob(x[0])
    with pytest.raises(UserError, match="x is str, not an array of numbers"):
        model.log_prob("x")
    for bad in (hidden.double(), hidden[:, 1:], hidden[0]):
        with pytest.raises(UserError, match="give bool"):
            model.conditional_log_prob(x, bad)
        with pytest.raises(UserError, match="give bool"):
            model.conditional_sample(x, bad, keys)
    with pytest.raises(UserError, match="2 sample ids for 3 samples"):
        model.conditional_sample(x, hidden, Keys(0, 0, torch.arange(2)))
    with pytest.raises(UserError, match="num 0 is no number of samples"):
        model.sample(0)
    x[1, 1] = torch.nan
    for call in (
        lambda: model.log_prob(x),
        lambda: model.conditional_log_prob(x, hidden),
        lambda: model.conditional_sample(x, hidden, keys),
    ):
        with pytest.raises(UserError, match=r"x\[1, 1\] is nan: ") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n in MODELS if n.startswith(("tab", "ber"))])
def test_discrete_models_are_normalised(name):
    model, _ = MODELS[name]()
    assert float(model.log_prob(states(model)).exp().sum()) == pytest.approx(1, abs=1e-13)
