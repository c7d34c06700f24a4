import pytest
import torch
from torch import nn

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.objectives.reconstruction import sample_losses
from maskwise.patches.model import gather


class Mixer(nn.Module):
    """An encoder of one's own: mixes positions, then channels."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.channels = nn.Linear(8, 8), nn.Linear(16, 16)

    def forward(self, x):
        x = x + self.positions(x.transpose(1, 2)).transpose(1, 2).tanh()
        return x + self.channels(x).tanh()


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(16, 16, 3, padding=1)

    def forward(self, x):
        return x + self.layer(x.transpose(1, 2)).transpose(1, 2)


def fresh(cls):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        return cls()


def perturb(model, batch, where):
    """Other pixels in the patches `where`, bool [B, L]."""
    pixels = where.view(-1, 1, *model.tokenizer.grid)
    pixels = pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return torch.where(pixels, 255 - batch, batch)


OWN = {"mode": "replace", "class_token": False}
VARIANTS = {
    "drop": {},
    "drop, fused": {"attention": "sdpa"},
    "drop, no class token": {"class_token": False},
    "drop, learned positions": {"positions": "learned"},
    "replace": {"mode": "replace"},
    "replace, no class token": {"mode": "replace", "class_token": False},
    "mixer": OWN | {"encoder": Mixer},
    "convolution": OWN | {"encoder": Convolution},
}


@pytest.fixture(params=VARIANTS)
def model(request, make):
    changes = dict(VARIANTS[request.param])
    if "encoder" in changes:
        changes["encoder"] = fresh(changes["encoder"])
    return make(**changes)


@pytest.mark.parametrize("kind", ["even", "ragged"])
def test_predictions_never_see_hidden_pixels(request, model, batch, kind):
    hidden = request.getfixturevalue(kind)
    mask = Mask(hidden)
    before, target = model.predict(batch, mask)
    after, changed = model.predict(perturb(model, batch, hidden), mask)
    own = hidden.gather(1, mask.hidden_idx)
    assert torch.equal(before[own], after[own])
    assert not torch.allclose(target[own], changed[own], atol=0.1)


@pytest.mark.parametrize("kind", ["even", "ragged"])
def test_predictions_depend_on_visible_pixels(request, model, batch, kind):
    hidden = request.getfixturevalue(kind)
    mask = Mask(hidden)
    one = torch.zeros_like(hidden).scatter_(1, mask.visible_idx[:, -1:], True)
    assert not (one & hidden).any()
    before, after = (model.predict(b, mask)[0] for b in (batch, perturb(model, batch, one)))
    difference = (before - after).abs().amax((1, 2))
    # A convolution does not reach every position.
    assert isinstance(model.encoder, Convolution) or difference.min() > 1e-4
    assert difference.max() > 1e-3


def test_predictions_depend_on_where_they_are(model, batch, even):
    prediction, _ = model.predict(batch, Mask(even))
    assert (prediction[:, 0] - prediction[:, 1]).abs().amax(-1).min() > 1e-3


def test_the_shape_and_place_of_predictions(model, batch, ragged):
    mask = Mask(ragged)
    prediction, target = model.predict(batch, mask)
    assert prediction.shape == target.shape == (4, 7, 8)
    tokens = model.tokenizer.tokenize(batch)
    for b in range(4):
        places = ragged[b].nonzero()[:, 0]
        assert torch.equal(target[b, : len(places)], tokens[b, places])


def test_a_ragged_batch_gives_each_sample_what_it_gets_alone(model, batch, ragged):
    together, _ = model.predict(batch, Mask(ragged))
    for b in range(4):
        alone, _ = model.predict(batch[b : b + 1], Mask(ragged[b : b + 1]))
        num = int(ragged[b].sum())
        assert alone.shape[1] == num
        torch.testing.assert_close(together[b, :num], alone[0], atol=1e-5, rtol=1e-5)


def test_predicting_a_part_of_the_hidden_positions(make, batch, even):
    # Replace mode predicts the same; in drop mode the decoder sees fewer mask tokens.
    part = even & (torch.arange(8) % 2 == 0)
    model = make(mode="replace")
    tokens = model.tokenizer.tokenize(batch)
    full = torch.zeros(4, 8, 8).scatter_(
        1, Mask(even).hidden_idx[..., None].expand(-1, -1, 8), model(tokens, Mask(even))
    )
    few = Mask(part)
    prediction = model(tokens, Mask(even), few)
    own = part.gather(1, few.hidden_idx)
    expected = gather(full, few.hidden_idx)
    torch.testing.assert_close(prediction[own], expected[own], atol=1e-6, rtol=1e-6)

    model = make()
    prediction = model(tokens, Mask(even), few)
    assert prediction.shape == (4, int(part.sum(1).max()), 8)
    changed = model.tokenizer.tokenize(perturb(model, batch, even))
    assert torch.equal(prediction[own], model(changed, Mask(even), few)[own])
    one = Mask(part[:1])
    alone = model(tokens[:1], Mask(even[:1]), one)
    torch.testing.assert_close(prediction[:1, : alone.shape[1]], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["plain", "sdpa"])
@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("mode", ["drop", "replace"])
def test_everything_may_be_hidden(make, batch, attention, class_token, mode):
    model = make(attention=attention, class_token=class_token, mode=mode)
    hidden = torch.ones(4, 8, dtype=torch.bool)
    prediction, _ = model.predict(batch, Mask(hidden))
    assert prediction.shape == (4, 8, 8)
    torch.testing.assert_close(prediction[0], prediction[1])
    # Beside samples that hide less, with finite gradients.
    hidden[1:, :3] = False
    mask = Mask(hidden)
    ragged, target = model.predict(batch, mask)
    torch.testing.assert_close(ragged[0], prediction[0], atol=1e-5, rtol=1e-5)
    sample_losses(ragged, target, mask.hidden_valid).mean().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)


def test_drop_mode_is_the_textbook_masked_autoencoder(make, batch, even):
    """A twin: encode the visible, decode everything, take the loss where it was hidden."""
    model = make(target="normalised", decoder_depth=2, attention="sdpa")
    mask = Mask(even)
    prediction, target = model.predict(batch, mask)
    loss = sample_losses(prediction, target, None).mean()
    loss.backward()
    gradient = model.encoder.blocks[0].qkv.weight.grad.clone()
    model.zero_grad()

    total = torch.zeros(())
    for b in range(4):
        pixels = (batch[b].float() - torch.tensor([90.0, 110.0])[:, None, None]) / torch.tensor(
            [50.0, 60.0]
        )[:, None, None]
        patches = torch.stack(
            [
                pixels[:, r : r + 2, c : c + 2].flatten()
                for r in range(0, 4, 2)
                for c in range(0, 8, 2)
            ]
        )
        mean, std = patches.mean(1, keepdim=True), (patches.var(1, keepdim=True) + 1e-6).sqrt()
        wanted = (patches - mean) / std
        x = model.embed(patches) + model.positions[0]
        seen = torch.cat([model.class_token[0], x[~even[b]]])[None]
        for block in model.encoder.blocks:
            seen = block(seen)
        seen = model.to_decoder(model.encoder.norm(seen))[0]
        everything = [seen[:1]]
        rest = iter(seen[1:])
        for position in range(8):
            token = model.mask_token[0] if even[b, position] else next(rest)[None]
            everything.append(token + model.decoder_positions[0, position])
        x = torch.cat(everything)[None]
        for block in model.decoder.blocks:
            x = block(x)
        decoded = model.head(model.decoder.norm(x))[0, 1:]
        error = ((decoded - wanted) ** 2).mean(1)
        total = total + (error * even[b]).sum() / even[b].sum()
    twin = total / 4
    torch.testing.assert_close(loss, twin, atol=1e-5, rtol=1e-5)
    twin.backward()
    torch.testing.assert_close(
        gradient, model.encoder.blocks[0].qkv.weight.grad, atol=1e-6, rtol=1e-4
    )


def test_attention_kernels_agree(make, batch, ragged):
    plain, fused = (
        make(attention=kind).predict(batch, Mask(ragged))[0] for kind in ("plain", "sdpa")
    )
    own = ragged.gather(1, Mask(ragged).hidden_idx)
    torch.testing.assert_close(plain[own], fused[own], atol=1e-5, rtol=1e-5)


def test_encoding_hides_nothing_and_is_deterministic(model, batch):
    features = model.encode(batch, pool="none")
    assert features.shape == (4, 8, 16)
    assert torch.equal(features, model.encode(batch, pool="none"))
    model.train()
    assert torch.equal(features, model.encode(batch, pool="none"))
    # Every patch matters.
    for position in range(8):
        one = torch.zeros(4, 8, dtype=torch.bool)
        one[:, position] = True
        changed = model.encode(perturb(model, batch, one))
        assert (changed - features.mean(1)).abs().amax(1).min() > 1e-4


def test_encoding_does_not_depend_on_the_batch(model, batch):
    together = model.encode(batch)
    alone = torch.cat([model.encode(batch[b : b + 1]) for b in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_pools(make, batch):
    model = make()
    parts = {pool: model.encode(batch, pool=pool) for pool in ("mean", "class", "both", "none")}
    assert {pool: tuple(value.shape) for pool, value in parts.items()} == {
        "mean": (4, 16),
        "class": (4, 16),
        "both": (4, 32),
        "none": (4, 8, 16),
    }
    torch.testing.assert_close(parts["mean"], parts["none"].mean(1))
    assert torch.equal(parts["both"], torch.cat([parts["class"], parts["mean"]], dim=1))
    assert not torch.allclose(parts["class"], parts["mean"], atol=1e-2)


def test_layers(make, batch):
    model = make(depth=3)
    assert model.num_layers == 3
    layers = [model.encode(batch, layer=layer) for layer in range(3)]
    assert torch.equal(layers[2], model.encode(batch))
    assert torch.equal(layers[1], model.encode(batch, layer=-2))
    assert not torch.allclose(layers[0], layers[1])
    with pytest.raises(UserError, match=r"layer 3 is outside 0\.\.2"):
        model.encode(batch, layer=3)


def test_encoding_errors(make, batch):
    model = make(class_token=False)
    for pool in ("class", "both"):
        with pytest.raises(UserError, match=f"pool '{pool}' needs a class token"):
            model.encode(batch, pool=pool)
    with pytest.raises(UserError, match="pool 'max' is none of mean, class, both, none"):
        model.encode(batch, pool="max")
    with pytest.raises(UserError, match=r"images have shape"):
        model.encode(batch[:, :1])
    own = make(encoder=fresh(Mixer), **OWN)
    assert own.num_layers == 1
    with pytest.raises(UserError, match="layer 1 is outside"):
        own.encode(batch, layer=1)


@pytest.mark.parametrize("changes", [{"mode": "drop", "class_token": False}, {"mode": "replace"}])
def test_an_encoder_of_ones_own_needs_replace_mode_without_class_token(make, changes):
    with pytest.raises(UserError, match="encoder of your own"):
        make(encoder=fresh(Mixer), **changes)


def test_building_leaves_an_encoder_of_ones_own_as_it_is(make):
    encoder = fresh(Mixer)
    before = encoder.positions.weight.clone()
    assert torch.equal(make(encoder=encoder, **OWN).encoder.positions.weight, before)


@pytest.mark.parametrize("target", ["raw", "normalised"])
@pytest.mark.parametrize("kind", ["even", "ragged"])
def test_reconstructing_keeps_visible_pixels(request, make, batch, target, kind):
    model, hidden = make(target=target), request.getfixturevalue(kind)
    image = model.reconstruct(batch, hidden)
    assert image.shape == (4, 2, 4, 8)
    assert image.dtype == torch.float32
    inside = hidden.view(4, 1, 2, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    inside = inside.expand(-1, 2, -1, -1)
    torch.testing.assert_close(image[~inside], batch[~inside].float(), atol=1e-3, rtol=0)
    # What is shown does not leak what was hidden.
    other = model.reconstruct(perturb(model, batch, hidden), hidden)
    assert torch.equal(image[inside], other[inside])
    assert not torch.allclose(image[inside], batch[inside].float(), atol=1)
    if target == "raw":
        mask = Mask(hidden)
        prediction, _ = model.predict(batch, mask)
        rows = hidden.nonzero()
        values = prediction[hidden.gather(1, mask.hidden_idx)].view(-1, 2, 2, 2)
        for (b, position), value in zip(rows.tolist(), values, strict=True):
            r, c = 2 * (position // 4), 2 * (position % 4)
            raw = value * torch.tensor([50, 60])[:, None, None]
            raw = raw + torch.tensor([90, 110])[:, None, None]
            torch.testing.assert_close(image[b, :, r : r + 2, c : c + 2], raw)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "model.width must be at least 1, not 0"),
        ({"predict_fraction": 0}, "model.predict_fraction 0 is outside"),
        ({"predict_fraction": 1.5}, "model.predict_fraction 1.5 is outside"),
        ({"heads": 3}, "width 16 is not a multiple of 3 heads"),
        ({"width": 18}, "width 18 is not a multiple of 4"),
        ({"mode": "delete"}, "mode='delete'"),
        ({"mlp_ratio": 0.01}, "mlp_ratio"),
    ],
)
def test_shapes_that_cannot_be_built(make, change, message):
    with pytest.raises(UserError, match=message):
        make(**change)
