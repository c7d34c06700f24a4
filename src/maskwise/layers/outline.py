"""What weights a model would have, before any of it is made."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from maskwise.errors import UserError


def outline(make: Callable[[], nn.Module]) -> dict[str, Tensor] | None:
    """Return the weights that a model would have: their names, shapes and kinds, in no memory.

    None: what it computes from its weights has no shape without their values.

    Args:
        make: makes the model.

    Raises:
        UserError: sizes that no machine can count.

    Example:
        >>> {name: list(weight.shape) for name, weight in outline(lambda: nn.Linear(3, 9)).items()}
        {'weight': [9, 3], 'bias': [9]}
    """
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            return make().state_dict()
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, OverflowError) or "overflow" in str(error).lower():
            raise UserError("the model has more weights than can be counted") from None
        if isinstance(error, NotImplementedError) or "meta tensor" in str(error).lower():
            return None
        raise


def require_memory(weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are larger than the memory of this machine.

    Raises:
        UserError: they are.
    """
    size = sum(each.numel() * each.element_size() for each in weights.values())
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > room:
        needed, there = (f"{each / 2**30:,.0f} GiB" for each in (size, room))
        raise UserError(f"the model has {needed} of weights and this machine {there} of memory")


def shapes_of(path: Path) -> dict[str, list[int]]:
    """Return the shapes of the weights in a file of safetensors; only its header is read.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights {path} are damaged or missing: {error}") from None


def require_same(weights: Mapping[str, Tensor], shapes: Mapping[str, list[int]]) -> None:
    """Refuse shapes in a file that are not those of the weights that both have.

    Raises:
        UserError: a weight with another shape.
    """
    for name, weight in weights.items():
        if (here := list(weight.shape)) != (there := shapes.get(name, here)):
            raise UserError(f"{name} is {there} in the file and {here} in the model")
