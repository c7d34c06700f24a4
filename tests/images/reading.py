"""Reads images in tests: all of a source, or the line that refuses it."""

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.images import looked
from maskwise.images.data import ImageDataSettings, load


def read(source, **settings):
    return load(ImageDataSettings(source=str(source), **settings))


def fails(match, source, **settings):
    with pytest.raises(UserError, match=match) as caught:
        read(source, **settings)
    assert "\n" not in str(caught.value)


def every(source, **settings):
    """Return all images [N, C, H, W] of a folder in the order of their names."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(looked, "MEMORY_BYTES", 0)
        splits = read(source, **settings)
        parts = (splits.train, splits.test)
        found = torch.cat([part.get(range(len(part))) for part in parts])
        return found[np.argsort(np.concatenate([part.rows for part in parts]))].numpy()
