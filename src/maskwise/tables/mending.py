"""What stands in the way of using a table, with the settings that mend it."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from maskwise.errors import UserError, as_text
from maskwise.settings import override

if TYPE_CHECKING:
    from maskwise.tables.data import TableDataSettings

LEAVE_OUT = "leave_out"
"""beside names of settings: a column that is one more to drop"""


class Trouble(NamedTuple):
    """One thing that stands in the way."""

    text: str
    settings: Mapping[str, Any] = {}
    """values of settings of the data that mend it, or what to `LEAVE_OUT`"""


class Mendable(UserError):
    """All that stands in the way at one place."""

    def __init__(self, *troubles: Trouble) -> None:
        super().__init__("; ".join(each.text for each in troubles))
        self.troubles = troubles


def troubles_of(error: UserError) -> tuple[Trouble, ...]:
    """Return what an error tells of."""
    return error.troubles if isinstance(error, Mendable) else (Trouble(str(error)),)


def mended(
    data: "TableDataSettings", settings: Mapping[str, Any]
) -> tuple["TableDataSettings", dict[str, str]] | None:
    """Return settings with changes, and these as texts of the command line; None if none.

    A name that the command line would read otherwise, such as one with a comma, cannot be given.
    """
    changes = dict(settings)
    if changes.get(LEAVE_OUT) in data.drop:
        return None  # that did not help
    if LEAVE_OUT in changes:
        changes["drop"] = (*data.drop, changes.pop(LEAVE_OUT))
    changes = {key: value for key, value in changes.items() if getattr(data, key) != value}
    texts = {key: as_text(value) for key, value in changes.items()}
    if not changes:
        return None
    try:
        found = override(type(data)(), texts)
    except UserError:
        return None
    if any(getattr(found, key) != value for key, value in changes.items()):
        return None
    return dataclasses.replace(data, **changes), {
        f"data.{key}": text for key, text in texts.items()
    }
