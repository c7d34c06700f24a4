"""The objective of reconstruction."""

from collections.abc import Callable

import torch
from torch import Tensor

from maskwise.layers.transformer import gather
from maskwise.masks import Mask
from maskwise.modality import Answer, Objective


class Reconstruction(Objective):
    """The squared error of predicted positions; `target_of` says what tokens [B, H, P] become."""

    def __init__(self, target_of: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.target_of = target_of

    def forward(self, samples: Tensor, answer: Answer, predicted: Mask) -> Tensor:
        """Return each sample's mean squared error, float32 [B]."""
        [prediction] = answer.prediction
        target = self.target_of(gather(answer.tokens, predicted.hidden_idx))
        return sample_losses(prediction, target, predicted.hidden_valid)


def sample_losses(prediction: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Return the mean squared error over the hidden positions of each sample, float32 [B].

    Of prediction and target [B, H, P]; `valid` [B, H] are a sample's own positions, None = all.
    """
    error = (prediction.float() - target).square().mean(dim=-1)
    if valid is None:
        return error.mean(dim=1)
    return torch.where(valid, error, 0).sum(dim=1) / valid.sum(dim=1).clamp(min=1)
