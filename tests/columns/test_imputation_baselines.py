import numpy as np
import pytest

from maskwise.columns.imputation import by_neighbours, by_regression
from maskwise.columns.tabular import column_means, filled
from maskwise.predict.baselines import by_components
from tests.columns.small_samples import ppca


@pytest.fixture
def parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training samples, samples with holes, and what was there."""
    x = ppca().sample(300).float().numpy() + 1
    rng = np.random.default_rng(0)
    return x[:250], np.where(rng.random((50, 12)) < 0.4, np.nan, x[250:]), x[250:]


Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


def test_neighbours_are_those_of_scikit_learn(parts: Parts) -> None:
    from sklearn.impute import KNNImputer

    train, holes, _ = parts
    want = KNNImputer(n_neighbors=7).fit(train).transform(holes)
    found = by_neighbours(train, column_means(train), k=7)(holes)
    np.testing.assert_allclose(found, want, rtol=1e-4)
    assert by_neighbours(train[:3], column_means(train), k=7)(holes).shape == holes.shape


def test_neighbours_with_holes_count_for_what_they_have() -> None:
    train = np.array([[0.0, 1.0], [0.1, np.nan], [9.0, 5.0], [np.nan, np.nan]], dtype=np.float32)
    mean = column_means(train)
    holes = np.array([[0.0, np.nan], [np.nan, np.nan]], dtype=np.float32)
    found = by_neighbours(train, mean, k=2)(holes)
    np.testing.assert_allclose(found[0], [0.0, 1.0], atol=1e-6)
    assert np.isfinite(found).all()


def test_of_equally_near_neighbours_the_first_count() -> None:
    """Categories as columns of 0 and 1 put many samples at one distance."""
    kinds = np.random.default_rng(0).random((6, 9)) < 0.5
    number = np.arange(600, dtype=np.float32)[:, None]
    train = np.concatenate([kinds[np.arange(600) % 6], number], axis=1, dtype=np.float32)
    holes = np.concatenate([kinds, np.full((6, 1), np.nan)], axis=1, dtype=np.float32)
    found = by_neighbours(train, column_means(train), k=5)(holes)[:, -1]
    np.testing.assert_allclose(found, np.arange(6) + np.arange(0, 30, 6).mean(), rtol=1e-5)


@pytest.mark.parametrize("method", ["PCA", "IterativeImputer"])
def test_methods_fill_holes_and_touch_nothing_else(method: str, parts: Parts) -> None:
    train, holes, x = parts
    mean = column_means(train)
    fill = by_components(train, mean, 0) if method == "PCA" else by_regression(train, (0,) * 12, 0)
    found, hidden = fill(holes), np.isnan(holes)
    np.testing.assert_allclose(found[~hidden], holes[~hidden], rtol=1e-6)
    left = np.square(found - x)[hidden].sum() / np.square(filled(holes, mean) - x)[hidden].sum()
    assert left < 0.35


def test_components_of_columns_that_follow_from_each_other() -> None:
    rng = np.random.default_rng(0)
    train = rng.normal(size=(40, 1)) * np.ones(6) + np.arange(6)
    train = train.astype(np.float32)
    holes = np.where(np.arange(6) % 2 == 0, np.nan, train[:5])
    found = by_components(train[5:], column_means(train[5:]), 0)(holes)
    np.testing.assert_allclose(found, train[:5], atol=1e-2)


def test_regressions_stay_in_the_range_of_training_samples(parts: Parts) -> None:
    train, holes, _ = parts
    found = by_regression(train / 100, (0,) * 12, 0)(holes)[np.isnan(holes)]  # far from training
    assert train.min() / 100 - 1e-5 <= found.min() < found.max() <= train.max() / 100 + 1e-5
