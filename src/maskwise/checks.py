"""Arguments of public functions are what their annotations say, or are refused before any work."""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from maskwise.errors import UserError

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)

NO_ROOM = ("allocate memory", "not enough memory", "out of memory")
# What numpy's ArrayLike is made of, beside scalars.
_OF_ARRAYS = ("numpy._typing", "<class 'numpy._typing")
_REAL = (float, Sequence[float])
PLAIN: dict[object, tuple[str, Callable[[Any], bool]]] = {
    int: ("a whole number", lambda value: _is(value, int, np.integer)),
    float: ("a number", lambda value: _is(value, int, float, np.integer, np.floating)),
    bool: ("True or False", lambda value: isinstance(value, bool | np.bool_)),
    str: ("a text", lambda value: isinstance(value, str)),
    type(None): ("None", lambda value: value is None),
}


def checked(*real: str, **least: float) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Refuse arguments that are not of the types that a function names, or less than `least`.

    A switch is no number; arrays hold numbers. Which words and which numbers will do is for the
    function to say, and so is of those called `real` whether they are whole, or of arrays what
    they hold. What has no room in memory is told in one line.

    >>> @checked(num=1)
    ... def twice(num: int) -> int:
    ...     return 2 * num
    >>> twice(0)
    Traceback (most recent call last):
    maskwise.errors.UserError: num=0: it must be 1 or more
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)
        rules = {
            name: _members(parameter.annotation) + (_REAL if name in real else ())
            for name, parameter in signature.parameters.items()
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            and parameter.annotation is not parameter.empty
        }
        for name in real:
            if "ArrayLike" in rules[name]:  # of texts, too
                del rules[name]

        @functools.wraps(function)
        def call(*args: P.args, **options: P.kwargs) -> T:
            for name, value in signature.bind(*args, **options).arguments.items():
                if name in rules:
                    check(name, value, rules[name], least.get(name))
            try:
                return function(*args, **options)
            except (MemoryError, RuntimeError) as error:
                full = isinstance(error, MemoryError) or any(say in str(error) for say in NO_ROOM)
                if not full or isinstance(error, UserError):
                    raise
                text = f"{function.__name__}: there is no room for this in memory: {error}"
                raise UserError(text.split("\n")[0]) from None

        return call

    return decorate


def checked_fields(cls: C) -> C:
    """Refuse fields of a dataclass that are not of the types that it names."""
    cls.__init__ = checked()(cls.__init__)  # type: ignore[misc]
    return cls


def check(name: str, value: object, members: Sequence[Any], least: float | None = None) -> None:
    """Refuse a value that is of none of some types.

    Raises:
        UserError: such a value, or a number less than `least`.
    """
    if not any(_fits(value, member) for member in members):
        words = " or ".join(dict.fromkeys(_word(member) for member in members))
        shown = repr(value)
        if isinstance(value, np.ndarray):
            shown = f"{value.dtype} array of shape {value.shape}"
        raise UserError(f"{name}={shown:.60}: it must be {words}")
    if least is not None and isinstance(value, int | float | np.number) and value < least:
        raise UserError(f"{name}={value}: it must be {least} or more")


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation allows."""
    if isinstance(annotation, str):
        return tuple(annotation.strip("'\"").split(" | "))
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return (annotation,)
    found = tuple(each for one in typing.get_args(annotation) for each in _members(one))
    others = tuple(each for each in found if not str(each).startswith(_OF_ARRAYS))
    if len(others) == len(found):
        return found
    return ("ArrayLike", *(each for each in others if each not in (complex, bytes, str)))


def _fits(value: Any, member: Any) -> bool:
    named = {"int": int, "float": float, "bool": bool, "str": str, "None": type(None)}
    member = named.get(member, member) if isinstance(member, str) else member
    if member in PLAIN:
        return PLAIN[member][1](value)
    if member == "ArrayLike":
        return _is_array(value)
    origin = typing.get_origin(member)
    if origin is tuple and typing.get_args(member)[1:] == (...,):
        return _is_sequence(value, _members(typing.get_args(member)[0]))
    if origin is Literal:
        return any(type(value) is type(each) for each in typing.get_args(member))
    if origin is Sequence:
        return _is_sequence(value, _members(typing.get_args(member)[0]))
    if isinstance(origin, type):
        return _is_array(value) if origin is np.ndarray else isinstance(value, origin)
    if not isinstance(member, type):
        return True  # what only a type checker knows
    if getattr(member, "_is_protocol", False):
        return not isinstance(value, type) and any(  # it may need one of them only
            hasattr(value, each) for each in vars(member) if not each.startswith("_")
        )
    return isinstance(value, member)


def _word(member: Any) -> str:
    if member in PLAIN:
        return PLAIN[member][0]
    if typing.get_origin(member) is Literal:
        return " or ".join(map(repr, typing.get_args(member)))
    if typing.get_origin(member) in (Sequence, tuple):
        inner = " or ".join(_word(each) for each in _members(typing.get_args(member)[0]))
        return f"a list, each {inner}"
    name = member if isinstance(member, str) else getattr(member, "__name__", str(member))
    return "an array of numbers" if name in ("ArrayLike", "ndarray") else f"a {name}"


def _is(value: Any, *kinds: type) -> bool:
    """Return whether a value is a number, but no switch."""
    return isinstance(value, kinds) and not isinstance(value, bool)


def _is_sequence(value: Any, members: Sequence[Any]) -> bool:
    if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        return False
    values = value.tolist() if hasattr(value, "tolist") else value
    return isinstance(values, Sequence) and all(
        any(_fits(each, member) for member in members) for each in values
    )


def _is_array(value: Any) -> bool:
    """Return whether a value is an array of numbers, or a list that becomes one."""
    if value is None or isinstance(value, bool | str | dict):
        return False
    if type(value).__module__.startswith(("torch", "scipy.sparse")):
        return True
    try:
        return bool(np.asarray(value).dtype.kind in "biuf")
    except (ValueError, TypeError):
        return False
