"""Which sizes are drawn, how often, and what they count for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.likelihood import designs


@given(st.integers(1, 300), st.integers(1, 150))
def test_systematic_takes_all_passes_and_leaves_no_size_out(length, passes):
    strata = designs.systematic(length, passes)
    assert sum(stratum.num for stratum in strata) == passes
    sizes = [size for stratum in strata for size in range(stratum.low, stratum.high + 1)]
    assert sizes == list(range(1, length + 1))
    assert all(stratum.weight == stratum.high - stratum.low + 1 for stratum in strata)


@given(st.integers(2, 300), st.integers(3, 150))
def test_systematic_can_tell_its_error(length, passes):
    *rest, last = designs.systematic(length, passes)
    assert last == designs.Stratum(length, length, 1, 1.0)
    assert all(stratum.num >= 2 for stratum in rest)


@given(st.integers(2, 200), st.integers(2, 60))
def test_quadrature_is_exact_for_straight_lines(length, passes):
    strata = designs.quadrature(length, passes)
    total = sum(stratum.weight * (3 - 2 * stratum.low) for stratum in strata)
    assert math.isclose(total, sum(3 - 2 * size for size in range(1, length + 1)))
    assert sum(stratum.num for stratum in strata) <= max(passes, len(strata))
    assert all(stratum.num >= 1 for stratum in strata)


@given(st.integers(1, 40), st.integers(1, 4))
def test_per_size_has_equally_many_masks_of_each_size(length, num):
    strata = designs.per_size(length, num * length)
    assert [stratum.low for stratum in strata] == list(range(1, length + 1))
    assert {stratum.num for stratum in strata} == {num}


def test_the_weight_of_bernoulli_is_the_mean_inverse_probability():
    """E[1/t | M] for t uniform and M ~ Binomial(D, t), by simulation."""
    [stratum] = designs.bernoulli(6, 10)
    assert (stratum.low, stratum.high, stratum.num) == (0, 6, 10)
    rng = np.random.default_rng(0)
    t = rng.uniform(size=400_000)
    sizes = rng.binomial(6, t)
    for size in (2, 4, 6):
        inverse = 1 / t[sizes == size]
        stderr = inverse.std() / math.sqrt(len(inverse))
        assert abs(inverse.mean() - stratum.weight / size) < 4 * stderr


def drawn(eligible, passes, seed=0, ids=None):
    plan = designs.spell_out(eligible.sum(dim=1), lambda n: designs.systematic(n, passes))
    ids = torch.arange(len(eligible)) if ids is None else ids
    pairs = list(designs.masks_of(plan, eligible, seed, ids))
    return plan, *(torch.stack(each, dim=1) for each in zip(*pairs, strict=True))


def test_masks_have_their_sizes_and_hide_eligible_positions_only():
    eligible = torch.ones(5, 9, dtype=torch.bool)
    eligible[1, 3:], eligible[2, ::2], eligible[3, 1:] = False, False, False
    plan, sizes, hidden = drawn(eligible, 12)
    assert torch.equal(hidden.sum(dim=2), sizes)
    assert not (hidden & ~eligible[:, None]).any()
    low, high = plan.low.gather(1, plan.stratum), plan.high.gather(1, plan.stratum)
    assert ((low <= sizes) & (sizes <= high)).all()
    # The sample with one eligible position always hides it.
    assert hidden[3, :, 0].all()


def test_a_mask_depends_on_seed_pass_and_sample_alone():
    eligible = torch.ones(4, 9, dtype=torch.bool)
    _, _, hidden = drawn(eligible, 8)
    _, _, alone = drawn(eligible[2:3], 8, ids=torch.tensor([2]))
    assert torch.equal(hidden[2:3], alone)
    assert not torch.equal(hidden, drawn(eligible, 8, seed=1)[2])
    assert len({tuple(each.flatten().tolist()) for each in hidden}) == 4


def test_sizes_are_uniform_in_a_stratum_and_positions_in_a_size():
    eligible = torch.ones(4000, 6, dtype=torch.bool)
    plan, sizes, hidden = drawn(eligible, 2)
    assert (int(plan.low[0, 0]), int(plan.high[0, 0])) == (1, 6)
    counts = torch.bincount(sizes[:, 0], minlength=7)[1:].double()
    assert float(((counts - 4000 / 6).square() / (4000 / 6)).sum()) < 20.5  # chi-square, p = .001
    of_size = hidden[:, 0][sizes[:, 0] == 2].double().mean(dim=0)
    assert torch.allclose(of_size, torch.full((6,), 1 / 3, dtype=torch.float64), atol=0.08)


def test_samples_without_a_pass_count_for_nothing():
    lengths = torch.tensor([1, 30])
    plan = designs.spell_out(lengths, lambda n: designs.quadrature(n, 9))
    assert plan.num.sum(dim=1).tolist() == [9, 8]
    last = plan.stratum[1, -1]
    assert plan.weight[1, last] == plan.low[1, last] == plan.high[1, last] == 0


def test_too_few_passes_for_every_size():
    with pytest.raises(ValueError, match="a pass for each of 20 sizes, not 19"):
        designs.per_size(20, 19)
