import numpy as np
import pytest

from maskwise.measure import features


def test_pca_finds_the_direction_and_ignores_the_test_part() -> None:
    rng = np.random.default_rng(0)
    direction = np.array([0.6, 0.8, 0.0])
    scores = rng.normal(size=500)
    train = 10 * scores[:, None] * direction + 0.01 * rng.normal(size=(500, 3)) + 5
    found, test = features.pca([train, train[:4] + 1000], seed=0, num=1)
    assert abs(np.corrcoef(found[:, 0], scores)[0, 1]) > 0.9999
    # Centred by the training mean, and moved by what the shift is along the direction.
    assert found.mean() == pytest.approx(0, abs=1e-3)
    moved = np.abs(test - found[:4])
    np.testing.assert_allclose(moved, 1400, rtol=1e-3)


def test_pca_has_at_most_as_many_components_as_samples_or_values() -> None:
    rng = np.random.default_rng(0)
    few = [rng.normal(size=(9, 80)), rng.normal(size=(5, 80))]
    flat = [rng.normal(size=(90, 3)), rng.normal(size=(5, 3))]
    assert features.pca(few, 0)[1].shape == (5, 9)
    assert features.pca(flat, 0)[0].shape == (90, 3)


def test_random_subset_is_a_sorted_choice_that_repeats() -> None:
    chosen = features.random_subset(100, 10, seed=0)
    assert len(set(chosen.tolist())) == 10
    assert (np.diff(chosen) > 0).all()
    assert (chosen == features.random_subset(100, 10, seed=0)).all()
    assert (chosen != features.random_subset(100, 10, seed=1)).any()
