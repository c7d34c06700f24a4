"""The objective of language models: cross-entropy, without a copy of the logits."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwise.masks import Mask
from maskwise.modality import Answer, Objective

# Logits in float32 at once: on a CPU they stay in its cache, and in memory that is used again.
MOST_LOGITS = {"cpu": 2**22}
MOST_ELSEWHERE = 2**26


class CrossEntropy(Objective):
    """The cross-entropy of predicted tokens; the weighted mean where positions have weights.

    The answer is either (logits [n, V]), row by row, or what makes them: (x [n, D], W [V, D],
    b [V]).

    Args:
        weights: samples -> what each position counts, [B, L]; None = all the same.
    """

    def __init__(self, weights: Callable[[Tensor], Tensor | None]) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, samples: Tensor, answer: Answer, predicted: Mask) -> Tensor:
        """Return each sample's mean cross-entropy, float32 [B]."""
        where, ids = predicted.hidden, answer.tokens
        losses = losses_of(answer.prediction, ids[where])
        rows = where.nonzero()[:, 0]
        weights = self.weights(samples)
        if weights is None:
            total = predicted.num_hidden.clamp(min=1)
        else:
            losses = losses * weights[where]
            # Where nothing counts, the sample has weight 0 in the loss of the batch.
            total = torch.where(where, weights, 0).sum(dim=1).clamp(min=1e-6)
        return losses.new_zeros(len(ids)).index_add(0, rows, losses) / total


def losses_of(prediction: tuple[Tensor, ...], targets: Tensor) -> Tensor:
    """Return the cross-entropy of each row of a prediction, float32 [n]."""
    if len(prediction) == 1:
        return F.cross_entropy(prediction[0].float(), targets, reduction="none")
    x, weight, bias = prediction
    return token_losses(x, weight, bias, targets)


def logits_of(prediction: tuple[Tensor, ...]) -> Tensor:
    """Return logits [n, V]: those of a prediction, or W x + b."""
    return prediction[0] if len(prediction) == 1 else F.linear(*prediction)


def token_losses(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return -log softmax(W x + b) at the target of each row, float32 [n].

    Equal to `torch.nn.functional.cross_entropy` of those logits. It keeps the probabilities and
    nothing else of their size, in the number format of the products.

    Args:
        x: [n, D].
        weight: W, [V, D].
        bias: b, [V].
        targets: int64 [n].

    >>> weight, bias = torch.eye(4, 2), torch.zeros(4)
    >>> round(token_losses(torch.zeros(1, 2), weight, bias, torch.tensor([3])).item(), 3)
    1.386
    """
    losses = _TokenLosses.apply(x, weight, bias, targets)
    assert isinstance(losses, Tensor)
    return losses


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        x, w, b = x.to(dtype), weight.to(dtype), bias.to(dtype)
        # The gradient by the logits of a row whose loss counts once: p - 1 at the target.
        slope = x.new_empty(len(x), len(w))
        rows = max(1, MOST_LOGITS.get(device, MOST_ELSEWHERE) // len(w))
        logits = x.new_empty(min(rows, len(x)), len(w))
        losses = []
        for first in range(0, len(x), rows):
            part = slice(first, first + rows)
            target = targets[part, None]
            z = torch.addmm(b, x[part], w.t(), out=logits[: len(target)]).float()
            p = z.softmax(dim=1)
            # log sum exp z by its largest term, whose probability is never tiny.
            total = z.amax(dim=1, keepdim=True) - p.amax(dim=1, keepdim=True).log()
            losses.append((total - z.gather(1, target))[:, 0])
            slope[part] = p.scatter_add_(1, target, p.new_full(target.shape, -1.0))
        ctx.save_for_backward(x, w, slope)
        return torch.cat(losses) if losses else x.new_zeros(0, dtype=torch.float32)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, w, slope = ctx.saved_tensors
        scale = grads[0][:, None]
        of_x = (slope @ w) * scale
        of_w = slope.t() @ (x * scale).to(slope.dtype)
        of_b = (scale.t().to(slope.dtype) @ slope)[0]
        return of_x, of_w, of_b, None
