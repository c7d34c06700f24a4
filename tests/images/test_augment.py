import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.images.augment import crop_and_flip, erase, mix, paste, soft_targets
from maskwise.rng import Keys

MEAN, STD = (100.0, -50.0), (10.0, 1.0)


def keys(ids, seed=0, epoch=0):
    return Keys(seed, epoch, torch.as_tensor(ids))


def images(num=6, channels=3, height=9, width=12):
    values = np.random.default_rng(0).integers(0, 256, (num, channels, height, width))
    return torch.from_numpy(values.astype(np.uint8))


def test_nothing_to_do_returns_the_input():
    batch = images()
    assert crop_and_flip(batch, keys(range(6)), None, False) is batch


@pytest.mark.parametrize(("crop", "flip"), [(None, True), ((0.2, 1.0), False), ((0.2, 1.0), True)])
def test_randomness_belongs_to_seed_epoch_and_sample(crop, flip):
    batch = images(40)
    ids = torch.arange(40)
    first = crop_and_flip(batch, keys(ids), crop, flip)
    assert torch.equal(first, crop_and_flip(batch, keys(ids), crop, flip))
    # A sample alone, or in another order, is treated the same.
    alone = crop_and_flip(batch[7:8], keys([7]), crop, flip)
    torch.testing.assert_close(first[7:8], alone, atol=1e-3, rtol=1e-5)
    turned = crop_and_flip(batch.flip(0), keys(ids.flip(0)), crop, flip)
    torch.testing.assert_close(first, turned.flip(0), atol=1e-3, rtol=1e-5)
    for other in (keys(ids, seed=1), keys(ids, epoch=1), keys(ids + 100)):
        assert not torch.equal(first, crop_and_flip(batch, other, crop, flip))


def test_a_flip_is_an_exact_mirror_half_the_time():
    batch = images(1).expand(400, -1, -1, -1)
    flipped = crop_and_flip(batch, keys(range(400)), None, True)
    same = (flipped == batch).flatten(1).all(1)
    mirrored = (flipped == batch.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 150 < int(mirrored.sum()) < 250


def test_flip_and_crop_is_the_mirror_of_the_crop_alone():
    batch = images(50)
    cropped = crop_and_flip(batch, keys(range(50)), (0.3, 0.9), False)
    both = crop_and_flip(batch, keys(range(50)), (0.3, 0.9), True)
    flipped = (crop_and_flip(batch, keys(range(50)), None, True) != batch).flatten(1).any(1)
    expected = torch.where(flipped[:, None, None, None], cropped.flip(-1), cropped)
    torch.testing.assert_close(both, expected, atol=1e-2, rtol=1e-4)


def test_cropping_gives_float_images_of_the_same_shape():
    batch = images()
    cropped = crop_and_flip(batch, keys(range(6)), (0.5, 1.0), False)
    assert cropped.dtype == torch.float32
    assert cropped.shape == batch.shape


def test_crops_lie_inside_the_image_with_the_area_and_aspect_asked_for():
    # On a ramp, bilinear crops read their own coordinates; the slope is their share of a side.
    height, width, num = 16, 32, 300
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(32.0), indexing="ij")
    batch = torch.stack([x, y]).expand(num, -1, -1, -1)
    cropped = crop_and_flip(batch, keys(range(num)), (0.2, 0.6), False)
    assert cropped[:, 0].min() >= 0
    assert cropped[:, 0].max() <= width - 1
    assert cropped[:, 1].min() >= 0
    assert cropped[:, 1].max() <= height - 1
    # The centre is away from the border, where sampling is clamped.
    share_x = cropped[:, 0, 8, 17] - cropped[:, 0, 8, 16]
    share_y = cropped[:, 1, 8, 16] - cropped[:, 1, 7, 16]
    area = share_x * share_y
    assert area.min() > 0.2 - 1e-3
    assert area.max() < 0.6 + 1e-3
    assert area.min() < 0.25
    assert area.max() > 0.55
    free = (share_x < 0.999) & (share_y < 0.999)
    aspect = (share_x / share_y)[free].log()
    assert aspect.abs().max() < np.log(4 / 3) + 1e-3
    assert aspect.abs().max() > 0.9 * np.log(4 / 3)
    centre = cropped[:, 0].mean((1, 2))
    assert float(centre.mean()) == pytest.approx(15.5, abs=1)


def test_a_whole_crop_shows_nearly_everything():
    batch = images(60).float()
    cropped = crop_and_flip(batch, keys(range(60)), (1.0, 1.0), False)
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(12.0), indexing="ij")
    ramps = torch.stack([x, y, x + y]).expand(60, -1, -1, -1)
    shown = crop_and_flip(ramps, keys(range(60)), (1.0, 1.0), False)
    # One side is whole, the other at least sqrt(3 / 4) of it.
    span_x = (shown[:, 0].amax((1, 2)) - shown[:, 0].amin((1, 2))) / 11
    span_y = (shown[:, 1].amax((1, 2)) - shown[:, 1].amin((1, 2))) / 8
    assert torch.maximum(span_x, span_y).min() > 0.999
    assert torch.minimum(span_x, span_y).min() > 0.8
    assert cropped.shape == batch.shape


def test_a_flat_image_stays_flat():
    batch = torch.full((8, 1, 6, 6), 200, dtype=torch.uint8)
    cropped = crop_and_flip(batch, keys(range(8)), (0.2, 1.0), True)
    torch.testing.assert_close(cropped, torch.full((8, 1, 6, 6), 200.0), atol=1e-3, rtol=0)


def erased(num: int, probability: float, seed: int = 0) -> torch.Tensor:
    images = torch.full((num, 2, 24, 32), 1000.0)
    found = erase(images, np.random.default_rng(seed), probability, MEAN, STD)
    assert (images == 1000).all()
    return found


def test_some_images_have_one_box_of_noise() -> None:
    found = erased(400, 0.25)
    changed = found[:, 0] != 1000
    assert torch.equal(changed, found[:, 1] != 1000)
    touched = changed.flatten(1).any(dim=1)
    assert 70 < int(touched.sum()) < 130
    rows, columns = changed.any(dim=2), changed.any(dim=1)
    assert torch.equal(changed, rows[:, :, None] & columns[:, None])
    assert (rows.diff(dim=1).sum(dim=1) <= 2).all()
    # Areas are uniform on [.02, 1/3], up to the rounding of the sides and the boxes redrawn.
    areas = changed[touched].float().mean((1, 2))
    assert float(areas.min()) > 0.01
    assert float(areas.max()) < 0.35
    assert float(areas.mean()) == pytest.approx(0.17, abs=0.03)


def test_noise_has_the_statistics_of_each_channel() -> None:
    found = erased(200, 1.0)
    for channel, mean, std in zip((0, 1), MEAN, STD, strict=True):
        values = found[:, channel][found[:, channel] != 1000]
        assert float(values.mean()) == pytest.approx(mean, abs=0.05 * std)
        assert float(values.std()) == pytest.approx(std, rel=0.02)


def test_the_generator_decides_what_is_erased() -> None:
    assert torch.equal(erased(8, 0.5), erased(8, 0.5))
    assert not torch.equal(erased(8, 0.5), erased(8, 0.5, seed=1))


def test_boxes_that_do_not_fit_are_left_out() -> None:
    images = torch.zeros(3, 1, 1, 1)
    assert torch.equal(erase(images, np.random.default_rng(0), 1.0, (0.0,), (1.0,)), images)


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
    assert erase(images, np.random.default_rng(0), 0.0, MEAN, STD) is images


def test_smoothing_shares_among_all_classes() -> None:
    found = soft_targets(torch.tensor([2, 0]), 4, 0.2)
    torch.testing.assert_close(
        found, torch.tensor([[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]])
    )
