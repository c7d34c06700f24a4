"""The command line: words to functions."""

import argparse
import importlib
import importlib.util
import io
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from maskwise import __version__, theory_verbs, verbs
from maskwise.arguments import Parser, Verb, add_verb, call
from maskwise.errors import UserError
from maskwise.modalities import KINDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0, 2 for bad input, 130 when interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal or a pipe whose encoding lacks a character gets a question mark.
        sys.stdout.reconfigure(errors="replace")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("maskwise").setLevel(logging.INFO)
    try:
        dotted, plain = _split(words)
        arguments, rest = _parser().parse_known_args(plain)
        call(arguments.verb, vars(arguments), _overrides([*dotted, *rest]), arguments.load)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        if "--debug" in words:
            raise
        print(f"maskwise: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        told = str(stop) or "stopped; continue with the same command and --resume"
        print(f"maskwise: {told}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="maskwise", description="Masked pretraining with the mask ratio as a law."
    )
    parser.add_argument("--version", action="version", version=f"maskwise {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(load=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run in verbs.VERBS.items():
        add_verb(commands, name, run)
    for modality, own in verbs_of_kinds().items():
        for name, run in own.items():
            add_verb(commands, name, run, partial(verbs.load_of, modality))
    theory = commands.add_parser(
        "theory", help="what a law costs, before anything is trained"
    ).add_subparsers(required=True, metavar="|".join(theory_verbs.VERBS))
    for name, run in theory_verbs.VERBS.items():
        add_verb(theory, name, run)
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


def _overrides(rest: Sequence[str]) -> dict[str, Any]:
    """Read ``--key value`` and ``--key=value`` pairs; a key alone is true.

    >>> _overrides(["--train.steps", "500", "--data.flip", "--data.size=64,48"])
    {'train.steps': '500', 'data.flip': True, 'data.size': '64,48'}
    """
    values: dict[str, Any] = {}
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
