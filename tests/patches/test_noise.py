from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.images.images import Images, ImageSource, array_source
from maskwise.modalities import build
from maskwise.patches.losses import fit_noise
from maskwise.patches.model import PatchModel, PatchModelSettings

Make = Callable[..., PatchModel]


def test_errors_of_two_factors_are_found(
    source: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Squared errors that are the product of one number for the size and one for the value."""
    images = Images(
        patch=(4, 2), channels=2, height=4, width=6, mean=(90, 110), std=(50, 60), target="raw"
    )
    model = build(images, PatchModelSettings(width=8, depth=1, heads=2, decoder_width=8), seed=0)
    by_value = torch.linspace(0.5, 1.5, 48).view(1, 3, 16)

    def wrong(batch: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        off = hidden.sum(1).sqrt()[:, None, None] * by_value.sqrt()
        return images.untokenize(images.tokenize(batch) + off)

    monkeypatch.setattr(model, "reconstruct", wrong)
    fit_noise(model, source, batch_size=11)
    found = model.log_variance[:, None, None] + model.log_spread
    wanted = torch.arange(1.0, 4.0)[:, None, None] * by_value
    torch.testing.assert_close(found.exp(), wanted, rtol=1e-3, atol=0)
    assert model.training


@torch.no_grad()
def test_no_other_variance_has_a_larger_likelihood(make_model: Make, source: ImageSource) -> None:
    model = make_model(target="raw")
    fit_noise(model, source)
    images, hidden = source.get(np.arange(30)), torch.ones(30, 6, dtype=torch.bool)
    best = model.conditional_log_prob(images, hidden).sum()
    for step in (-0.05, 0.1):
        model.log_variance += step
        assert model.conditional_log_prob(images, hidden).sum() < best


def test_between_the_sizes_it_is_interpolated(source: ImageSource) -> None:
    pixels = Images(
        patch=(1, 1), channels=2, height=4, width=6, mean=(90, 110), std=(50, 60), target="raw"
    )
    model = build(pixels, PatchModelSettings(width=8, depth=1, heads=2, decoder_width=8), seed=0)
    fit_noise(model, source, num_samples=7, seed=2)
    # 24 positions: 1, 2, 5, 7, 10, 12, ... of them are measured.
    table = model.log_variance
    assert table.isfinite().all()
    torch.testing.assert_close(table[3], table[1] + (table[4] - table[1]) * 2 / 3)
    torch.testing.assert_close(table[10], (table[9] + table[11]) / 2)
    assert not torch.allclose(table[4], (table[3] + table[5]) / 2)
    again = table.clone()
    fit_noise(model, source, num_samples=7, seed=2, batch_size=2)
    torch.testing.assert_close(again, model.log_variance)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_perfect_predictions_have_a_finite_density(
    make_model: Make, source: ImageSource, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(target="raw")
    monkeypatch.setattr(model, "reconstruct", lambda images, hidden: images.float())
    values = source.get(np.arange(30)).permute(0, 2, 3, 1).numpy().astype(kind)
    fit_noise(model, array_source(values))
    images, hidden = torch.from_numpy(values).permute(0, 3, 1, 2), torch.ones(30, 6) > 0
    found = model.conditional_log_prob(images, hidden) / 8
    # The largest density of a normal with the variance of rounding, 1/12 level squared.
    top = -0.5 * np.log(2 * np.pi / 12) if kind == "uint8" else 0.5 * np.log(1e6 / 2 / np.pi)
    scale = 0 if kind == "uint8" else np.log([50, 60]).mean()
    torch.testing.assert_close(found, torch.full_like(found, float(top - scale)))
