"""The command line: words to functions, whose signatures say what they take."""

import argparse
import importlib
import importlib.util
import inspect
import io
import logging
import os
import sys
import types
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

from maskwise import __version__, theory_verbs, verbs
from maskwise.arguments import Arg, Verb
from maskwise.errors import UserError, as_flag, speaking
from maskwise.files import Entries
from maskwise.modalities import KINDS
from maskwise.progress import begins
from maskwise.textio import user_path

Load = Callable[[str, bool], object]
"""(place, whether it may be of any kind) -> a model"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0, 2 for bad input, 130 when interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal or a pipe whose encoding lacks a character gets a question mark.
        sys.stdout.reconfigure(errors="replace")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("maskwise").setLevel(logging.INFO)
    try:
        with speaking(as_flag):
            dotted, plain = _split(_spelled_out(words))
            arguments, rest = _parser().parse_known_args(plain)
            _call(arguments, _overrides([*dotted, *rest]))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        if "--debug" in words:
            raise
        print(f"maskwise: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        told = str(stop) or "stopped; continue with the same command and --resume"
        print(f"maskwise: {told}", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are those of the package."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="maskwise", description="Masked pretraining with the mask ratio as a law."
    )
    parser.add_argument("--version", action="version", version=f"maskwise {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(load=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run in verbs.VERBS.items():
        _add_verb(commands, name, run)
    for modality, own in verbs_of_kinds().items():
        for name, run in own.items():
            _add_verb(commands, name, run, partial(verbs.load_of, modality))
    theory = commands.add_parser(
        "theory", help="what a law costs, before anything is trained"
    ).add_subparsers(required=True, metavar="|".join(theory_verbs.VERBS))
    for name, run in theory_verbs.VERBS.items():
        _add_verb(theory, name, run)
    return parser


def verbs_of_kinds() -> dict[str, dict[str, Verb]]:
    """Return what only one kind of data can do: the verbs of its module `verbs`, if it has one."""
    found = {}
    for modality, where in KINDS.items():
        if isinstance(where, str):
            module = f"{where.rpartition('.')[0]}.verbs"
            if importlib.util.find_spec(module) is not None:
                found[modality] = importlib.import_module(module).VERBS
    return found


def _add_verb(verbs: Any, name: str, run: Verb, load: Load | None = None) -> None:
    """Add a function as a verb to subparsers; `load` loads the models that it asks for.

    Its docstring is the help, and what follows the first line the epilog. Parameters before the
    star are arguments in their order, those after it options; ``**settings`` takes all else.
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
    verb.set_defaults(verb=run, load=load, name=name)


def _call(arguments: argparse.Namespace, settings: Entries) -> None:
    """Call the verb that was parsed, with models where it asks for them.

    Raises:
        UserError: settings, of a verb that takes none; and what the verb raises.
    """
    parameters = inspect.signature(arguments.verb).parameters.values()
    named = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
    if settings and len(named) == len(parameters):
        raise UserError(f"unknown option '--{next(iter(settings))}'; see --help")
    if arguments.load is not None or len(named) < len(parameters):
        begins(arguments.name)  # it imports what takes seconds
    given = {}
    for parameter in named:
        value, model = getattr(arguments, parameter.name), _read(parameter)[1].model
        loads = model is not None and arguments.load is not None
        given[parameter.name] = arguments.load(value, model == "any") if loads else value
    arguments.verb(**given, **settings)


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
        options |= {"type": arg.read or (user_path if kind is Path else kind)}
        options |= {"choices": arg.choices}
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


def _spelled_out(words: Sequence[str]) -> list[str]:
    """Give ``--resume`` the value that it may come without, so that nothing else is taken for it.

    >>> _spelled_out(["pretrain", "--resume", "digits"]), _spelled_out(["--resume", "auto"])
    (['pretrain', '--resume=yes', 'digits'], ['--resume=auto'])
    """
    spelled: list[str] = []
    for word in words:
        if spelled[-1:] == ["--resume=yes"] and word == "auto":
            spelled[-1] = "--resume=auto"
        else:
            spelled.append("--resume=yes" if word == "--resume" else word)
    return spelled


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take ``--group.key value`` out of the words, so that their order does not matter.

    >>> _split(["pretrain", "--train.steps", "500", "digits", "--resume"])
    (['--train.steps', '500'], ['pretrain', 'digits', '--resume'])
    """
    dotted: list[str] = []
    plain: list[str] = []
    takes_value = False
    for word in words:
        is_key = word.startswith("--") and "." in word.partition("=")[0]
        takes_value &= not word.startswith("--")
        (dotted if is_key or takes_value else plain).append(word)
        takes_value = is_key and "=" not in word
    return dotted, plain


def _overrides(rest: Sequence[str]) -> Entries:
    """Read ``--key value`` and ``--key=value`` pairs; a key alone is true.

    >>> _overrides(["--train.steps", "500", "--data.flip", "--data.size=64,48"])
    {'train.steps': '500', 'data.flip': True, 'data.size': '64,48'}
    """
    values: Entries = {}
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise UserError(f"'{word}' is one argument too many: settings are --KEY VALUE")
        key, equals, text = word[2:].partition("=")
        alone = not equals and (not words or words[0].startswith("--"))
        values[key.replace("-", "_")] = True if alone else text if equals else words.pop(0)
    return values


if __name__ == "__main__":
    sys.exit(main())
