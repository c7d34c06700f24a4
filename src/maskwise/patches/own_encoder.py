"""Encoders of one's own: modules of embedded patches, and networks that read whole pictures.

Networks of pictures predict each patch from the features at its place, in the way of SimMIM: a
cell of a feature map that covers several patches has a linear map for each of them.

Source: Xie et al., SimMIM: a simple framework for masked image modeling (arXiv 2111.09886).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.layers.trying import said_of, what
from maskwise.masks import Mask
from maskwise.patches.tokenizer import PatchTokenizer, PictureTokenizer


class Reader(nn.Module, ABC):
    """An encoder that reads tokens as the tokenizer made them, and embeds them itself.

    It says features of every position it reads, behind those of tokens of no position.
    """

    width: int
    """features of a position"""
    num_layers: int
    """layers whose features can be read"""
    num_prefix: int = 0
    """tokens of no position"""
    has_class_token: bool = False
    """whether the first of them stands for the sample"""
    num_states: int
    """what `spread` gives of a position, S"""

    @abstractmethod
    def outputs(self, tokens: Tensor, mask: Mask | None, layers: Sequence[int]) -> list[Tensor]:
        """Return features after some layers, [B, num_prefix + N, D] each.

        Args:
            tokens: [B, L, token_dim].
            mask: what is left out; None: nothing, N = L.
            layers: which.
        """

    def spread(self, features: Tensor) -> Tensor:
        """Return what the head reads, [B, L, S], of features of all positions, [B, L, D]."""
        return features

    def move(self, tokenizer: PatchTokenizer) -> None:
        """Read samples of another size from here on.

        Raises:
            UserError: it cannot.
        """
        raise UserError("the run's encoder reads images of one size: give images of that size")


class PictureReader(Reader):
    """A network that turns pictures [B, C, H, W] into a feature map, or into several.

    Of several maps each is a layer. Features of a position are those of its cell, or of its cells
    side by side; where positions and cells do not divide, the map is resized first.

    Args:
        network: returns [B, D, h, w], or a list or dict of such.
        tokenizer: of pictures.
        states: S, where a cell of the last map covers several patches.

    Raises:
        UserError: it does not return that.
    """

    def __init__(self, network: nn.Module, tokenizer: PictureTokenizer, states: int) -> None:
        super().__init__()
        self.network, self.tokenizer = network, tokenizer
        picture = torch.zeros(2, *tokenizer.shape)
        maps = said_of(network, self.maps, picture)
        for each in maps:
            if each.ndim != 4 or len(each) != 2 or not each.is_floating_point():
                raise UserError(
                    f"it turned pictures {list(picture.shape)} into {what(each)} instead of a"
                    " feature map [B, D, h, w]: leave its pooling out"
                )
        self.num_layers = len(maps)
        sides = zip(maps[-1].shape[2:], tokenizer.grid, strict=True)
        self.covered = [max(1, grid // _fitted(side, grid)) for side, grid in sides]
        self.width = self._by_position(maps[-1]).shape[-1]
        self.by_patch = None
        if math.prod(self.covered) > 1:
            self.by_patch = nn.Linear(self.width, math.prod(self.covered) * states)
            nn.init.xavier_uniform_(self.by_patch.weight)
            nn.init.zeros_(self.by_patch.bias)
        self.num_states = states if self.by_patch else self.width

    def move(self, tokenizer: PatchTokenizer) -> None:
        assert isinstance(tokenizer, PictureTokenizer)
        other = PictureReader(self.network, tokenizer, self.num_states)
        if (other.covered, other.width) != (self.covered, self.width):
            super().move(tokenizer)
        self.tokenizer = tokenizer

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """Return the feature maps of pictures; of a network of timm also where channels are last.

        Raises:
            UserError: the network gives something else.
        """
        found = getattr(self.network, "forward_features", self.network)(pictures)
        maps = _maps(found)
        info: Any = getattr(self.network, "feature_info", None)
        told = info.channels() if hasattr(info, "channels") else []
        if len(told) != len(maps):
            return maps
        last = [num != each.shape[1] for num, each in zip(told, maps, strict=True)]
        return [x.movedim(-1, 1) if swap else x for x, swap in zip(maps, last, strict=True)]

    def outputs(self, tokens: Tensor, mask: Mask | None, layers: Sequence[int]) -> list[Tensor]:
        assert mask is None  # a picture has no holes
        maps = self.maps(self.tokenizer.picture(tokens))
        return [self._by_position(maps[layer]) for layer in layers]

    def spread(self, features: Tensor) -> Tensor:
        if self.by_patch is None:
            return features
        rows, columns = self.tokenizer.grid
        high, wide = self.covered
        cells = features.unflatten(1, (rows // high, high, columns // wide, wide))
        found = self.by_patch(cells[:, :, 0, :, 0]).unflatten(-1, (high, wide, -1))
        return found.transpose(2, 3).reshape(len(features), rows * columns, -1)

    def _by_position(self, cells: Tensor) -> Tensor:
        """Return the features of positions, [B, L, D x cells in a position], of [B, D, h, w]."""
        grid = self.tokenizer.grid
        high, wide = (_fitted(*each) for each in zip(cells.shape[2:], grid, strict=True))
        if high <= cells.shape[2] and wide <= cells.shape[3]:
            cells = F.adaptive_avg_pool2d(cells, (high, wide))
        else:
            cells = F.interpolate(cells, (high, wide), mode="bilinear")
        (rows, inner_rows), (columns, inner_columns) = (
            (min(side, whole), max(1, side // whole))
            for side, whole in zip((high, wide), grid, strict=True)
        )
        parts = cells.reshape(len(cells), -1, rows, inner_rows, columns, inner_columns)
        found = parts.permute(0, 2, 4, 1, 3, 5).flatten(3)
        for axis, (side, whole) in enumerate(zip((rows, columns), grid, strict=True)):
            found = found.repeat_interleave(whole // side, axis + 1)
        return found.flatten(1, 2)


def _fitted(side: int, grid: int) -> int:
    """Return the divisor or multiple of a side of the grid that is closest to that of a map.

    >>> _fitted(7, 7), _fitted(2, 8), _fitted(7, 10), _fitted(32, 8)
    (7, 2, 5, 32)
    """
    divisors = [each for each in range(1, grid + 1) if not grid % each]
    multiples = [grid * each for each in range(2, side // grid + 2)]
    return min(divisors + multiples, key=lambda each: abs(math.log(each / side)))


def _maps(found: object) -> list[Tensor]:
    """Return the feature maps that a network gave: one, or several."""
    if isinstance(found, Mapping):
        found = list(found.values())
    given: list[object] = list(found) if isinstance(found, (list, tuple)) else [found]
    maps = [each for each in given if isinstance(each, Tensor)]
    if not given or len(maps) < len(given):
        raise UserError(f"it gave {what(found)} instead of a feature map [B, D, h, w]")
    return maps
