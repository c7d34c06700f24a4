from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.columns import evaluation
from maskwise.columns.evaluation import embed_rows, expected_rows
from maskwise.columns.tabular import column_means, comparable, from_one_hot, numbers, one_hot
from maskwise.errors import UserError
from maskwise.masks import draw
from maskwise.measure.features import in_batches
from tests.columns.small_samples import cells_of, make_model, rows_of, table_of


def test_features_are_those_of_each_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(table_of((0, 3, 0, 0))).train()
    samples = torch.rand(7, 4)
    samples[:, 1] = torch.arange(7) % 3
    samples[2, 0] = torch.nan
    want = model.eval().encode(samples, layer=0).detach().numpy()
    model.train()
    monkeypatch.setattr(evaluation, "in_batches", partial(in_batches, size=3))
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


def changed(samples: torch.Tensor, row: int, feature: int, size: int) -> torch.Tensor:
    """Return samples with one value replaced by another."""
    other = samples.clone()
    value = other[row, feature]
    other[row, feature] = (value.nan_to_num(0) + 1) % size if size else value.nan_to_num(0) + 3
    return other


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
@pytest.mark.parametrize("loss", ["mse", "nb", "zinb"])
def test_expected_values_have_not_seen_themselves(loss: str, kind: str) -> None:
    """A value that is replaced moves what is expected of others, and not of itself."""
    sizes: tuple[int, ...] = (0, 3, 0, 2) if loss == "mse" else (0,) * 4
    modality, samples, _ = cells_of(7, 4, loss=loss)
    model = make_model(table_of(sizes) if loss == "mse" else modality, kind=kind)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    if loss == "mse":
        samples[:, 1], samples[:, 3] = torch.arange(7) % 3, torch.arange(7) % 2
    samples[2, 0] = torch.nan
    index = np.array([4, 2, 0])
    first = np.cumsum([0, *(size or 1 for size in sizes)])
    before = expected_rows(model, rows_of(samples), index, pairs=3, seed=2)
    assert before.shape == (3, first[-1])
    assert np.isfinite(before).all()
    moved = np.zeros(before.shape, dtype=bool)
    for place, row in enumerate(index):
        for feature, size in enumerate(sizes):
            other = rows_of(changed(samples, row, feature, size))
            after = expected_rows(model, other, index, pairs=3, seed=2)
            own = slice(first[feature], first[feature + 1])
            np.testing.assert_allclose(after[place, own], before[place, own], atol=1e-5)
            rest = np.arange(3) != place
            np.testing.assert_array_equal(after[rest], before[rest])
            moved[place] |= np.abs(after[place] - before[place]) > 1e-4
    assert moved[:, first[:-1][np.array(sizes) == 0]].all()


def test_expected_values_are_means_over_splits() -> None:
    model, samples = make_model(table_of((0, 3, 0, 0, 0, 0))).eval(), torch.rand(5, 6)
    samples[:, 1] = torch.arange(5) % 3
    index = np.arange(5)
    found = expected_rows(model, rows_of(samples), index, pairs=8)
    np.testing.assert_allclose(found[:, 1:4].sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1:4] * 8, np.rint(found[:, 1:4] * 8), atol=1e-5)
    # Of one split every feature is predicted from one half or the other.
    hidden = draw("fixed:0.5", (6,), sample_ids=torch.arange(5), seed=0).hidden
    with torch.no_grad():
        halves = [model.predict(samples, each).numpy() for each in (hidden, ~hidden)]
    one = one_hot(np.where(hidden, *halves), model.tokenizer.sizes)
    np.testing.assert_allclose(
        expected_rows(model, rows_of(samples), index, pairs=1), one, atol=1e-6
    )
    # A sample's do not depend on which others are asked for.
    np.testing.assert_allclose(
        expected_rows(model, rows_of(samples), index[3:], pairs=8), found[3:], atol=1e-6
    )
