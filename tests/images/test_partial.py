"""Images of which pixels are missing, and the labels they come with."""

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.images.data import load
from maskwise.images.partial import incomplete, labelled
from maskwise.images.recipes import ImageRunSettings
from maskwise.predict.asked import ModelAsked
from maskwise.settings import override

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def model(make_model):
    """Of images of 4 x 6 pixels and 2 channels in 2 x 3 patches."""
    return make_model()


def config(**changes):
    return override(ImageRunSettings(), {f"data.{name}": value for name, value in changes.items()})


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 4, 6, 2)).astype(np.float32)


def test_a_patch_with_a_pixel_that_is_nan_is_missing(model, pixels):
    pixels[0, 3, 5, 1] = pixels[1] = np.nan
    pixels[2, 0, 0, 0] = np.inf
    found = incomplete(model, pixels, config())
    assert found.broken == {2: "1 of 48 values are infinite"}
    assert found.hidden.tolist() == [[False] * 5 + [True], [True] * 6, [False] * 6]
    asked = ModelAsked(model, found)
    features = asked.features(np.arange(3), np.zeros((3, 6), dtype=bool))
    assert np.isnan(features).all(axis=1).tolist() == [False, True, False]
    pixels[0, 3, 5, 1] = 255
    whole = ModelAsked(model, incomplete(model, pixels, config()))
    hidden = np.array([[False] * 5 + [True]])
    np.testing.assert_allclose(
        features[:1], whole.features(np.array([0]), hidden), rtol=1e-4, atol=1e-5
    )


def test_masked_arrays(model, pixels):
    masked = np.ma.masked_array(pixels.astype(np.uint8), mask=np.zeros(pixels.shape, bool))
    masked[1, 0, 0, 0] = np.ma.masked
    found = incomplete(model, masked, config())
    assert found.hidden.nonzero() == (1, 0)
    assert torch.equal(found.source.get([0]), torch.from_numpy(pixels[:1]).permute(0, 3, 1, 2))
    assert found.source.get([1]).isfinite().all()
    assert incomplete(model, pixels.astype(np.uint8), config()).hidden is None


def test_other_images_are_refused(model, pixels):
    with pytest.raises(UserError, match=r"images of 3x6 .* are not cut by the model's patch, 2x2"):
        incomplete(model, pixels[:, :3], config())
    with pytest.raises(UserError, match="images have 3 channels and this model takes 2"):
        incomplete(model, pixels[..., [0, 1, 0]], config())
    with pytest.raises(UserError, match="none of the images can be read"):
        incomplete(model, np.full((1, 4, 6, 2), np.inf), config())


def write(folder, alpha, mode="RGBA"):
    folder.mkdir(parents=True)
    picture = np.zeros((4, 6, 4), np.uint8)
    picture[..., 3] = alpha
    Image.fromarray(picture, "RGBA").convert(mode).save(folder / "a.png")


@pytest.fixture
def rgb():
    from maskwise.images.images import Images
    from maskwise.modalities import build
    from maskwise.patches.model import PatchModelSettings

    images = Images(patch=(2, 2), channels=3, height=4, width=6, mean=(0,) * 3, std=(1,) * 3)
    return build(images, PatchModelSettings(width=8, depth=1, heads=2, decoder_width=8), seed=0)


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
def test_fully_transparent_pixels_are_missing(rgb, tmp_path, caplog):
    alpha = np.full((4, 6), 255)
    alpha[0, 0], alpha[3, 5] = 0, 1  # one shows a little
    write(tmp_path / "in/x", alpha)
    Image.new("RGB", (6, 4)).save(tmp_path / "in/x/b.png")
    with caplog.at_level("INFO", logger="maskwise"):
        found = incomplete(rgb, None, config(source=str(tmp_path / "in")))
    assert found.names == ["x/a.png", "x/b.png"]
    assert found.hidden.tolist() == [[True, False, False, False, False, False], [False] * 6]
    assert "1 of 2 images lack pixels: 1 patches" in caplog.text
    # Pictures that are resized: here a column becomes the first two.
    write(tmp_path / "large/x", np.kron(alpha, np.ones((2, 2))).astype(int)[::2, ::2])
    again = incomplete(rgb, None, config(source=str(tmp_path / "large"), size=(4, 6)))
    assert again.hidden.tolist() == [[True, False, False, False, False, False]]


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
def test_labels_are_folders_and_some_are_held_out(rgb, tmp_path):
    for name in ("cat", "dog"):
        for number in range(5):
            write(tmp_path / f"{name}{number}", 255)
            (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{name}{number}/a.png").rename(tmp_path / f"in/{name}/{number}.png")
    told = config(source=str(tmp_path / "in"), holdout=0.4)
    found = labelled(rgb, None, told, None, "own")
    assert found.values.tolist() == ["cat"] * 5 + ["dog"] * 5
    assert (found.data.labels.tolist(), found.data.classes) == ([0] * 5 + [1] * 5, ("cat", "dog"))
    # As training does: its images to test on are these.
    test = load(told.data).test
    assert found.held.sum() == 4
    assert np.bincount(found.data.labels[found.held]).tolist() == np.bincount(test.labels).tolist()
    with pytest.raises(UserError, match="images have no column 'kind', and there is no such file"):
        labelled(rgb, None, told, "kind", "own")


def test_an_own_test_split_is_held_out(model, pixels, tmp_path):
    np.savez(tmp_path / "a.npz", x=pixels[:3], y=[0, 1, -1], x_test=pixels[3:], y_test=[1])
    found = labelled(model, None, config(source=str(tmp_path / "a.npz")), None, "own")
    assert found.held.tolist() == [False, False, False, True]
    assert found.values.tolist() == ["0", "1", None, "1"]
    pixels[0, 0, 0, 0] = np.nan  # training leaves it out, and learns from half of the rest
    pair = labelled(model, (pixels, [0, 1, 0, 1]), config(holdout=0.5), None, "own")
    assert pair.held.sum() == 2
    assert not pair.held[0]
