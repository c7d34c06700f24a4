"""Image and video models of transformers."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from maskwise.attaching.adapter import Adapter, Counted, Inputs, Place, Positions
from maskwise.errors import UserError
from maskwise.layers.transformer import sincos_positions
from maskwise.masks import Mask


def pair(size: Any) -> tuple[int, int]:
    """Return a height and a width, of which one number may stand for both.

    >>> pair(16), pair([8, 4])
    ((16, 16), (8, 4))
    """
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def grid_of(pixels: torch.Tensor, patch: Any) -> tuple[int, ...]:
    """Return how many patches images [..., height, width] have along each side.

    >>> grid_of(torch.zeros(2, 3, 32, 64), 16)
    (2, 4)
    """
    sides = zip(pixels.shape[-2:], pair(patch), strict=True)
    return tuple(side // each for side, each in sides)


class ViTMAE(Counted):
    """ViTMAE: the ratio is read from the configuration at every forward; `noise` sets positions.

    The patches with the least noise stay visible, int(L (1 - ratio)) of them.
    """

    library, classes = "transformers", ("ViTMAEForPreTraining", "ViTMAEModel")
    takes_masks, own_masks = True, True

    def places(self) -> Sequence[Place]:
        return [(self.model.config, "mask_ratio")]

    @property
    def num(self) -> int:
        return int(self._embeddings.patch_embeddings.num_patches)

    @property
    def _embeddings(self) -> Any:
        return getattr(self.model, "vit", self.model).embeddings

    def positions(self, inputs: Inputs) -> Positions:
        pixels = inputs["pixel_values"]
        grid = grid_of(pixels, self._embeddings.patch_embeddings.patch_size)
        return Positions(len(pixels), grid, pixels.device, equal=True)

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        # Half a patch less than hidden: no rounding of the ratio then changes the count.
        self.set((int(mask.num_hidden[0]) - 0.5) / mask.hidden.shape[1])
        return {"noise": mask.hidden.float()}

    def fault(self) -> str | None:
        if all(bool(each.any()) for each in self._positions()):
            return None
        return (
            f"{self.name} made from a configuration has positions of zeros only, which never"
            " learn, and weights that are not initialised as MAE's"
        )

    def mend(self) -> None:
        """Fill in the positions, and draw weights as MAE does if none has been trained.

        The positions are those that published weights were trained with: columns come first.
        transformers has a function for them that its own initialisation skips or undoes.
        """
        sides = zip(
            *(
                pair(getattr(self._embeddings.patch_embeddings, each))
                for each in ("image_size", "patch_size")
            ),
            strict=True,
        )
        grid = tuple(side // patch for side, patch in sides)
        for table in self._positions():
            with torch.no_grad():
                positions = sincos_positions(grid, table.shape[2])
                table[0, 1:] = positions.roll(table.shape[2] // 2, dims=1)
        linear = [each for each in self.model.modules() if isinstance(each, nn.Linear)]
        if any(bool(each.bias.any()) for each in linear if each.bias is not None):
            return
        for module in linear:
            nn.init.xavier_uniform_(module.weight)
        nn.init.xavier_uniform_(self._embeddings.patch_embeddings.projection.weight.flatten(1))
        tokens = [self._embeddings.cls_token]
        tokens += [self.model.decoder.mask_token] if hasattr(self.model, "decoder") else []
        for token in tokens:
            nn.init.normal_(token, std=0.02)

    def _positions(self) -> list[nn.Parameter]:
        decoder = getattr(self.model, "decoder", None)
        tables = [self._embeddings.position_embeddings]
        return tables + ([] if decoder is None else [decoder.decoder_pos_embed])


class Hiera(Counted):
    """Hiera: the patch embedding has a copy of the ratio, and the configuration is not read again.

    It hides whole mask units, of which int(U (1 - ratio)) stay visible; `noise` is theirs.
    """

    library, classes = "transformers", ("HieraForPreTraining",)
    takes_masks, own_masks = True, True

    def places(self) -> Sequence[Place]:
        return [(self._patches, "mask_ratio")]

    @property
    def num(self) -> int:
        height, width = self._patches.mask_spatial_shape
        return int(height * width)

    @property
    def _patches(self) -> Any:
        return self.model.hiera.embeddings.patch_embeddings

    def positions(self, inputs: Inputs) -> Positions:
        pixels = inputs["pixel_values"]
        grid = tuple(self._patches.mask_spatial_shape)
        return Positions(len(pixels), grid, pixels.device, equal=True)

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        self.set((int(mask.num_hidden[0]) - 0.5) / self.num)
        return {"noise": mask.hidden.float()}


class MaskedPositions(Adapter):
    """Image models that put a mask token where the argument `bool_masked_pos` is true."""

    library = "transformers"
    classes: ClassVar[tuple[str, ...]] = (
        *("BeitModel", "Data2VecVisionModel", "Dinov2Model", "Dinov2WithRegistersModel"),
        *("DINOv3ViTModel", "IJepaModel", "ViTMSNModel", "ViTForMaskedImageModeling"),
        *("DeiTForMaskedImageModeling", "SwinForMaskedImageModeling"),
        *("Swinv2ForMaskedImageModeling", "FocalNetForMaskedImageModeling"),
    )
    takes_masks = True

    def __init__(self, model: nn.Module, tokenizer: Any = None) -> None:
        super().__init__(model, tokenizer)
        if not any(name.endswith("mask_token") for name, _ in model.named_parameters()):
            raise UserError(
                f"{self.name} has no mask token: make it with use_mask_token=True, as an argument"
                " or in its configuration"
            )

    def positions(self, inputs: Inputs) -> Positions:
        pixels = inputs["pixel_values"]
        config: Any = self.model.config
        return Positions(len(pixels), grid_of(pixels, config.patch_size), pixels.device)

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        return {"bool_masked_pos": mask.hidden}


class Beit(MaskedPositions):
    """BEiT's own training: labels are the visual words of the hidden patches, one after another.

    They depend on the mask, so that the words of all patches, [B, L], are given instead.
    """

    classes = ("BeitForMaskedImageModeling",)

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        given = super().give(inputs, mask)
        labels = inputs.get("labels")
        if labels is None:
            return given
        if labels.shape != mask.hidden.shape:
            raise UserError(
                f"labels are {list(labels.shape)}: give the words of all patches,"
                f" {list(mask.hidden.shape)}; attach keeps those of the hidden ones"
            )
        return given | {"labels": labels[mask.hidden]}


class VideoMAE(Adapter):
    """VideoMAE: `bool_masked_pos` of as many patches in each video; pattern "tubes" is its own."""

    library, classes = "transformers", ("VideoMAEForPreTraining",)
    takes_masks = True
    usual_pattern = "tubes"

    def positions(self, inputs: Inputs) -> Positions:
        pixels = inputs["pixel_values"]
        config: Any = self.model.config
        grid = (pixels.shape[1] // config.tubelet_size, *grid_of(pixels, config.patch_size))
        return Positions(len(pixels), grid, pixels.device, equal=True)

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        return {"bool_masked_pos": mask.hidden}


ADAPTERS: tuple[type[Adapter], ...] = (ViTMAE, Hiera, Beit, MaskedPositions, VideoMAE)
