"""What models are wrapped in: compilers and several devices; and hooks that copies do not take."""

import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from maskwise.errors import UserError
from maskwise.laws import Law, Scheduled

log = logging.getLogger("maskwise")

WRAPPERS = ("DistributedDataParallel", "FullyShardedDataParallel", "_FabricModule")
"""classes that have the model as `module`, and call it"""


class Hook:
    """A hook of a model that runs as Python, and stays behind where the model is copied or saved.

    Args:
        run: what it does.
    """

    def __init__(self, run: Callable[..., Any]) -> None:
        # It is no part of what a compiler makes of a model.
        self._run = torch.compiler.disable(run)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return no_hook, ()


def no_hook() -> Callable[..., None]:
    """Return what copies have in place of a hook."""
    return nothing


def nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


class Called:
    """A model whose class calls the forward without hooks: for now it is called as any other.

    Args:
        model: that is to have hooks.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._class = model, type(model)
        own = {"__call__": nn.Module.__call__, "__module__": self._class.__module__}
        model.__class__ = type(self._class.__name__, (self._class,), own)

    def remove(self) -> None:
        """Give it its class again."""
        self._model.__class__ = self._class


def hooked(model: Any) -> Any:
    """Return the part of a model whose forwards are meant: a compiled one as it is compiled.

    Raises:
        UserError: `nn.DataParallel`.
    """
    while _wraps(model):
        model = model.module
    refuse_copies(model)
    return model


def innermost(model: Any) -> Any:
    """Return the model within all that compiles it or runs it on several devices."""
    while True:
        inner = getattr(model, "_orig_mod", model)
        inner = inner.module if _wraps(inner) else inner
        if inner is model:
            return model
        model = inner


def _wraps(model: Any) -> bool:
    return any(each.__name__ in WRAPPERS for each in type(model).__mro__)


def refuse_copies(model: Any) -> None:
    """Refuse `nn.DataParallel`, and what it makes of a model."""
    if isinstance(model, nn.DataParallel) or getattr(model, "_is_replica", False):
        raise UserError(
            "nn.DataParallel runs copies of the model, which have no law: use"
            " DistributedDataParallel, or one device"
        )


def refuse_again() -> None:
    """Refuse a forward within a backward, whose masks would not be those of the first time."""
    if torch._C._current_graph_task_id() != -1:
        raise UserError(
            "the whole model is run again for its gradient (checkpoint), which would have other"
            " masks: checkpoint its layers, as gradient_checkpointing=True of a Trainer does"
        )


def warn_of_compiling(model: Any, law: Law, ladder: int | None) -> None:
    """Say that a compiled model compiles anew for each ratio."""
    compiled = hasattr(model, "_orig_mod") or model._compiled_call_impl is not None
    most = torch._dynamo.config.recompile_limit if compiled else 0
    atoms = law.atoms() if not isinstance(law, Scheduled) else []
    whole = math.isclose(sum(share for _, share in atoms), 1)
    num = ladder or (len(atoms) if whole else math.inf)
    if not compiled or num <= most:
        return
    told = f"a ladder of {ladder} ratios" if ladder else f"law '{law}'"
    log.warning(
        "%s has more ratios than the %d versions that torch.compile makes of a model, one for each"
        " number of visible positions: give ladder=%d, or raise"
        " torch._dynamo.config.recompile_limit",
        *(told, most, most),
    )
