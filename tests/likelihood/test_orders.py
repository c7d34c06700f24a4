import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maskwise.errors import UserError
from maskwise.likelihood import (
    ScoreCurve,
    best_blocks,
    block_bound,
    chain_rule,
    order_mixture_bound,
    order_spread,
)
from maskwise.likelihood.designs import order_log_probs, random_orders, ranks


class Incompatible:
    """Binary conditionals that no joint has: a free probability for each visible context."""

    def __init__(self, length, seed=0):
        shape = [3] * length + [length]
        generator = torch.Generator().manual_seed(seed)
        self.logits = torch.randn(shape, generator=generator, dtype=torch.float64)

    def conditional_log_prob(self, x, hidden):
        logits = self.logits[tuple(torch.where(hidden, 2, x).T)]
        return torch.nn.functional.logsigmoid(torch.where(x == 1, logits, -logits))


class Counting:
    """A model that notes how many positions each row of each call hides."""

    def __init__(self, model):
        self.model, self.calls = model, []

    def conditional_log_prob(self, x, hidden):
        self.calls.append(hidden.sum(1).tolist())
        return self.model.conditional_log_prob(x, hidden)


ALL_ORDERS = torch.tensor(list(itertools.permutations(range(4))))


def states(num_positions):
    return torch.cartesian_prod(*[torch.arange(2)] * num_positions)


def test_every_order_of_a_joint_gives_its_log_likelihood(make_table):
    table = make_table(4, 3)
    x = table.states[::7]
    for order in ALL_ORDERS:
        found = chain_rule(table, x, order)
        torch.testing.assert_close(found, table.log_prob(x), rtol=1e-12, atol=1e-12)


def test_the_chain_rule_has_the_gradient_of_the_log_likelihood(make_table):
    table = make_table(4, 2)
    table.probs.requires_grad_()
    x = states(4)[3:8]
    (found,) = torch.autograd.grad(chain_rule(table, x, [1, 3, 0, 2]).sum(), table.probs)
    # What enumeration normalises away, log_prob() must be told.
    total = (table.log_prob(x) - table.probs.sum().log()).sum()
    (expected,) = torch.autograd.grad(total, table.probs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_what_is_not_eligible_is_given(make_table):
    """log p(x_e | x_rest), for a different e in every row."""
    table = make_table(4, 3)
    x = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0], [1, 0, 0, 2]])
    eligible = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    found = chain_rule(table, x, ALL_ORDERS[[5, 11, 17]], eligible)
    for row in range(3):
        free = [position for position in range(4) if eligible[row, position]]
        context = table.probs.sum(free, keepdim=True).expand_as(table.probs)[tuple(x[row])]
        expected = table.probs[tuple(x[row])].log() - context.log()
        assert found[row].item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_nothing_is_predicted_twice_and_calls_are_full(make_table, batch_size):
    table = make_table(4, 3)
    eligible = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 0]], dtype=torch.bool)
    counting = Counting(table)
    x = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]])
    found = chain_rule(counting, x, [3, 2, 1, 0], eligible, batch_size=batch_size)
    torch.testing.assert_close(found, chain_rule(table, x, [3, 2, 1, 0], eligible))
    assert sorted(itertools.chain(*counting.calls)) == [1, 1, 2, 3]
    assert len(counting.calls) == math.ceil(4 / batch_size)


def test_incompatible_conditionals_are_a_mixture_of_orders():
    """Sum of scores over all masks = mean over all orders <= log of their mixture, normalised."""
    model, x = Incompatible(4), states(4)
    by_order = torch.stack([chain_rule(model, x, order) for order in ALL_ORDERS])
    torch.testing.assert_close(by_order.exp().sum(1), torch.ones(24, dtype=torch.float64))
    total = torch.zeros(16, dtype=torch.float64)
    for size in range(1, 5):
        masks = list(itertools.combinations(range(4), size))
        for mask in masks:
            hidden = torch.zeros(16, 4, dtype=torch.bool)
            hidden[:, mask] = True
            total += model.conditional_log_prob(x, hidden)[:, mask].mean(1) / len(masks)
    torch.testing.assert_close(by_order.mean(0), total, rtol=0, atol=1e-12)
    assert (by_order.logsumexp(0) - math.log(24) > by_order.mean(0)).all()
    assert (by_order.std(0) > 0.05).all()


def test_diagnostics_are_summaries_of_the_same_orders():
    model, x = Incompatible(4), states(4)[[2, 5, 11]]
    found = order_log_probs(model, x, num_orders=5, seed=3)
    for draw in range(5):
        order = random_orders(torch.arange(3), 4, seed=3, draw=draw)
        torch.testing.assert_close(found[draw], chain_rule(model, x, order))
    spread = order_spread(model, x, num_orders=5, seed=3)
    torch.testing.assert_close(spread, found.std(0))
    bound = order_mixture_bound(model, x, num_orders=5, seed=3)
    torch.testing.assert_close(bound, found.exp().mean(0).log())
    assert (bound >= found.mean(0)).all()
    fewer = order_log_probs(model, x, num_orders=2, seed=3)
    torch.testing.assert_close(fewer, found[:2], rtol=1e-13, atol=0)


def test_compatible_conditionals_have_no_spread(make_table, make_dense):
    for model, x in (
        (make_table(4, 3), torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]])),
        (make_dense(6, 2), torch.linspace(-3, 3, 12, dtype=torch.float64).view(2, 6)),
    ):
        assert (order_spread(model, x) < 1e-10).all()
        one = order_log_probs(model, x, num_orders=1)[0]
        torch.testing.assert_close(order_mixture_bound(model, x), one, rtol=0, atol=1e-10)


def test_the_mixture_bound_rises_to_the_mixture_from_below():
    model, x = Incompatible(4), states(4)[[6]]
    by_order = torch.stack([chain_rule(model, x, order) for order in ALL_ORDERS])
    mean, mixture = by_order.mean().item(), by_order.exp().mean().log().item()
    means = []
    for num_orders in (1, 4, 16):
        # One sample after the other with other orders is what a batch of copies gets.
        found = order_mixture_bound(model, x.expand(2000, 4), num_orders=num_orders)
        means.append(found.mean().item())
        error = 4 * found.std().item() / math.sqrt(2000)
        assert means[-1] < mixture + error
        if num_orders == 1:
            assert abs(means[0] - mean) < error
    assert means[0] < means[1] < means[2]
    assert mixture - means[2] < 0.2 * (mixture - mean)


def test_orders_are_uniform_and_keyed():
    ids = torch.arange(4800)
    orders = random_orders(ids, 4, seed=1)
    counts = orders.unique(dim=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 0.001
    assert torch.equal(random_orders(ids[[7, 3]], 4, seed=1), orders[[7, 3]])
    for other in (random_orders(ids, 4, seed=2), random_orders(ids, 4, seed=1, draw=1)):
        assert 0.02 < (other == orders).all(1).double().mean() < 0.07  # 1/24 by chance


@given(st.permutations(range(6)), st.lists(st.booleans(), min_size=6, max_size=6))
def test_ranks_count_eligible_positions_only(order, eligible):
    found = ranks(torch.tensor([order]), torch.tensor([eligible]))[0].tolist()
    turns = [position for position in order if eligible[position]]
    assert found == [turns.index(p) if eligible[p] else -1 for p in range(6)]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 1, 2], r"order is torch.int64 \[3\]: give integers \[4\] or \[2, 4\]"),
        ([0.0, 1.0, 2.0, 3.0], "order is torch.float32"),
        ([0, 1, 2, 4], "order of sample 0 must hold every position 0..3 once"),
        ([[0, 1, 2, 3], [0, 1, 1, 3]], "order of sample 1 must hold"),
    ],
)
def test_what_is_no_order(make_table, order, message):
    with pytest.raises(UserError, match=message):
        chain_rule(make_table(4, 2), states(4)[:2], order)


def test_too_few_orders(make_table):
    with pytest.raises(UserError, match="num_orders >= 2, not 1"):
        order_spread(make_table(4, 2), states(4), num_orders=1)
    with pytest.raises(UserError, match="num_orders must be at least 1, not 0"):
        order_mixture_bound(make_table(4, 2), states(4), num_orders=0)


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
