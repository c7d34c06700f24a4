import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.laws.combined import SHAPES
from maskwise.objectives.weight import Weight

WEIGHTS = st.floats(0, 1e6)
SHARES = st.floats(0.001, 1)


@pytest.mark.parametrize("text", ["0.01", " 0.01 ", "1e-2", ".01", "1E-2", "+0.01"])
def test_a_number_is_the_same_all_the_time(text):
    weight = Weight.parse(text)
    assert [weight.at(t) for t in (0, 0.3, 1)] == pytest.approx([0.01] * 3)
    assert not weight.is_zero


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
    assert Weight.parse(text).is_zero is is_zero


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
