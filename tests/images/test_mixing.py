import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.images.mixing import mix, paste, soft_targets


def batch(num: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that hold their own number everywhere, and a class each."""
    images = torch.arange(float(num)).view(-1, 1, 1, 1).expand(-1, 2, 9, 12)
    return images, torch.eye(num)


@given(st.integers(0, 10**6), st.floats(0.1, 5), st.integers(1, 6))
def test_targets_say_what_the_pixels_are_made_of(seed: int, alpha: float, num: int) -> None:
    images, targets = batch(num)
    for mixup, cutmix in ((alpha, 0.0), (0.0, alpha), (alpha, alpha)):
        mixed, soft = mix(images, targets, np.random.default_rng(seed), mixup, cutmix)
        assert soft.sum(dim=1).tolist() == pytest.approx([1] * num)
        # The mean pixel is the mean number under the targets, in either kind of mixing.
        numbers = torch.arange(float(num))
        assert mixed.mean((1, 2, 3)).tolist() == pytest.approx((soft @ numbers).tolist(), abs=1e-4)


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_a_box_is_pasted_and_its_area_counted(seed: int, share: float) -> None:
    images, _ = batch(2)
    mixed, left = paste(images, share, np.random.default_rng(seed))
    other = mixed[0, 0] == 1
    assert left == pytest.approx(1 - other.float().mean())
    assert torch.equal(mixed[1, 0] == 0, other)
    assert torch.equal(mixed[:, 0], mixed[:, 1])
    rows, columns = other.any(dim=1), other.any(dim=0)
    assert torch.equal(other, rows[:, None] & columns)
    side = (1 - share) ** 0.5
    assert rows.sum() <= int(9 * side)
    assert columns.sum() <= int(12 * side)
    assert images.unique().tolist() == [0, 1]


def test_both_kinds_are_taken_half_the_time() -> None:
    images, targets = batch(2)
    rng = np.random.default_rng(0)
    cut = [
        set(mix(images, targets, rng, 0.8, 1.0)[0].unique().tolist()) <= {0.0, 1.0}
        for _ in range(400)
    ]
    assert 160 < sum(cut) < 240


def test_shares_of_mixup_follow_the_beta() -> None:
    images, targets = batch(2)
    rng = np.random.default_rng(0)
    shares = [float(mix(images, targets, rng, 0.8, 0.0)[1][0, 0]) for _ in range(2000)]
    # Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * 2.6), abs=0.01)


def test_nothing_is_done_where_nothing_is_asked() -> None:
    images, targets = batch()
    mixed, soft = mix(images, targets, np.random.default_rng(0), 0.0, 0.0)
    assert mixed is images
    assert soft is targets


def test_smoothing_shares_among_all_classes() -> None:
    found = soft_targets(torch.tensor([2, 0]), 4, 0.2)
    torch.testing.assert_close(
        found, torch.tensor([[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]])
    )
