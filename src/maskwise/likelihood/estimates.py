"""What an estimator returns: a log-likelihood with its standard error, in several units."""

import math
from dataclasses import dataclass
from typing import Literal

from scipy import stats
from torch import Tensor

from maskwise.errors import UserError

Units = Literal["nats", "bits_per_dim", "perplexity"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A log-likelihood in nats: the sum over samples, and each sample's own.

    `stderr` and `per_sample_stderr` are the errors of having drawn some masks and not all, for
    these very samples; NaN where the method cannot tell.
    """

    value: float
    stderr: float
    per_sample: Tensor
    """float64 [B]"""
    passes: int
    """masked inputs evaluated for a sample"""
    per_sample_stderr: Tensor
    """float64 [B]"""
    num_dims: int
    """values whose density this is, over all samples: eligible positions x values in each"""
    dof: float
    """degrees of freedom of `stderr` (Welch-Satterthwaite)"""

    @property
    def bits_per_dim(self) -> float:
        """-log2 of the likelihood, per value."""
        return convert(self.value, self.num_dims, "bits_per_dim")

    @property
    def perplexity(self) -> float:
        """exp(-log-likelihood per value)."""
        return convert(self.value, self.num_dims, "perplexity")

    def interval(self, level: float = 0.95, units: Units = "nats") -> tuple[float, float]:
        """Return a confidence interval of the sum, by Student's t.

        Args:
            level: its coverage, in (0, 1).
            units: "nats", "bits_per_dim" or "perplexity".

        >>> import torch
        >>> found = Estimate(-100.0, 2.0, torch.tensor([-100.0]), 64, torch.tensor([2.0]), 10, 1e9)
        >>> [round(end, 2) for end in found.interval()]
        [-103.92, -96.08]
        >>> [round(end, 2) for end in found.interval(units="bits_per_dim")]
        [13.86, 14.99]
        """
        if not 0 < level < 1:
            raise UserError(f"level {level:g} is outside (0, 1): 0.95 is usual")
        wide = self.stderr and float(stats.t.ppf((1 + level) / 2, self.dof)) * self.stderr
        low, high = (convert(self.value + end, self.num_dims, units) for end in (-wide, wide))
        return min(low, high), max(low, high)


def convert(nats: float, num_dims: float, units: str) -> float:
    """Return a log-likelihood in other units, per value but for nats.

    >>> round(convert(-8 * math.log(2), 8, "bits_per_dim"), 6)
    1.0
    """
    if units == "nats":
        return nats
    if units == "bits_per_dim":
        return -nats / num_dims / math.log(2)
    if units == "perplexity":
        return math.exp(-nats / num_dims)
    raise UserError(f"unknown units '{units}'; units are nats, bits_per_dim, perplexity")
