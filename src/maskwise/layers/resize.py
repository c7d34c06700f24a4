"""Weights that belong to one size, made to fit another: positions, patches, channels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwise.errors import UserError


def resize_positions(positions: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Return learned positions of one grid, interpolated to another.

    Cubic along each axis in turn, over as many old cells as a new one spans where the grid
    shrinks; computed in float32.

    Args:
        positions: [1, L, D], where L counts the cells of the old grid in row-major order.
        old: cells along each axis.
        new: cells wanted along each axis.

    Returns:
        [1, L', D] of the same type; the positions themselves where the grids are equal.

    Raises:
        UserError: grids of different axes, or positions that are not of the old grid.

    Example:
        >>> resize_positions(torch.ones(1, 4, 8), (2, 2), (3, 5)).shape
        torch.Size([1, 15, 8])
    """
    if len(old) != len(new) or positions.shape[1] != math.prod(old):
        raise UserError(f"{positions.shape[1]} positions of a grid {old} do not resize to {new}")
    if old == new:
        return positions
    cells = positions.float().unflatten(1, old)
    for axis, (here, there) in enumerate(zip(old, new, strict=True), start=1):
        if here == there:
            continue
        rows = cells.movedim(axis, -1)
        flat = F.interpolate(
            rows.reshape(1, -1, 1, here), size=(1, there), mode="bicubic", antialias=True
        )
        cells = flat.reshape(*rows.shape[:-1], there).movedim(-1, axis)
    return cells.flatten(1, -2).to(positions.dtype)


def resize_patches(weight: Tensor, new: tuple[int, int]) -> Tensor:
    """Return the weights of a patch embedding for patches of another size (arXiv 2212.08013).

    With B the matrix that resizes a patch, these are (B')^+ W: an enlarged patch gives what the
    patch itself gave, <B x, W'> = <x, W>; for one that shrinks it is the least-squares solution.

    Args:
        weight: [D, C, h, w].
        new: height and width wanted, in pixels.

    Returns:
        [D, C, h', w'] of the same type; the weights themselves where the sizes are equal.

    Example:
        >>> resize_patches(torch.randn(8, 3, 4, 4), (6, 6)).shape
        torch.Size([8, 3, 6, 6])
    """
    old = (weight.shape[2], weight.shape[3])
    if old == new:
        return weight
    pixels = torch.eye(math.prod(old), device=weight.device).view(-1, 1, *old)
    resized = F.interpolate(pixels, size=new, mode="bicubic", antialias=True)
    inverse = torch.linalg.pinv(resized.flatten(1))  # [h'w', hw], the transpose of B's
    fitted = weight.float().flatten(2) @ inverse.mT
    return fitted.unflatten(2, new).to(weight.dtype)


def adapt_channels(weight: Tensor, num: int) -> Tensor:
    """Return the weights of a patch embedding for another number of channels.

    One channel takes the sum over channels, so that grey gives what the same grey in each channel
    gave. More (or fewer) repeat the channels in turn, times C / num, which keeps the scale.

    Args:
        weight: [D, C, h, w].
        num: channels wanted.

    Returns:
        [D, num, h, w] of the same type; the weights themselves where the numbers are equal.

    Example:
        >>> adapt_channels(torch.ones(8, 3, 4, 4), 1)[0, 0, 0, 0]
        tensor(3.)
    """
    channels = weight.shape[1]
    if num == channels:
        return weight
    full = weight.float()
    if num == 1:
        return full.sum(1, keepdim=True).to(weight.dtype)
    repeated = full.repeat(1, -(-num // channels), 1, 1)[:, :num]
    return (repeated * (channels / num)).to(weight.dtype)
