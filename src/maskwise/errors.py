"""What a user did that cannot work, told in one line."""

import importlib
from types import ModuleType


class UserError(ValueError):
    """Bad input: what it is, the value, and what to do about it, in one line.

    The command line prints the message and exits with status 2; Python callers catch it as a
    ``ValueError``.
    """


def require(name: str, what: object, extra: str) -> ModuleType:
    """Import a package that `what` needs and that an extra of maskwise installs.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f'{what} needs {name}: pip install "maskwise[{extra}]"') from None
