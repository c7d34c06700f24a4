"""The cross-entropy of a large vocabulary, without a copy of its logits."""

from typing import Any

import torch
from torch import Tensor

# Logits in float32 at once: on a CPU they stay in its cache, and in memory that is used again.
MOST_LOGITS = {"cpu": 2**22}
MOST_ELSEWHERE = 2**26


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
