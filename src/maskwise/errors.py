"""What a user did that cannot work, told in one line and in the language it was asked in."""

import importlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

Say = Callable[[str, str | None], str]
"""(dotted setting or argument, its value as a text or None) -> how to give it"""


class UserError(ValueError):
    """Bad input: what it is, the value, and what to do about it, in one line.

    The command line prints the message and exits with status 2; Python callers catch it as a
    ``ValueError``.

    Args:
        text: the message.
        settings: what would mend it: dotted settings, each as a text of the command line.
    """

    def __init__(self, text: str, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.settings = dict(settings or {})


def require(name: str, what: object, extra: str) -> ModuleType:
    """Import a package that `what` needs and that an extra of maskwise installs.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f'{what} needs {name}: pip install "maskwise[{extra}]"') from None


def as_argument(key: str, value: str | None = None) -> str:
    """Say a setting as Python gives it.

    >>> as_argument("data.size", "64"), as_argument("data.size", "64,48"), as_argument("out")
    ('data={"size": 64}', 'data={"size": "64,48"}', 'out=...')
    """
    group, dot, rest = key.partition(".")
    literal = "..." if value is None else _literal(value)
    return f'{group}={{"{rest}": {literal}}}' if dot else f"{group}={literal}"


def as_flag(key: str, value: str | None = None) -> str:
    """Say a setting as the command line gives it.

    >>> as_flag("data.size", "64,48"), as_flag("out"), as_flag("data.decimal", ",")
    ('--data.size 64,48', '--out', '--data.decimal ,')
    """
    flag = f"--{key}" if "." in key else f"--{key.replace('_', '-')}"
    return flag if value is None else f"{flag} {shlex.quote(value)}"


def _literal(text: object) -> str:
    if not isinstance(text, str):  # as Python had it
        return repr(text)
    named = {"true": "True", "false": "False", "none": "None"}
    try:
        return named.get(text) or str(json.loads(text))
    except ValueError:
        return json.dumps(text, ensure_ascii=False)


_say: ContextVar[Say] = ContextVar("say", default=as_argument)


@contextmanager
def speaking(say: Say) -> Iterator[None]:
    """Let messages say settings as `say` does, within the block."""
    token = _say.set(say)
    try:
        yield
    finally:
        _say.reset(token)


def option(key: str, value: str | None = None) -> str:
    """Say a setting in the language of whoever called: a flag, or an argument of Python.

    Args:
        key: a dotted setting, as "data.size", or an argument of a verb, as "out".
        value: as the command line takes it; None: which is left to the reader.

    >>> with speaking(as_flag):
    ...     option("data.size", "64")
    '--data.size 64'
    """
    return _say.get()(key, value)


def as_text(value: object) -> str:
    """Return the value of a setting as the command line takes it.

    >>> as_text(None), as_text(True), as_text((0.5, 1)), as_text("a")
    ('none', 'true', '0.5,1', 'a')
    """
    if isinstance(value, (list, tuple)):
        return ",".join(map(as_text, value)) or "none"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def call(verb: str, data: str | None, settings: Mapping[str, object]) -> str:
    """Return a complete command that gives a verb data and settings, in the same language.

    Data in memory, None, are called so.

    >>> call("pretrain", "my photos", {"data.size": "64", "data.channels": "3"})
    'mw.pretrain("my photos", **{"data.size": 64, "data.channels": 3})'
    >>> with speaking(as_flag):
    ...     call("pretrain", "my photos", {"data.size": "64"})
    "maskwise pretrain 'my photos' --data.size 64"
    """
    texts = {key: as_text(value) for key, value in settings.items()}
    if _say.get() is as_flag:
        given = [as_flag(key, value) for key, value in texts.items()]
        return " ".join(["maskwise", verb, shlex.quote(data or "data"), *given])
    pairs = ", ".join(f'"{key}": {_literal(value)}' for key, value in texts.items())
    more = f", **{{{pairs}}}" if pairs else ""
    where = "data" if data is None else json.dumps(data, ensure_ascii=False)
    return f"mw.{verb}({where}{more})"
