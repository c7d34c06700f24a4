"""Several gloo processes against one with all rows."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwise.objectives.regularisers import _gathered, _total
from tests.objectives.ranked_terms import NUM_ROWS, TERMS, inputs, results


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each rank of 2 and of 4 found, by dtype."""
    folder = tmp_path_factory.mktemp("ranks")
    script = Path(__file__).with_name("ranked_terms.py")
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    def found(size, dtype):
        files = [folder / f"{size}-{rank}-{dtype}.npz" for rank in range(size)]
        return [np.load(file, allow_pickle=False) for file in files]

    return found


@pytest.fixture(scope="module")
def conditions():
    """How far each value and gradient moves, for a relative change of the features.

    A rank multiplies fewer rows than one process, and another kernel may round the features
    otherwise. What a term makes of that is its condition: koleo divides by the distance of near
    samples twice, so that the last bit of features moves its gradient by hundreds.
    """
    change = 1e-6
    rows = inputs(torch.float64)

    def moved(seed):
        generator = torch.Generator().manual_seed(seed)

        def sign(z):
            return torch.randint(0, 2, z.shape, generator=generator) * 2 - 1

        return results(
            lambda network: lambda x: [z * (1 + change * sign(z)) for z in network(x)], rows
        )

    alone = results(lambda network: network, rows)
    others = [moved(seed) for seed in range(8)]
    return {key: max(np.abs(r[key] - alone[key]).max() for r in others) / change for key in alone}


@pytest.mark.slow  # six processes; `tests/train/test_regularised.py` trains with two
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-13)])
@pytest.mark.parametrize("name", TERMS)
def test_gradient_is_that_of_one_process(ranks, conditions, name, dtype, tolerance, size):
    alone = results(lambda network: network, inputs(getattr(torch, dtype)))
    value, gradient = alone[f"{name}.value"], alone[f"{name}.gradient"]
    # The public code loses the other ranks' part.
    expected = gradient / size if name == "public" else gradient
    assert np.abs(gradient).max() > 1e-3
    for found in ranks(size, dtype):
        # The same on every rank, to the last bit.
        assert found[f"{name}.value"] == ranks(size, dtype)[0][f"{name}.value"]
        error = abs(found[f"{name}.value"] - value)
        assert error <= tolerance * max(abs(value), conditions[f"{name}.value"])
        error = np.abs(found[f"{name}.gradient"] - expected).max()
        scale = max(1, np.abs(gradient).max(), conditions[f"{name}.gradient"])
        assert error <= tolerance * scale


@pytest.mark.parametrize("size", [2, 4])
def test_public_scale_is_the_exact_one_over_ranks_but_for_the_diagonal(ranks, size):
    found = ranks(size, "float64")[0]
    expected = found["uniformity.gradient"] * (NUM_ROWS - 1) / NUM_ROWS / size
    np.testing.assert_allclose(found["public.gradient"], expected, rtol=1e-12)
    exact = float(found["uniformity.value"])
    assert float(found["public.value"]) == pytest.approx((exact * (NUM_ROWS - 1) + 1) / NUM_ROWS)


@pytest.mark.parametrize("size", [2, 4])
def test_rows_of_all_ranks_in_their_order(ranks, size):
    everything = inputs(torch.float64)
    for found in ranks(size, "float64"):
        np.testing.assert_array_equal(found["gathered"], everything)
        np.testing.assert_allclose(found["total"], everything.sum(dim=0), rtol=1e-12)


@pytest.mark.parametrize("size", [2, 4])
def test_zeros_on_one_rank_stop_them_all(ranks, size):
    for found in ranks(size, "float32"):
        assert f"{size - 1} of {NUM_ROWS} feature vectors are exactly zero" in str(
            found["refused"]
        )


def test_one_process_is_all_there_is():
    x = torch.ones(2, 3)
    assert _total(x) is x
    assert _gathered(x).equal(x)
