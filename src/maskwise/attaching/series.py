"""Models of time series: PatchTST and PatchTSMixer of transformers, and MOMENT."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from maskwise.attaching.adapter import Adapter, Counted, CountedDown, Inputs, Place, Positions
from maskwise.errors import UserError
from maskwise.masks import Mask


class PatchSeries(Counted):
    """PatchTST and PatchTSMixer: the masking module has a copy of `random_mask_ratio`.

    Each channel has a mask of its own, unless the configuration says `channel_consistent_masking`.
    """

    library = "transformers"
    classes = ("PatchTSTForPretraining", "PatchTSMixerForPretraining")
    own_masks = True

    def __init__(self, model: nn.Module, tokenizer: Any = None) -> None:
        super().__init__(model, tokenizer)
        if self._masking.mask_type != "random":
            raise UserError(
                f"{self.name} masks by mask_type='{self._masking.mask_type}', which has no ratio:"
                " make it with mask_type='random'"
            )

    def places(self) -> Sequence[Place]:
        return [(self._masking, "random_mask_ratio")]

    @property
    def num(self) -> int:
        series: Any = self.model.model
        part = series.patchifier if hasattr(series, "patchifier") else series.patching
        return int(part.num_patches)

    @property
    def _masking(self) -> Any:
        return self.model.model.masking


class Moment(CountedDown):
    """MOMENT: an object beside the modules has the ratio; `mask` is 1 at times that are seen.

    Its `__call__` runs no hooks. Of the patches that are observed ceil(n (1 - ratio)) stay
    visible.
    """

    library, classes = "momentfm", ("MOMENT",)
    takes_masks, own_masks, skips_hooks = True, True, True

    def __init__(self, model: nn.Module, tokenizer: Any = None) -> None:
        super().__init__(model, tokenizer)
        if (task := self.model.task_name) != "reconstruction":
            raise UserError(
                f"{self.name} of task '{task}' masks nothing: make it with"
                " task_name='reconstruction'"
            )

    def places(self) -> Sequence[Place]:
        return [(self.model.mask_generator, "mask_ratio")]

    @property
    def num(self) -> int:
        return int(self.model.seq_len // self.model.patch_len)

    def positions(self, inputs: Inputs) -> Positions:
        series, observed = inputs["x_enc"], inputs.get("input_mask")
        num, size = series.shape[-1] // int(self.model.patch_len), int(self.model.patch_len)
        eligible = None
        if observed is not None:
            eligible = observed[:, : num * size].view(len(series), num, size).bool().all(dim=2)
        return Positions(len(series), (num,), series.device, eligible)

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        seen = (~mask.hidden).repeat_interleave(int(self.model.patch_len), dim=1)
        return {"mask": torch.as_tensor(seen, dtype=torch.int64)}


ADAPTERS: tuple[type[Adapter], ...] = (PatchSeries, Moment)
