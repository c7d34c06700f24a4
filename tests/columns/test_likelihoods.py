import json

import numpy as np
import pytest
import torch
from scipy import stats

from maskwise.columns.likelihoods import measure_rows
from maskwise.errors import UserError
from tests.columns.small_samples import cells_of, make_model, splits_of, table_of


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
    found = measure_rows(model, splits_of(x), "fixed:0.5", num_samples=20, passes=8)
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
    found = measure_rows(
        make_model(cells), splits_of(counts), "uniform:0.1,0.9", num_samples=8, passes=4
    )
    assert found["area"]["nats"] < 0 > found["anchor"]["nats"]
    assert found["words"]["anchor"] == "independent genes"
    assert found["curve"][-1]["size"] == 12


def test_a_model_without_noise_is_refused() -> None:
    splits = splits_of(torch.rand(60, 3))
    with pytest.raises(UserError, match="no likelihood yet"):
        measure_rows(make_model(table_of((0, 0, 0))), splits, "fixed:0.5", num_samples=4, passes=2)
