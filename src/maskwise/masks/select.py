"""From scores to hidden positions, with exact counts."""

import torch
from torch import Tensor


def hide_lowest(scores: Tensor, counts: Tensor, eligible: Tensor) -> Tensor:
    """Hide the `counts` eligible positions of each sample with the lowest scores.

    For given scores the masks are nested: what is hidden at one count is hidden at every larger.

    Args:
        scores: [B, L], any order; equal scores are taken from the left.
        counts: int64 [B], at most the number of eligible positions.
        eligible: bool [B, L].

    Returns:
        bool [B, L], True = hidden.

    >>> scores = torch.tensor([[3, 1, 2]])
    >>> hide_lowest(scores, torch.tensor([2]), torch.ones(1, 3, dtype=torch.bool)).tolist()
    [[False, True, True]]
    """
    order = _eligible_first(scores, eligible)
    chosen = torch.arange(scores.shape[1], device=scores.device) < counts[:, None]
    return torch.zeros_like(eligible).scatter_(1, order, chosen)


def hide_units(scores: Tensor, counts: Tensor, unit_of: Tensor, eligible: Tensor) -> Tensor:
    """Hide whole units, lowest scores first, so that the number hidden is nearest to `counts`.

    At least one unit is hidden, and one stays visible where there are two. With units of equal
    size every sample hides the same number.

    Args:
        scores: [B, U], one for each unit.
        counts: int64 [B], how many positions to hide.
        unit_of: int64 [L], the unit of each position, in 0..U-1.
        eligible: bool [B, L]; a unit's other positions stay visible.
    """
    sizes = torch.zeros(scores.shape, dtype=torch.int64, device=scores.device)
    sizes.index_add_(1, unit_of, eligible.to(torch.int64))
    order = _eligible_first(scores, sizes > 0)
    sizes = sizes.gather(1, order)
    before = sizes.cumsum(1) - sizes
    # A unit is hidden when more than half of it is still asked for.
    chosen = (2 * (counts[:, None] - before) > sizes) & (sizes > 0)
    chosen[:, 0] = sizes[:, 0] > 0
    num_units = (sizes > 0).sum(1, keepdim=True)
    chosen &= torch.arange(sizes.shape[1], device=sizes.device) < (num_units - 1).clamp(min=1)
    hidden_units = torch.zeros_like(chosen).scatter_(1, order, chosen)
    return hidden_units[:, unit_of] & eligible


def _eligible_first(scores: Tensor, eligible: Tensor) -> Tensor:
    order = scores.argsort(dim=1, stable=True)
    late = (~eligible).gather(1, order).to(torch.uint8).argsort(dim=1, stable=True)
    return order.gather(1, late)
