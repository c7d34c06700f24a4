"""From the signature of a function to a verb of the command line."""

import argparse
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

from maskwise.errors import UserError
from maskwise.files import Entries

Verb = Callable[..., None]
Load = Callable[[str, bool], object]
"""(place, whether it may be of any kind) -> a model"""


@dataclass(frozen=True)
class Arg:
    """What the command line says of a parameter, as ``Annotated[int, Arg("masks to draw")]``."""

    help: str = ""
    metavar: str | None = None
    read: Callable[[str], object] | None = None
    """what makes a value of a word; default: the type of the parameter"""
    choices: Iterable[str] | None = None
    """what a word may be; default: what the type says"""
    model: Literal["own", "any"] | None = None
    """whether the word is where a model is, which the function is given: one of its kind or any"""


Out = Annotated[Path | None, Arg("a .png file")]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are those of the package."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def add_verb(verbs: Any, name: str, run: Verb, load: Load | None = None) -> None:
    """Add a function as a verb.

    Its docstring is the help, and what follows the first line the epilog. Parameters before the
    star are arguments in their order, those after it options; ``**settings`` takes all else.

    Args:
        verbs: subparsers.
        name: what the verb is called.
        run: the function.
        load: what loads the models that it asks for.
    """
    title, _, more = (inspect.getdoc(run) or "").partition("\n\n")
    text = title.removesuffix(".")
    verb = verbs.add_parser(
        name,
        help=f"{text[0].lower()}{text[1:]}",
        description=title,
        epilog=more or None,
        allow_abbrev=False,
    )
    verb.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    for parameter in inspect.signature(run).parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            _add(verb, parameter)
    verb.set_defaults(verb=run, load=load)


def call(
    run: Verb,
    values: Mapping[str, Any],
    settings: Mapping[str, Any],
    load: Load | None = None,
) -> None:
    """Call a verb with what was parsed, and models where it asks for them, by `load`.

    Raises:
        UserError: settings, of a verb that takes none; and what the verb raises.
    """
    parameters = inspect.signature(run).parameters.values()
    open_ = any(each.kind is each.VAR_KEYWORD for each in parameters)
    if settings and not open_:
        raise UserError(f"unknown option '--{next(iter(settings))}'; see --help")
    given = {
        each.name: _given(values[each.name], _read(each)[1].model, load)
        for each in parameters
        if each.kind is not each.VAR_KEYWORD
    }
    run(**given, **settings)


def _given(value: Any, model: str | None, load: Load | None) -> Any:
    return value if model is None or load is None else load(value, model == "any")


def _read(parameter: inspect.Parameter) -> tuple[Any, Arg]:
    """Return the type of a parameter, without None, and what is said of it."""
    kind, arg = parameter.annotation, Arg()
    if get_origin(kind) is Annotated:
        kind, *rest = get_args(kind)
        arg = next((each for each in rest if isinstance(each, Arg)), arg)
    return (str if arg.model else _without_none(kind)), arg


def _add(verb: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    kind, arg = _read(parameter)
    default = parameter.default
    options: Entries = {"help": arg.help, "metavar": arg.metavar}
    if default is not parameter.empty:
        options["default"] = default
        shown = default is not None and not isinstance(default, (bool, list))
        options["help"] += f" (default: {default})" if shown and "default" not in arg.help else ""
    if get_origin(kind) is list and arg.read is None:
        options["nargs"], [kind] = "+", get_args(kind)
    if get_origin(kind) is Literal:
        options["choices"] = list(get_args(kind))
    elif kind is bool:
        options = {"help": arg.help, "action": "store_true"}
    else:
        options |= {"type": arg.read or kind, "choices": arg.choices}
    if parameter.kind is parameter.KEYWORD_ONLY:
        short = ["-o"] if parameter.name == "out" and kind is Path else []
        options["required"] = default is parameter.empty
        verb.add_argument(*short, f"--{parameter.name.replace('_', '-')}", **options)
        return
    if default is not parameter.empty and "nargs" not in options:
        options["nargs"] = "?"
    verb.add_argument(parameter.name, **options)


def _without_none(kind: Any) -> Any:
    """Return X of X | None.

    >>> _without_none(int | None), _without_none(str)
    (<class 'int'>, <class 'str'>)
    """
    if get_origin(kind) not in (types.UnionType, Union):
        return kind
    [found] = [each for each in get_args(kind) if each is not types.NoneType]
    return found


def integers(text: str) -> list[int]:
    """Read whole numbers with commas between.

    >>> integers("200,800")
    [200, 800]
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' must be whole numbers, as in 200,800"
        ) from None


def numbers(text: str) -> list[float]:
    """Read numbers with commas between.

    >>> numbers("0.25,0.75")
    [0.25, 0.75]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' must be numbers, as in 0.25,0.75") from None


def only_data(settings: Entries, refusal: str) -> None:
    """Refuse settings of anything but the data.

    Raises:
        UserError: such a setting.
    """
    for key in settings:
        if not key.startswith("data."):
            raise UserError(f"{refusal} '{key}': give data.* keys")


def save_picture(figure: Any, path: Path) -> None:
    """Write a picture, and say where."""
    from maskwise.files import write_png

    write_png(path, figure)
    print(f"picture: {path}")
