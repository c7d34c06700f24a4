from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.images.source import ImageSource, array_source
from maskwise.measure import features
from maskwise.patches.model import MaskedModel

Make = Callable[..., MaskedModel]


@pytest.mark.parametrize("pool", ["mean", "class", "both"])
@pytest.mark.parametrize("layer", [-1, 0])
def test_extract_is_encode_in_any_batch_size(
    make_model: Make, source: ImageSource, pool: features.Pool, layer: int
) -> None:
    model = make_model()
    index = np.array([3, 0, 29, 7])
    with torch.no_grad():
        want = model.encode(source.get(index), pool=pool, layer=layer).numpy()
    found = features.extract(model, source, pool, layer, index, batch_size=3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want, atol=1e-6)


def test_extract_takes_every_sample_by_default(make_model: Make, source: ImageSource) -> None:
    assert features.extract(make_model(), source).shape == (30, 16)


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_gradients_come_back(
    make_model: Make, source: ImageSource, training: bool
) -> None:
    model = make_model().train(training)
    seen = []
    encode = model.encode

    def spy(*args: object, **kwargs: object) -> torch.Tensor:
        seen.append((model.training, torch.is_grad_enabled()))
        return encode(*args, **kwargs)

    model.encode = spy
    features.extract(model, source)
    assert seen == [(False, False)]
    assert model.training is training
    assert torch.is_grad_enabled()
    with pytest.raises(IndexError):
        features.extract(model, source, indices=np.array([99]))
    assert model.training is training


def test_raw_is_the_values(source: ImageSource) -> None:
    found = features.raw(source, np.array([4, 2]), batch_size=1)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, source.get([4, 2]).flatten(1).numpy())


def test_raw_averages_large_images_down() -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 8, 4, 3)).astype(np.uint8)
    found = features.raw(array_source(images), max_values=24).reshape(2, 3, 4, 2)
    want = images.reshape(2, 4, 2, 2, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, want, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 7, 999), (2000, 3, 5), (3, 33, 31)])
def test_raw_size_keeps_within_the_most_values_where_it_can(shape: tuple[int, int, int]) -> None:
    height, width = features.raw_size(shape, 1024)
    assert 1 <= height <= shape[1]
    assert 1 <= width <= shape[2]
    assert shape[0] * height * width <= max(1024, shape[0])


def test_pca_finds_the_direction_and_ignores_the_test_part() -> None:
    rng = np.random.default_rng(0)
    direction = np.array([0.6, 0.8, 0.0])
    scores = rng.normal(size=500)
    train = 10 * scores[:, None] * direction + 0.01 * rng.normal(size=(500, 3)) + 5
    found, test = features.pca(train, train[:4] + 1000, seed=0, num=1)
    assert abs(np.corrcoef(found[:, 0], scores)[0, 1]) > 0.9999
    # Centred by the training mean, and moved by what the shift is along the direction.
    assert found.mean() == pytest.approx(0, abs=1e-3)
    moved = np.abs(test - found[:4])
    np.testing.assert_allclose(moved, 1400, rtol=1e-3)


def test_pca_has_at_most_as_many_components_as_samples_or_values() -> None:
    rng = np.random.default_rng(0)
    assert features.pca(rng.normal(size=(9, 80)), rng.normal(size=(5, 80)), 0)[1].shape == (5, 9)
    assert features.pca(rng.normal(size=(90, 3)), rng.normal(size=(5, 3)), 0)[0].shape == (90, 3)


def test_subset_is_a_sorted_choice_that_repeats() -> None:
    chosen = features.subset(100, 10, seed=0)
    assert len(set(chosen.tolist())) == 10
    assert (np.diff(chosen) > 0).all()
    assert (chosen == features.subset(100, 10, seed=0)).all()
    assert (chosen != features.subset(100, 10, seed=1)).any()
