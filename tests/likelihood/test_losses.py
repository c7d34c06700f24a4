"""A law of the core and a reduction make each of the known losses."""

import math

import pytest
import torch

from maskwise import likelihood, masks
from maskwise.likelihood import PPCA
from maskwise.masks import Mask


@pytest.fixture(scope="module")
def model():
    generator = torch.Generator().manual_seed(2)
    return PPCA(torch.randn(8, 2, generator=generator, dtype=torch.float64), 0.2)


def drawn(law, num, seed, **options):
    return masks.draw(law, (8,), sample_ids=torch.arange(num), seed=seed, **options)


def estimates(model, x, law, reduction="sample_mean", times=400, **options):
    """Return D x loss for many masks of the same samples: of many copies, if each has its own."""
    if options.get("scope") == "sample" and options.get("sampling") is None:
        x, times = x.repeat(10, 1), times // 10
    values = [
        8 * likelihood.loss(model, x, drawn(law, len(x), seed, step=seed, **options), reduction)
        for seed in range(times)
    ]
    return torch.stack(values)


@pytest.mark.parametrize(
    ("law", "reduction", "options"),
    [
        ("likelihood", "sample_mean", {"scope": "sample"}),
        ("likelihood", "sample_mean", {"scope": "sample", "sampling": "stratified"}),
        ("likelihood", "sample_mean", {"scope": "step"}),
        ("likelihood", "inverse_ratio", {"scope": "sample"}),  # masked diffusion's 1 / ratio
    ],
)
def test_the_law_of_counts_estimates_the_log_likelihood(model, law, reduction, options):
    x = model.sample(20)
    found = estimates(model, x, law, reduction, **options)
    off = float(found.mean() + model.log_prob(x).mean())
    assert abs(off) < 4 * float(found.std()) / math.sqrt(len(found))


@pytest.mark.parametrize(("ratio", "size"), [(0.25, 2), (0.75, 6)])
def test_a_fixed_ratio_estimates_its_score(model, ratio, size):
    x = model.sample(20)
    found = estimates(model, x, f"fixed:{ratio}")
    wanted = -8 * float(likelihood.score_at_size(model, x, size, exhaustive=True).mean())
    stderr = float(found.std()) / math.sqrt(len(found))
    assert abs(float(found.mean()) - wanted) < 4 * stderr
    assert abs(float(found.mean() + model.log_prob(x).mean())) > 10 * stderr  # the bias


def test_plain_sums_weigh_large_sizes_more(model):
    """The reduction token_mean is not the log-likelihood: S(M) counts M times."""
    x = model.sample(20)
    found = estimates(model, x, "likelihood", "token_mean", scope="sample", times=200)
    sizes = torch.arange(1, 9)
    scores = torch.stack(
        [likelihood.score_at_size(model, x, int(M), exhaustive=True).mean() for M in sizes]
    )
    tilted = -8 * float((sizes * scores).sum() / sizes.sum())
    stderr = float(found.std()) / math.sqrt(len(found))
    # A ratio of means, so its bias is of the order of 1 / batch.
    assert abs(float(found.mean()) - tilted) < abs(float(found.mean() + model.log_prob(x).mean()))
    assert float(found.mean() + model.log_prob(x).mean()) > 10 * stderr


def test_the_reduction_weighs_samples_by_hand(model):
    x = model.sample(2)
    hidden = torch.zeros(2, 8, dtype=torch.bool)
    hidden[0, :2], hidden[1, :6] = True, True
    mask = Mask(hidden)
    scores = [
        float(model.conditional_log_prob(x, hidden)[row, hidden[row]].mean()) for row in (0, 1)
    ]
    for reduction, weights in (("sample_mean", (1, 1)), ("token_mean", (2, 6))):
        wanted = -(weights[0] * scores[0] + weights[1] * scores[1]) / sum(weights)
        assert float(likelihood.loss(model, x, mask, reduction)) == pytest.approx(wanted)


def test_its_gradient_is_that_of_the_log_likelihood_on_average():
    loadings = torch.tensor([[1.0], [-1.0], [0.5]], dtype=torch.float64, requires_grad=True)
    model = PPCA(loadings, 0.5)
    x = torch.tensor([[1.0, 0.3, -0.2]], dtype=torch.float64)
    [wanted] = torch.autograd.grad(model.log_prob(x).sum(), loadings)
    each = []
    for seed in range(400):
        mask = masks.draw("likelihood", (3,), sample_ids=torch.arange(1), seed=seed, step=seed)
        each += torch.autograd.grad(-3 * likelihood.loss(model, x, mask), loadings)
    found = torch.stack(each)
    stderr = found.std(dim=0) / math.sqrt(len(found))
    assert ((found.mean(dim=0) - wanted).abs() < 4 * stderr).all()


def test_training_by_the_law_of_counts_reaches_the_maximum():
    x = PPCA(torch.linspace(-1, 2, 8)[:, None], 0.2).sample(200)
    best = PPCA.fit(x, 1, noise=0.2, mean=torch.zeros(8)).log_prob(x).mean()
    loadings = torch.full((8, 1), 0.5, dtype=torch.float64, requires_grad=True)
    trained = PPCA(loadings, 0.2)
    optimizer = torch.optim.Adam([loadings], lr=0.05)
    for step in range(150):
        mask = drawn("likelihood", 200, 0, epoch=step, scope="sample", sampling="stratified")
        optimizer.zero_grad()
        likelihood.loss(trained, x, mask).backward()
        optimizer.step()
    assert 0 <= float(best - trained.log_prob(x).mean().detach()) < 0.02
