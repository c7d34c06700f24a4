"""Expression profiles of single cells: what may be hidden, what a network reads, how deep."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from maskwise.columns.tabular import ColumnTokenizer, Loss, measured
from maskwise.errors import UserError
from maskwise.modality import Entries
from maskwise.rng import Keys, Stream

Library = Literal["visible", "all"]
Held = Literal["counts", "fractional", "linear", "normalised"]
"""what a matrix holds: counts; estimates of counts, no whole numbers; expression normalised for
depth, such as TPM; or the logarithm of 1 + such expression"""


@dataclass(frozen=True, eq=False)
class Cells(ColumnTokenizer):
    """How expression profiles become what a model reads and predicts.

    With loss "mse" samples are log1p-normalised expression and are read as they are. With "nb"
    and "zinb" they are counts x_j, whose expected value is library times profile: the library
    size of a cell is estimated from the genes R that the model is shown,

        library = (sum_R x_j + 1) / (sum_R profile_j + 1 / target_sum),

    so that it says nothing about the hidden ones; one more count at the usual depth keeps it
    positive. ``library="all"`` counts hidden genes too, as several published models do: a leak,
    since what is hidden is then known to add up to the rest.

    Args:
        genes: the names of the G genes.
        loss: "mse", "nb" or "zinb".
        library: "visible" or "all", for counts.
        zeros: how likely a gene that was not detected is to be eligible in a step of training.
        profile: mean share of each gene in the counts of a cell, of counts.
        target_sum: the library size that cells are normalised to.
        counts: whether the data are counts, which are normalised; else they come normalised.
        fractional: whether the values are no whole numbers: estimates of counts; or, if they come
            normalised, expression whose logarithm is still to be taken.
        batches: names of the batches whose number samples have in their last column.

    Raises:
        UserError: no genes, or counts without a positive profile.

    Example:
        >>> cells = Cells(("CD3E", "CD19"), "nb", profile=(0.75, 0.25), target_sum=100.0)
        >>> x = torch.tensor([[30.0, 20.0]])
        >>> hidden = torch.tensor([[False, True]])
        >>> cells.log_library(x, hidden).exp()  # 31 / 0.76 x profile
        tensor([[30.5921, 10.1974]])
    """

    modality: ClassVar[str] = "cells"
    words: ClassVar[tuple[str, str]] = ("cell", "gene")
    sparse: ClassVar[bool] = True

    genes: tuple[str, ...]
    loss: Loss = "mse"
    library: Library = "visible"
    zeros: float = 1.0
    profile: tuple[float, ...] = ()
    target_sum: float = 1e4
    counts: bool = True
    batches: tuple[str, ...] = ()
    fractional: bool = False

    def __post_init__(self) -> None:
        if not self.genes:
            raise UserError("cells without genes: give the names of the genes")
        if self.loss != "mse" and (len(self.profile) != len(self.genes) or min(self.profile) <= 0):
            raise UserError(
                f"loss {self.loss} needs the mean share of each of the {len(self.genes)} genes,"
                " above 0: leave out genes that no cell expresses"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return self.genes

    @property
    def sizes(self) -> tuple[int, ...]:
        """Zero for each gene: expression is a number."""
        return (0,) * len(self.genes)

    @property
    def held(self) -> Held:
        """What the matrices hold that this was learned from."""
        if self.counts:
            return "fractional" if self.fractional else "counts"
        return "linear" if self.fractional else "normalised"

    @property
    def num_batches(self) -> int:
        return len(self.batches)

    @property
    def log_scale(self) -> Tensor:
        """Zero: densities are of log-normalised expression, and counts have probabilities."""
        return torch.zeros(len(self.genes))

    def eligible(self, batch: Tensor, keys: Keys | None = None) -> Tensor:
        """Return what may be hidden, bool [B, G]; in training zeros are thinned out.

        A zero is eligible with probability `zeros`, afresh in each epoch, so that zeros are hidden
        at `zeros` times the ratio of what was detected.
        """
        known = measured(batch, len(self.genes))
        if keys is None or self.zeros == 1:
            return known
        detected = batch[:, : len(self.genes)] > 0
        if self.zeros == 0:
            return known & detected
        return known & (detected | (keys.uniform(Stream.ZEROS, len(self.genes)) < self.zeros))

    def inputs(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return log1p-normalised expression, float32 [B, G]; 0 where hidden or not measured."""
        seen = measured(batch, len(self.genes)) & ~hidden
        values = torch.where(seen, batch[:, : len(self.genes)], 0.0)
        if self.loss == "mse":
            return values
        return (values * (self.target_sum / self._library(batch, hidden))).log1p()

    def as_inputs(self, expected: Tensor, batch: Tensor) -> Tensor:
        """Return expected counts [B, G] log1p-normalised: the library of a cell is known then."""
        if self.loss == "mse":
            return expected
        profile = torch.tensor(self.profile, device=batch.device).log()
        nothing = torch.zeros_like(expected, dtype=torch.bool)
        log_library = self.log_library(batch, nothing) - profile
        return (expected * self.target_sum / log_library.exp()).log1p()

    def intensities(self, values: Tensor) -> Tensor:
        """Return log-normalised values: what is expressed most is hidden most."""
        return values.double().clamp(min=1e-9)

    def log_library(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return log(library x profile), the count of each gene in an average cell, [B, G]."""
        profile = torch.tensor(self.profile, device=batch.device)
        return self._library(batch, hidden).log() + profile.log()

    def _library(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return the estimated library size of each cell, [B, 1]."""
        known = measured(batch, len(self.genes))
        seen = known if self.library == "all" else known & ~hidden
        profile = torch.tensor(self.profile, device=batch.device)
        total = torch.where(seen, batch[:, : len(self.genes)], 0.0).sum(dim=1, keepdim=True)
        share = torch.where(seen, profile, 0.0).sum(dim=1, keepdim=True)
        return (total + 1) / (share + 1 / self.target_sum)

    def shown(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return cells as they would be normalised if what is hidden had not been counted.

        Their library size is then that of what is visible, over the share of it that is expected
        of a cell,

            library = (outside + sum_R x_j) / (1 - sum_P profile + sum_R profile_j),

        with the visible genes R among those of the model, P, and the counts outside them. A cell
        of which fewer than half of P are measured is of a panel, which has nothing outside.

        Args:
            batch: log1p-normalised counts, [B, G] or [B, G + 1].
            hidden: bool [B, G].
        """
        values = batch[:, : len(self.genes)]
        profile = torch.tensor(self.profile, device=batch.device)
        known = ~values.isnan()
        seen, amounts = known & ~hidden, values.expm1().nan_to_num(0.0)
        whole = 2 * known.sum(dim=1) >= len(self.genes)
        outside = torch.where(whole, (self.target_sum - amounts.sum(dim=1)).clamp(min=0), 0.0)
        total = outside + torch.where(seen, amounts, 0.0).sum(dim=1)
        share = torch.where(seen, profile, 0.0).sum(dim=1)
        share = share + torch.where(whole, (1 - profile.sum()).clamp(min=0), 0.0)
        scale = self.target_sum * share / total.clamp(min=1e-9)
        made = torch.where(seen, (amounts * scale[:, None]).log1p(), values)
        return torch.cat([made, batch[:, len(self.genes) :]], dim=1)

    def save(self, folder: Path) -> Entries:
        """Return plain values that `load` reads."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items()}

    @classmethod
    def load(cls, folder: Path, values: Entries) -> Self:
        """Read what `save` returned."""
        lists = {key: tuple(values[key]) for key in ("genes", "profile", "batches")}
        return cls(**values | lists)
