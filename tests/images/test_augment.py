import numpy as np
import pytest
import torch

from maskwise.images.augment import crop_and_flip
from maskwise.rng import Keys


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
