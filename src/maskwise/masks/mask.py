"""The mask, which positions are hidden; from scores to it, counts exact; what samples count."""

from functools import cached_property

import torch
from torch import Tensor

from maskwise.checks import checked
from maskwise.laws import Reduction
from maskwise.rng import Keys, Stream


class Mask:
    """Hidden and visible positions of a batch.

    Args:
        hidden: bool [B, L], True = hidden.
        eligible: bool [B, L] or None (all), the positions that may be hidden.

    Example:
        >>> mask = Mask(torch.tensor([[True, False, True, False]]))
        >>> mask.visible_idx.tolist(), mask.hidden_idx.tolist(), mask.ratio.tolist()
        ([[1, 3]], [[0, 2]], [0.5])
    """

    # Not a dataclass: mixed precision converts the fields of those that enter a model.
    def __init__(self, hidden: Tensor, eligible: Tensor | None = None) -> None:
        self.hidden, self.eligible = hidden, eligible

    @cached_property
    def num_hidden(self) -> Tensor:
        """Hidden positions of each sample, int64 [B]."""
        return self.hidden.sum(dim=1)

    @cached_property
    def ratio(self) -> Tensor:
        """Realised ratio, hidden / eligible, float32 [B]."""
        if self.eligible is None:
            return self.num_hidden / self.hidden.shape[1]
        return self.num_hidden / self.eligible.sum(dim=1).clamp(min=1)

    @cached_property
    def _by_state(self) -> Tensor:
        """Positions of each sample, the hidden ones first, in rising order: int64 [B, L]."""
        return self.hidden.to(torch.uint8).argsort(dim=1, descending=True, stable=True)

    @cached_property
    def _range(self) -> tuple[int, int]:
        """Smallest and largest number of hidden positions in the batch."""
        if not len(self.hidden):
            return 0, 0
        low, high = self.num_hidden.aminmax()
        return int(low), int(high)

    @property
    def is_rectangular(self) -> bool:
        """Whether every sample hides the same number."""
        return self._range[0] == self._range[1]

    @cached_property
    def hidden_idx(self) -> Tensor:
        """Hidden positions, int64 [B, most hidden]; a sample's own come first."""
        return self._by_state[:, : self._range[1]]

    @cached_property
    def visible_idx(self) -> Tensor:
        """Visible positions, int64 [B, most visible]; a sample's own come last."""
        return self._by_state[:, self._range[0] :]

    @cached_property
    def hidden_valid(self) -> Tensor | None:
        """Which entries of `hidden_idx` are a sample's own, bool; None if all are."""
        if self.is_rectangular:
            return None
        return self.hidden.gather(1, self.hidden_idx)

    @cached_property
    def visible_valid(self) -> Tensor | None:
        """Which entries of `visible_idx` are a sample's own, bool; None if all are."""
        if self.is_rectangular:
            return None
        return ~self.hidden.gather(1, self.visible_idx)

    def __getitem__(self, rows: slice) -> "Mask":
        """Return the mask of some samples of the batch."""
        if rows.indices(len(self)) == (0, len(self), 1):
            return self
        return Mask(self.hidden[rows], None if self.eligible is None else self.eligible[rows])

    def __len__(self) -> int:
        return len(self.hidden)


@checked()
def subset(mask: Mask, fraction: float, keys: Keys) -> Mask:
    """Return a random part of the hidden positions, ceil(fraction x number) of each sample.

    >>> mask = Mask(torch.ones(1, 8, dtype=torch.bool))
    >>> subset(mask, 0.25, Keys(0, 0, torch.tensor([5]))).num_hidden.tolist()
    [2]
    """
    counts = torch.ceil(mask.num_hidden.to(torch.float64) * fraction - 1e-9).to(torch.int64)
    scores = keys.bits(Stream.PREDICT, mask.hidden.shape[1])
    return Mask(hide_lowest(scores, counts, mask.hidden), mask.eligible)


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
    if not scores.numel():
        return eligible & False
    most = torch.finfo if scores.is_floating_point() else torch.iinfo
    scores = scores.masked_fill(~eligible, most(scores.dtype).max)
    # Finding one score is several times faster than putting all of them in order.
    place = (counts - 1).clamp(0, scores.shape[1] - 1)
    least, largest = (int(end) for end in place.aminmax())
    if least == largest:
        last = scores.kthvalue(least + 1, dim=1, keepdim=True).values
    else:
        last = scores.sort(dim=1).values.gather(1, place[:, None])
    hidden = scores <= last
    if bool((hidden.sum(dim=1) != counts).any()):
        # Equal scores, or nothing to hide.
        hidden, equal = scores < last, scores == last
        left = counts[:, None] - hidden.sum(dim=1, keepdim=True)
        hidden |= equal & (equal.cumsum(dim=1) <= left)
    return hidden & eligible


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
    order = scores.argsort(dim=1, stable=True)
    # Units with nothing to hide come last.
    late = (sizes == 0).gather(1, order).to(torch.uint8).argsort(dim=1, stable=True)
    order = order.gather(1, late)
    sizes = sizes.gather(1, order)
    before = sizes.cumsum(1) - sizes
    # A unit is hidden when more than half of it is still asked for.
    chosen = (2 * (counts[:, None] - before) > sizes) & (sizes > 0)
    chosen[:, 0] = sizes[:, 0] > 0
    num_units = (sizes > 0).sum(1, keepdim=True)
    chosen &= torch.arange(sizes.shape[1], device=sizes.device) < (num_units - 1).clamp(min=1)
    hidden_units = torch.zeros_like(chosen).scatter_(1, order, chosen)
    return hidden_units[:, unit_of] & eligible


def number_units(units: Tensor, eligible: Tensor) -> tuple[Tensor, Tensor]:
    """Number the units of each row 0, 1, ..., counting eligible positions only.

    Args:
        units: int64 [B, L], numbers that never fall along a row, but at ineligible positions.
        eligible: bool [B, L].

    Returns:
        the unit of each position, int64 [B, L] (an ineligible position has that of the eligible
        one before it), and whether an eligible position is the first of its unit, bool [B, L].

    >>> everywhere = torch.ones(1, 4, dtype=torch.bool)
    >>> number_units(torch.tensor([[3, 3, 8, 9]]), everywhere)[0].tolist()
    [[0, 0, 1, 2]]
    """
    lowest = torch.iinfo(torch.int64).min
    latest = units.masked_fill(~eligible, lowest).cummax(dim=1).values
    before = torch.nn.functional.pad(latest, (1, 0), value=lowest)[:, :-1]
    begins = eligible & (latest > before)
    return (begins.cumsum(dim=1) - 1).clamp(min=0), begins


def hide_in_order(order: Tensor, counts: Tensor, unit_of: Tensor, eligible: Tensor) -> Tensor:
    """Hide whole units in a given order: each one that still fits, so that counts are exact.

    A unit larger than what is still to hide is passed over, and later ones that are small enough
    take its place. So fewer than `counts` positions are hidden only where none is left that fits.
    Where none fits at all the first one is hidden: at least one unit always is.

    Args:
        order: int64 [B, L], the units, first come first; those without positions play no part.
        counts: int64 [B], how many positions to hide.
        unit_of: int64 [B, L], the unit of each position, in 0..L-1.
        eligible: bool [B, L]; a unit's other positions stay visible.

    >>> unit_of = torch.tensor([[0, 0, 0, 1, 1, 2]])
    >>> everywhere = torch.ones(1, 6, dtype=torch.bool)
    >>> order = torch.arange(6)[None]
    >>> hide_in_order(order, torch.tensor([4]), unit_of, everywhere).int().tolist()
    [[1, 1, 1, 0, 0, 1]]
    """
    sizes = torch.zeros_like(unit_of).scatter_add_(1, unit_of, eligible.to(torch.int64))
    sizes = sizes.gather(1, order)
    left = counts[:, None]
    chosen = torch.zeros_like(eligible)
    fits = (sizes > 0) & (sizes <= left)
    # One turn for each unit passed over, all rows at once: few, since units are small.
    while bool(fits.any()):
        more = fits & (torch.where(fits, sizes, 0).cumsum(dim=1) <= left)
        chosen |= more
        left = left - torch.where(more, sizes, 0).sum(dim=1, keepdim=True)
        fits = ~chosen & (sizes > 0) & (sizes <= left)
    some = sizes > 0
    first = some & (some.cumsum(dim=1) == 1)
    chosen |= first & ~chosen.any(dim=1, keepdim=True) & (counts > 0)[:, None]
    hidden_units = torch.zeros_like(chosen).scatter_(1, order, chosen)
    return hidden_units.gather(1, unit_of) & eligible


def sample_weights(mask: Mask, reduction: Reduction) -> Tensor:
    """Return the weight of each sample in the loss, float32 [B].

    The loss is sum_i w_i l_i / sum_i w_i with l_i the mean over the hidden positions of sample i,
    so a constant residual costs the same at every ratio and under every reduction:

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
