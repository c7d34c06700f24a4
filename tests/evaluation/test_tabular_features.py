import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.evaluation import tabular_features
from maskwise.evaluation.tabular_features import (
    column_means,
    comparable,
    embed_rows,
    from_one_hot,
    numbers,
    one_hot,
)
from tests.evaluation.tabular_samples import cells_of, make_model, rows_of, table_of


def test_features_are_those_of_each_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(table_of((0, 3, 0, 0))).train()
    samples = torch.rand(7, 4)
    samples[:, 1] = torch.arange(7) % 3
    samples[2, 0] = torch.nan
    want = model.eval().encode(samples, layer=0).detach().numpy()
    model.train()
    monkeypatch.setattr(tabular_features, "BATCH", 3)
    found = embed_rows(model, rows_of(samples), np.array([4, 2, 0, 6]), layer=0)
    assert model.training
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want[[4, 2, 0, 6]], atol=1e-6)
    assert np.isfinite(found).all()
    with pytest.raises(UserError, match="layer 9"):
        embed_rows(model, rows_of(samples), layer=9)


def test_counts_are_compared_at_one_library_size() -> None:
    cells, counts, _ = cells_of(5, 30)
    counts[0, 3] = torch.nan
    found = comparable(cells, counts).numpy()
    assert np.isnan(found[0, 3])
    share = counts[1:] / counts[1:].sum(dim=1, keepdim=True)
    np.testing.assert_allclose(found[1:], (share * cells.target_sum).log1p(), rtol=0.1, atol=0.03)
    # A cell sequenced deeper, in the same proportions, is nearly the same one.
    deep = comparable(cells, 10 * counts).numpy()
    np.testing.assert_allclose(deep[1:], found[1:], rtol=0.1, atol=0.03)


def test_the_library_says_nothing_of_hidden_counts() -> None:
    cells, counts, _ = cells_of(4, 30)
    hidden = torch.zeros(4, 30, dtype=torch.bool)
    hidden[:, :10] = True
    before = comparable(cells, counts, hidden)
    counts[:, :10] *= 50
    after = comparable(cells, counts, hidden)
    assert bool(after[hidden].isnan().all())
    assert torch.equal(before[~hidden], after[~hidden])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(0, 99))
def test_one_hot_is_undone(sizes: list[int], seed: int) -> None:
    sizes = [0 if size == 1 else size for size in sizes]
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, size, 8) if size else rng.normal(size=8) for size in sizes]
    values = np.stack(columns, axis=1).astype(np.float32)
    coded = one_hot(values, tuple(sizes))
    assert coded.shape == (8, sum(size or 1 for size in sizes))
    np.testing.assert_array_equal(from_one_hot(coded, tuple(sizes)), values)


def test_numbers_of_rows() -> None:
    samples = torch.tensor([[1.0, 2.0], [torch.nan, 0.0], [3.0, torch.nan]])
    found = numbers(table_of((0, 3)), rows_of(samples), np.array([2, 1]))
    want = [[3.0, np.nan, np.nan, np.nan], [np.nan, 1.0, 0.0, 0.0]]
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(column_means(found), [3.0, 1.0, 0.0, 0.0])
