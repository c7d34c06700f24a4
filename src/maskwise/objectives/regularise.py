"""Which terms against collapsed features are added to the loss, and of which features."""

import contextlib
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.modality import VisiblePool
from maskwise.objectives import regularisers
from maskwise.objectives.regularisers import Scale
from maskwise.objectives.weight import Weight
from maskwise.settings import settings


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
        return {name: weight for name, weight in found.items() if not weight.is_zero}

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
    """Return sum_k w_k(t) R_k, and each term for itself with the mean squared cosine.

    Args:
        config: the terms and their weights, at least one of them not 0.
        features: of this device's samples, one tensor [N, d] for each of `config.layers`.
        encoder: whose matrices should be orthogonal.
        progress: share of training that is done, t.

    Returns:
        The penalty, and detached scalars by name; "cosine2" is the mean over pairs of different
        samples, so it compares across batch sizes.

    Raises:
        UserError: what the terms refuse: fewer than two samples over all devices, or features that
            are exactly zero.
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
