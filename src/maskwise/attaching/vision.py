"""Image models of transformers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from maskwise.attaching.adapter import Adapter, Inputs, Place, Positions
from maskwise.layers.transformer import sincos_positions
from maskwise.masks import Mask


class ViTMAE(Adapter):
    """ViTMAE: the ratio is read from the configuration at every forward; `noise` sets positions.

    The patches with the least noise stay visible, int(L (1 - ratio)) of them.
    """

    library, classes = "transformers", ("ViTMAEForPreTraining", "ViTMAEModel")
    takes_masks, own_masks = True, True

    def places(self) -> Sequence[Place]:
        return [(self.model.config, "mask_ratio")]

    def realised(self, ratio: float) -> float:
        num = self._embeddings.patch_embeddings.num_patches
        return 1 - int(num * (1 - ratio)) / num

    @property
    def _embeddings(self) -> Any:
        return getattr(self.model, "vit", self.model).embeddings

    def positions(self, inputs: Inputs) -> Positions:
        pixels, patch = inputs["pixel_values"], self._embeddings.config.patch_size
        sides = (patch, patch) if isinstance(patch, int) else tuple(patch)
        grid = tuple(side // each for side, each in zip(pixels.shape[-2:], sides, strict=True))
        return Positions(len(pixels), grid, pixels.device, equal=True)

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        # Half a patch less than hidden: no rounding of the ratio then changes the count.
        self.set((int(mask.num_hidden[0]) - 0.5) / mask.hidden.shape[1])
        return {"noise": mask.hidden.float()}

    def fault(self) -> str | None:
        if any(bool(each.any()) for each in self._positions()):
            return None
        return (
            "ViTMAE made from a configuration has positions of zeros only, which never learn, and"
            " weights that are not initialised as MAE's"
        )

    def mend(self) -> None:
        for positions in self._positions():
            num, width = positions.shape[1:]
            side = round((num - 1) ** 0.5)
            with torch.no_grad():
                positions[0, 1:] = sincos_positions((side, side), width)
        for module in self.model.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _positions(self) -> list[nn.Parameter]:
        decoder = getattr(self.model, "decoder", None)
        tables = [self._embeddings.position_embeddings]
        return tables + ([] if decoder is None else [decoder.decoder_pos_embed])
