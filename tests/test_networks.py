"""The benchmark that compares networks with the theory: a run, and what is made of many."""

import numpy as np
import pytest
import torch

from benchmarks import networks, networks_theory
from benchmarks.networks_data import Data
from maskwise import theory


@pytest.fixture(scope="module")
def images():
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((512, 16)))
    values = (noise + noise.roll(1, dims=1)).float()
    return Data((4, 4), 1, values[:448], values[448:])


@pytest.mark.parametrize("network", ["mlp", "conv", "transformer"])
def test_a_run_is_a_row_and_is_repeatable(images, network):
    run = networks.Run("images", network, "fresh", 4, 64, 0.3, 0)
    rows = [networks.train(run, images, 2) for _ in range(2)]
    assert rows[0]["steps"] == 2
    assert set(rows[0]["test"]) == set(networks.TEST_RATIOS)
    assert all(np.isfinite(list(rows[0]["test"].values())))
    assert rows[0]["test"] == rows[1]["test"]


def test_curves_are_compared_with_the_theory_of_the_same_data(images):
    rows = [
        {
            **{"data": "images", "network": "mlp", "masks": "fresh", "width": 4},
            **{"num_train": 64, "ratio": ratio, "seed": seed, "num_parameters": 2048},
            "test": {name: abs(ratio - t) for name, t in networks.TEST_RATIOS.items()},
            "test_squared": {},
        }
        for ratio in networks.RATIOS
        for seed in networks.SEEDS
    ]
    found = networks_theory.compare(rows, {"images": images})
    assert len(found) == len(networks.TEST_RATIOS)
    one = found[0]
    # Sixteen positions: .05 hides one of them, .15 two.
    realised = np.round(np.array(networks.RATIOS) * 16) / 16
    model = theory.estimate(images.pool.numpy())
    expected = theory.risk(
        model,
        realised,
        64,
        test_ratio=networks.TEST_RATIOS[one.curve.tested],
        target_hidden=True,
        masks="fresh",
    ).total
    np.testing.assert_allclose(one.predicted["linear"], expected)
    assert one.correlation("nearest") == [1.0, 1.0, 1.0]
    assert one.excess == 2048 / (64 * 16)
    # A curve that lacks a run is left out.
    assert networks_theory.compare(rows[1:], {"images": images}) == []
