"""Weights that fit another size: against brute force, and against timm."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskwise.errors import UserError
from maskwise.layers.resize import adapt_channels, resize_patches, resize_positions
from tests.peers import peer


def test_positions_are_interpolated_as_timm_does() -> None:
    embed = peer("timm.layers.pos_embed")
    positions = torch.randn(1, 24, 8, generator=torch.Generator().manual_seed(0))
    for new in ((3, 3), (9, 5), (4, 11), (8, 12)):
        expected = embed.resample_abs_pos_embed(positions, new, (4, 6), num_prefix_tokens=0)
        found = resize_positions(positions, (4, 6), new)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_positions_of_one_axis_are_its_cubic_interpolation() -> None:
    """Twice as many cells sit a quarter of a cell from the old ones: Keys' kernel, a = -1/2."""
    cells = torch.tensor([0.0, 0, 0, 1, 0, 0, 0])
    found = resize_positions(cells.view(1, 7, 1), (7,), (14,)).flatten()
    near, far = 1 - 2.5 * 0.25**2 + 1.5 * 0.25**3, 1 - 2.5 * 0.75**2 + 1.5 * 0.75**3
    beyond = [-0.5 * (x**3 - 5 * x**2 + 8 * x - 4) for x in (1.25, 1.75)]
    half = [near, far, *beyond, 0]
    np.testing.assert_allclose(found[2:12], half[::-1] + half, atol=1e-6)


def test_positions_of_three_axes_are_interpolated_along_each() -> None:
    """A product of three functions becomes the product of the three resized ones."""
    axes = [torch.randn(side, generator=torch.Generator().manual_seed(side)) for side in (2, 3, 4)]
    new = (4, 2, 4)
    resized = [
        resize_positions(each.view(1, -1, 1), (len(each),), (side,)).flatten()
        for each, side in zip(axes, new, strict=True)
    ]
    positions, expected = (
        torch.einsum("i,j,k->ijk", *parts).reshape(1, -1, 1) for parts in (axes, resized)
    )
    torch.testing.assert_close(resize_positions(positions, (2, 3, 4), new), expected)


def test_positions_stay_what_they_are_on_the_same_grid_and_keep_their_type() -> None:
    positions = torch.randn(1, 6, 4, dtype=torch.bfloat16)
    assert resize_positions(positions, (2, 3), (2, 3)) is positions
    assert resize_positions(positions, (2, 3), (3, 3)).dtype == torch.bfloat16
    level = torch.full((1, 6, 4), 2.5)
    torch.testing.assert_close(resize_positions(level, (2, 3), (5, 1)), torch.full((1, 5, 4), 2.5))


@pytest.mark.parametrize("new", [(2,), (2, 2, 2)])
def test_positions_of_other_axes_are_refused(new: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"6 positions of a grid \(2, 3\) do not resize to"):
        resize_positions(torch.zeros(1, 6, 4), (2, 3), new)
    with pytest.raises(UserError, match="5 positions of a grid"):
        resize_positions(torch.zeros(1, 5, 4), (2, 3), (4, 6))


def _resized(pixels: torch.Tensor, new: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(pixels, size=new, mode="bicubic", antialias=True)


@pytest.mark.parametrize("new", [(6, 6), (4, 7), (8, 5)])
def test_patches_that_are_enlarged_embed_as_before(new: tuple[int, int]) -> None:
    weight, pixels = torch.randn(5, 3, 4, 4), torch.randn(7, 3, 4, 4)
    larger = torch.einsum("nchw,dchw->nd", _resized(pixels, new), resize_patches(weight, new))
    before = torch.einsum("nchw,dchw->nd", pixels, weight)
    torch.testing.assert_close(larger, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("new", [(2, 2), (3, 2), (3, 6)])
def test_patches_that_shrink_have_the_least_squares_solution(new: tuple[int, int]) -> None:
    """Over white noise: the weights whose inner products with shrunk patches err the least."""
    weight = torch.randn(3, 1, 4, 4)
    noise = torch.eye(16).view(16, 1, 4, 4)
    shrunk, target = _resized(noise, new).flatten(1), weight.flatten(1).T
    best = np.linalg.lstsq(shrunk.numpy(), target.numpy(), rcond=1e-5)[0]
    found = resize_patches(weight, new).flatten(1).T
    np.testing.assert_allclose(found.numpy(), best, atol=1e-4)


def test_patches_are_resized_as_timm_does() -> None:
    weight = torch.randn(5, 3, 4, 4)
    for new in ((2, 2), (8, 8), (3, 5)):
        expected = peer("timm.layers.patch_embed").resample_patch_embed(weight, list(new))
        torch.testing.assert_close(resize_patches(weight, new), expected, rtol=1e-4, atol=1e-5)
    assert resize_patches(weight, (4, 4)) is weight


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3), (1, 5), (3, 6)])
def test_an_image_of_one_value_embeds_as_before_in_other_channels(before: int, after: int) -> None:
    weight = torch.randn(5, before, 2, 2)
    level = 0.7 * weight.sum((1, 2, 3))
    found = 0.7 * adapt_channels(weight, after).sum((1, 2, 3))
    torch.testing.assert_close(found, level)


def test_channels_that_do_not_divide_repeat_in_turn() -> None:
    """RGB to four: red comes twice, and all count three quarters, as in timm."""
    weight = torch.randn(5, 3, 2, 2, dtype=torch.bfloat16)
    found = adapt_channels(weight, 4)
    expected = 0.75 * weight[:, [0, 1, 2, 0]].float()
    torch.testing.assert_close(found, expected.bfloat16())
    adapt = peer("timm.models._manipulate").adapt_input_conv
    for num in (1, 2, 4, 7):
        torch.testing.assert_close(adapt_channels(weight, num), adapt(num, weight.clone()))
    assert adapt_channels(weight, 3) is weight
