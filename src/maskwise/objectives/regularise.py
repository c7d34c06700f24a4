"""Which terms against collapsed features are added to the loss, of which features, how heavily."""

import contextlib
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from maskwise.checks import checked_fields
from maskwise.errors import UserError
from maskwise.laws.combined import SHAPES
from maskwise.modality import VisiblePool
from maskwise.objectives import regularisers
from maskwise.objectives.regularisers import Scale
from maskwise.settings import settings

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_FORM = re.compile(rf"({'|'.join(SHAPES)}):({_NUMBER})\.\.({_NUMBER})(?:@({_NUMBER}))?", re.I)


@checked_fields
@dataclass(frozen=True)
class Weight:
    """A weight that moves from `start` to `end` over the first share `until` of training.

        w(t) = (1 - s) start + s end,  s = shape(min(t / until, 1))

    >>> Weight.parse("linear:0..0.01@0.5").at(0.25)
    0.005
    """

    start: float
    end: float
    shape: str = "linear"
    until: float = 1.0

    @classmethod
    @functools.cache
    def parse(cls, text: str) -> "Weight":
        """Read a number, or SHAPE:FROM..TO or SHAPE:FROM..TO@SHARE."""
        found = _FORM.fullmatch(text.strip())
        try:
            if found is None:
                weight = cls(float(text), float(text))
            else:
                shape, start, end, until = found.groups()
                weight = cls(float(start), float(end), shape.lower(), float(until or 1))
        except ValueError:
            raise UserError(
                f"weight '{text}' cannot be read: give a number, or {'|'.join(SHAPES)}:FROM..TO,"
                " with @SHARE if it arrives before the end of training"
            ) from None
        if not (0 <= weight.start < float("inf") and 0 <= weight.end < float("inf")):
            raise UserError(f"weight '{text}' must be 0 or more, and finite")
        if not 0 < weight.until <= 1:
            raise UserError(f"weight '{text}' arrives at {weight.until:g}: give a share in (0, 1]")
        return weight

    def at(self, progress: float) -> float:
        """Return the weight at a share of training in [0, 1]."""
        share = SHAPES[self.shape](min(progress / self.until, 1.0))
        return (1 - share) * self.start + share * self.end


def _weight(text: str) -> str:
    Weight.parse(text)
    return text


WeightText = Annotated[str, AfterValidator(_weight)]


@settings
class RegulariseSettings:
    """Terms that are added to the loss, and of which features.

    A weight is a number, or SHAPE:FROM..TO[@SHARE] for one that moves over that share of training
    (shapes: linear, cosine, step).
    """

    uniformity: WeightText = "0"
    """weight of the mean squared cosine between samples (U-MAE: 0.01)"""
    coding_rate: WeightText = "0"
    """weight of minus the total coding rate (M-MAE: 0.01)"""
    variance: WeightText = "0"
    """weight of how far dimensions are from a spread of 1 (VICReg)"""
    covariance: WeightText = "0"
    """weight of the squared covariances of dimensions (VICReg)"""
    koleo: WeightText = "0"
    """weight of minus the log-distance to the nearest sample (DINOv2: 0.1)"""
    magma: WeightText = "0"
    """weight of how much features differ between samples that an earlier layer has close"""
    local_dimension: WeightText = "0"
    """weight of minus the log of the dimension around each sample (LDReg)"""
    orthogonality: WeightText = "0"
    """weight of how far the encoder's matrices are from orthogonal ones"""
    pool: VisiblePool = "mean"
    """features of a masked sample: the mean of its visible positions, or its class token
    (U-MAE)"""
    layer: int = -1
    """layer whose features they are; -1 is the last"""
    earlier_layer: int = 0
    """the earlier layer of magma"""
    mu: Annotated[float, Field(gt=0)] = 1.0
    """how far the coding rate is from uniformity (M-MAE: 1 for ViT-B, 3 for ViT-L)"""
    neighbours: Annotated[int, Field(ge=2)] = 32
    """nearest samples that tell the local dimension"""
    scale: Scale = "exact"
    """of uniformity: exact, or public for that of U-MAE's public code, whose value counts every
    sample against itself and whose gradient is divided by the number of devices"""

    @property
    def terms(self) -> dict[str, Weight]:
        """The terms whose weight is not 0 all the time, by name."""
        found = {name: Weight.parse(getattr(self, name)) for name in TERMS}
        return {name: weight for name, weight in found.items() if weight.start or weight.end}

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers whose features are needed: none, that of all terms, and that of magma."""
        if not self.terms:
            return ()
        return (self.layer, self.earlier_layer) if "magma" in self.terms else (self.layer,)


Term = Callable[[RegulariseSettings, list[Tensor], nn.Module], Tensor]
# A new term is one function, one line here, and a setting of its name.
TERMS: dict[str, Term] = {
    "uniformity": lambda config, z, _: regularisers.uniformity(z[0], config.scale),
    "coding_rate": lambda config, z, _: regularisers.coding_rate(z[0], config.mu),
    "variance": lambda config, z, _: regularisers.variance(z[0]),
    "covariance": lambda config, z, _: regularisers.covariance(z[0]),
    "koleo": lambda config, z, _: regularisers.koleo(z[0]),
    "magma": lambda config, z, _: regularisers.magma(z[1], z[0]),
    "local_dimension": lambda config, z, _: regularisers.local_dimension(z[0], config.neighbours),
    "orthogonality": lambda config, z, encoder: regularisers.orthogonality(encoder),
}


def penalty(
    config: RegulariseSettings, features: list[Tensor], encoder: nn.Module, progress: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return sum_k w_k(t) R_k at `progress` t, and each term for itself, detached, by name.

    Features are of this device's samples, one tensor [N, d] for each of `config.layers`; the
    matrices of the encoder should be orthogonal. "cosine2" is the mean squared cosine over pairs
    of different samples, so it compares across batch sizes.
    """
    total, values = features[0].new_zeros((), dtype=torch.float32), {}
    for name, weight in config.terms.items():
        value = TERMS[name](config, features, encoder)
        total = total + weight.at(progress) * value
        values[name] = value.detach()
    # What the terms do not ask for stops nothing.
    with torch.no_grad(), contextlib.suppress(UserError):
        values["cosine2"] = regularisers.uniformity(features[0])
    return total, values
