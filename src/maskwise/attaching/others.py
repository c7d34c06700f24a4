"""Models of smaller libraries: timm, stable-pretraining and arc-stack."""

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from maskwise.attaching.adapter import Adapter, Counted, CountedDown, Inputs, Place, Positions
from maskwise.errors import UserError
from maskwise.masks import Mask


class TimmHiera(Counted):
    """timm's Hiera: `patch_drop_rate` is read at each forward; `mask` is true where it is seen.

    With a mask it returns the visible units' states, and no classes.
    """

    library, classes = "timm", ("Hiera",)
    takes_masks, own_masks = True, True

    def places(self) -> Sequence[Place]:
        return [(self.model, "patch_drop_rate")]

    @property
    def num(self) -> int:
        side: Any = self.model.mask_spatial_shape
        return math.prod(side)

    def positions(self, inputs: Inputs) -> Positions:
        pixels, side = inputs["x"], self.model.mask_spatial_shape
        return Positions(len(pixels), tuple(side), pixels.device, equal=True)

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        # It drops none by itself, which it refuses to do beside a mask.
        for owner, attribute in self.places():
            setattr(owner, attribute, 0.0)
        return {"mask": ~mask.hidden}


class TimmDropped(Counted):
    """timm's transformers of images: the share of patches that PatchDropout leaves out."""

    library = "timm"
    classes = ("VisionTransformer", "VisionTransformerSAM", "Eva")
    own_masks = True

    def __init__(self, model: nn.Module, tokenizer: Any = None) -> None:
        super().__init__(model, tokenizer)
        self._places = [
            (each, "prob")
            for each in model.modules()
            if type(each).__name__ in ("PatchDropout", "PatchDropoutWithIndices")
        ]
        if not self._places:
            raise UserError(
                f"{self.name} leaves out no patches: make it with patch_drop_rate above 0, as in"
                " timm.create_model(..., patch_drop_rate=0.5)"
            )

    def places(self) -> Sequence[Place]:
        return self._places

    @property
    def num(self) -> int:
        patches: Any = self.model.patch_embed
        return int(patches.num_patches)


class StablePretraining(Adapter):
    """stable-pretraining: every `mask_ratio` of a method and of the maskings in it.

    Its maskings of blocks and crops hide as many patches as scattered ones.
    """

    library = "stable_pretraining"
    classes = (
        *("MAE", "CrossMAE", "CMAE", "SimMIM", "MaskFeat", "BEiT", "Data2Vec", "MSN", "PMSN"),
        *("iBOT", "DINOv2", "DINOv3", "PatchMasking", "MaskedEncoder"),
    )
    own_masks = True

    def __init__(self, model: nn.Module, tokenizer: Any = None) -> None:
        super().__init__(model, tokenizer)
        self._places = [
            (each, "mask_ratio")
            for each in model.modules()
            if isinstance(getattr(each, "mask_ratio", None), float)
        ]
        if not self._places:
            raise UserError(f"{self.name} has no masking with a mask_ratio: give it one")

    def places(self) -> Sequence[Place]:
        return self._places


class Stack(CountedDown):
    """arc-stack: a ratio between `mask_rate_min` and `mask_rate_max`, which both become this one.

    It hides int(G ratio) genes, the same ones of all cells of a minibatch.
    """

    library, classes = "stack", ("StateICLModelBase",)
    own_masks = True

    def __init__(self, model: nn.Module, tokenizer: Any = None) -> None:
        super().__init__(model, tokenizer)
        if hasattr(model, "apply_finetune_mask"):
            raise UserError(
                f"{self.name} hides .1 to .3 of the genes in fine-tuning whatever its attributes"
                " say: attach a law in pre-training"
            )

    def places(self) -> Sequence[Place]:
        return [(self.model, "mask_rate_min"), (self.model, "mask_rate_max")]

    @property
    def num(self) -> int:
        return int(self.model.n_genes)


ADAPTERS: tuple[type[Adapter], ...] = (TimmHiera, TimmDropped, StablePretraining, Stack)
