"""Frozen, validated settings: one way to build, override, save and compare them.

A settings class lives beside the code that reads it. Values are checked when it is built, so a
settings object that exists is a valid one.
"""

import dataclasses
import difflib
import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform, get_origin

import pydantic
from pydantic.dataclasses import dataclass as pydantic_dataclass

from maskwise.errors import UserError
from maskwise.files import Entries

T = TypeVar("T")
_AS_LIST = pydantic.BeforeValidator(
    lambda value: () if value is None else (value,) if isinstance(value, (int, float)) else value
)
Commas = Annotated[
    str | None,
    pydantic.BeforeValidator(lambda it: ",".join(map(str, it)) if isinstance(it, list) else it),
]
"""a text that may have commas, which the command line takes for a list"""
LARGEST = 2**63 - 1
"""the largest whole number that is a setting"""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only dataclass whose values are validated; docstrings become help."""
    cls.__annotations__ = {name: _stricter(kind) for name, kind in cls.__annotations__.items()}
    config = pydantic.ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
    )
    made: Any = pydantic_dataclass(cls, frozen=True, kw_only=True, config=config)
    validate = made.__init__

    @functools.wraps(validate)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            validate(self, *args, **values)
        except pydantic.ValidationError as error:
            raise UserError(_explain(error, made)) from None

    made.__init__ = init
    return made


def _stricter(kind: Any) -> Any:
    """Return a type that takes no switch for a number, and no number beyond all measure."""
    origin: object = get_origin(kind)
    if origin is ClassVar or dataclasses.is_dataclass(kind) or "bool" in str(kind):
        return kind
    if origin is tuple:
        kind = Annotated[kind, _AS_LIST]  # none and one number, as the command line gives them
    most = math.inf if "float" in str(kind) else LARGEST
    return Annotated[kind, pydantic.BeforeValidator(functools.partial(_sensible, most=most))]


def _sensible(value: Any, most: float) -> Any:
    for each in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(each, bool):
            raise ValueError("it is no switch: give it a value")
        if isinstance(each, (int, float)) and abs(each) > most:
            raise ValueError("the number is too large")
    return value


def to_dict(config: Any) -> Entries:
    """Return nested settings as plain JSON-ready values.

    >>> from maskwise.images.data import ImageDataSettings
    >>> to_dict(ImageDataSettings(source="digits"))["source"]
    'digits'
    """
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build settings from nested plain values (the inverse of `to_dict`).

    Raises:
        UserError: an unknown key (with the nearest match) or a bad value, in one line.
    """
    try:
        return pydantic.TypeAdapter(cls).validate_python(
            dict(values) if isinstance(values, Mapping) else values
        )
    except pydantic.ValidationError as error:
        raise UserError(_explain(error, cls)) from None


def override(config: T, changes: Mapping[str, Any]) -> T:
    """Return `config` with dotted keys replaced, as in ``{"train.steps": 500}``.

    Raises:
        UserError: an unknown key (with the nearest match) or a bad value, in one line.
    """
    values = to_dict(config)
    known = flatten(values)
    for key, value in changes.items():
        if key not in known:
            raise UserError(f"unknown key '{key}'{_nearest(key, known)}")
        if isinstance(value, str) and _vanishes(value):
            raise UserError(f"{key}={value!r}: the number is too small to be told from 0")
        *groups, last = key.split(".")
        node = values
        for group in groups:
            node = node[group]
        node[last] = _read(value, known[key]) if isinstance(value, str) else value
    return from_dict(type(config), values)


def _vanishes(text: str) -> bool:
    """Say whether a text is a number other than 0 that becomes 0.

    >>> _vanishes("1e-400"), _vanishes("0.0"), _vanishes("1e-5")
    (True, False, False)
    """
    try:
        return float(text) == 0 and not set(text.lower().split("e")[0]).isdisjoint("123456789")
    except ValueError:
        return False


def _read(text: str, known: Any) -> Any:
    """Turn the text of a command line into the kind of value that it replaces."""
    if isinstance(known, str):
        return text
    if text.lower() == "none":
        return None
    parts = [_number(part) for part in text.split(",")]
    return parts if len(parts) > 1 or isinstance(known, list) else parts[0]


def _number(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def check_layer(name: str, layer: int, num_layers: int) -> None:
    """Refuse a layer, of a setting named so, that a model of so many lacks.

    Raises:
        UserError: such a layer.
    """
    if not -num_layers <= layer < num_layers:
        raise UserError(f"{name} {layer} is outside 0..{num_layers - 1} (or -1 = last)")


def check_pool(
    pool: str, has_class_token: bool, known: Sequence[str] = ("mean", "class", "both")
) -> None:
    """Refuse features of a sample that a model lacks.

    Args:
        pool: which features were asked for.
        has_class_token: whether the model has a token of no position, as all but the mean need.
        known: what there may be.

    Raises:
        UserError: such features.

    >>> check_pool("mean", has_class_token=False)
    """
    if pool not in known:
        raise UserError(f"pool {pool!r} is none of {', '.join(known)}")
    if pool in ("class", "both") and not has_class_token:
        raise UserError(f"pool '{pool}' needs a class token, which this model lacks: use mean")


def flatten(values: Mapping[str, Any], prefix: str = "") -> Entries:
    """Return nested plain values as one level of dotted keys.

    >>> flatten({"train": {"steps": 5}, "seed": 0})
    {'train.steps': 5, 'seed': 0}
    """
    flat: Entries = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List what differs between two nested plain settings, as ``key: old -> new``.

    >>> differences({"train": {"lr": 0.1}}, {"train": {"lr": 0.2}})
    ['train.lr: 0.1 -> 0.2']
    """
    before, after = flatten(old), flatten(new)
    keys = [*before, *(key for key in after if key not in before)]
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    """Name the closest known key; a bare name also matches the last part of a dotted one."""
    tails = {name.rsplit(".", 1)[-1]: name for name in known}
    match = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    tail = difflib.get_close_matches(key.rsplit(".", 1)[-1], list(tails), n=1, cutoff=0.8)
    if tail:
        return f"; did you mean '{tails[tail[0]]}'?"
    return f"; did you mean '{match[0]}'?" if match else f"; known keys: {', '.join(known)}"


def _skeleton(cls: Any) -> Entries:
    """Return the nested keys of a settings class."""
    return {
        field.name: _skeleton(field.type) if dataclasses.is_dataclass(field.type) else None
        for field in dataclasses.fields(cls)
    }


def _explain(error: pydantic.ValidationError, cls: type) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "unexpected_keyword_argument":
        known = flatten(_skeleton(cls))
        return f"unknown key '{key}'{_nearest(key, known)}"
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first.get("ctx", {}).get("error"), UserError):
        return message  # names the value itself
    place = f"{key}={first['input']!r}: " if key and "missing" not in first["type"] else f"{key}: "
    return f"{place if key else ''}{message[:1].lower()}{message[1:]}"
