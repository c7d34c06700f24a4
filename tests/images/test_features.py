from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from maskwise.images.evaluation import extract, raw, raw_size
from maskwise.images.images import ImageSource, array_source
from maskwise.modality import Pool
from maskwise.patches.model import PatchModel

Make = Callable[..., PatchModel]


@pytest.mark.parametrize("pool", ["mean", "class", "both"])
@pytest.mark.parametrize("layer", [-1, 0])
def test_extract_is_encode_in_any_batch_size(
    make_model: Make, source: ImageSource, pool: Pool, layer: int
) -> None:
    model = make_model()
    index = np.array([3, 0, 29, 7])
    with torch.no_grad():
        want = model.encode(source.get(index), pool=pool, layer=layer).numpy()
    found = extract(model, source.take(index), pool, layer, batch_size=3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want, atol=1e-6)


def test_extract_takes_every_sample_by_default(make_model: Make, source: ImageSource) -> None:
    assert extract(make_model(), source).shape == (30, 16)


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
    extract(model, source)
    assert seen == [(False, False)]
    assert model.training is training
    assert torch.is_grad_enabled()
    with pytest.raises(IndexError):
        extract(model, replace(source, rows=np.array([99])))
    assert model.training is training


def test_raw_is_the_values(source: ImageSource) -> None:
    found = raw(source.take(np.array([4, 2])), batch_size=1)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, source.get([4, 2]).flatten(1).numpy())


def test_raw_averages_large_images_down() -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 8, 4, 3)).astype(np.uint8)
    found = raw(array_source(images), max_values=24).reshape(2, 3, 4, 2)
    want = images.reshape(2, 4, 2, 2, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, want, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 7, 999), (2000, 3, 5), (3, 33, 31)])
def test_raw_size_keeps_within_the_most_values_where_it_can(shape: tuple[int, int, int]) -> None:
    height, width = raw_size(shape, 1024)
    assert 1 <= height <= shape[1]
    assert 1 <= width <= shape[2]
    assert shape[0] * height * width <= max(1024, shape[0])
