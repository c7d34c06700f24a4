import numpy as np
import pytest

from maskwise.images.evaluation import raw, raw_size
from maskwise.images.images import ImageSource, array_source


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
