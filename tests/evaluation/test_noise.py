from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.evaluation.noise import fit_noise
from maskwise.modalities.image_source import Source, array_source
from maskwise.modalities.images import Images
from maskwise.models import MaskedModel, Model, build

Make = Callable[..., MaskedModel]


@pytest.mark.parametrize("target", ["normalised", "raw"])
def test_is_the_mean_squared_error_of_a_hidden_value(
    make_model: Make, source: Source, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(target=target)
    seen: dict[int, list[float]] = {}
    honest = model.reconstruct

    def record(images: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        filled = honest(images, hidden)
        scaled = (filled - images) / torch.tensor([50.0, 60.0])[:, None, None]
        inside = model.modality.spread(hidden).expand_as(scaled)
        [size] = set(hidden.sum(1).tolist())
        seen.setdefault(size, []).extend(scaled[inside].square().tolist())
        return filled

    monkeypatch.setattr(model, "reconstruct", record)
    fit_noise(model, source, batch_size=11)
    assert seen.keys() == {1, 2, 3, 4, 5, 6}
    for size, squares in seen.items():
        assert len(squares) == 30 * size * 8
        assert float(model.log_variance[size - 1].exp()) == pytest.approx(
            np.mean(squares), rel=1e-4
        )
    assert model.training


@torch.no_grad()
def test_no_other_variance_has_a_larger_likelihood(make_model: Make, source: Source) -> None:
    model = make_model(target="raw")
    fit_noise(model, source)
    images, hidden = source.get(np.arange(30)), torch.ones(30, 6, dtype=torch.bool)
    best = model.conditional_log_prob(images, hidden).sum()
    for step in (-0.05, 0.1):
        model.log_variance += step
        assert model.conditional_log_prob(images, hidden).sum() < best


def test_between_the_sizes_it_is_interpolated(source: Source) -> None:
    pixels = Images(
        patch=(1, 1), channels=2, height=4, width=6, mean=(90, 110), std=(50, 60), target="raw"
    )
    model = build(pixels, Model(width=8, depth=1, heads=2, decoder_width=8), seed=0)
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
    make_model: Make, source: Source, kind: str, monkeypatch: pytest.MonkeyPatch
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
