"""The mask: which positions of each sample are hidden, and what samples count in a batch."""

from functools import cached_property

import torch
from torch import Tensor

from maskwise.laws import Reduction
from maskwise.masks.select import hide_lowest
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


def subset(mask: Mask, fraction: float, keys: Keys) -> Mask:
    """Return a random part of the hidden positions, ceil(fraction x number) of each sample.

    >>> mask = Mask(torch.ones(1, 8, dtype=torch.bool))
    >>> subset(mask, 0.25, Keys(0, 0, torch.tensor([5]))).num_hidden.tolist()
    [2]
    """
    counts = torch.ceil(mask.num_hidden.to(torch.float64) * fraction - 1e-9).to(torch.int64)
    scores = keys.bits(Stream.PREDICT, mask.hidden.shape[1])
    return Mask(hide_lowest(scores, counts, mask.hidden), mask.eligible)


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
