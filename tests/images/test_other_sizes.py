"""Images of another size than those of a run: embedded, answered for, evaluated, fine-tuned on."""

import logging
import shutil

import numpy as np
import pytest
import torch

import maskwise as mw
from maskwise.cli import main
from maskwise.errors import UserError
from maskwise.images.data import ImageDataSettings
from maskwise.images.finetuning import ImageFineTuneSettings, finetune_images
from maskwise.images.images import Images, ImageSplits, array_source
from maskwise.images.sizes import at_size, of_size, resized, suited
from maskwise.patches.sizes import on_grid
from maskwise.run import Run

Image = pytest.importorskip("PIL.Image")
DIGITS = Images(patch=(2, 2), channels=1, height=8, width=8, mean=(0.0,), std=(1.0,))


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def run(finished, tmp_path):
    """A run on the digits, 8 x 8 in patches of 2 x 2."""
    return Run(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "maskwise")
    return lambda: "\n".join(record.message for record in caplog.records)


def pictures(folder, *shapes):
    folder.mkdir(parents=True)
    for number, shape in enumerate(shapes):
        Image.fromarray(pixels(*shape, seed=number)).save(folder / f"{number}.png")
    return folder


def of_grid(run, height, width):
    """The model of a run for another size, made by hand."""
    return on_grid(run.model(), of_size(run.model().tokenizer, (height, width)))


def test_arrays_are_read_at_their_own_size_which_is_said(run, said):
    x = pixels(5, 12, 6)
    expected = of_grid(run, 12, 6).encode(torch.from_numpy(x)[:, None])
    np.testing.assert_allclose(run.embed(x), expected.detach(), atol=1e-5)
    assert "images of 12x6, and the run's were 8x8: the model reads a grid of 6x3" in said()
    np.testing.assert_array_equal(run.embed(x), run.embed(torch.from_numpy(x)[:, None]))
    # One image more of the run's own size is read as ever.
    own = pixels(3, 8, 8)
    np.testing.assert_allclose(
        run.embed(own), run.model().encode(torch.from_numpy(own)[:, None]).detach(), atol=1e-5
    )


def test_a_size_that_the_patch_does_not_divide_names_the_nearest(run):
    with pytest.raises(UserError, match=r"images of 9x13 .*patch, 2x2: the nearest .* is 8x12"):
        run.embed(pixels(5, 9, 13))
    with pytest.raises(UserError, match="the nearest size that it cuts is 2x8"):
        of_size(DIGITS, (1, 8))
    with pytest.raises(UserError, match=r"images of 0x0 .* is 2x2"):
        run.model(size=0)


def test_other_channels_are_refused(run):
    with pytest.raises(UserError, match=r"3 channels and this model takes 1: convert them .*1"):
        run.embed(pixels(5, 8, 8, 3))


def test_the_model_of_a_run_for_another_size(run):
    model = run.model(size=12)
    assert model.tokenizer.grid == (6, 6)
    assert run.model(size=(4, 8)).tokenizer.grid == (2, 4)
    assert run.model(size=8).config == run.model().config
    # It is what it was when it is saved and loaded.
    mw.run.save_model(run.path / "other", model)
    images = torch.rand(2, 1, 12, 12)
    assert torch.equal(mw.load(run.path / "other").encode(images), model.encode(images))


def test_models_of_one_size_say_so(tmp_path):
    config = mw.modalities.config_of("breast-cancer", {})
    from maskwise.files import write_json
    from maskwise.settings import to_dict

    write_json(tmp_path / "config.json", to_dict(config))
    table = Run(tmp_path)
    object.__setattr__(table, "_model", lambda encoder: None)
    with pytest.raises(UserError, match="models of tables do not read samples of another size"):
        table.model(size=3)


def test_pictures_get_the_size_of_the_run_unless_another_is_asked_for(run, tmp_path, said):
    folder = pictures(tmp_path / "some", (12, 12), (8, 8), (16, 12))
    found = run.embed(folder)
    assert "2 of 3 pictures are resized to 8x8, the size of the run: 0.png, 2.png" in said()
    images = np.stack([np.asarray(_fit(folder / f"{n}.png", 8)) for n in range(3)])
    np.testing.assert_allclose(found, run.embed(images), atol=1e-5)
    out = tmp_path / "z.npy"
    assert main(["embed", str(run.path), str(folder), "-o", str(out), "--data.size", "16"]) == 0
    images = np.stack([np.asarray(_fit(folder / f"{n}.png", 16)) for n in range(3)])
    np.testing.assert_allclose(np.load(out), run.embed(images), atol=1e-5)


def _fit(path, side):
    from PIL import Image, ImageOps

    return ImageOps.fit(Image.open(path), (side, side), method=Image.Resampling.BICUBIC)


def test_a_size_asked_for_of_arrays_is_refused(run, tmp_path, capsys):
    np.save(tmp_path / "x.npy", pixels(5, 8, 8))
    given = ["embed", str(run.path), str(tmp_path / "x.npy"), "-o", str(tmp_path / "z.npy")]
    assert main([*given, "--data.size", "16"]) == 2
    assert "size is for image files" in capsys.readouterr().err
    # That of a run on pictures is no question of arrays.
    images = ImageDataSettings(source="array", size=(8, 8))
    assert suited(DIGITS, pixels(5, 12, 12), images).size is None
    assert suited(DIGITS, [Image.fromarray(pixels(9, 9))], images).size == (8, 8)


def test_answers_to_images_of_another_size(run):
    labels = np.arange(24) % 2
    small, large = pixels(24, 8, 8), pixels(24, 12, 8)
    predictor = run.predictor(labels, small, copies=1)
    expected = predictor.head.probabilities(
        of_grid(run, 12, 8).encode(torch.from_numpy(large)[:, None]).detach().numpy(), np.ones(24)
    )
    np.testing.assert_allclose(predictor.predict_proba(large), expected, atol=1e-4)
    # Half of the pixels hidden are half of the patches.
    hidden = np.zeros((24, 12, 8), dtype=bool)
    hidden[:, :6] = True
    assert predictor.answer(large, hidden).shares == pytest.approx(0.5)
    # A head that is learned from another size is one on the same weights.
    other = run.predictor(labels, large, copies=1)
    assert other.model.tokenizer.grid == (4, 4)
    assert other.predict_proba(small).shape == (24, 2)


def test_evaluation_at_another_size(run, tmp_path, no_report):
    x, y = pixels(30, 12, 12), np.arange(30) % 2
    before = run.result
    result = mw.evaluate(run, data=(x, y)).result
    assert result["data"]["shape"] == [1, 12, 12]
    [point] = result["reconstruction"]["curve"]
    assert point["error"] != before["reconstruction"]["curve"][0]["error"]
    assert run.config.data.size is None
    found = mw.measure_likelihood(run, data=(x, y), num_samples=6, passes=2).likelihood
    assert found["num_samples"] == 6
    assert np.isfinite(found["area"]["nats"])


@pytest.mark.parametrize("size", [(8, 12), (4, 6)])
def test_fine_tuning_at_another_size(make_model, splits, size):
    """As if the images had that size already."""
    config = ImageFineTuneSettings(epochs=1, warmup=0, batch_size=30, size=size)
    model = make_model()
    found = finetune_images(model, splits, config, seed=0)
    images = of_size(model.tokenizer, size)
    parts = (at_size(part, size) for part in (splits.train, splits.test))
    plain = ImageFineTuneSettings(epochs=1, warmup=0, batch_size=30)
    expected = finetune_images(on_grid(model, images), ImageSplits(*parts, "x"), plain, seed=0)
    np.testing.assert_array_equal(found, expected)


def test_a_size_to_fine_tune_at_that_does_not_fit_stops_before_training(tmp_path, capsys):
    given = ["pretrain", "digits", "--out", str(tmp_path / "run"), "--evaluate.finetune.size", "9"]
    assert main([*given, "--evaluate.finetune.seeds", "0"]) == 2
    assert "evaluate.finetune.size: images of 9x9" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_images_at_another_size_are_resized_as_pillow_does():
    images = pixels(2, 16, 12, 1)
    found = at_size(array_source(images), (8, 6)).get([0, 1])
    expected = [
        np.asarray(Image.fromarray(each[..., 0]).resize((6, 8), Image.Resampling.BICUBIC))
        for each in images
    ]
    np.testing.assert_allclose(found[:, 0], np.stack(expected), atol=1.1)
    own = array_source(images)
    assert at_size(own, (16, 12)) is own


class Counting(torch.nn.Module):
    """An encoder of one's own that knows its number of positions."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(6, 1))

    def forward(self, x):
        return x * self.scale


def test_an_encoder_that_knows_its_grid_is_refused_another(make_model):
    from maskwise.patches.model import PatchModel

    model = make_model(mode="replace", class_token=False)
    own = PatchModel(model.tokenizer, model.config, encoder=Counting())
    with pytest.raises(UserError, match="own encoder cannot read a grid of 4x6 patches"):
        resized(own, (8, 12))
    assert resized(own, (2, 4, 6)) is own
