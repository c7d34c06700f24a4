import dataclasses
import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from maskwise.errors import UserError
from maskwise.laws.combined import SHAPES
from maskwise.objectives import regularisers
from maskwise.objectives.regularise import TERMS, RegulariseSettings, Weight, penalty
from maskwise.settings import from_dict, override, to_dict

ENCODER = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def features(seed=0, width=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(12, width, generator=generator)


def by_hand(earlier, later):
    """Each term as its own page has it."""
    return {
        "uniformity": regularisers.uniformity(later),
        "coding_rate": regularisers.coding_rate(later, mu=3.0),
        "variance": regularisers.variance(later),
        "covariance": regularisers.covariance(later),
        "koleo": regularisers.koleo(later),
        "magma": regularisers.magma(earlier, later),
        "local_dimension": regularisers.local_dimension(later, neighbours=4),
        "orthogonality": regularisers.orthogonality(ENCODER),
    }


SETTINGS = {"mu": 3.0, "neighbours": 4, "layer": 1}


def test_every_term_is_a_function_and_a_setting():
    functions = {
        name
        for name, function in vars(regularisers).items()
        if inspect.isfunction(function)
        and function.__module__ == regularisers.__name__
        and not name.startswith("_")
    }
    assert set(TERMS) == functions
    weights = {
        field.name
        for field in dataclasses.fields(RegulariseSettings)
        if getattr(RegulariseSettings(), field.name) == "0"
    }
    assert set(TERMS) == weights
    assert by_hand(features(), features(1)).keys() == TERMS.keys()


@pytest.mark.parametrize("name", TERMS)
def test_one_term(name):
    config = RegulariseSettings(**SETTINGS, **{name: "0.3"})
    assert [*config.terms] == [name]
    assert config.layers == ((1, 0) if name == "magma" else (1,))
    earlier, later = features().requires_grad_(), features(1, width=4).requires_grad_()
    expected = by_hand(earlier, later)[name]
    found, values = penalty(config, [later, earlier][: len(config.layers)], ENCODER, 0.5)
    torch.testing.assert_close(found, 0.3 * expected)
    assert values.keys() == {name, "cosine2"}
    torch.testing.assert_close(values[name], expected.detach())
    torch.testing.assert_close(values["cosine2"], regularisers.uniformity(later).detach())
    assert not any(value.requires_grad for value in values.values())
    assert {found.ndim, *(value.ndim for value in values.values())} == {0}
    learned = [later, earlier, *ENCODER.parameters()]
    gradients = torch.autograd.grad(found, learned, allow_unused=True)
    wanted = torch.autograd.grad(0.3 * expected, learned, allow_unused=True)
    for gradient, other in zip(gradients, wanted, strict=True):
        assert (gradient is None) == (other is None)
        if other is not None:
            torch.testing.assert_close(gradient, other)
    assert max(gradient.abs().max() for gradient in gradients if gradient is not None) > 1e-4


def test_magma_has_what_an_earlier_layer_says_as_given():
    earlier, later = features(), features(1)
    _, values = penalty(RegulariseSettings(magma="1"), [later, earlier], ENCODER, 0)
    there, back = regularisers.magma(earlier, later), regularisers.magma(later, earlier)
    assert abs(float(there - back)) > 1e-3
    assert float(values["magma"]) == pytest.approx(float(there))


def test_the_sum_of_all_terms_moves_with_the_schedule():
    config = RegulariseSettings(
        **SETTINGS,
        **dict.fromkeys(set(TERMS) - {"variance", "koleo"}, "0.1"),
        variance="linear:1..3@0.5",
        koleo="step:0..0.2",
    )
    earlier, later = features(), features(1)
    expected = {name: float(value.detach()) for name, value in by_hand(earlier, later).items()}
    assert config.layers == (1, 0)
    for progress, variance, koleo in ((0, 1, 0), (0.25, 2, 0), (0.5, 3, 0.2), (1, 3, 0.2)):
        found, values = penalty(config, [later, earlier], ENCODER, progress)
        weights = dict.fromkeys(expected, 0.1) | {"variance": variance, "koleo": koleo}
        total = sum(weights[name] * value for name, value in expected.items())
        assert float(found.detach()) == pytest.approx(total, abs=1e-5)
        # What is logged are the terms for themselves.
        assert values.keys() == {*TERMS, "cosine2"}
        for name, value in expected.items():
            assert float(values[name]) == pytest.approx(value, abs=1e-5)


def test_nothing_is_asked_for_unless_a_weight_is():
    for config in (
        RegulariseSettings(),
        RegulariseSettings(uniformity="0.0", magma="linear:0..0"),
    ):
        assert (config.terms, config.layers) == ({}, ())
    assert RegulariseSettings(uniformity="linear:0..0.01").layers == (-1,)


def test_weight_and_scale_of_the_public_code():
    z = features()
    found, values = penalty(RegulariseSettings(uniformity="0.01", scale="public"), [z], ENCODER, 0)
    expected = regularisers.uniformity(z, scale="public")
    assert float(found.detach()) == pytest.approx(0.01 * float(expected))
    # It counts each sample against itself; what compares across batch sizes does not.
    assert float(values["cosine2"]) == pytest.approx((float(expected) * 12 - 1) / 11)
    assert float(values["uniformity"]) > float(values["cosine2"]) + 0.05


def test_features_in_half_precision_give_a_penalty_in_full():
    z = features().bfloat16().requires_grad_()
    found, values = penalty(RegulariseSettings(uniformity="0.1", variance="1"), [z], ENCODER, 0)
    assert {found.dtype, *(value.dtype for value in values.values())} == {torch.float32}
    found.backward()
    assert z.grad.dtype == torch.bfloat16
    assert z.grad.abs().max() > 0


def test_settings_from_numbers_and_texts_are_the_same():
    assert RegulariseSettings(uniformity=0.01) == RegulariseSettings(uniformity="0.01")
    config = override(RegulariseSettings(), {"koleo": 0.1, "covariance": "linear:0..1"})
    assert from_dict(RegulariseSettings, to_dict(config)) == config
    assert [*config.terms] == ["covariance", "koleo"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"uniformity": "abc"}, "weight 'abc' cannot be read: give a number"),
        ({"koleo": -1}, "weight '-1' must be 0 or more"),
        ({"mu": 0}, "mu=0: input should be greater than 0"),
        ({"neighbours": 1}, "neighbours=1: input should be greater than or equal to 2"),
        ({"pool": "max"}, "pool='max'"),
        ({"scale": "paper"}, "scale='paper'"),
        ({"layer": 1.5}, r"layer=1\.5"),
        ({"uniformty": 0.1}, "unknown key 'uniformty'; did you mean 'uniformity'"),
    ],
)
def test_bad_settings_are_one_line(values, says):
    with pytest.raises(UserError, match=says) as error:
        from_dict(RegulariseSettings, values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in TERMS if name != "orthogonality"])
def test_terms_refuse_a_single_sample(name):
    config = RegulariseSettings(**{name: 1, "neighbours": 2})
    with pytest.raises(UserError, match=r"a batch of 1") as error:
        penalty(config, [features()[:1], features(1)[:1]], ENCODER, 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", TERMS)
def test_only_terms_of_directions_refuse_features_of_zeros(name):
    config = RegulariseSettings(**{name: 1, "neighbours": 2})
    zero = features()
    zero[3] = 0
    if name not in ("uniformity", "coding_rate", "koleo"):
        _, values = penalty(config, [zero, features(1)], ENCODER, 0)
        assert set(values) == {name}  # the mean squared cosine is not known
        return
    with pytest.raises(UserError, match=r"1 of 12 feature vectors are exactly zero") as error:
        penalty(config, [zero, features(1)], ENCODER, 0)
    assert "choose another pool or layer" in str(error.value)


WEIGHTS = st.floats(0, 1e6)
SHARES = st.floats(0.001, 1)


@pytest.mark.parametrize("text", ["0.01", " 0.01 ", "1e-2", ".01", "1E-2", "+0.01"])
def test_a_number_is_the_same_all_the_time(text):
    weight = Weight.parse(text)
    assert [weight.at(t) for t in (0, 0.3, 1)] == pytest.approx([0.01] * 3)
    assert RegulariseSettings(koleo=text).terms == {"koleo": weight}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linear:0..1", [0, 0.25, 0.5, 0.75, 1]),
        ("linear:0..1@0.5", [0, 0.5, 1, 1, 1]),
        ("linear:3..1@1", [3, 2.5, 2, 1.5, 1]),
        ("cosine:0..2", [0, 1 - math.sqrt(0.5), 1, 1 + math.sqrt(0.5), 2]),
        ("cosine:0..2@0.5", [0, 1, 2, 2, 2]),
        ("step:0.1..0.2", [0.1, 0.1, 0.2, 0.2, 0.2]),
        ("step:0.1..0.2@0.5", [0.1, 0.2, 0.2, 0.2, 0.2]),
        ("LINEAR:1e-3..5e-3@1.0", [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]),
        ("linear:0.0..1.", [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_weights_that_move(text, expected):
    weight = Weight.parse(text)
    assert [weight.at(t) for t in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx(expected)


@given(st.sampled_from([*SHAPES]), WEIGHTS, WEIGHTS, SHARES)
def test_what_is_read_is_what_is_written(shape, start, end, until):
    assert Weight.parse(f"{shape}:{start!r}..{end!r}@{until!r}") == Weight(
        start, end, shape, until
    )
    assert Weight.parse(f"{shape}:{start!r}..{end!r}") == Weight(start, end, shape, 1.0)


@given(st.sampled_from([*SHAPES]), WEIGHTS, WEIGHTS, SHARES, st.floats(0, 1), st.floats(0, 1))
def test_it_moves_one_way_from_start_to_end(shape, start, end, until, earlier, later):
    weight = Weight(start, end, shape, until)
    earlier, later = sorted((earlier, later))
    assert weight.at(0) == start
    assert weight.at(until) == weight.at(1) == end
    slack = 1e-9 * max(start, end)
    assert min(start, end) - slack <= weight.at(later) <= max(start, end) + slack
    assert abs(weight.at(earlier) - start) <= abs(weight.at(later) - start) + slack


@pytest.mark.parametrize(
    ("text", "is_zero"),
    [("0", True), ("linear:0..0", True), ("0.0", True), ("linear:0..1", False), ("1e-9", False)],
)
def test_what_is_zero_all_the_time(text, is_zero):
    assert (RegulariseSettings(koleo=text).terms == {}) is is_zero


FORM = "give a number, or linear|cosine|step:FROM..TO, with @SHARE if"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abc", f"weight 'abc' cannot be read: {FORM}"),
        ("", FORM),
        ("0.1,0.2", FORM),
        ("linear:0", FORM),
        ("linear:0..", FORM),
        ("linear:0..1@", FORM),
        ("linear:a..b", FORM),
        ("quadratic:0..1", FORM),
        ("0..1", FORM),
        ("linear:0..1@0.5@0.6", FORM),
        ("-1", "weight '-1' must be 0 or more, and finite"),
        ("nan", "must be 0 or more, and finite"),
        ("inf", "must be 0 or more, and finite"),
        ("linear:-0.1..1", "must be 0 or more, and finite"),
        ("linear:0..1e999", "must be 0 or more, and finite"),
        ("linear:0..1@0", r"'linear:0..1@0' arrives at 0: give a share in \(0, 1\]"),
        ("linear:0..1@1.5", r"arrives at 1.5: give a share in \(0, 1\]"),
        ("linear:0..1@-0.5", r"arrives at -0.5: give a share in \(0, 1\]"),
    ],
)
def test_bad_weights_are_one_line(text, says):
    with pytest.raises(UserError, match=says) as error:
        Weight.parse(text)
    assert "\n" not in str(error.value)
