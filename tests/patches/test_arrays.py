"""Features of samples on a grid."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from maskwise.images.images import ImageSource
from maskwise.modality import Pool
from maskwise.patches.arrays import embed
from maskwise.patches.model import PatchModel

Make = Callable[..., PatchModel]


@pytest.mark.parametrize("pool", ["mean", "class", "both"])
@pytest.mark.parametrize("layer", [-1, 0])
def test_features_are_encode_in_any_batch_size(
    make_model: Make, source: ImageSource, pool: Pool, layer: int
) -> None:
    model = make_model()
    index = np.array([3, 0, 29, 7])
    with torch.no_grad():
        want = model.encode(source.get(index), pool=pool, layer=layer).numpy()
    found = embed(model, source.take(index), pool, layer, batch_size=3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want, atol=1e-6)


def test_features_are_of_every_sample(make_model: Make, source: ImageSource) -> None:
    assert embed(make_model(), source).shape == (30, 16)


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
    embed(model, source)
    assert seen == [(False, False)]
    assert model.training is training
    assert torch.is_grad_enabled()
    with pytest.raises(IndexError):
        embed(model, replace(source, rows=np.array([99])))
    assert model.training is training
