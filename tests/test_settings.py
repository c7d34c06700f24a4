import dataclasses
import json
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, PositiveInt

from maskwise import UserError
from maskwise.images.recipes import ImageRunSettings, cifar10, digits
from maskwise.settings import (
    check_pool,
    differences,
    flatten,
    from_dict,
    override,
    settings,
    to_dict,
)
from maskwise.train.config import TrainSettings


@settings
class Inner:
    width: PositiveInt = 8
    """wide"""
    kind: Literal["a", "b"] = "a"
    pair: tuple[float, float] | None = None
    many: tuple[str, ...] = ("x",)


@settings
class Outer:
    inner: Inner = Field(default_factory=Inner)
    name: str = "n"
    rate: Annotated[float, Field(gt=0)] = 0.5
    most: float | None = 1.0
    flag: bool = False


def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_settings_are_frozen_keyword_only_and_validated() -> None:
    outer = Outer()
    with pytest.raises(dataclasses.FrozenInstanceError):
        outer.name = "m"
    with pytest.raises(ValueError, match="positional"):
        Inner(12)
    with pytest.raises(ValueError, match="greater than 0"):
        Outer(rate=0)
    with pytest.raises(ValueError, match="nmae"):
        Outer(nmae="m")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("inner.width", "12", 12),
        ("inner.kind", "b", "b"),
        ("inner.pair", "0.2,1.0", (0.2, 1.0)),
        ("inner.pair", "none", None),
        ("inner.many", "y", ("y",)),
        ("inner.many", "none", ()),
        ("inner.many", "y,z", ("y", "z")),
        ("name", "a,b", "a,b"),
        ("name", "7", "7"),
        ("name", "none", "none"),
        ("rate", "1e-3", 1e-3),
        ("most", "none", None),
        ("most", "2", 2.0),
        ("flag", "true", True),
        ("flag", "False", False),
    ],
)
def test_override_reads_text(key: str, text: str, value: object) -> None:
    changed = to_dict(override(Outer(), {key: text}))
    assert flatten(changed)[key] == (list(value) if isinstance(value, tuple) else value)
    untouched = {k: v for k, v in flatten(changed).items() if k != key}
    assert untouched == {k: v for k, v in flatten(to_dict(Outer())).items() if k != key}


def test_override_takes_values_and_several_keys() -> None:
    start = Outer(inner=Inner(pair=(1, 2)), most=None)
    changed = override(start, {"inner.pair": (3, 4), "inner.width": 5, "most": None, "name": "x"})
    assert changed == Outer(inner=Inner(pair=(3, 4), width=5), most=None, name="x")
    assert start == Outer(inner=Inner(pair=(1, 2)), most=None)
    assert override(start, {}) == start


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("inner.widht", "inner.width"),
        ("inner.width.deep", "inner.width"),
        ("widht", "inner.width"),
        ("width", "inner.width"),
        ("inner.name", "name"),
        ("outer.rate", "rate"),
        ("rat", "rate"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, nearest: str) -> None:
    message = refusal(override, Outer(), {key: 1})
    assert message == f"unknown key '{key}'; did you mean '{nearest}'?"


def test_an_unknown_key_like_no_other_lists_them() -> None:
    message = refusal(override, Outer(), {"zzzzzz": 1})
    assert message.startswith("unknown key 'zzzzzz'; known keys: inner.width, inner.kind")
    # A group is no key.
    assert "unknown key 'inner'" in refusal(override, Outer(), {"inner": {}})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"inner": {"width": 0}}, "inner.width=0: input should be greater than 0"),
        ({"inner": {"width": "many"}}, "inner.width='many': input should be a valid integer"),
        ({"inner": {"kind": "c"}}, "inner.kind='c': input should be 'a' or 'b'"),
        ({"inner": 3}, "inner=3: input should be"),
        ({"rate": -1}, "rate=-1: input should be greater than 0"),
        ({"rate": float("nan")}, "rate=nan: input should be"),
        ({"rate": "x\ny"}, r"rate='x\ny': input should be a valid number"),
        ({"naem": "x"}, "unknown key 'naem'; did you mean 'name'?"),
        ({"inner": {"widht": 1}}, "unknown key 'inner.widht'; did you mean 'inner.width'?"),
    ],
)
def test_bad_values_in_one_line(values: dict, says: str) -> None:
    assert says in refusal(from_dict, Outer, values)


def test_flatten_and_differences() -> None:
    old = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": "x"}
    new = {"a": {"b": 2, "c": {"d": [1, 2]}}, "f": "y"}
    assert flatten(old) == {"a.b": 1, "a.c.d": [1, 2], "e": "x"}
    assert differences(old, old) == []
    assert differences(old, new) == ["a.b: 1 -> 2", "e: x -> None", "f: None -> y"]


@pytest.mark.parametrize("config", [ImageRunSettings(), digits(), cifar10("choice:1*0.1,2*0.7")])
def test_a_configuration_survives_json(config: ImageRunSettings) -> None:
    text = json.dumps(to_dict(config))
    again = from_dict(ImageRunSettings, json.loads(text))
    assert again == config
    assert json.dumps(to_dict(again)) == text
    assert differences(to_dict(again), to_dict(config)) == []


@given(
    weights=st.lists(st.floats(0.01, 10), min_size=2, max_size=5),
    lr=st.floats(1e-9, 1e3),
    seed=st.integers(0, 2**70),
    steps=st.integers(1, 10**9),
    clip=st.none() | st.floats(1e-6, 1e6),
)
def test_any_configuration_survives_json(
    weights: list[float], lr: float, seed: int, steps: int, clip: float | None
) -> None:
    law = "choice:" + ",".join(f"{w!r}*{(i + 1) / 10}" for i, w in enumerate(weights))
    config = ImageRunSettings(
        law=law, seed=seed, train=TrainSettings(lr=lr, steps=steps, clip=clip)
    )
    assert from_dict(ImageRunSettings, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("law", "unifrom:0.1,0.8", "unknown law 'unifrom:0.1,0.8'"),
        ("law", "fixed:1.5", "ratio 1.5 is outside (0, 1)"),
        ("pattern", "blok", "unknown pattern 'blok'"),
        ("train.scope", "batch", "train.scope='batch': input should be 'step' or 'sample'"),
        ("train.steps", "0", "train.steps=0: input should be greater than 0"),
        ("train.stepz", "5", "unknown key 'train.stepz'; did you mean 'train.steps'?"),
        ("train.accumulate", "3", "train.batch_size 128 is not a multiple of 1 devices x 3"),
        ("seed", "-1", "seed=-1: input should be greater than or equal to 0"),
    ],
)
def test_bad_configurations_in_one_line(key: str, value: str, says: str) -> None:
    assert says in refusal(override, ImageRunSettings(), {key: value})


def test_a_law_is_kept_in_its_normal_form() -> None:
    assert ImageRunSettings(law=" 0.75 ").law == "fixed:0.75"
    assert override(ImageRunSettings(), {"law": "0.75"}).law == "fixed:0.75"


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("inner.width", "true", "inner.width=True: it is no switch: give it a value"),
        ("rate", "true", "it is no switch"),
        ("inner.width", "1e30", "inner.width=1e+30: the number is too large"),
        ("rate", "inf", "finite number"),
        ("rate", "nan", "finite number"),
        ("rate", "1e-400", "rate='1e-400': the number is too small to be told from 0"),
        ("inner.pair", "true,0.5", "it is no switch"),
    ],
)
def test_numbers_are_numbers(key: str, text: str, said: str) -> None:
    assert said in refusal(override, Outer(), {key: text})


def test_numbers_given_from_python_are_numbers() -> None:
    assert "it is no switch" in refusal(from_dict, Outer, {"inner": {"width": True}})
    with pytest.raises(UserError, match="too large"):
        Inner(width=2**70)
    assert override(Outer(), {"rate": "1e30"}).rate == 1e30


def test_pools_that_a_model_lacks():
    for has_class_token in (False, True):
        check_pool("mean", has_class_token)
        with pytest.raises(UserError, match="pool 'none' is none of mean, class, both"):
            check_pool("none", has_class_token)
    check_pool("both", has_class_token=True)
    with pytest.raises(UserError, match="pool 'both' needs a class token, which this model lacks"):
        check_pool("both", has_class_token=False)
