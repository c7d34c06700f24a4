"""What of samples is not there, as users say it: positions, places of a grid, or pixels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwise.errors import UserError
from maskwise.modality import Incomplete, MaskedModel
from maskwise.textio import readable


def read_hidden(path: Path) -> np.ndarray:
    """Return the array in a .npy file that says what is hidden.

    Raises:
        UserError: it cannot be read.
    """
    with readable(path):
        return np.asarray(np.load(path, allow_pickle=False))


def positions(hidden: np.ndarray, model: MaskedModel, found: Incomplete) -> np.ndarray:
    """Return what of the samples that could be read is hidden, bool [n, L].

    Args:
        hidden: of all samples: positions, bool [N, L] or [N, *grid], or values on the axes of the
            grid, such as pixels: then a position is hidden where any of its values is.
        model: what positions are.
        found: the samples.

    Raises:
        UserError: it is not bool, or has another shape.
    """
    hidden, grid = np.asarray(hidden), tuple(model.tokenizer.grid)
    num, length = found.num, int(np.prod(grid))
    if hidden.dtype != bool:
        raise UserError(f"hidden is an array of {hidden.dtype}: give bool, True = hidden")
    sample = tuple(found.source.get(np.arange(min(1, len(found.source)))).shape[1:])
    values = sample[-len(grid) :]
    fits = len(values) == len(grid) and not any(
        size % side for size, side in zip(values, grid, strict=True)
    )
    allowed = dict.fromkeys([(num, length), (num, *grid), *([(num, *values)] if fits else [])])
    if hidden.shape not in allowed:
        told = " or ".join(map(str, allowed))
        raise UserError(f"hidden has the shape {hidden.shape}: give {told} for these samples")
    if hidden.shape not in ((num, length), (num, *grid)):
        sides = [(side, size // side) for size, side in zip(values, grid, strict=True)]
        parts = hidden.reshape(num, *(each for both in sides for each in both))
        hidden = np.asarray(parts.any(axis=tuple(range(2, 2 * len(grid) + 1, 2))))
    return hidden.reshape(num, length)[found.kept]


def without(model: MaskedModel, data: Incomplete, own: Sequence[int]) -> Incomplete:
    """Return samples in all of which some positions are hidden, and never were there."""
    if not len(own):
        return data
    length = int(np.prod(model.tokenizer.grid))
    hidden = np.zeros((len(data.source), length), dtype=bool)
    hidden[:, list(own)] = True
    whole = np.full(len(hidden), length) if data.whole is None else data.whole
    every = hidden if data.hidden is None else hidden | data.hidden
    return data._replace(hidden=every, whole=whole - len(own))
