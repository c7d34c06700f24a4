"""The folder of an export: complete, or not there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from maskwise.errors import UserError, option
from maskwise.files import new_folder
from maskwise.modality import MaskedModel

USUAL = "hf-mlm"
"""what a model that has it is exported as if nothing is said"""
M = TypeVar("M", bound=MaskedModel)
Writer = Callable[[M, Path], None]
"""(model, an empty folder) -> writes its files"""
Formats = Mapping[str, Writer[M]]
ABOUT = "maskwise.json"
"""what an export says of the model: its kind of data, law, steps, ..."""


def write(model: M, folder: Path, formats: Formats[M], format: str | None = None) -> str:
    """Write a model in one of its formats; return which.

    Args:
        model: what is written.
        folder: which is new, or empty; it appears when all is written.
        formats: those that there are.
        format: one of them; default: `USUAL`, where there is that.

    Raises:
        UserError: no such format, or a folder that holds something or cannot be written.
    """
    name = chosen(model, formats, format)
    with new_folder(folder) as work:
        formats[name](model, work)
    return name


def chosen(model: M, formats: Formats[M], format: str | None) -> str:
    """Return the name of a format that there is.

    Raises:
        UserError: there is no such.
    """
    kind, known = model.tokenizer.modality, ", ".join(formats)
    if not formats:
        raise UserError(f"models of {kind} are not exported")
    if format is None and USUAL not in formats:
        raise UserError(f"models of {kind} are exported as {known}: give {option('format')}")
    name = format or USUAL
    if name not in formats:
        raise UserError(
            f"{option('format', name)}: models of {kind} are exported as {known}, not as {name}"
        )
    return name
