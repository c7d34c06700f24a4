import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.likelihood.blocks import best_blocks, block_bound
from maskwise.likelihood.scores import ScoreCurve


def compositions(length, num_blocks):
    for cuts in itertools.combinations(range(1, length), num_blocks - 1):
        yield np.diff([0, *cuts, length]).tolist()


def expected_scores(model):
    """S(1..D) of a Gaussian, averaged over samples from it: minus the mean entropy."""
    length = len(model.mean)
    scores = []
    for size in range(1, length + 1):
        hidden = torch.zeros(length, dtype=torch.bool)
        found = []
        for mask in itertools.combinations(range(length), size):
            where = hidden.clone()
            where[list(mask)] = True
            variance = model.joint(model.mean, where)[1].diagonal()
            found.append(-0.5 * (2 * torch.pi * torch.e * variance).log().mean())
        scores.append(torch.stack(found).mean().item())
    return scores


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=9).flatmap(
        lambda scores: st.tuples(st.just(scores), st.integers(1, len(scores)))
    )
)
def test_no_composition_is_better(case):
    """Whatever the curve: off the model it need not fall."""
    scores, num_blocks = case
    blocks = best_blocks(scores, num_blocks)
    assert len(blocks) == num_blocks
    assert sum(blocks) == len(scores)
    assert min(blocks) >= 1
    bounds = [block_bound(scores, other) for other in compositions(len(scores), num_blocks)]
    assert block_bound(scores, blocks) == pytest.approx(max(bounds), abs=1e-12)


def test_blocks_of_a_factor_model(make_dense):
    """Singles lose nothing, one block most; late big blocks beat early ones."""
    model = make_dense(6, 2)
    scores = expected_scores(model)
    covariance = 2 * torch.pi * torch.e * model.covariance
    total = -0.5 * torch.logdet(covariance).item()
    bounds = {k: block_bound(scores, best_blocks(scores, k)) for k in range(1, 7)}
    assert bounds[6] == block_bound(scores, [1] * 6) == pytest.approx(total, abs=1e-10)
    assert all(bounds[k] < bounds[k + 1] for k in range(1, 6))
    late, early = block_bound(scores, [1, 1, 1, 3]), block_bound(scores, [3, 1, 1, 1])
    assert early < late < total
    assert block_bound(scores, [3, 3]) < block_bound(scores, [2, 2, 2])
    assert late < bounds[4] == block_bound(scores, [1, 1, 2, 2])


def test_the_bound_is_the_mean_over_orders(make_table):
    """E_sigma of log prod_j prod_{t in block j} p(x_t | revealed), by enumeration."""
    table = make_table(4, 3)
    x = table.states[[5, 40, 77]]
    scores = torch.zeros(3, 4, dtype=torch.float64)
    for size in range(1, 5):
        masks = list(itertools.combinations(range(4), size))
        for mask in masks:
            hidden = torch.zeros(3, 4, dtype=torch.bool)
            hidden[:, mask] = True
            scores[:, size - 1] += table.conditional_log_prob(x, hidden)[:, mask].mean(1)
        scores[:, size - 1] /= len(masks)
    for blocks in ([1, 3], [2, 1, 1], [4]):
        total = torch.zeros(3, dtype=torch.float64)
        for order in itertools.permutations(range(4)):
            for end, size in zip(np.cumsum(blocks), blocks, strict=True):
                hidden = torch.zeros(3, 4, dtype=torch.bool)
                hidden[:, order[end - size :]] = True
                block = order[end - size : end]
                total += table.conditional_log_prob(x, hidden)[:, block].sum(1) / 24
        found = [block_bound(each, blocks) for each in scores]
        assert found == pytest.approx(total.tolist(), abs=1e-12)
    assert block_bound(scores[1], [1] * 4) == pytest.approx(table.log_prob(x)[1].item(), abs=1e-12)


def test_a_curve_is_interpolated():
    scores = np.array([-1.0, -2.0, -6.0])
    curve = ScoreCurve(np.array([2.0, 4, 8]), scores, scores, torch.empty(1, 3), 8.0)
    dense = [-1.0, -1.0, -1.5, -2.0, -3.0, -4.0, -5.0, -6.0]
    for blocks in ([8], [1] * 8, [2, 3, 3]):
        assert block_bound(curve, blocks) == block_bound(torch.tensor(dense), blocks)
    assert best_blocks(curve, 3) == best_blocks(dense, 3)


def test_single_precision_lists_are_not_rounded():
    assert block_bound([-0.1] * 3, [1] * 3) == pytest.approx(-0.3, abs=1e-15)


def test_a_long_curve():
    """A flat curve with a drop near full hiding: small blocks first, where the curve is steep."""
    sizes = np.arange(1, 1025)
    scores = -1.0 - np.exp((sizes - 1024) / 20.0)
    blocks = best_blocks(scores, 64)
    assert len(blocks) == 64
    assert sum(blocks) == 1024
    assert blocks == sorted(blocks)
    assert block_bound(scores, blocks) > block_bound(scores, [16] * 64) + 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: best_blocks([-1.0, -2.0], 0), "num_blocks is 0: give 1 to 2"),
        (lambda: best_blocks([-1.0, -2.0], 3), "num_blocks is 3: give 1 to 2"),
        (lambda: best_blocks([-1.0, np.nan], 1), "scores must be finite"),
        (lambda: best_blocks([-1.0, -np.inf], 1), "scores must be finite"),
        (lambda: best_blocks([], 1), "scores must be finite"),
        (lambda: best_blocks([[-1.0]], 1), "scores must be finite"),
        (lambda: block_bound([-1.0, -2.0], [1]), "blocks sum to 1: they must sum to 2"),
        (lambda: block_bound([-1.0, -2.0], [2, 0]), r"blocks are \[2, 0\]: give sizes"),
        (lambda: block_bound([-1.0, -2.0], [1.0, 1.0]), r"blocks are \[1.0, 1.0\]"),
        (lambda: block_bound([-1.0, -2.0], []), r"blocks are \[\]"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(UserError, match=message):
        call()
