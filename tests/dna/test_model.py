"""Masked models of DNA as a whole: strands, padding, tokens."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskwise.dna.bases import NOTHING, encode, reverse_complement
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.tokens import DNA
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.rng import Keys
from maskwise.run import load_model, save_model, untrained
from maskwise.tokens.model import LanguageModel
from maskwise.train.loop import Learner, Prepared

KINDS = ("conv", "transformer")
TOKENS = ("bases", "kmers:3", "overlapping:3")
every = pytest.mark.parametrize(
    ("kind", "tokens"), list(itertools.product(KINDS, TOKENS)), ids=lambda value: value
)


def make(kind="conv", tokens="bases", **changes) -> LanguageModel:
    dna = DNA(window=24, tokens=tokens, repeat_weight=changes.pop("repeat_weight", 1.0))
    model = build(dna, DNAModelSettings(kind=kind, width=8, depth=2, heads=2, **changes), seed=0)
    # Initial weights are so small that a test of what they carry could not see it.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model.eval()


@pytest.fixture
def codes():
    letters = np.random.default_rng(0).choice(list("ACGTacgtN"), (4, 24))
    return torch.from_numpy(np.stack([encode("".join(row)) for row in letters]))


def hidden_of(model, codes):
    """A third of the eligible tokens, in every row another number."""
    chosen = torch.rand(model.eligible(codes).shape, generator=torch.Generator().manual_seed(1))
    return model.eligible(codes) & (chosen < 0.35)


@every
def test_features_turn_with_the_strand(kind, tokens, codes):
    """encode(rc(x)) = rc(encode(x)): positions turned around, and halves swapped."""
    model = make(kind, tokens, equivariant=True)
    with torch.no_grad():
        own, other = model.features(codes), model.features(reverse_complement(codes))
        assert own.shape[-1] == 16
        swapped = torch.cat(own.flip(1).chunk(2, dim=-1)[::-1], dim=-1)
        torch.testing.assert_close(other, swapped, atol=1e-5, rtol=0)
        # A model of one strand does not.
        one = make(kind, tokens)
        difference = one.features(reverse_complement(codes)) - one.features(codes).flip(1)
    assert float(difference.abs().max()) > 0.1


@every
def test_probabilities_turn_with_the_strand(kind, tokens, codes):
    model = make(kind, tokens, equivariant=True)
    hidden = hidden_of(model, codes)
    with torch.no_grad():
        own = model.conditional_log_prob(codes, hidden)
        other = model.conditional_log_prob(reverse_complement(codes), hidden.flip(1))
    torch.testing.assert_close(other.flip(1), own, atol=1e-5, rtol=0)


@every
@pytest.mark.parametrize("equivariant", [False, True])
def test_padding_changes_nothing(kind, tokens, equivariant, codes):
    model = make(kind, tokens, equivariant=equivariant)
    short = codes[:, :18]
    padded = F.pad(short, (0, 6), value=NOTHING)
    with torch.no_grad():
        features = model.features(short)
        num = features.shape[1]
        torch.testing.assert_close(model.features(padded)[:, :num], features, atol=1e-5, rtol=0)
        torch.testing.assert_close(model.encode(padded), model.encode(short), atol=1e-5, rtol=0)


@every
def test_what_is_hidden_is_not_seen(kind, tokens, codes):
    model = make(kind, tokens)
    ids = model.tokenizer.ids(codes)
    hidden = hidden_of(model, codes)
    other = torch.where(hidden, (ids + 1) % 4, ids)
    assert not torch.equal(other, ids)
    with torch.no_grad():
        torch.testing.assert_close(model(ids, Mask(hidden)), model(other, Mask(hidden)))


@every
def test_probabilities_sum_to_one_over_bases_alone(kind, tokens, codes):
    model = make(kind, tokens)
    hidden = hidden_of(model, codes)
    with torch.no_grad():
        [(found, _)] = list(model.predictions(codes, hidden, hidden))
    alphabet = model.tokenizer.alphabet
    torch.testing.assert_close(found.exp().sum(1), torch.ones(len(found)))
    assert torch.isinf(found[:, ~alphabet]).all()
    # Not even in training.
    raw = model(codes, Mask(hidden)).softmax(1)[:, ~alphabet]
    assert float(raw.detach().max()) == 0


@pytest.mark.parametrize("equivariant", [False, True])
@pytest.mark.parametrize("tokens", TOKENS)
def test_loss_of_a_sample_is_the_weighted_mean(tokens, equivariant, codes):
    model = make(tokens=tokens, repeat_weight=0.25, equivariant=equivariant)
    hidden = hidden_of(model, codes)
    mask, keys = Mask(hidden), Keys(0, 0, torch.arange(4))
    with torch.no_grad():
        losses = Learner(model).losses(Prepared(codes, mask, mask, keys))[0]
        each = -model.conditional_log_prob(codes, hidden)
    weights = model.tokenizer.weights(codes) * hidden
    torch.testing.assert_close(losses, (weights * each).sum(1) / weights.sum(1))
    assert weights.unique().numel() > 2


def test_random_replacements_are_bases(codes):
    model = make(corruption=(0.0, 1.0, 0.0))
    hidden = hidden_of(model, codes)
    seen = []
    outputs = model.network.outputs
    model.network.outputs = lambda ids, *rest: (seen.append(ids), outputs(ids, *rest))[1]
    mask = Mask(hidden)
    for epoch in range(20):
        Learner(model).losses(Prepared(codes, mask, mask, Keys(0, epoch, torch.arange(4))))[0]
    drawn = torch.stack([inputs[hidden] for inputs in seen])
    assert set(drawn.flatten().tolist()) == {0, 1, 2, 3}
    assert all(torch.equal(inputs[~hidden], (codes & 7).long()[~hidden]) for inputs in seen)


@every
def test_a_saved_model_is_the_same(kind, tokens, codes, tmp_path):
    model = make(kind, tokens, equivariant=True)
    save_model(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(again.features(codes), model.features(codes))
    other = untrained(model, seed=1)
    assert other.config == model.config
    assert not torch.equal(other.network.network.embed.weight, model.network.network.embed.weight)


def test_shapes_that_cannot_be():
    with pytest.raises(UserError, match="must be 3, 5, 7"):
        make(kernel=4)
    with pytest.raises(UserError, match="even whole number for each head"):
        build(DNA(window=24), DNAModelSettings(kind="transformer", width=9, heads=2), seed=0)
    with pytest.raises(UserError, match=r"outside 0\.\.1"):
        make().features(torch.zeros(1, 24, dtype=torch.uint8), layer=2)
