from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.images.evaluation import write_samples
from maskwise.images.images import ImageSource, array_source
from maskwise.measure.features import random_subset
from maskwise.patches.model import PatchModel

Make = Callable[..., PatchModel]


def written(path: Path, model: PatchModel, source: ImageSource, **changes: int) -> dict:
    write_samples(path, model, source, pattern="scattered", seed=0, **changes)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def test_shapes_and_ranges(tmp_path: Path, make_model: Make, source: ImageSource) -> None:
    arrays = written(tmp_path / "samples.npz", make_model(), source)
    assert arrays["images"].shape == (8, 4, 6, 2)
    assert arrays["hidden"].shape == (4, 8, 4, 6)
    assert arrays["hidden"].dtype == bool
    for name in ("filled_visible", "filled_true"):
        assert arrays[name].shape == (4, 8, 4, 6, 2)
        assert arrays[name].dtype == np.float32
        assert 0 <= arrays[name].min() <= arrays[name].max() <= 1
    assert arrays["ratios"].tolist() == [0.25, 0.5, 0.75, 0.9]
    # 6 patches: 1.5, 3, 4.5 and 5.4 hidden, rounded to whole patches of 4 of the 24 pixels.
    counts = arrays["hidden"].sum((2, 3)) / 4
    assert ((counts == counts[:, :1]) & (abs(counts[:, :1].T - [1.5, 3, 4.5, 5.4]).T <= 0.5)).all()


def test_visible_pixels_are_the_images_and_hidden_ones_are_not(
    tmp_path: Path, make_model: Make, source: ImageSource
) -> None:
    arrays = written(tmp_path / "samples.npz", make_model(), source)
    index = random_subset(30, 8, seed=0)
    want = source.get(index).permute(0, 2, 3, 1).numpy() / np.float32(255)
    np.testing.assert_allclose(arrays["images"], want, atol=1e-6)
    for name in ("filled_visible", "filled_true"):
        changed = (abs(arrays[name] - arrays["images"]) > 1e-4).any(-1)
        assert not (changed & ~arrays["hidden"]).any()
        assert changed[arrays["hidden"]].mean() > 0.9


def test_both_fillings_are_equal_for_raw_targets(
    tmp_path: Path, make_model: Make, source: ImageSource
) -> None:
    arrays = written(tmp_path / "raw.npz", make_model(target="raw"), source)
    np.testing.assert_array_equal(arrays["filled_visible"], arrays["filled_true"])
    arrays = written(tmp_path / "normalised.npz", make_model(), source)
    assert (arrays["filled_visible"] != arrays["filled_true"]).any()


def test_float_images_are_scaled_by_their_range(tmp_path: Path, make_model: Make) -> None:
    images = np.random.default_rng(0).normal(5, 100, (9, 4, 6, 2)).astype(np.float32)
    arrays = written(tmp_path / "s.npz", make_model(), array_source(images), num=9)
    assert (arrays["images"].min(), arrays["images"].max()) == (0, 1)
    assert np.corrcoef(arrays["images"].ravel(), images.ravel())[0, 1] > 0.99999


def test_fewer_images_than_asked_for(
    tmp_path: Path, make_model: Make, source: ImageSource
) -> None:
    arrays = written(tmp_path / "s.npz", make_model(), source.take(np.arange(3)))
    assert len(arrays["images"]) == 3


def test_a_failure_leaves_what_was_there(
    tmp_path: Path, make_model: Make, source: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "samples.npz"
    path.write_bytes(b"before")

    def fail(file: object, **arrays: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(UserError, match=r"samples\.npz: No space left"):
        written(path, make_model(), source)
    assert [file.name for file in tmp_path.iterdir()] == ["samples.npz"]
    assert path.read_bytes() == b"before"
