"""The leak test, and how samples and positions are read."""

import numpy as np
import pytest
import torch

from maskwise.likelihood import PPCA, check_leak, contract


@pytest.fixture
def model():
    return PPCA(torch.linspace(-1, 1, 12)[:, None], 0.3)


class Leaky:
    """Reads a share of what is hidden."""

    def __init__(self, model, share):
        self.model, self.share = model, share

    def conditional_log_prob(self, x, hidden):
        return self.model.conditional_log_prob(x, hidden) + self.share * x.sum(dim=1)[:, None]


@pytest.mark.parametrize("num", [1, 2, 5])
@pytest.mark.parametrize("share", [0.1, -3.0])
def test_a_leak_is_found(model, num, share):
    x = model.sample(num)
    check_leak(model, x)
    with pytest.raises(ValueError, match=r"leaks: log p of position \d+ given .* changes by"):
        check_leak(Leaky(model, share), x)


def test_reading_visible_positions_is_no_leak(model):
    x = model.sample(5)
    eligible = torch.arange(12) < 6

    class Honest(Leaky):
        def conditional_log_prob(self, x, hidden):
            visible = torch.where(hidden, 0.0, x).sum(dim=1)
            return self.model.conditional_log_prob(x, hidden) + visible[:, None]

    check_leak(Honest(model, 1.0), x, eligible=eligible)


def test_reading_ones_own_value_is_what_a_probability_does(model):
    """Only the values of other hidden positions are changed."""
    check_leak(model, torch.arange(24.0).view(2, 12))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_samples(length):
    model = PPCA(torch.ones(length, 1), 0.3)
    check_leak(model, model.sample(3))


def test_a_model_may_say_how_its_samples_are_mixed(model):
    class Pairs:
        """Positions are pairs of columns of [B, 1, 24]."""

        length = 12
        mixed = 0

        def conditional_log_prob(self, x, hidden):
            return model.conditional_log_prob(x[:, 0].view(-1, 12, 2).mean(dim=2), hidden)

        def mix(self, x, other, hidden):
            self.mixed += 1
            return torch.where(hidden.repeat_interleave(2, dim=1)[:, None], other, x)

    pairs = Pairs()
    check_leak(pairs, model.sample(3).repeat_interleave(2, dim=1)[:, None])
    assert pairs.mixed == 1


def test_mix_takes_positions_along_the_second_axis():
    x, other = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    hidden = torch.tensor([[True, False, False], [False, True, True]])
    found = contract.mix(object(), x, other, hidden)
    assert torch.equal(found.mean(dim=2), hidden.float())


def test_arrays_are_taken(model):
    x = np.zeros((2, 12))
    assert contract.eligible_of(model, contract.samples(x), np.arange(12) < 3).sum() == 6


def test_a_model_may_say_what_is_never_hidden(model):
    class Padded(Leaky):
        def eligible(self, x):
            return x != 0

    x = model.sample(2)
    x[0, 5:] = 0
    found = contract.eligible_of(Padded(model, 0), x)
    assert found.sum(dim=1).tolist() == [5, 12]
    assert contract.eligible_of(Padded(model, 0), x, [True] * 12).all()
