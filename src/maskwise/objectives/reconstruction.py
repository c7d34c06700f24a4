"""The objective of reconstruction, and how losses become one number, with reductions named.

Every reduction is a weighted mean of the samples' means over their hidden positions, so a constant
residual costs the same at every ratio and under every reduction.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from maskwise.laws import Reduction
from maskwise.layers.transformer import gather
from maskwise.masks import Mask
from maskwise.modality import Answer, Objective


class Reconstruction(Objective):
    """The squared error of predicted positions.

    Args:
        target_of: tokens [B, H, P] -> what is to be predicted of them, [B, H, P].
    """

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


def sample_weights(mask: Mask, reduction: Reduction) -> Tensor:
    """Return the weight of each sample in the loss, float32 [B].

    The loss is sum_i w_i l_i / sum_i w_i with l_i the mean over the hidden positions of sample i:

    - sample_mean: w = 1, every sample that hides anything counts the same (the default);
    - token_mean: w = number hidden, every hidden position counts the same (official MAE), which
      tilts the law toward large ratios when samples have ratios of their own;
    - inverse_ratio: w = number eligible: the sum over hidden positions over the ratio, per
      eligible position (masked diffusion).
    """
    if reduction == "sample_mean":
        return (mask.num_hidden > 0).to(torch.float32)
    if reduction == "token_mean":
        return mask.num_hidden.to(torch.float32)
    if mask.eligible is None:
        return torch.full((len(mask),), float(mask.hidden.shape[1]), device=mask.hidden.device)
    return mask.eligible.sum(dim=1).to(torch.float32)


def importance(weights: Tensor, predicted: Mask) -> Tensor:
    """Return the mean weight of each sample's predicted positions, float32 [B].

    A sample's loss is a mean weighted by `weights` [B, L] of its positions, so times this it
    counts in a batch as much as its positions do.
    """
    total = torch.where(predicted.hidden, weights, 0).sum(dim=1)
    return total / predicted.num_hidden.clamp(min=1)
