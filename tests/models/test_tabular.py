"""The masked model of samples by features, whatever these are."""

import math
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from maskwise import likelihood
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.models import Tabular, build, load_model, save_model
from maskwise.models.feature_networks import Output
from maskwise.rng import Keys
from tests.models.tabular_models import (
    CASES,
    CORRUPTIONS,
    KINDS,
    NUM,
    cells,
    counts,
    hide,
    make,
    rows,
    table,
)

LINEAR = {"linear": 3}
EVERY = [
    (case, {"kind": kind, "corruption": corruption})
    for case, kind, corruption in product(CASES, KINDS, CORRUPTIONS)
]
EVERY += [(case, LINEAR) for case in ("numbers", "mixed with holes", "expression")]
EVERY += [("nb", {"norm": False, "depth": 2}), ("mixed", {"norm": False})]
KEYS = Keys(0, 0, torch.arange(NUM))


def name_of(value):
    return value if isinstance(value, str) else "-".join(map(str, value.values()))


every = pytest.mark.parametrize(("case", "changes"), EVERY, ids=name_of)


def each_case(*names):
    return pytest.mark.parametrize("case", names or list(CASES))


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
    modality, value = model.modality, float(samples[row, feature])
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
    each = model.sample_losses(samples, Mask(hidden & known), Mask(part), KEYS)
    means = torch.where(part, expected, 0.0).sum(1) / part.sum(1).clamp(min=1)
    torch.testing.assert_close(each, means, rtol=1e-3, atol=1e-4)


@every
def test_gradients_are_finite(case, changes):
    model, samples, hidden, known = given(case, changes)
    mask = Mask(hidden & known)
    model.train().sample_losses(samples, mask, mask, KEYS).sum().backward()
    gradients = {name: each.grad for name, each in model.named_parameters()}
    assert all(each is None or each.isfinite().all() for each in gradients.values())
    # All that such samples use is learned.
    idle = {name for name, each in gradients.items() if each is None or not each.any()}
    numbers = ("network.values", "network.number")
    categories = ("network.categories", "network.logit")
    sizes = model.modality.sizes
    assert all(name.startswith(categories if 0 in sizes else numbers) for name in idle)
    assert not idle or not any(sizes) or 0 not in sizes


class Recorder(nn.Module):
    """A network that keeps what it is shown and knows nothing."""

    num_layers = 1

    def __init__(self, num_parameters):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.num_parameters = num_parameters

    def forward(self, shown):
        self.shown = shown
        zeros = torch.zeros(*shown.values.shape, self.num_parameters)
        return Output(zeros, torch.zeros_like(shown.categories))

    def features(self, shown, layer):
        self.shown = shown
        return shown.values


def shown_of(case, hidden=None, keys=KEYS, corruption="permute"):
    """Return what a network is shown, as values and codes; NaN where blank."""
    modality, samples = CASES[case]
    model = make(modality, Recorder(2), corruption=corruption)
    hidden = torch.ones(NUM, model.length, dtype=torch.bool) if hidden is None else hidden
    model(samples, hidden, keys)
    shown = model.network.shown
    values, start = shown.values.clone(), 0
    for feature, size in enumerate(modality.sizes):
        if size:
            one_hot = shown.categories[:, start : start + size]
            assert torch.equal(one_hot.sum(1) == 0, shown.blank[:, feature])
            values[:, feature] = one_hot.argmax(1)
            start += size
    assert (shown.values[shown.blank] == 0).all()
    return values.masked_fill(shown.blank, torch.nan)


def normalised(case):
    """What a network would be shown of whole samples."""
    nothing = torch.zeros(NUM, len(CASES[case][0].sizes), dtype=torch.bool)
    return shown_of(case, nothing)


@each_case()
def test_hidden_values_are_permuted_within_their_feature(case):
    found, whole = shown_of(case), normalised(case)
    known = ~whole.isnan()
    for column, own in zip(found.T, whole.T, strict=True):
        there = ~column.isnan()
        # Each value of the batch goes to one sample, those that are not measured to some.
        assert torch.equal(column[there].sort().values, own[~own.isnan()].sort().values)
    moved = known & ~found.isnan() & (found != whole)
    assert moved.any(dim=0).all()
    assert torch.equal(shown_of(case).nan_to_num(-1), found.nan_to_num(-1))
    other = shown_of(case, keys=Keys(0, 1, KEYS.sample_ids))
    assert not torch.equal(other.nan_to_num(-1), found.nan_to_num(-1))
    # Features are permuted for themselves.
    if case == "numbers":
        places = (found[:, None] == whole[None]).float().argmax(1)
        assert len({tuple(column.tolist()) for column in places.T}) == 5


@each_case("numbers", "mixed with holes", "expression")
def test_visible_values_stay_where_they_are(case):
    modality, samples = CASES[case]
    hidden = hide(samples, len(modality.sizes))
    found, whole = shown_of(case, hidden), normalised(case)
    assert torch.equal(found[~hidden].nan_to_num(-9), whole[~hidden].nan_to_num(-9))
    # What a sample shows in place of a hidden value is what all hidden ones would be permuted to.
    assert torch.equal(found[hidden].nan_to_num(-9), shown_of(case)[hidden].nan_to_num(-9))


def test_only_training_permutes():
    modality, samples = CASES["numbers"]
    hidden = hide(samples, 5)
    model = make(modality, Recorder(1), corruption="permute")
    for call in (
        lambda: model.predict(samples, hidden),
        lambda: model.losses(samples, hidden),
        lambda: model.conditional_log_prob(samples, hidden),
        lambda: model.conditional_sample(samples, hidden, KEYS),
    ):
        call()
        shown = model.network.shown
        assert torch.equal(shown.blank, hidden)
        assert torch.equal(shown.values, samples.masked_fill(hidden, 0))
    for corruption in ("indicator", "zero"):
        other = shown_of("numbers", hidden, corruption=corruption)
        assert torch.equal(other.isnan(), hidden)
    mask = Mask(hidden)
    model.sample_losses(samples, mask, mask, KEYS)
    assert not model.network.shown.blank.any()


@pytest.mark.parametrize("kind", KINDS)
@each_case("nb", "zinb with holes", "numbers", "mixed")
@torch.no_grad()
def test_draws_are_as_predicted(case, kind):
    modality, samples = CASES[case]
    model = make(modality, kind=kind)
    num = 6000
    one = samples[3:4].expand(num, -1)
    hidden = hide(samples, model.length, seed=4)[3:4].expand(num, -1)
    assert 1 < int(hidden[0].sum()) < model.length
    drawn = model.conditional_sample(one, hidden, Keys(1, 0, torch.arange(num)))
    expected = model.predict(one[:1], hidden[:1])[0]
    for feature in hidden[0].nonzero().flatten().tolist():
        values = drawn[:, feature].double()
        if size := modality.sizes[feature]:
            found = torch.bincount(values.long(), minlength=size) / num
            each = one[:size].clone()
            each[:, feature] = torch.arange(size)
            probs = model.conditional_log_prob(each, hidden[:size])[:, feature].exp()
            assert int(expected[feature]) == int(probs.argmax())
            np.testing.assert_allclose(found, probs, atol=4 / (2 * num**0.5))
            continue
        error = float(values.std()) / num**0.5
        assert float(values.mean()) == pytest.approx(float(expected[feature]), abs=4.5 * error)
        if modality.loss == "mse":
            blank = int(hidden[0].sum())
            variance = math.exp(model.log_variance[blank - 1] + model.log_spread[feature])
            assert float(values.var()) == pytest.approx(variance, rel=0.1)
        else:
            assert (values == values.round()).all()
            assert (values >= 0).all()


def asked(model, sample, hidden, feature, values):
    """Return log-probabilities of one feature's values, given the rest of a sample."""
    many = sample.repeat(len(values), 1)
    many[:, feature] = values
    return model.conditional_log_prob(many, hidden.expand(len(values), -1))[:, feature].double()


@pytest.mark.parametrize("kind", KINDS)
@each_case()
@torch.no_grad()
def test_probabilities_sum_to_one(case, kind):
    """Densities integrate to one in the units of the data."""
    modality, samples = CASES[case]
    model = make(modality, kind=kind)
    if model.log_dispersion is not None:
        model.log_dispersion += 1.0  # shorter tails
    for row, feature in ((1, 0), (4, 1), (7, model.length - 1)):
        hidden = hide(samples, model.length, seed=row)[row]
        hidden[feature] = True
        sample = samples[row].clone()
        size = modality.sizes[feature]
        if size:
            total = asked(model, sample, hidden, feature, torch.arange(size)).exp().sum()
        elif modality.loss == "mse":
            scale = math.exp(modality.log_scale[feature])
            # A fine grid in the units of the data, far beyond what is predicted.
            raw = torch.linspace(-30 * scale, 30 * scale, 3001, dtype=torch.float64)
            values = (raw / scale).float()
            total = asked(model, sample, hidden, feature, values).exp().sum() * (raw[1] - raw[0])
        else:
            log_prob = asked(model, sample, hidden, feature, torch.arange(5000))
            total = log_prob.exp().sum()
        assert float(total) == pytest.approx(1, abs=2e-3)


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
    assert copy.modality.save(tmp_path) == model.modality.save(tmp_path)
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
    config = Tabular(kind=kind, width=8, depth=1, code=3, heads=2)
    first, again, other = (build(modality, config, seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert first.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    matrices = [name for name, value in first.items() if value.ndim > 1 and value.any()]
    assert matrices
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


@pytest.mark.parametrize("kind", KINDS)
@each_case("mixed with holes", "expression", "zinb with holes", "nb of batches")
@torch.no_grad()
def test_the_likelihood_package_works_with_it(case, kind):
    modality, samples = CASES[case]
    model = make(modality, kind=kind)
    samples = samples[: NUM - 1]  # of the last one nothing may be known
    scores = likelihood.score_samples(model, samples, passes=6)
    assert scores.shape == (NUM - 1,)
    assert scores.isfinite().all()
    likelihood.check_leak(model, samples)
    torch.testing.assert_close(
        likelihood.score_samples(model, samples[3:7], passes=6), scores[3:7]
    )
    estimate = likelihood.log_likelihood(model, samples, passes=6)
    assert estimate.per_sample.isfinite().all()
    new = likelihood.sample(model, 3, blocks=2)
    assert new.shape == (3, samples.shape[1])
    assert new.isfinite().all()
    observed = ~samples[:, : model.length].isnan() & ~hide(samples, model.length)
    found = likelihood.impute(model, samples, observed, num_samples=4, blocks=2)
    assert found.samples.shape[-1] == samples.shape[1]
    assert found.samples.isfinite().all()


def test_of_one_feature_only_the_score_is_exact():
    """With one feature measured, the likelihood is its one conditional."""
    modality, samples = table((0, 3)), rows((0, 3))
    samples[:, 1] = torch.nan
    model = make(modality)
    hidden = torch.ones(NUM, 2, dtype=torch.bool)
    with torch.no_grad():
        exact = model.conditional_log_prob(samples, hidden)[:, 0].double()
        scores = likelihood.score_samples(model, samples, passes=2)
    torch.testing.assert_close(scores, exact)


def test_what_a_model_cannot_do():
    mixed, samples = CASES["mixed"]
    fresh = build(mixed, Tabular(width=8, depth=1, code=3), seed=0)
    nothing = torch.zeros(NUM, 5, dtype=torch.bool)
    for call in (
        lambda: fresh.conditional_log_prob(samples, ~nothing),
        lambda: fresh.conditional_sample(samples, ~nothing, KEYS),
    ):
        with pytest.raises(UserError, match="no likelihood yet: call maskwise"):
            call()
    with pytest.raises(UserError, match="pool 'class' needs a class token"):
        fresh.encode(samples, pool="class")
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


def test_a_model_of_categories_needs_no_noise():
    modality, samples = CASES["categories"]
    fresh = build(modality, Tabular(width=8, depth=1, code=3), seed=0)
    hidden = hide(samples, 3)
    assert torch.equal(fresh.conditional_log_prob(samples, hidden), -fresh.losses(samples, hidden))


def test_half_precision_of_the_network_is_enough():
    """Losses are computed in single precision whatever the network's is."""
    modality, samples = CASES["zinb with holes"]
    model = make(modality)
    mask = Mask(hide(samples, 6) & ~samples.isnan())
    with torch.autocast("cpu", torch.bfloat16):
        found = model.sample_losses(samples, mask, mask, KEYS)
    assert found.dtype == torch.float32
    expected = model.sample_losses(samples, mask, mask, KEYS)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_empty_samples_are_of_no_batch():
    model = make(cells("nb", batches=("one", "two")))
    assert model.empty(2).tolist() == [[0.0] * 6 + [-1.0]] * 2
    assert model.num_encoded(SimpleNamespace(hidden=torch.zeros(3, 6))) == 18
