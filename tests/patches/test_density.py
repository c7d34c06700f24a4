import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from maskwise.errors import UserError
from maskwise.images.images import Images, array_source
from maskwise.likelihood.contract import check_leak
from maskwise.modalities import build
from maskwise.patches.losses import fit_noise
from maskwise.patches.model import PatchModelSettings
from maskwise.rng import Keys, Stream
from maskwise.run import load_model, save_model

KINDS = [
    {"mode": mode, "target": target, "class_token": class_token}
    for mode in ("drop", "replace")
    for target in ("raw", "normalised")
    for class_token in (True, False)
]
STD = np.array([50.0, 60.0])[:, None, None]


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def model(request, make):
    return fitted(make(**request.param))


def fitted(model):
    model.log_variance.copy_(torch.linspace(-1, 0.5, model.length))
    model.log_spread.copy_(
        torch.linspace(-2, 1, model.log_spread.numel()).view_as(model.log_spread)
    )
    return model


def deviations(model, hidden):
    """The standard deviation of each raw pixel of images [B, 2, 4, 8] cut into 2 x 2 patches."""
    number = hidden.sum(1).clamp(min=1)
    spread = model.log_spread.numpy().reshape(2, 4, 2, 2, 2).transpose(2, 0, 3, 1, 4)
    log_variance = model.log_variance.numpy()[number - 1][:, None, None, None]
    return STD * np.exp((log_variance + spread.reshape(2, 4, 8)) / 2)


def patches(images):
    """Cut images [B, 2, 4, 8] into values [B, 8, 8], one row for each 2 x 2 patch."""
    cut = np.asarray(images, dtype=np.float64).reshape(-1, 2, 2, 2, 4, 2)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 8, 8)


@pytest.mark.parametrize("kind", ["even", "ragged", "all", "mixed"])
@torch.no_grad()
def test_is_the_normal_density_of_raw_pixels(request, model, batch, kind):
    if kind == "all":
        hidden = torch.ones(4, 8, dtype=torch.bool)
    elif kind == "mixed":
        hidden = request.getfixturevalue("ragged").clone()
        hidden[0], hidden[1] = True, False
    else:
        hidden = request.getfixturevalue(kind)
    found = model.conditional_log_prob(batch, hidden)
    assert found.shape == hidden.shape
    filled = model.reconstruct(batch, hidden, "visible").numpy()
    scale = deviations(model, hidden)
    expected = patches(stats.norm.logpdf(batch.numpy(), filled, scale)).sum(-1)
    np.testing.assert_allclose(found[hidden], expected[hidden], rtol=1e-4)


@torch.no_grad()
def test_integrates_to_one():
    pixels = Images(
        patch=(1, 1), channels=1, height=2, width=4, mean=(90,), std=(50,), target="raw"
    )
    model = fitted(
        build(pixels, PatchModelSettings(width=8, depth=1, heads=2, decoder_width=8), seed=0)
    )
    hidden = torch.tensor([[True, False, True, True, False, False, True, False]])
    grid = torch.linspace(-700, 900, 3201)
    images = torch.full((len(grid), 1, 2, 4), 60.0)
    images[:, 0, 0, 2] = grid
    log_prob = model.conditional_log_prob(images, hidden.expand(len(grid), -1))[:, 2]
    assert float(torch.trapezoid(log_prob.double().exp(), grid.double())) == pytest.approx(1)


@pytest.mark.parametrize("target", ["raw", "normalised"])
def test_does_not_depend_on_the_units_of_the_model(make, batch, even, target):
    """Models that fill in the same pixels have one density, however they standardise."""
    filled = batch.float() + 20 * torch.randn(
        batch.shape, generator=torch.Generator().manual_seed(1)
    )
    source, found = array_source(batch.permute(0, 2, 3, 1).numpy()), []
    for times in (1, 7.5):
        model = make(target=target)
        fields = {"mean": (11, 5), "std": tuple(times * np.array([50, 60]))}
        model.tokenizer = replace(model.tokenizer, **fields)
        model.reconstruct = lambda images, hidden, statistics="visible", model=model: model.mix(
            images, filled, hidden
        )
        fit_noise(model, source)
        found.append(model.conditional_log_prob(batch, even))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
    # Another noise would be seen.
    model.log_variance += 0.01
    assert not torch.allclose(found[0], model.conditional_log_prob(batch, even), rtol=1e-4)


def test_nothing_leaks(model, batch):
    check_leak(model, batch)
    check_leak(model, batch.float(), seed=1)


@pytest.mark.parametrize("target", ["raw", "normalised"])
def test_a_leak_is_found(make, batch, target):
    model = fitted(make(target=target))
    honest = model.reconstruct

    def own_mean(images, hidden, statistics="visible"):
        tokens = model.tokenizer.tokenize(images)
        return honest(images, hidden) + 30 * tokens.mean((1, 2))[:, None, None, None]

    model.reconstruct = own_mean
    with pytest.raises(UserError, match="the model leaks: log p of position"):
        check_leak(model, batch)


@torch.no_grad()
def test_samples_follow_the_density(model, batch, ragged):
    keys = Keys(3, 0, torch.arange(4))
    drawn = model.conditional_sample(batch, ragged, keys)
    assert torch.equal(drawn, model.conditional_sample(batch, ragged, keys))
    pixels = model.tokenizer.spread(ragged).expand_as(drawn)
    assert torch.equal(drawn[~pixels], batch[~pixels].float())
    filled = model.reconstruct(batch, ragged).numpy()
    scores = patches((drawn.numpy() - filled) / deviations(model, ragged))
    wanted = stats.norm.ppf(keys.open_uniform(Stream.SAMPLE, 64).view(4, 8, 8))
    np.testing.assert_allclose(scores[ragged], wanted[ragged], atol=1e-4)


def test_sampling_an_image_from_nothing(model):
    start = model.empty(3)
    assert start.shape == (3, 2, 4, 8)
    hidden = torch.ones(3, 8, dtype=torch.bool)
    with torch.no_grad():
        drawn = model.conditional_sample(start, hidden, Keys(0, 0, torch.arange(3)))
    assert drawn.isfinite().all()
    assert not torch.equal(drawn[0], drawn[1])
    unknown = torch.full_like(start, math.nan)
    with torch.no_grad():
        same = model.conditional_sample(unknown, hidden, Keys(0, 0, torch.arange(3)))
    assert torch.equal(drawn, same)


def test_a_model_without_noise_has_no_density(make, batch, even):
    model = make()
    for ask in (model.conditional_log_prob, model.conditional_sample):
        rest = (Keys(0, 0, torch.arange(4)),) if ask == model.conditional_sample else ()
        with pytest.raises(UserError, match=r"no likelihood yet: call .*fit_noise") as error:
            ask(batch, even, *rest)
        assert "\n" not in str(error.value)


def test_the_noise_is_saved_with_the_weights(make, batch, even, tmp_path):
    model = fitted(make())
    save_model(tmp_path / "model", model)
    copy = load_model(tmp_path / "model")
    with torch.no_grad():
        first, second = (m.conditional_log_prob(batch, even) for m in (model, copy))
    assert torch.equal(first, second)
