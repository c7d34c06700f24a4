"""Vision transformers of one's own, in the form of timm: blocks see visible patches only.

The patch embedding, positions, class token and registers are theirs. Theirs is a `patch_drop`,
too, which leaves out patches at random; here it leaves out those that are hidden.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.layers.transformer import gather
from maskwise.layers.trying import said_of, what
from maskwise.masks import Mask
from maskwise.patches.own_encoder import Reader
from maskwise.patches.tokenizer import PictureTokenizer

PARTS = ("patch_embed", "blocks", "norm", "patch_drop", "num_prefix_tokens", "forward_features")
NEVER = -1e4  # added to what attention says of a token that is not there


def is_vit(module: nn.Module) -> bool:
    """Say whether a module is a vision transformer that can leave out patches."""
    return all(hasattr(module, part) for part in PARTS)


class Kept(nn.Module):
    """What stands for `patch_drop`: it keeps the patches that it was told to.

    Args:
        num_prefix: tokens in front that are no patches.
        says: return which were kept too, as models with rotary positions want to know.
    """

    def __init__(self, num_prefix: int, says: bool) -> None:
        super().__init__()
        self.num_prefix, self.says = num_prefix, says
        self.index: Tensor | None = None  # [B, K]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor | None]:
        """Return tokens, those of patches that are kept behind all that are none."""
        if self.index is not None:
            first, patches = x[:, : self.num_prefix], x[:, self.num_prefix :]
            x = torch.cat([first, gather(patches, self.index)], dim=1)
        return (x, self.index) if self.says else x


class ViTReader(Reader):
    """A vision transformer of timm.

    Args:
        network: the module; it loses its head.
        tokenizer: of pictures, with its patches.

    Raises:
        UserError: it cuts pictures into other patches.
    """

    def __init__(self, network: Any, tokenizer: PictureTokenizer) -> None:
        super().__init__()
        self.network = network
        self.tokenizer = tokenizer
        if hasattr(network, "reset_classifier"):
            network.reset_classifier(0, "")
        self.num_prefix = int(network.num_prefix_tokens)
        self.has_class_token = getattr(network, "cls_token", None) is not None
        self.num_layers = len(network.blocks)
        # Those with rotary positions, whose `_pos_embed` calls it.
        network.patch_drop = Kept(self.num_prefix, says=hasattr(network, "rope"))
        # Where the head averages patches, the last norm is a part of it.
        pooled = isinstance(network.norm, nn.Identity)
        self.last = "fc_norm" if pooled and hasattr(network, "fc_norm") else "norm"
        require_grid(network, tokenizer)
        picture = torch.zeros(2, *tokenizer.shape)
        found = said_of(network, network.forward_features, picture)
        num = self.num_prefix + tokenizer.grid[0] * tokenizer.grid[1]
        if not isinstance(found, Tensor) or found.shape[:2] != (2, num):
            raise UserError(f"a vision transformer gave {what(found)} instead of {num} tokens")
        self.width = self.num_states = found.shape[2]

    def outputs(self, tokens: Tensor, mask: Mask | None, layers: Sequence[int]) -> list[Tensor]:
        allowed = None
        if mask is not None:
            # Some embed patches by layers that look beyond them.
            tokens = tokens.masked_fill(mask.hidden[..., None], 0.0)
            allowed = self._allowed(mask.visible_valid)
        wanted = [range(self.num_layers)[layer] for layer in layers]
        last = self.num_layers - 1
        found: dict[int, Tensor] = {}
        hooks = [
            self.network.blocks[index].register_forward_hook(partial(_keep, found, index))
            for index in set(wanted) - {last}
        ]
        self.network.patch_drop.index = None if mask is None else mask.visible_idx
        more = {} if allowed is None else {"attn_mask": allowed}
        try:
            found[last] = self.network.forward_features(self.tokenizer.picture(tokens), **more)
        finally:
            self.network.patch_drop.index = None
            for hook in hooks:
                hook.remove()
        norm = getattr(self.network, self.last)
        normed = self.last == "norm"  # by the network itself
        return [found[at] if normed and at == last else norm(found[at]) for at in wanted]

    def _allowed(self, valid: Tensor | None) -> Tensor | None:
        """Return what is added to scores of attention, [B, 1, 1, N]: little, where none is."""
        if valid is None:
            return None
        there = valid.new_ones(len(valid), self.num_prefix)
        every = torch.cat([there, valid], dim=1)
        return torch.zeros(every.shape, device=valid.device).masked_fill(~every, NEVER)[
            :, None, None
        ]

    def without_norm(self) -> None:
        """Leave out the norm behind the last block."""
        setattr(self.network, self.last, nn.Identity())


def _keep(
    found: dict[int, Tensor], index: int, module: nn.Module, inputs: object, said: Tensor
) -> None:
    found[index] = said


def require_grid(network: Any, tokenizer: PictureTokenizer) -> None:
    """Refuse a vision transformer that cuts pictures into other patches.

    Raises:
        UserError: how many it makes, and how many there are.
    """
    found = tuple(getattr(network.patch_embed, "grid_size", None) or ())
    if found and found != tokenizer.grid:
        (high, wide), (rows, columns) = found, tokenizer.grid
        size = "x".join(map(str, tokenizer.shape[1:]))
        raise UserError(
            f"the vision transformer cuts pictures into {high}x{wide} patches, and data.patch"
            f" cuts those of {size} into {rows}x{columns}: make it for this size and patch"
            " (img_size, patch_size), or give its patch as data.patch"
        )
