"""Trying a module that somebody else wrote on a small input, to learn what it reads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from maskwise.errors import UserError, option

T = TypeVar("T")


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module and its parts in eval mode, without gradients, for a while."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes.items():
            part.training = training


def said_of(module: nn.Module, call: Callable[[Tensor], T], x: Tensor) -> T:
    """Return what a call, which uses a module, makes of an input; the module stays as it is.

    Raises:
        UserError: whatever it raises, in one line.
    """
    first = next(module.parameters(), None)
    try:
        with evaluating(module):
            return call(x if first is None else x.to(first.device))
    except UserError:
        raise
    except Exception as error:  # whatever a module raises that reads something else
        said = " ".join(str(error).split())
        if x.is_meta and "meta" in said.lower():
            raise  # nothing was tried: tensors that have shapes only
        raise UserError(f"{type(error).__name__}: {said:.160}") from None


def what(found: object) -> str:
    """Say what a module gave.

    >>> what(torch.zeros(2, 3)), what({})
    ('[2, 3]', 'dict')
    """
    if not isinstance(found, Tensor):
        return type(found).__name__
    kind = "" if found.dtype == torch.float32 else f" of {str(found.dtype).removeprefix('torch.')}"
    return f"{list(found.shape)}{kind}"


def require_same_shape(module: nn.Module, x: Tensor, last: int | None = None) -> Tensor:
    """Refuse a module that does not turn an input into one of its shape, or of `last` features.

    Return what it gave.

    Raises:
        UserError: what it does instead, in one line.
    """
    found: object = said_of(module, module, x)
    wanted = torch.Size([*x.shape[:-1], last or x.shape[-1]])
    if not isinstance(found, Tensor) or found.shape != wanted or found.dtype != x.dtype:
        raise UserError(f"it turned {list(x.shape)} into {what(found)} instead of {list(wanted)}")
    return found


def require_reads(module: nn.Module, x: Tensor, of: str, last: int | None = None) -> None:
    """Refuse a module of one's own that does not read an input; see `require_same_shape`.

    Raises:
        UserError: what it was given, and what it did.
    """
    try:
        require_same_shape(module, x, last)
    except UserError as error:
        width = f"{option('model.width')} is {last or x.shape[-1]}"
        raise UserError(
            f"an encoder of your own does not read {of} {list(x.shape)} ({width}): {error}"
        ) from None
