import io
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from maskwise import masks
from maskwise.images.images import ImageSource, array_source
from maskwise.masks import Mask
from maskwise.measure.losses import fixed_mask, losses_and_ratios
from maskwise.patches.losses import costs, reconstruction
from maskwise.patches.model import PatchModel

Make = Callable[..., PatchModel]
INDEX = np.array([0, 4, 5, 17])
RATIOS = (0.2, 0.5, 0.9)


def errors(
    model: PatchModel,
    source: ImageSource,
    index: np.ndarray,
    ratios: tuple[float, ...],
    seed: int,
    batch_size: int = 256,
) -> np.ndarray:
    """Return errors, baseline errors and hidden fractions, [3, ratios, N]."""
    of = partial(costs, model)
    return losses_and_ratios(model, source, index, ratios, "scattered", seed, of, batch_size)


@pytest.mark.parametrize("target", ["normalised", "raw"])
def test_equals_a_loop_over_hidden_patches(
    make_model: Make, source: ImageSource, target: str
) -> None:
    model = make_model(target=target).eval()
    found, baseline, realised = errors(model, source, INDEX, RATIOS, 5, batch_size=3)
    for row, ratio in enumerate(RATIOS):
        for column, sample in enumerate(INDEX):
            image, ids = source.get([sample]), torch.tensor([sample])
            mask = masks.draw(f"fixed:{ratio}", (2, 3), sample_ids=ids, seed=5)
            targets = model.tokenizer.target_of(model.tokenizer.tokenize(image))[0]
            with torch.no_grad():
                prediction = model.predict(image, mask)[0][0]
            hidden = torch.where(mask.hidden[0])[0].tolist()
            visible = targets[[p for p in range(6) if p not in hidden]].mean(0)
            pairs = list(zip(prediction, hidden, strict=True))
            want = np.mean([float(((p - targets[h]) ** 2).mean()) for p, h in pairs])
            assert found[row, column] == pytest.approx(want, rel=1e-4)
            want = np.mean([float(((visible - targets[h]) ** 2).mean()) for h in hidden])
            assert baseline[row, column] == pytest.approx(want, rel=1e-4)
            assert realised[row, column] == pytest.approx(len(hidden) / 6)


def test_constant_residual_costs_the_same_at_every_ratio(
    make_model: Make, source: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()

    def off_by_three(batch: torch.Tensor, mask: Mask) -> tuple[torch.Tensor, torch.Tensor]:
        target = PatchModel.predict(model, batch, mask)[1]
        return target + 3, target

    monkeypatch.setattr(model, "predict", off_by_three)
    found, _, _ = errors(model, source, INDEX, RATIOS, 0)
    np.testing.assert_allclose(found, 9.0, rtol=1e-5)


def test_masks_do_not_depend_on_the_batch_or_the_other_samples(
    make_model: Make, source: ImageSource
) -> None:
    model = make_model()
    whole = errors(model, source, np.arange(30), RATIOS, 0)
    parts = errors(model, source, INDEX, RATIOS, 0, batch_size=1)
    for all_, some in zip(whole, parts, strict=True):
        np.testing.assert_allclose(all_[:, INDEX], some, rtol=1e-4)
    other = errors(model, source, INDEX, RATIOS, 1)
    assert not np.allclose(other[0], parts[0])


def test_predicting_zero_costs_about_one_on_normalised_targets(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).normal(size=(200, 4, 6, 2)) * (50, 60) + (90, 110)
    source = array_source(noise.astype(np.float32))
    # 8 values with unbiased variance 1 have mean square 7/8. The mean of V visible patches of
    # independent noise adds 1/V of that.
    model = make_model()

    def zero(batch: torch.Tensor, mask: Mask) -> tuple[torch.Tensor, torch.Tensor]:
        target = PatchModel.predict(model, batch, mask)[1]
        return torch.zeros_like(target), target

    monkeypatch.setattr(model, "predict", zero)
    found, baseline, _ = errors(model, source, np.arange(200), (0.5,), 0)
    np.testing.assert_allclose(found, 7 / 8, rtol=1e-4)
    assert baseline.mean() == pytest.approx(7 / 8 * 4 / 3, rel=0.05)


def test_visible_mean_is_perfect_on_flat_images(make_model: Make) -> None:
    shades = np.arange(0, 200, 20, dtype=np.uint8)
    flat = array_source(np.broadcast_to(shades[:, None, None, None], (10, 4, 6, 2)).copy())
    _, baseline, _ = errors(make_model(target="raw"), flat, np.arange(10), RATIOS, 0)
    np.testing.assert_allclose(baseline, 0, atol=1e-10)


@pytest.mark.parametrize("pattern", ["scattered", "block", "inverse-block", "columns"])
def test_entry_of_the_result(make_model: Make, source: ImageSource, pattern: str) -> None:
    entry = reconstruction(make_model(), source, np.arange(30), RATIOS, pattern, 0)
    assert (entry["target"], entry["pattern"], entry["num_samples"]) == ("normalised", pattern, 30)
    for curve in (entry["curve"], entry["baselines"]["visible mean"]):
        assert [point["ratio"] for point in curve] == list(RATIOS)
        assert all(point["low"] <= point["error"] <= point["high"] for point in curve)
        assert all(0 < point["realised"] < 1 for point in curve)


def test_training_mode_comes_back(make_model: Make, source: ImageSource) -> None:
    model = make_model().train()
    errors(model, source, INDEX, RATIOS, 0)
    assert model.training


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_sees_how_far_it_is(
    make_model: Make, source: ImageSource, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    errors(make_model(), source, INDEX, RATIOS, 0)
    assert ("loss by ratio" in screen.getvalue()) == terminal
    assert terminal or not screen.getvalue()


def test_masks_of_two_ratios_are_nested() -> None:
    low, high = (
        fixed_mask((4, 4), ratio, np.arange(9), "scattered", 0, torch.device("cpu")).hidden
        for ratio in (0.25, 0.5)
    )
    assert (low <= high).all()
    assert (low.sum(1) == 4).all()
    assert (high.sum(1) == 8).all()
