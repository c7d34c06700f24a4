from typing import Any

import numpy as np
import pytest
import torch

from maskwise.columns.imputation import correlation, hide, imputation, kinds, scored
from maskwise.columns.tabular import TabularEvaluateSettings, comparable, numbers
from tests.columns.small_samples import (
    Knowing,
    cells_of,
    make_model,
    ppca,
    rows_of,
    table_of,
)


def only(table: list[dict[str, Any]], method: str, **wanted: object) -> dict[str, Any]:
    [row] = [
        row
        for row in table
        if row["method"] == method and all(row[key] == value for key, value in wanted.items())
    ]
    return row


def test_r2_of_a_model_that_knows_is_the_explained_share() -> None:
    truth = ppca()
    x = truth.sample(1500).float()
    model, index = Knowing(truth), np.arange(400)
    rows = rows_of(x)
    train = numbers(model.tokenizer, rows, np.arange(400, 1500))
    config = TabularEvaluateSettings(impute=(0.25, 0.75))
    table = imputation(model, rows, index, train, config)
    assert {row["method"] for row in table} == {"model", "feature mean", "kNN", "PCA"}
    every = truth.loadings.square().sum(dim=1) + truth.noise
    for ratio in (0.25, 0.75):
        hidden = hide(model.tokenizer, x[:400], index, "all", "random", ratio, 0)
        left = truth.conditional_moments(x[:400], hidden)[1].sum() / (every * hidden).sum()
        asked = {"ratio": ratio, "mechanism": "random"}
        found = only(table, "model", **asked)
        assert found["r2"] == pytest.approx(float(1 - left), abs=0.02)
        assert found["r2_low"] < found["r2"] < found["r2_high"]
        assert only(table, "feature mean", **asked)["r2"] == pytest.approx(0.0, abs=1e-6)
        # 1100 samples tell 3 components nearly as well as they are.
        assert only(table, "PCA", **asked)["r2"] == pytest.approx(found["r2"], abs=0.02)
        assert 0 < only(table, "kNN", **asked)["r2"] < found["r2"]
        assert found["accuracy"] is None
    assert "slow_baselines is off" in only(table, "model", ratio=0.25, mechanism="random")["note"]


@pytest.mark.parametrize(("entries", "mechanism"), [("all", "random"), ("nonzero", "intensity")])
def test_hidden_values_are_of_those_asked_for_and_exactly_as_many(
    entries: Any, mechanism: Any
) -> None:
    cells, counts, _ = cells_of(40, 50)
    counts[3, :20] = torch.nan
    index = np.arange(100, 140)
    known = ~counts.isnan() if entries == "all" else counts.nan_to_num(0.0) > 0
    before = torch.zeros_like(known)
    for ratio in (0.2, 0.6):
        hidden = hide(cells, counts, index, entries, mechanism, ratio, seed=5)
        assert not (hidden & ~known).any()
        want = (ratio * known.sum(dim=1) + 0.5 + 1e-9).floor()
        assert torch.equal(hidden.sum(dim=1), want.long())
        assert bool((before <= hidden).all())  # nested
        before = hidden
    alone = hide(cells, counts[7:8], index[7:8], entries, mechanism, 0.6, seed=5)
    assert torch.equal(alone, before[7:8])
    assert not torch.equal(hide(cells, counts, index, entries, mechanism, 0.6, seed=6), before)


def test_intensity_hides_in_proportion_to_size() -> None:
    cells, x, _ = cells_of(2, 4, loss="mse")
    x = torch.tensor([[1.0, 2.0, 3.0, 0.0]]).expand(4000, 4)
    hidden = hide(cells, x, np.arange(4000), "nonzero", "intensity", 0.3, seed=0)  # one of three
    np.testing.assert_allclose(hidden.float().mean(dim=0), [1 / 6, 2 / 6, 3 / 6, 0], atol=0.03)
    table = table_of((0, 0, 2))
    x = torch.tensor([[-1.0, 1.0, 1.0]]).expand(4000, 3)
    hidden = hide(table, x, np.arange(4000), "all", "intensity", 0.3, seed=0)
    weights = np.exp([-1.0, 1.0, 0.0])
    np.testing.assert_allclose(hidden.float().mean(dim=0), weights / weights.sum(), atol=0.03)


def test_scores_are_brute_force_ones() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(30, 4)).astype(np.float32)
    truth[:, 3] = np.arange(30) % 3
    guess = truth + rng.normal(size=truth.shape)
    guess[:, 3] = 1.0
    guess[:, 1] = 0.3
    hidden = rng.random((30, 4)) < 0.5
    mean = np.array([0.5, 0.0, -0.5, 1.0])
    found = scored(guess, truth, hidden, mean, np.array([True, True, True, False]), 0)
    where = hidden[:, :3]
    error, spread = ((truth - other)[:, :3][where] for other in (guess, mean))
    assert found["r2"] == pytest.approx(1 - (error**2).sum() / (spread**2).sum())
    assert found["mae"] == pytest.approx(np.abs(error).mean())
    assert found["accuracy"] == pytest.approx((truth[hidden[:, 3], 3] == 1).mean())
    each = [
        np.corrcoef(truth[w, i], guess[w, i])[0, 1] for i, w in ((i, where[:, i]) for i in (0, 2))
    ]
    assert found["pearson_features"] == pytest.approx((each[0] + each[1]) / 3)  # none of column 1
    nothing = scored(guess, truth, hidden & False, mean, np.ones(4, bool), 0)
    assert set(nothing.values()) == {None}


def test_correlation_leaves_out_rows_that_do_not_vary() -> None:
    x = np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 2.0], [1.0, 2.0, 4.0]])
    y = np.array([[2.0, 4.0, 6.0], [1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    assert correlation(x, y, x > 0) == pytest.approx(0.5)
    assert correlation(x, y, x > 1) is None  # two values of the first row, one size in the second


def test_mixed_tables_with_missing_values() -> None:
    """The category says the number, and the other way round."""
    rng = np.random.default_rng(0)
    codes = np.arange(200) % 3
    x = np.stack([5.0 * codes, codes, 5.0 * codes], axis=1) + rng.normal(size=(200, 3)) * [1, 0, 1]
    x[rng.random((200, 3)) < 0.1] = np.nan
    samples = torch.from_numpy(x.astype(np.float32))
    modality = table_of((0, 3, 0))
    model, rows = make_model(modality), rows_of(samples)
    train = numbers(modality, rows, np.arange(100))
    config = TabularEvaluateSettings(impute=(0.4,), slow_baselines=True, seed=1)
    table = imputation(model, rows, np.arange(100, 200), train, config)
    assert [(row["entries"], row["mechanism"]) for row in table[::5]] == kinds(modality)
    for row in table[:5]:
        assert np.isfinite([row["r2"], row["mae"], row["accuracy"]]).all()
    for method, least in (("kNN", 0.8), ("IterativeImputer", 0.6)):
        good = only(table, method, mechanism="random")
        assert good["accuracy"] > least
        assert good["r2"] > 0.7
    usual = only(table, "feature mean", mechanism="random")
    assert 0.2 < usual["accuracy"] < 0.5
    again = imputation(model, rows, np.arange(100, 200), train, config)
    assert [row | {"seconds": 0} for row in again] == [row | {"seconds": 0} for row in table]


def test_expected_counts_are_compared_in_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that expects the true counts makes no error."""
    cells, counts, _ = cells_of(60, 20)
    model = make_model(cells)
    monkeypatch.setattr(model, "predict", lambda samples, hidden: samples[:, :20])
    rows = rows_of(counts)
    train, config = numbers(cells, rows, np.arange(30, 60)), TabularEvaluateSettings(impute=(0.5,))
    table = imputation(model, rows, np.arange(30), train, config)
    assert len(table) == 3 * 4
    found = only(table, "model", entries="all")
    assert (found["r2"], found["mae"]) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-5))
    assert "log(1 + counts" in found["note"]
    truth = comparable(cells, counts[:30])
    hidden = hide(cells, counts[:30], np.arange(30), "all", "random", 0.5, 0)
    mean = comparable(cells, counts[30:]).mean(dim=0)
    want = float((truth - mean).abs()[hidden].mean())
    assert only(table, "feature mean", entries="all")["mae"] == pytest.approx(want, rel=1e-5)
