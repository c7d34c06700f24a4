"""The masked model of samples by features, whatever these are."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from maskwise import likelihood
from maskwise.columns.model import TabularModelSettings
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.run import load_model, save_model
from maskwise.train.loop import Learner, Prepared
from tests.columns.small_models import (
    CASES,
    CORRUPTIONS,
    KEYS,
    KINDS,
    NUM,
    cells,
    counts,
    each_case,
    hide,
    make,
)
from tests.pairs import pairs

LINEAR = {"linear": 3}
EVERY = [
    (case, {"kind": kind, "corruption": corruption})
    for case, kind, corruption in pairs(list(CASES), KINDS, CORRUPTIONS)
]
EVERY += [(case, LINEAR) for case in ("numbers", "mixed with holes", "expression")]
EVERY += [("nb", {"norm": False, "depth": 2}), ("mixed", {"norm": False})]


def name_of(value):
    return value if isinstance(value, str) else "-".join(map(str, value.values()))


every = pytest.mark.parametrize(("case", "changes"), EVERY, ids=name_of)


def given(case, changes):
    """Return a model, samples, hidden positions and those that were measured."""
    modality, samples = CASES[case]
    model = make(modality, **changes)
    hidden = hide(samples, model.length)
    return model, samples, hidden, ~samples[:, : model.length].isnan()


@every
@torch.no_grad()
def test_shapes(case, changes):
    model, samples, hidden, known = given(case, changes)
    shape = (NUM, model.length)
    assert model.predict(samples, hidden).shape == shape
    assert model.predict(samples, hidden).isfinite().all()
    assert torch.equal(model.eligible(samples), known)
    log_prob = model.conditional_log_prob(samples, hidden)
    assert log_prob.shape == shape
    assert log_prob.isfinite().all()
    assert (log_prob[~(hidden & known)] == 0).all()
    drawn = model.conditional_sample(samples, hidden, KEYS)
    assert drawn.shape == samples.shape
    assert drawn[:, : model.length][hidden].isfinite().all()
    assert torch.equal(drawn[:, model.length :], samples[:, model.length :])
    filled = model.reconstruct(samples, hidden)
    assert filled.isfinite().all()
    kept = known & ~hidden
    for made in (filled, drawn):
        assert torch.equal(made[:, : model.length][kept], samples[:, : model.length][kept])
    width = 3 if model.config.kind == "mlp" else 8
    assert model.encode(samples).shape == (NUM, width)
    assert model.encode(samples, layer=0).shape == (NUM, 8)
    assert model.encode(samples).isfinite().all()
    assert model.empty(4).shape == (4, samples.shape[1])


@every
@torch.no_grad()
def test_what_is_hidden_is_not_seen(case, changes):
    """Nor is what stands where nothing was measured."""
    model, samples, hidden, known = given(case, changes)
    before = model.predict(samples, hidden)
    others = {
        "another sample's": model.mix(samples, samples.roll(1, 0), hidden),
        "nothing": model.mix(samples, torch.full_like(samples, torch.nan), hidden),
    }
    for other in others.values():
        torch.testing.assert_close(model.predict(other, hidden), before, rtol=1e-5, atol=1e-6)
    blank = hidden | ~known
    torch.testing.assert_close(model.predict(samples, blank), before, rtol=1e-5, atol=1e-6)
    # Of two halves of the hidden positions one is asked for, the other changed.
    half = hide(samples, model.length, seed=5) & hidden
    asked = hidden & ~half & known
    changed = model.mix(samples, samples.roll(1, 0), half)
    log_prob = model.conditional_log_prob(samples, hidden)
    again = model.conditional_log_prob(changed, hidden)
    torch.testing.assert_close(again[asked], log_prob[asked], rtol=1e-5, atol=1e-5)
    # But what is visible is.
    seen = known & ~hidden
    other = model.mix(samples, samples.roll(1, 0), seen)
    assert not torch.allclose(model.conditional_log_prob(other, hidden), log_prob, atol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["nb", "zinb"])
@torch.no_grad()
def test_the_library_of_all_genes_leaks(loss, kind):
    """What is hidden is known to add up to the rest: why library="visible" is the default."""
    samples = counts()
    hidden = torch.zeros(NUM, 6, dtype=torch.bool)
    hidden[:, :2] = True
    more = samples.clone()
    more[:, 0] += 100
    for library, leaks in (("visible", False), ("all", True)):
        model = make(cells(loss, library=library), kind=kind)
        before = model.conditional_log_prob(samples, hidden)[:, 1]
        after = model.conditional_log_prob(more, hidden)[:, 1]
        assert torch.allclose(before, after, atol=1e-5) != leaks
        expected = model.predict(samples, hidden)[:, 1]
        assert (model.predict(more, hidden)[:, 1] > 1.05 * expected).all() == leaks
        if leaks:
            with pytest.raises(UserError, match="the model leaks"):
                likelihood.check_leak(model, samples)
        else:
            likelihood.check_leak(model, samples)


def by_hand(model, output, samples, row, feature, hidden):
    """The loss of one value, from what the network says."""
    modality, value = model.tokenizer, float(samples[row, feature])
    size = modality.sizes[feature]
    if size:
        first = sum(modality.sizes[:feature])
        logits = output.logits[row, first : first + size].double()
        return float(logits.exp().sum().log() - logits[int(value)])
    said = output.numbers[row, feature].double().tolist()
    if modality.loss == "mse":
        return (said[0] - value) ** 2 / 2
    profile = np.array(modality.profile)
    seen = (~hidden[row] & ~samples[row, : model.length].isnan()).numpy()
    total = samples[row, : model.length].numpy()[seen].sum()
    library = (total + 1) / (profile[seen].sum() + 1 / modality.target_sum)
    mean = library * profile[feature] * math.exp(said[0])
    dispersion = math.exp(float(model.log_dispersion[feature]))
    prob = stats.nbinom.pmf(value, dispersion, dispersion / (dispersion + mean))
    if modality.loss == "zinb":
        zero = 1 / (1 + math.exp(-said[1]))
        prob = (1 - zero) * prob + zero * (value == 0)
    return -math.log(prob)


@every
@torch.no_grad()
def test_losses_are_those_of_each_value_by_hand(case, changes):
    model, samples, hidden, known = given(case, changes)
    found, output = model.losses(samples, hidden), model(samples, hidden)
    expected = torch.zeros(found.shape)
    for row, feature in (hidden & known).nonzero().tolist():
        expected[row, feature] = by_hand(model, output, samples, row, feature, hidden)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    if model.config.corruption == "permute":
        return  # in training other values are shown
    part = hide(samples, model.length, seed=9) & hidden & known
    each = Learner(model).losses(Prepared(samples, Mask(hidden & known), Mask(part), KEYS))[0]
    means = torch.where(part, expected, 0.0).sum(1) / part.sum(1).clamp(min=1)
    torch.testing.assert_close(each, means, rtol=1e-3, atol=1e-4)


@every
def test_gradients_are_finite(case, changes):
    model, samples, hidden, known = given(case, changes)
    mask = Mask(hidden & known)
    Learner(model.train()).losses(Prepared(samples, mask, mask, KEYS))[0].sum().backward()
    gradients = {name: each.grad for name, each in model.named_parameters()}
    assert all(each is None or each.isfinite().all() for each in gradients.values())
    # All that such samples use is learned.
    idle = {name for name, each in gradients.items() if each is None or not each.any()}
    numbers = ("network.values", "network.number")
    categories = ("network.categories", "network.logit")
    sizes = model.tokenizer.sizes
    assert all(name.startswith(categories if 0 in sizes else numbers) for name in idle)
    assert not idle or not any(sizes) or 0 not in sizes


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_features_of_samples_ignore_their_batch(kind):
    for case in ("nb of batches", "expression of batches with holes"):
        modality, samples = CASES[case]
        model = make(modality, kind=kind)
        other = samples.clone()
        other[:, -1] = (other[:, -1] + 2) % 3 - 1
        assert torch.equal(model.encode(samples), model.encode(other))
        hidden = hide(samples, model.length)
        assert not torch.allclose(model.predict(samples, hidden), model.predict(other, hidden))


@every
@torch.no_grad()
def test_a_saved_model_comes_back_to_the_bit(case, changes, tmp_path):
    model, samples, hidden, _ = given(case, changes)
    save_model(tmp_path, model)
    copy = load_model(tmp_path)
    assert copy.config == model.config
    assert copy.tokenizer.save(tmp_path) == model.tokenizer.save(tmp_path)
    assert not copy.training
    for call in (
        lambda each: each.predict(samples, hidden),
        lambda each: each.conditional_log_prob(samples, hidden),
        lambda each: each.encode(samples),
    ):
        assert torch.equal(call(model), call(copy))


@pytest.mark.parametrize("kind", KINDS)
@each_case("mixed", "zinb with holes", "nb of batches")
def test_a_seed_decides_the_weights(case, kind):
    modality, before = CASES[case][0], torch.get_rng_state()
    config = TabularModelSettings(kind=kind, width=8, depth=1, code=3, heads=2)
    first, again, other = (build(modality, config, seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert first.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    matrices = [name for name, value in first.items() if value.ndim > 1 and value.any()]
    assert matrices
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


def test_what_a_model_cannot_do():
    mixed, samples = CASES["mixed"]
    fresh = build(mixed, TabularModelSettings(width=8, depth=1, code=3), seed=0)
    nothing = torch.zeros(NUM, 5, dtype=torch.bool)
    for call in (
        lambda: fresh.conditional_log_prob(samples, ~nothing),
        lambda: fresh.conditional_sample(samples, ~nothing, KEYS),
    ):
        with pytest.raises(UserError, match="no likelihood yet: call maskwise"):
            call()
    with pytest.raises(UserError, match="pool 'class' needs a class token"):
        fresh.encode(samples, pool="class")
    with pytest.raises(UserError, match="pool 'none' is none of mean, class, both"):
        fresh.encode(samples, pool="none")
    for layer in (2, -3):
        with pytest.raises(UserError, match=f"layer {layer} is outside 0..1"):
            fresh.encode(samples, layer=layer)
    for modality, changes in (
        (mixed, {"kind": "transformer"}),
        (mixed, LINEAR),
        (cells("nb"), {}),
    ):
        with pytest.raises(UserError, match="only an mlp of no counts, without a linear path"):
            make(modality, **changes).decode(torch.zeros(1, 3))
    for modality, changes in ((mixed, {"kind": "transformer"}), (cells("nb"), {})):
        with pytest.raises(UserError, match="linear 3: only an mlp of no counts"):
            make(modality, **LINEAR, **changes)


@torch.no_grad()
def test_decoding_a_code_is_predicting():
    modality, samples = CASES["mixed"]
    model = make(modality)
    nothing = torch.zeros(NUM, 5, dtype=torch.bool)
    assert torch.equal(model.decode(model.encode(samples)), model.predict(samples, nothing))


@every
def test_half_precision_of_the_network_is_enough(case, changes):
    """Losses are computed in single precision whatever the network's is."""
    model, samples, hidden, known = given(case, changes)
    mask = Mask(hidden & known)
    with torch.autocast("cpu", torch.bfloat16):
        found = Learner(model).losses(Prepared(samples, mask, mask, KEYS))[0]
    found.sum().backward()
    assert found.dtype == torch.float32
    expected = Learner(model).losses(Prepared(samples, mask, mask, KEYS))[0]
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


def test_empty_samples_are_of_no_batch():
    model = make(cells("nb", batches=("one", "two")))
    assert model.empty(2).tolist() == [[0.0] * 6 + [-1.0]] * 2
    assert model.num_encoded(SimpleNamespace(hidden=torch.zeros(3, 6))) == 18
