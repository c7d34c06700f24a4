import numpy as np
import pytest
import torch

from maskwise.images.erasing import erase

MEAN, STD = (100.0, -50.0), (10.0, 1.0)


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


def test_the_generator_decides() -> None:
    assert torch.equal(erased(8, 0.5), erased(8, 0.5))
    assert not torch.equal(erased(8, 0.5), erased(8, 0.5, seed=1))


def test_boxes_that_do_not_fit_are_left_out() -> None:
    images = torch.zeros(3, 1, 1, 1)
    assert torch.equal(erase(images, np.random.default_rng(0), 1.0, (0.0,), (1.0,)), images)
