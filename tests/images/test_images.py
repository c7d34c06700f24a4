import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.images.images import Images, array_source, describe

SHAPES = [  # channels, height, width, patch
    (1, 8, 8, (2, 2)),
    (2, 4, 6, (2, 3)),
    (3, 6, 10, (3, 2)),
    (4, 5, 12, (5, 4)),
    (5, 6, 4, (1, 4)),
]


def make(channels: int, height: int, width: int, patch: tuple[int, int], **changes) -> Images:
    mean = tuple(10.0 * (c + 1) for c in range(channels))
    std = tuple(1.5 + c for c in range(channels))
    fields = {"patch": patch, "channels": channels, "height": height, "width": width}
    return Images(**(fields | {"mean": mean, "std": std} | changes))


def random_images(images: Images, num: int, seed: int = 0) -> torch.Tensor:
    shape = (num, images.channels, images.height, images.width)
    return torch.from_numpy(np.random.default_rng(seed).normal(20, 30, shape)).float()


def random_hidden(images: Images, num: int, seed: int = 0) -> torch.Tensor:
    length = images.grid[0] * images.grid[1]
    hidden = np.random.default_rng(seed).random((num, length)) < 0.5
    hidden[:, 0], hidden[:, -1] = True, False
    return torch.from_numpy(hidden)


def pixels(images: Images, hidden: torch.Tensor) -> torch.Tensor:
    """Which pixels hidden patches cover, bool [B, C, H, W]."""
    return images.spread(hidden).expand(-1, images.channels, -1, -1)


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_are_the_standardised_pixels_of_each_patch(shape):
    images = make(*shape)
    batch = random_images(images, 3)
    tokens = images.tokenize(batch)
    (rows, columns), (ph, pw) = images.grid, images.patch
    assert tokens.shape == (3, rows * columns, images.token_dim)
    for b in range(3):
        for r in range(rows):
            for k in range(columns):
                values = [
                    (float(batch[b, c, r * ph + i, k * pw + j]) - images.mean[c]) / images.std[c]
                    for c in range(images.channels)
                    for i in range(ph)
                    for j in range(pw)
                ]
                expected = torch.tensor(values)
                torch.testing.assert_close(tokens[b, r * columns + k], expected)


def test_uint8_and_float_images_give_the_same_tokens():
    images = make(3, 6, 10, (3, 2))
    batch = random_images(images, 2).clamp(0, 255).to(torch.uint8)
    assert torch.equal(images.tokenize(batch), images.tokenize(batch.float()))
    assert images.tokenize(batch).dtype == torch.float32


@pytest.mark.parametrize("shape", SHAPES)
def test_normalised_targets_use_the_unbiased_variance_of_a_patch(shape):
    images = make(*shape)
    tokens = images.tokenize(random_images(images, 2))
    target = images.target_of(tokens)
    for b in range(2):
        for position in range(tokens.shape[1]):
            values = tokens[b, position].double().numpy()
            expected = (values - values.mean()) / np.sqrt(values.var(ddof=1) + 1e-6)
            np.testing.assert_allclose(target[b, position].numpy(), expected, atol=1e-5)


def test_a_flat_patch_has_a_target_of_zero():
    images = make(1, 4, 4, (2, 2))
    assert images.target_of(images.tokenize(torch.full((1, 1, 4, 4), 7.0))).abs().max() == 0


def test_raw_targets_are_the_tokens():
    images = make(1, 8, 8, (2, 2), target="raw")
    tokens = images.tokenize(random_images(images, 2))
    assert torch.equal(images.target_of(tokens), tokens)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("target", "statistics"), [("raw", "visible"), ("normalised", "true")])
def test_filling_in_the_true_patches_gives_the_image_back(shape, target, statistics):
    images = make(*shape, target=target)
    batch = random_images(images, 3)
    hidden = random_hidden(images, 3)
    truth = images.target_of(images.tokenize(batch))
    filled = images.fill(batch, truth, hidden, statistics)
    assert filled.shape == batch.shape
    torch.testing.assert_close(filled, batch, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("target", ["raw", "normalised"])
def test_filling_keeps_visible_pixels_and_changes_hidden_ones(target):
    images = make(3, 6, 10, (3, 2), target=target)
    batch, hidden = random_images(images, 3), random_hidden(images, 3)
    prediction = torch.full((3, hidden.shape[1], images.token_dim), 5.0)
    filled = images.fill(batch, prediction, hidden, "visible")
    inside = pixels(images, hidden)
    torch.testing.assert_close(filled[~inside], batch[~inside], atol=1e-4, rtol=1e-5)
    assert ((filled - batch)[inside].abs() > 1e-3).float().mean() > 0.99


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_of_hidden_patches(shape):
    images = make(*shape)
    batch, hidden = random_images(images, 3), random_hidden(images, 3)
    inside = pixels(images, hidden)
    changed = images.tokenize(torch.where(inside, batch + 1, batch)) != images.tokenize(batch)
    assert torch.equal(changed, hidden[..., None].expand_as(changed))


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_go_back_to_images(shape):
    images = make(*shape)
    batch = random_images(images, 3)
    torch.testing.assert_close(images.untokenize(images.tokenize(batch)), batch)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_scale_is_the_volume_that_standardising_takes_away(shape):
    images = make(*shape)
    zero = torch.zeros_like(random_images(images, 1))
    slopes = images.tokenize(zero + 1) - images.tokenize(zero)
    assert images.log_scale == pytest.approx(-float(slopes[0, 0].double().log().sum()), rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_visible_statistics_never_look_at_hidden_pixels(shape):
    images = make(*shape)
    batch, hidden = random_images(images, 4), random_hidden(images, 4)
    other = torch.where(pixels(images, hidden), random_images(images, 4, seed=1) * 9, batch)
    prediction = torch.randn(
        (4, hidden.shape[1], images.token_dim), generator=torch.Generator().manual_seed(0)
    )
    first = images.fill(batch, prediction, hidden, "visible")
    assert torch.equal(first, images.fill(other, prediction, hidden, "visible"))
    unknown = torch.where(pixels(images, hidden), torch.nan, batch)
    assert torch.equal(first, images.fill(unknown, prediction, hidden, "visible"))
    # The true statistics do look: the test can fail.
    leaking = images.fill(other, prediction, hidden, "true")
    assert not torch.equal(images.fill(batch, prediction, hidden, "true"), leaking)


def test_visible_statistics_are_a_mean_of_neighbours():
    # One hidden patch between two flat visible ones: it takes the nearer one's mean, mostly.
    images = make(1, 1, 8, (1, 2), mean=(0.0,), std=(1.0,))
    batch = torch.tensor([[[[1.0, 1.0, 0.0, 0.0, 3.0, 3.0, 9.0, 9.0]]]])
    hidden = torch.tensor([[False, True, False, False]])
    filled = images.fill(batch, torch.zeros(1, 4, 2), hidden, "visible")
    weights = np.exp([-0.5, -0.5, -2.0]) + 1e-6
    expected = weights @ [1, 3, 9] / weights.sum()
    assert filled[0, 0, 0, 2:4].tolist() == pytest.approx([expected] * 2, rel=1e-5)


def test_an_image_without_visible_patches_still_fills():
    images = make(1, 4, 4, (2, 2))
    hidden = torch.ones(1, 4, dtype=torch.bool)
    filled = images.fill(random_images(images, 1), torch.zeros(1, 4, 4), hidden, "visible")
    torch.testing.assert_close(filled, torch.full((1, 1, 4, 4), 10.0))


def test_describe_measures_each_channel():
    values = np.random.default_rng(0).integers(0, 256, (700, 4, 6, 3)).astype(np.uint8)
    values[..., 2] = values[..., 2] // 3 + 100
    images = describe(array_source(values), None, "normalised")
    assert images.grid == (2, 3)
    assert (images.channels, images.height, images.width) == (3, 4, 6)
    np.testing.assert_allclose(images.mean, values.mean((0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(images.std, values.std((0, 1, 2)), rtol=1e-9)
    tokens = images.tokenize(torch.from_numpy(values).permute(0, 3, 1, 2))
    assert abs(float(tokens.mean())) < 1e-4
    assert float(tokens.std()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, 123456.7, -7130.681])
def test_a_constant_channel_keeps_its_scale(value):
    values = np.full((777, 4, 4, 1), value, np.float32)
    images = describe(array_source(values), None, "normalised")
    assert images.std == (1.0,)
    tokens = images.tokenize(torch.from_numpy(values).permute(0, 3, 1, 2))
    assert tokens.abs().max() < 1e-2


@pytest.mark.parametrize(
    ("height", "width", "patch"),
    [(8, 8, (2, 2)), (28, 28, (2, 2)), (32, 32, (4, 4)), (224, 224, (16, 16)), (9, 15, (3, 3))],
)
def test_the_smallest_patch_that_gives_at_most_200(height, width, patch):
    images = describe(array_source(np.zeros((2, height, width, 1), np.uint8)), None, "raw")
    assert images.patch == patch
    assert images.grid[0] * images.grid[1] <= 200


def test_no_square_patch_divides_a_prime_side():
    source = array_source(np.zeros((2, 7, 8, 1), np.uint8))
    with pytest.raises(UserError, match=r"no square patch cuts images of 7x8.*\"patch\": ..."):
        describe(source, None, "raw")
    assert describe(source, (7, 2), "raw").grid == (1, 4)


def test_bad_patches_and_shapes_are_refused():
    with pytest.raises(UserError, match="patch 3x3 does not divide images of 8x8"):
        make(1, 8, 8, (3, 3))
    with pytest.raises(UserError, match="patch of one value"):
        make(1, 8, 8, (1, 1))
    assert make(1, 8, 8, (1, 1), target="raw").token_dim == 1
    assert make(2, 8, 8, (1, 1)).token_dim == 2
    with pytest.raises(UserError, match=r"shape \(2, 1, 8, 6\).*\[B, 1, 8, 8\]"):
        make(1, 8, 8, (2, 2)).tokenize(torch.zeros(2, 1, 8, 6))
