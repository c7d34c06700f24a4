"""What language models see in place of hidden tokens, and what these cost: cross-entropy.

It is computed without a copy of the logits.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modality import Answer, Objective
from maskwise.rng import Keys, Stream

# Logits in float32 at once: on a CPU they stay in its cache, and in memory that is used again.
MOST_LOGITS = {"cpu": 2**22}
MOST_ELSEWHERE = 2**26

Shares = tuple[float, float, float]


def check_shares(shares: Shares) -> None:
    """Refuse shares that are no probabilities."""
    if len(shares) != 3 or not all(0 <= share <= 1 for share in shares):
        raise UserError(f"shares {shares} are not three numbers in [0, 1]: give 0.8, 0.1, 0.1")
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UserError(f"shares {shares} sum to {sum(shares):g}: make the sum 1")


def corrupt(
    ids: Tensor,
    hidden: Tensor,
    keys: Keys,
    *,
    mask: int,
    alphabet: Tensor,
    shares: Shares = (1.0, 0.0, 0.0),
) -> Tensor:
    """Return tokens as the model sees them: hidden ones masked, replaced at random or as they are.

    What becomes of a position depends on its keys only, not on the batch or on the mask.

    Args:
        ids: int64 [B, L].
        hidden: bool [B, L].
        keys: of the samples.
        mask: id of the mask token.
        alphabet: bool [V], the tokens from which random ones are drawn, each equally likely.
        shares: of hidden positions that become the mask token, become a random token and stay;
            BERT has (0.8, 0.1, 0.1) (arXiv 1810.04805).

    >>> ids, hidden = torch.tensor([[7, 8, 9]]), torch.tensor([[False, True, False]])
    >>> alphabet = torch.arange(10) > 4
    >>> keys = Keys(0, 0, torch.tensor([0]))
    >>> corrupt(ids, hidden, keys, mask=4, alphabet=alphabet).tolist()
    [[7, 4, 9]]
    """
    check_shares(shares)
    masked, replaced, _ = shares
    if masked == 1:
        return ids.masked_fill(hidden, mask)
    u = keys.uniform(Stream.CORRUPT, ids.shape[1])
    tokens = alphabet.to(ids.device).nonzero()[:, 0]
    # The product of two 32-bit numbers fits: its high word is uniform on 0..len - 1.
    drawn = tokens[(keys.bits(Stream.REPLACEMENT, ids.shape[1]) * len(tokens)) >> 32]
    seen = ids.masked_fill(hidden & (u < masked), mask)
    return torch.where(hidden & (u >= masked) & (u < masked + replaced), drawn, seen)


class CrossEntropy(Objective):
    """The cross-entropy of predicted tokens; the weighted mean where positions have weights.

    The answer is either (logits [n, V]), row by row, or what makes them: (x [n, D], W [V, D],
    b [V]). `weights` says of samples what each position counts, [B, L]; None = all the same.
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

    Equal to `torch.nn.functional.cross_entropy` of those logits, of x [n, D], W [V, D] and b [V].
    It keeps the probabilities and nothing else of their size, in the number format of the
    products.

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
