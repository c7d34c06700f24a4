from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.modalities.images import Images
from maskwise.models import MaskedModel, Model, build

SMALL = {
    "width": 16,
    "depth": 2,
    "heads": 2,
    "decoder_width": 8,
    "decoder_depth": 1,
    "decoder_heads": 2,
}


@pytest.fixture
def make() -> Callable[..., MaskedModel]:
    """Build a small model of 2-channel 4 x 8 images with a 2 x 4 grid."""

    def call(encoder=None, target="raw", attention="auto", **changes) -> MaskedModel:
        images = Images(
            patch=(2, 2),
            channels=2,
            height=4,
            width=8,
            mean=(90, 110),
            std=(50, 60),
            target=target,
        )
        own = None if encoder is None else lambda: encoder
        model = build(images, Model(**(SMALL | changes)), seed=0, attention=attention, encoder=own)
        # Tokens start so small that a test of their influence could not see it.
        with torch.no_grad():
            for token in (model.mask_token, model.class_token):
                if token is not None:
                    token.mul_(30)
        return model.eval()

    return call


@pytest.fixture
def batch() -> torch.Tensor:
    values = np.random.default_rng(0).integers(0, 256, (4, 2, 4, 8))
    return torch.from_numpy(values.astype(np.uint8))


@pytest.fixture
def even() -> torch.Tensor:
    """Five of eight positions hidden in each of four samples."""
    order = np.random.default_rng(1).permuted(np.tile(np.arange(8), (4, 1)), axis=1)
    return torch.from_numpy(order < 5)


@pytest.fixture
def ragged() -> torch.Tensor:
    """1, 3, 6 and 7 of eight positions hidden."""
    order = np.random.default_rng(2).permuted(np.tile(np.arange(8), (4, 1)), axis=1)
    return torch.from_numpy(order < np.array([1, 3, 6, 7])[:, None])
