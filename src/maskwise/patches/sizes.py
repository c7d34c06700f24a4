"""A model of patches for samples of another size: the same weights, positions of another grid."""

import copy
import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.layers.resize import resize_positions
from maskwise.layers.transformer import sincos_positions
from maskwise.patches.model import PatchModel
from maskwise.patches.tokenizer import PatchTokenizer

Place = Literal["scaled", "further"]
"""where the cells of another grid are: over the same picture, or one step from each other"""


def on_grid(model: PatchModel, tokenizer: PatchTokenizer, place: Place = "scaled") -> PatchModel:
    """Return a copy of a model that reads samples of another size; nothing is shared.

    What is known of the noise at each number of hidden positions is of the old grid, and left out:
    until `fit_noise` the copy has no likelihood.

    Args:
        model: of patches.
        tokenizer: cuts samples into tokens of the same size, on a grid of as many axes.
        place: "scaled" lays the new grid over the old one: learned positions are interpolated,
            sine-cosine ones are those between. "further" keeps the step, as for more of a scene
            at the same resolution: sine-cosine positions only.

    Raises:
        UserError: tokens of another size, or learned positions that cannot go further.

    Example:
        >>> from maskwise.patches.arrays import ArrayTokenizer
        >>> from maskwise.patches.model import PatchModelSettings
        >>> small, large = (ArrayTokenizer("s", (side,), 3, 0.0, 1.0) for side in (4, 7))
        >>> shape = PatchModelSettings(width=8, depth=1, heads=2, decoder_width=8)
        >>> on_grid(PatchModel(small, shape), large).encode(torch.zeros(2, 7, 3)).shape
        torch.Size([2, 8])
    """
    own = model.tokenizer
    if tokenizer.token_dim != own.token_dim or len(tokenizer.grid) != len(own.grid):
        raise UserError(
            f"tokens of {tokenizer.token_dim} values on a grid {tokenizer.grid} are none of this"
            f" model, which takes {own.token_dim} values on {len(own.grid)} axes"
        )
    if place == "further" and model.config.positions != "sincos":
        raise UserError("learned positions end with their grid: only scaled ones fit another")
    made = copy.deepcopy(model, {id(own): own})
    made.tokenizer = tokenizer
    grids = tuple(own.grid), tuple(tokenizer.grid)
    if grids[0] == grids[1]:
        return made
    length = math.prod(tokenizer.grid)
    made.log_variance = nn.Buffer(made.log_variance.new_full((length,), torch.nan))
    made.log_spread = nn.Buffer(made.log_spread.new_zeros(length, tokenizer.token_dim))
    if made.reader is not None:
        made.reader.move(tokenizer)
        return made
    over = _laid_over(model, *grids, place)
    made.config = dataclasses.replace(model.config, position_grid=over)
    formula = model.config.positions == "sincos"
    made.positions = _moved(made.positions, *grids, over, formula)
    if model.config.mode == "drop":
        made.decoder_positions = _moved(made.decoder_positions, *grids, over, formula)
    return made


def _laid_over(
    model: PatchModel, old: tuple[int, ...], new: tuple[int, ...], place: Place
) -> tuple[float, ...] | None:
    """Return the cells that sine-cosine positions of the new grid are laid over."""
    known = model.config.position_grid
    if model.config.positions != "sincos":
        return None
    if place == "scaled":
        return known or old
    if known is None:
        return None
    return tuple(size * b / a for size, a, b in zip(known, old, new, strict=True))


def _moved(
    positions: Tensor,
    old: tuple[int, ...],
    new: tuple[int, ...],
    over: tuple[float, ...] | None,
    formula: bool,
) -> Tensor:
    if isinstance(positions, nn.Parameter):
        moved = resize_positions(positions.detach(), old, new)
        return nn.Parameter(moved, requires_grad=positions.requires_grad)
    if not formula:
        return nn.Buffer(resize_positions(positions, old, new))
    fixed = sincos_positions(new, positions.shape[-1], over)
    return nn.Buffer(fixed[None].to(positions), persistent=False)
