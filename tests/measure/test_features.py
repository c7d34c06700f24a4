import numpy as np
import pytest
import torch

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
    assert features.random_subset(3, 8, seed=0).tolist() == [0, 1, 2]


def test_random_groups_hold_so_many_samples_at_most_but_are_one_at_least() -> None:
    assert features.random_groups(np.array([2, 2, 2]), 4, seed=0).tolist() == [0, 2]
    assert len(features.random_groups(np.array([9, 9]), 4, seed=0)) == 1


def test_frozen_models_come_back_as_they_were() -> None:
    model = torch.nn.Linear(1, 1)
    with features.frozen(model) as device:
        assert (device.type, model.training, torch.is_grad_enabled()) == ("cpu", False, False)
    assert (model.training, torch.is_grad_enabled()) == (True, True)


def test_batches_of_one_length() -> None:
    found = features.same_length([2, 1, 2, 2], batch_size=2)
    assert [index.tolist() for index in found] == [[1], [0, 2], [3]]


def test_one_draw_has_no_interval() -> None:
    assert features.spread(features.over_draws([0.5]), "mean") == {
        "mean": 0.5,
        "low": None,
        "high": None,
    }


def test_models_are_probed_beside_those_before_training() -> None:
    both = {"encoder": 1, "untrained encoder": 0}
    assert features.models_of(1, 0, baselines=True) == both
    assert features.models_of(1, None, baselines=True) == {"encoder": 1}
    assert features.models_of(1, 0, baselines=False) == {"encoder": 1}
