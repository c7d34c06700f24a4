import math

import numpy as np
import pytest
import torch
from scipy import stats

from maskwise.errors import UserError
from maskwise.likelihood import PPCA
from maskwise.likelihood.designs import random_orders
from maskwise.likelihood.generate import Imputation, fill, impute, sample


class Noting:
    """A model that notes which positions of which samples each call hides."""

    def __init__(self, model):
        self.model, self.calls = model, []

    def conditional_sample(self, x, hidden, keys):
        self.calls.append((keys.epoch, keys.sample_ids.tolist(), hidden.sum(1).tolist()))
        return self.model.conditional_sample(x, hidden, keys)

    def empty(self, num):
        return self.model.empty(num)


class Images:
    """Independent standard normal pixels, two rows of each image to a position."""

    length = 2

    def mix(self, x, other, hidden):
        return torch.where(hidden.repeat_interleave(2, 1)[:, None, :, None], other, x)

    def conditional_sample(self, x, hidden, keys):
        assert x.isfinite().all()
        drawn = torch.special.ndtri(keys.open_uniform(9, 16)).view(-1, 1, 4, 4)
        return self.mix(x, drawn, hidden)

    def empty(self, num):
        return torch.zeros(num, 1, 4, 4)


def p_value(found, probs):
    """Chi-square of samples [N, D] against a table of probabilities."""
    shape = list(probs.shape)
    counts = np.bincount(
        np.ravel_multi_index(tuple(found.T.numpy()), shape), minlength=probs.numel()
    )
    return stats.chisquare(counts, len(found) * probs.flatten().numpy()).pvalue


def marginal(probs, position):
    others = [axis for axis in range(probs.ndim) if axis != position]
    return probs.sum(others, keepdim=True)


@pytest.mark.parametrize("order", [None, [0, 1, 2], [2, 0, 1]])
def test_one_at_a_time_has_the_joint_frequencies(make_table, order):
    table = make_table(3, 3)
    assert p_value(sample(table, 5000, order=order, seed=1), table.probs) > 0.01


def test_one_block_is_a_product_of_marginals(make_table):
    """The price of blocks."""
    table = make_table(3, 3)
    found = sample(table, 5000, blocks=1)
    product = marginal(table.probs, 0) * marginal(table.probs, 1) * marginal(table.probs, 2)
    assert p_value(found, product) > 0.01
    assert p_value(found, table.probs) < 1e-6


def test_positions_of_a_block_are_independent_given_those_before(make_table):
    table = make_table(3, 3)
    given = table.probs.sum((0, 1), keepdim=True)
    apart = table.probs.sum(0, keepdim=True) * table.probs.sum(1, keepdim=True) / given
    assert p_value(sample(table, 5000, blocks=[1, 2], order=[2, 0, 1]), apart) > 0.01
    assert p_value(sample(table, 5000, blocks=2, order=[2, 0, 1]), apart) > 0.01
    # In random orders: the mean over which position came first.
    mixed = apart.clone()
    for first in (0, 1):
        a, b = (axis for axis in range(3) if axis != first)
        given = marginal(table.probs, first)
        mixed += table.probs.sum(a, keepdim=True) * table.probs.sum(b, keepdim=True) / given
    assert p_value(sample(table, 5000, blocks=[1, 2]), mixed / 3) > 0.01


def test_hidden_positions_are_drawn_given_the_visible_ones(make_table):
    table = make_table(3, 3)
    x = torch.tensor([0, 2, 1]).expand(5000, 3)
    found = fill(table, x, [True, False, True])
    assert (found[:, 1] == 2).all()
    given = table.probs[:, 2, :]
    assert p_value(found[:, [0, 2]], given / given.sum()) > 0.01


def test_each_sample_has_its_own_number_hidden(make_table):
    noting = Noting(make_table(4, 2))
    x = torch.ones(3, 4, dtype=torch.int64)
    hidden = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)
    found = fill(noting, x, hidden, sample_ids=[7, 8, 9])
    assert (found[~hidden] == 1).all()
    assert noting.calls == [(0, [7, 9], [3, 1]), (1, [7], [2]), (2, [7], [1])]


@pytest.mark.parametrize(
    ("blocks", "num_hidden", "before"),
    [
        (None, 3, [3, 2, 1]),
        (1, 5, [5]),
        (2, 5, [5, 3]),
        (3, 5, [5, 4, 2]),
        (5, 2, [2, 1]),
        ([1, 1, 3], 5, [5, 4, 3]),
        # Fewer hidden than the sizes sum to: as if the others had been drawn already.
        ([1, 1, 3], 4, [4, 3]),
        ([1, 1, 3], 2, [2]),
        (np.array([2, 2]), 4, [4, 2]),
    ],
)
def test_sizes_of_blocks(make_table, blocks, num_hidden, before):
    """`before`: hidden positions before each block."""
    noting = Noting(make_table(5, 2))
    hidden = torch.arange(5) < num_hidden
    fill(noting, torch.zeros(2, 5, dtype=torch.int64), hidden, blocks=blocks)
    assert [call[2] for call in noting.calls] == [[count] * 2 for count in before]


def test_draws_belong_to_a_sample_not_to_its_batch(make_table, make_dense):
    for model, x in (
        (make_table(4, 3), torch.zeros(6, 4, dtype=torch.int64)),
        (make_dense(4, 2), torch.arange(24.0, dtype=torch.float64).view(6, 4) / 10),
    ):
        hidden = torch.arange(24).view(6, 4) % 5 < 3
        ids = torch.tensor([3, 1, 4, 15, 9, 2])
        found = fill(model, x, hidden, sample_ids=ids, seed=5)
        rows = [4, 0, 3]
        part = fill(model, x[rows], hidden[rows], sample_ids=ids[rows], seed=5)
        torch.testing.assert_close(part, found[rows])
        small = fill(model, x, hidden, sample_ids=ids, seed=5, batch_size=1)
        torch.testing.assert_close(small, found)
        other = fill(model, x, hidden, sample_ids=ids, seed=6)
        assert not torch.equal(other, found)
        torch.testing.assert_close(sample(model, 5)[:2], sample(model, 2))
        more = impute(model, x, ~hidden, num_samples=5).samples
        torch.testing.assert_close(more[:2], impute(model, x, ~hidden, num_samples=2).samples)


def test_no_two_draws_are_the_same(make_dense):
    x = torch.zeros(4, 3, dtype=torch.float64)
    found = impute(make_dense(3, 1), x, [False] * 3, num_samples=5).samples
    assert len(found.unique()) == 5 * 4 * 3
    again = impute(make_dense(3, 1), x, [False] * 3, num_samples=5, seed=1).samples
    assert len(torch.cat([found, again]).unique()) == 2 * 5 * 4 * 3


def test_default_orders_are_random_and_keyed(make_table):
    x = torch.zeros(6, 4, dtype=torch.int64)
    found = fill(make_table(4, 3), x, [True] * 4, seed=6)
    orders = random_orders(torch.arange(6), 4, seed=6)
    assert torch.equal(found, fill(make_table(4, 3), x, [True] * 4, order=orders, seed=6))


def test_imputation_against_the_closed_form(make_dense):
    """Joint mean and covariance of what is missing, over 4000 draws, within 4.5 errors."""
    model = make_dense(6, 2)
    x = torch.tensor([[0.5, -1.0, 2.0, 0.0, 1.0, -0.5]], dtype=torch.float64)
    hidden = torch.tensor([[1, 0, 1, 0, 0, 1]], dtype=torch.bool)
    found = impute(model, torch.where(hidden, torch.nan, x), ~hidden, num_samples=4000)
    mean, covariance = model.joint(x[0], hidden[0])
    error = (covariance.diagonal() / 4000).sqrt()
    assert ((found.mean[0, hidden[0]] - mean).abs() < 4.5 * error).all()
    # The error of a median, and of quantiles at 5 % and 95 %: sqrt(q (1 - q) / N) / density.
    assert ((found.median[0, hidden[0]] - mean).abs() < 4.5 * 1.2533 * error).all()
    wide = 1.6449 * covariance.diagonal().sqrt()
    for end, expected in zip(found.interval(0.9), (mean - wide, mean + wide), strict=True):
        assert ((end[0, hidden[0]] - expected).abs() < 4.5 * 2.113 * error).all()
    drawn = found.samples[:, 0, hidden[0]]
    spread = (covariance.square() + covariance.diagonal().outer(covariance.diagonal())) / 4000
    assert ((drawn.T.cov() - covariance).abs() < 4.5 * spread.sqrt()).all()


@pytest.mark.parametrize(("num_samples", "level"), [(19, 0.9), (40, 0.8)])
def test_intervals_cover_as_promised(num_samples, level):
    """Also where samples and draws have the same seed."""
    model = PPCA([[1.0, 0.5], [-0.4, 1.2], [0.3, -2.0], [1.5, 0.1], [0.0, 0.7]], noise=0.3)
    x = model.sample(1500, seed=2)
    observed = torch.arange(5).repeat(1500, 1).roll(1, 0) % 5 < 3
    low, high = impute(model, x, observed, num_samples=num_samples, seed=2).interval(level)
    covered = ((low <= x) & (x <= high)).double()
    assert (covered[observed] == 1).all()
    per_row = covered[~observed].view(1500, 2).mean(1)
    assert abs(per_row.mean() - level) < 4 * per_row.std() / math.sqrt(1500)


def test_observed_values_are_exact_in_every_summary():
    draws = torch.tensor([0.1, 0.3, 0.7])[None, None].repeat(23, 1, 1)
    draws[:, 0, 2] = torch.arange(23.0).flip(0)
    found = Imputation(draws)
    low, high = found.interval(0.9)
    for each in (found.mean, found.median, low, high):
        assert torch.equal(each[:, :2], draws[0, :, :2])
    # Places 24 x 0.05 = 1.2 and 24 x 0.95 = 22.8 among 0..22, the first of which has place 1.
    assert (low[0, 2].item(), high[0, 2].item()) == pytest.approx((0.2, 21.8))
    assert found.mean[0, 2] == found.median[0, 2] == 11.0


def test_whole_numbers_have_a_mode():
    found = Imputation(torch.tensor([[[0, 3]], [[2, 3]], [[2, 3]], [[1, 3]]]))
    assert found.mode.tolist() == [[2, 3]]
    assert found.mode.dtype == torch.int64
    assert found.mean.tolist() == [[1.25, 3.0]]
    assert found.median.tolist() == [[1.5, 3.0]]


def test_missing_values_poison_nothing(make_dense):
    model = make_dense(4, 2)
    x = torch.tensor([[0.5, 1.0, -1.0, 0.0], [1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    observed = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
    expected = impute(model, x, observed, num_samples=3).samples
    for missing in (torch.nan, torch.inf, -999.0):
        holes = torch.where(observed, x, missing)
        assert torch.equal(impute(model, holes, observed, num_samples=3).samples, expected)
    assert torch.equal(expected[:, observed], x[observed].expand(3, -1))


def test_samples_of_another_shape():
    """A model says where its positions are."""
    x = torch.arange(32.0).view(2, 1, 4, 4)
    x[0, 0, 1, 2] = torch.nan
    observed = torch.tensor([[False, True], [True, True]])
    found = impute(Images(), x, observed, num_samples=30).samples
    assert found.shape == (30, 2, 1, 4, 4)
    assert torch.equal(found[:, 1], x[1].double().expand(30, -1, -1, -1))
    assert torch.equal(found[:, 0, :, 2:], x[0, :, 2:].double().expand(30, -1, -1, -1))
    assert abs(found[:, 0, :, :2].mean()) < 4 / math.sqrt(240)
    assert sample(Images(), 3).shape == (3, 1, 4, 4)
    with pytest.raises(UserError, match="row 0 has nan at position 0, 1, 2, which is visible"):
        impute(Images(), x, observed.flip(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: fill(m, x, [True, False]), r"hidden is torch.bool \[2\]: give bool \[3\]"),
        (lambda m, x: fill(m, x, [1, 0, 1]), r"hidden is torch.int64 \[3\]"),
        (lambda m, x: impute(m, x, [True]), r"observed is torch.bool \[1\]"),
        (lambda m, x: impute(m, x, [True] * 3), "row 1 has nan at position 2, which is visible"),
        (lambda m, x: impute(m, x, [False] * 3, num_samples=0), "num_samples is 0"),
        (lambda m, x: fill(m, x, [True] * 3, blocks=0), "blocks is 0: give at least 1"),
        (lambda m, x: fill(m, x, [True] * 3, blocks=[1, 1]), "blocks sum to 2, but a sample hid"),
        (lambda m, x: fill(m, x, [True] * 3, blocks=[4, -1]), r"blocks are \[4, -1\]: give sizes"),
        (lambda m, x: fill(m, x, [True] * 3, order=[0, 1, 1]), "order of sample 0 must hold"),
        (lambda m, x: fill(m, x, [True] * 3, sample_ids=[1]), r"sample_ids have shape \[1\]"),
        (lambda m, x: sample(m, 0), "num is 0: draw at least 1"),
        (lambda m, x: fill(m, x[:0], [True] * 3), "samples have shape"),
        (lambda m, x: Imputation(x[None].expand(18, 2, 3)).interval(), "give num_samples=19 or"),
        (lambda m, x: Imputation(x[None]).interval(1.0), r"level 1 is outside \(0, 1\)"),
        (lambda m, x: Imputation(x[None]).mode, "mode is for whole numbers"),
    ],
)
def test_bad_input(make_dense, call, message):
    x = torch.zeros(2, 3, dtype=torch.float64)
    x[1, 2] = torch.nan
    with pytest.raises(UserError, match=message):
        call(make_dense(3, 1), x)
