import json

import numpy as np
import pytest
import torch
from scipy import stats

from maskwise.columns.losses import Marginal, column_likelihood, losses_of_rows
from maskwise.errors import UserError
from maskwise.measure.losses import fixed_mask
from tests.columns.small_samples import (
    Knowing,
    cells_of,
    make_model,
    ppca,
    rows_of,
    splits_of,
    table_of,
)


def test_losses_of_what_is_known() -> None:
    """A normal model that knows all costs half the conditional variance, the mean half of all."""
    truth = ppca()
    x = truth.sample(600).float()
    model, index = Knowing(truth), np.arange(500)
    found = losses_of_rows(model, rows_of(x), index, (0.25, 0.75), 0, Marginal(model.tokenizer, x))
    every = truth.loadings.square().sum(dim=1) + truth.noise
    for ratio, point, base in zip(
        (0.25, 0.75), found["curve"], found["baselines"]["marginal"], strict=True
    ):
        hidden = fixed_mask((12,), ratio, index, "scattered", 0, torch.device("cpu")).hidden
        variance = truth.conditional_moments(x[:500], hidden)[1]
        want = float(variance.sum() / hidden.sum() / 2)
        assert point["error"] == pytest.approx(want, rel=0.06)
        assert point["low"] < point["error"] < point["high"] < base["low"]
        marginal = float((every * hidden).sum() / hidden.sum() / 2)
        assert base["error"] == pytest.approx(marginal, rel=0.1)
        assert point["realised"] == ratio
    assert (found["pattern"], found["num_samples"]) == ("scattered", 500)


def test_losses_are_means_over_hidden_features() -> None:
    modality = table_of((0, 3, 0, 4, 0))
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(9, 5)).astype(np.float32))
    x[:, 1], x[:, 3] = torch.arange(9) % 3, torch.arange(9) % 4
    x[2, [0, 3]] = torch.nan
    x[5] = torch.nan
    model, index = make_model(modality), np.array([8, 5, 2, 3])
    found = losses_of_rows(model, rows_of(x), index, (0.5,), 3, Marginal(modality, x))
    assert found["num_samples"] == 3
    means, base = [], []
    for row in (8, 2, 3):
        eligible = ~x[[row]].isnan()
        hidden = fixed_mask(
            (5,), 0.5, np.array([row]), "scattered", 3, torch.device("cpu"), eligible
        )
        costs = model.eval().losses(x[[row]], hidden.hidden)
        means.append(float(costs[hidden.hidden].mean().detach()))
        base.append(float(Marginal(modality, x)(x[[row]])[hidden.hidden].mean()))
    assert found["curve"][0]["error"] == pytest.approx(np.mean(means), rel=1e-5)
    assert found["baselines"]["marginal"][0]["error"] == pytest.approx(np.mean(base), rel=1e-5)


def test_marginal_of_categories_and_numbers() -> None:
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0], [torch.nan, 1.0], [5.0, torch.nan]])
    marginal = Marginal(table_of((0, 2)), x)
    costs = marginal(torch.tensor([[5.0, 1.0], [3.0, 0.0]]))
    np.testing.assert_allclose(costs, [[2.0, -np.log(2 / 5)], [0.0, -np.log(3 / 5)]], rtol=1e-5)
    want = stats.norm(3.0, np.sqrt(8 / 3)).logpdf(5.0)
    assert float(marginal.log_prob(x[3:])[0, 0]) == pytest.approx(want, rel=1e-5)


def test_marginal_of_counts_is_negative_binomial() -> None:
    rng = np.random.default_rng(0)
    cells, _, _ = cells_of(2, 3)
    counts = np.stack([rng.negative_binomial(2, 0.2, 4000), rng.poisson(3, 4000)], axis=1)
    counts = np.concatenate([counts, np.zeros((4000, 1))], axis=1).astype(np.float32)
    found = Marginal(cells, torch.from_numpy(counts)).log_prob(torch.tensor([[9.0, 2.0, 0.0]]))
    want = [stats.nbinom(2, 0.2).logpmf(9), stats.poisson(3).logpmf(2), 0.0]
    np.testing.assert_allclose(found[0], want, atol=0.05)


def test_a_model_that_ignores_what_it_sees() -> None:
    """Constant predictions with variance 1 are a product of normals."""
    model = make_model(table_of((0, 0, 0, 0)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.log_variance.zero_()
    x = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
    x[75, 1] = torch.nan
    x[76] = torch.nan
    found = column_likelihood(model, splits_of(x), "fixed:0.5", num_samples=20, passes=8)
    kept = x[60:][[i for i in range(20) if i != 16]].double().numpy()
    want = np.nansum(stats.norm.logpdf(kept), axis=1).mean()
    assert found["num_samples"] == 19
    assert found["area"]["nats"] == pytest.approx(
        want, abs=0.05
    )  # which features are hidden varies
    train = x[:60].double().numpy()
    anchor = stats.norm.logpdf(kept, np.nanmean(train, axis=0), np.nanstd(train, axis=0))
    assert found["anchor"]["nats"] == pytest.approx(np.nansum(anchor, axis=1).mean(), rel=1e-5)
    assert found["num_dims"] == pytest.approx((19 * 4 - 1) / 19)
    assert found["words"]["sample"] == "row"
    assert found["law"]["name"] == "fixed:0.5"
    json.dumps(found)


def test_counts_have_probabilities() -> None:
    cells, counts, _ = cells_of(60, 12)
    found = column_likelihood(
        make_model(cells), splits_of(counts), "uniform:0.1,0.9", num_samples=8, passes=4
    )
    assert found["area"]["nats"] < 0 > found["anchor"]["nats"]
    assert found["words"]["anchor"] == "independent genes"
    assert found["curve"][-1]["size"] == 12


def test_a_model_without_noise_is_refused() -> None:
    splits = splits_of(torch.rand(60, 3))
    with pytest.raises(UserError, match="no likelihood yet"):
        column_likelihood(
            make_model(table_of((0, 0, 0))), splits, "fixed:0.5", num_samples=4, passes=2
        )
