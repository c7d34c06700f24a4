"""The folder of an export: complete, with a card, or not there."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from torch import nn

from maskwise.errors import UserError, option
from maskwise.exports.card import CARD, Origin, card
from maskwise.files import new_folder, write_json
from maskwise.modality import MaskedModel

USUAL = "hf-mlm"
"""what a model that has it is exported as if nothing is said"""
ABOUT = "maskwise.json"
"""what an export says of the model: its kind of data, law, steps, ..."""
M = TypeVar("M", bound=MaskedModel)
Writer = Callable[[M, Path], None]
"""(model, a folder) -> writes its files; README.md, if it writes one, says how it is loaded"""
Formats = Mapping[str, Writer[M]]


def write(
    model: M,
    folder: Path,
    formats: Formats[M],
    format: str | None = None,
    origin: Origin | None = None,
) -> str:
    """Write a model in one of its formats, with a card; return which.

    Args:
        model: what is written.
        folder: which is new, or empty; it appears when all is written.
        formats: those that there are.
        format: one of them; default: `USUAL`, where there is that.
        origin: what is known of the model beside its weights.

    Raises:
        UserError: no such format, or a folder that holds something or cannot be written.
    """
    name, origin = chosen(model, formats, format), origin or Origin()
    with new_folder(folder) as work, _at_rest(model):
        told = origin.described(model, name)
        write_json(work / ABOUT, told)
        formats[name](model, work)
        (work / CARD).write_text(card(work, origin, told), "utf-8")
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


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Have a model on the CPU and in evaluation mode for a while."""
    device, training = next(model.parameters()).device, model.training
    model.cpu().eval()
    try:
        yield
    finally:
        model.to(device).train(training)
