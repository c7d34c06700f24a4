"""What functions that are verbs of the command line say of their arguments."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from maskwise.errors import UserError
from maskwise.files import Entries

Verb = Callable[..., None]


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
OneRun = Annotated[Path, Arg(metavar="RUN")]
TableOut = Annotated[Path, Arg("a .csv, .tsv or .parquet file")]


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
