from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from maskwise.errors import UserError
from maskwise.images.images import ImageSplits
from maskwise.likelihood.estimators import log_likelihood
from maskwise.likelihood.scores import score_curve
from maskwise.measure.features import frozen
from maskwise.patches.losses import fit_noise, independent_normals, patch_likelihood
from maskwise.patches.model import PatchModel

Make = Callable[..., PatchModel]


@pytest.fixture
def model(make_model: Make, splits: ImageSplits) -> PatchModel:
    model = make_model()
    fit_noise(model, splits.train)
    return model


def test_the_area_is_the_sum_over_every_mask(model: PatchModel, splits: ImageSplits) -> None:
    found = patch_likelihood(model, splits, "uniform:0.4,0.9", passes=96)
    images = splits.test.get(np.arange(30))
    with frozen(model):
        exact = score_curve(model, images, exhaustive=True)
        every = log_likelihood(model, images, "exhaustive")
    area = found["area"]
    assert exact.area * 30 == pytest.approx(every.value, rel=1e-6)
    assert 0 < area["stderr_masks"] < 0.005 * abs(exact.area)
    assert abs(area["nats"] - exact.area) < 4 * area["stderr_masks"]
    deviation = float(every.per_sample.std())
    assert area["stderr"] == pytest.approx(deviation / np.sqrt(30), rel=0.1)
    # 6 positions of 2 x 2 pixels and 2 channels.
    assert (found["length"], found["num_dims"], found["num_samples"]) == (6, 48, 30)
    assert area["bits_per_dim"] == pytest.approx(-area["nats"] / 48 / np.log(2))
    assert area["bits_stderr"] == pytest.approx(area["stderr"] / 48 / np.log(2))
    for point, score in zip(found["curve"], exact.scores, strict=True):
        assert point["ratio"] == point["size"] / 6
        assert point["low"] < point["score"] < point["high"]
        assert abs(point["score"] - score) < point["high"] - point["low"]


def test_what_the_law_never_hid(model: PatchModel, splits: ImageSplits) -> None:
    # Of 1..6 hidden positions, 0.4 to 0.9 is 2.4 to 5.4: 2, ..., 5 when rounded.
    found = patch_likelihood(model, splits, "uniform:0.4,0.9", passes=4)
    law, scores = found["law"], [point["score"] for point in found["curve"]]
    assert (law["name"], law["low"], law["high"]) == ("uniform:0.4,0.9", 0.4, 0.9)
    assert law["sizes_outside"] == 2
    assert law["nats_outside"] == pytest.approx(scores[0] + scores[5])
    found = patch_likelihood(model, splits, "scheduled:linear,0.1..0.95", passes=4)
    assert (found["law"]["low"], found["law"]["high"]) == (0.1, 0.95)
    found = patch_likelihood(model, splits, "likelihood", passes=4)
    assert (found["law"]["sizes_outside"], found["law"]["nats_outside"]) == (0, 0)


def test_the_anchor_is_the_density_of_independent_normals(
    model: PatchModel, splits: ImageSplits
) -> None:
    train, test = (part.get(np.arange(len(part))) for part in (splits.train, splits.test))
    each = stats.norm.logpdf(test.numpy(), train.numpy().mean(0), train.numpy().std(0))
    nats = each.sum((1, 2, 3)).mean()
    assert independent_normals(train, test) == pytest.approx(nats)
    anchor = patch_likelihood(model, splits, "cosine", passes=2)["anchor"]
    assert anchor["nats"] == pytest.approx(nats)
    assert anchor["score"] == pytest.approx(nats / 6)
    assert anchor["bits_per_dim"] == pytest.approx(-each.mean() / np.log(2))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_constant_pixel_has_a_finite_density(splits: ImageSplits, dtype: torch.dtype) -> None:
    train = splits.train.get(np.arange(60)).to(dtype)
    train[:, 0, 0, 0] = 7
    assert np.isfinite(independent_normals(train, train[:5]))


def test_a_seed_decides_the_samples_and_the_masks(model: PatchModel, splits: ImageSplits) -> None:
    first, again, other = (
        patch_likelihood(model, splits, "cosine", num_samples=9, passes=4, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first["num_samples"] == 9
    assert first["area"] != other["area"]
    assert first["anchor"] != other["anchor"]
    small = patch_likelihood(
        model, splits, "cosine", num_samples=9, passes=4, seed=1, batch_size=5
    )
    assert small["area"]["nats"] == pytest.approx(first["area"]["nats"], rel=1e-5)
    assert model.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "0 test samples give no standard error: take two or more"),
        ({"num_samples": -3}, "0 test samples"),
        ({"num_samples": 1}, "1 test samples"),
        ({"passes": 1}, "passes 1 give no standard error"),
    ],
)
def test_too_little_for_a_standard_error(
    model: PatchModel, splits: ImageSplits, options: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        patch_likelihood(model, splits, "cosine", **options)


def test_needs_noise_and_finite_weights(
    make_model: Make, model: PatchModel, splits: ImageSplits
) -> None:
    with pytest.raises(UserError, match="no likelihood yet"):
        patch_likelihood(make_model(), splits, "cosine")
    with torch.no_grad():
        model.head.bias[0] = torch.nan
    with pytest.raises(UserError, match="is nan: look at that sample, or at the model's weights"):
        patch_likelihood(model, splits, "cosine")
