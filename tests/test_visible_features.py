"""Features of masked samples, and losses with features of the same pass, of every model."""

import pytest
import torch

from maskwise.dna.model import DNAModelSettings
from maskwise.dna.tokens import DNA
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.rng import Keys
from maskwise.text.model import HFNetwork, TextModelSettings
from maskwise.text.text import train_tokenizer
from maskwise.tokens.model import LanguageModel
from maskwise.train.loop import Learner, Prepared
from tests.columns.small_models import CASES, awake
from tests.columns.small_models import make as make_tabular

KEYS = Keys(0, 0, torch.arange(4))


def language(kind: str):
    """A language model and four samples, some with padding."""
    generator = torch.Generator().manual_seed(0)
    if kind in ("text", "bert"):
        text = train_tokenizer(["the cat sat on the mat", "a dog"] * 9, vocab_size=290, length=12)
        ids = text.tokenize(["the cat sat", "a dog", "on the mat a dog sat", "the"]).ids
        config, network = TextModelSettings(width=8, depth=2, heads=2), None
        if kind == "bert":
            bert = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 2}
            bert |= {"num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 300}
            network = lambda: HFNetwork.from_config(bert)  # noqa: E731
        return awake(build(text, config, seed=0, encoder=network)), ids
    tokens = "overlapping:3" if kind == "k-mers" else "bases"
    shape = DNAModelSettings(kind="conv", width=8, depth=2, equivariant=kind == "both strands")
    model = build(DNA(window=16, tokens=tokens), shape, seed=0)
    return awake(model), torch.randint(4, (4, 16), generator=generator).to(torch.uint8)


def tabular(kind: str):
    modality, samples = CASES["mixed with holes"]
    return make_tabular(modality, kind=kind, depth=2), samples[:4]


@pytest.fixture(params=["drop", "ragged", "replace", "text", "bert", "bases", "both strands",
                        "k-mers", "mlp", "transformer"])  # fmt: skip
def case(request, make, batch, even, ragged):
    """A model, samples, and positions to hide."""
    if request.param in ("drop", "ragged"):
        return make(), batch, ragged if request.param == "ragged" else even
    if request.param == "replace":
        return make(mode="replace"), batch, even
    if request.param in ("mlp", "transformer"):
        model, samples = tabular(request.param)
    else:
        model, samples = language(request.param)
    eligible = model.eligible(samples)
    drawn = torch.rand(eligible.shape, generator=torch.Generator().manual_seed(3)) < 0.5
    return model, samples, drawn & eligible


def test_losses_and_features_are_those_of_two_calls(case):
    model, samples, hidden = case
    mask = Mask(hidden)
    layers = [0, -1, 1]
    losses, features = Learner(model).losses(Prepared(samples, mask, mask, KEYS), "mean", layers)
    expected, nothing = Learner(model).losses(Prepared(samples, mask, mask, KEYS))
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-6)
    assert (len(features), nothing) == (3, [])
    for layer, found in zip(layers, features, strict=True):
        alone = model.visible_features(samples, mask, "mean", layer)
        assert len(alone) == 4
        assert alone.isfinite().all()
        torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-5)
    sum(each.square().sum() for each in features).backward()
    assert any((parameter.grad is not None) for parameter in model.parameters())


def test_hidden_positions_do_not_matter(case):
    model, samples, hidden = case
    before = model.visible_features(samples, Mask(hidden))
    if isinstance(model, LanguageModel):  # of DNA, too, positions are those of the samples
        changed = torch.where(hidden, samples.flip(0), samples)
    elif samples.ndim == 4:
        pixels = hidden.view(-1, 1, *model.tokenizer.grid)
        pixels = pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)
        changed = torch.where(pixels, 255 - samples, samples)
    else:
        # Codes of categories stay codes.
        changed = torch.where(hidden, 1 - samples.clamp(0, 1), samples)
    assert (changed != samples).any()
    torch.testing.assert_close(model.visible_features(changed, Mask(hidden)), before)
    other = model.visible_features(samples, Mask(hidden.flip(0) & _eligible(model, samples)))
    assert not torch.allclose(other, before, atol=1e-3)


def _eligible(model, samples):
    found = model.tokenizer.eligible(samples)
    return torch.ones(1, dtype=torch.bool) if found is None else found


def test_without_a_mask_they_are_what_encode_returns(case):
    model, samples, hidden = case
    nothing = Mask(torch.zeros_like(hidden))
    for layer in (0, -1):
        found = model.visible_features(samples, nothing, "mean", layer)
        torch.testing.assert_close(found, model.encode(samples, "mean", layer))


def test_the_class_token_of_masked_images(make, batch, even):
    model = make()
    mask = Mask(even)
    found = model.visible_features(batch, mask, "class")
    mean = model.visible_features(batch, mask, "mean")
    assert found.shape == mean.shape
    assert not torch.allclose(found, mean, atol=1e-3)
    [taken] = Learner(model).losses(Prepared(batch, mask, mask, KEYS), "class", [-1])[1]
    torch.testing.assert_close(taken, found)


def test_what_a_model_lacks_is_an_error(case, make, batch, even):
    model, samples, hidden = case
    with pytest.raises(UserError, match=r"layer 7 is outside 0\.\.\d \(or -1 = last\)"):
        model.visible_features(samples, Mask(hidden), "mean", 7)
    lacking = make(class_token=False)
    with pytest.raises(UserError, match="class token"):
        lacking.visible_features(batch, Mask(even), "class")
