"""Samples of cells, read from sparse matrices and put in the order of a vocabulary of genes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from maskwise.cells.csr import CSR
from maskwise.cells.genes import Matching


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads cells of several data sets, one after the other.

    Args:
        matrices: of the data sets.
        places: for each, which gene of the vocabulary its genes are, int32; -1 = none.
        known: for each, which of its genes are in the vocabulary, bool.
        lacking: for each, the genes of the vocabulary that it does not have.
        num_genes: of the vocabulary.
        scale: what the counts of each cell are multiplied by before log1p, float32 [N]; None: they
            are taken as they are.
        batches: the batch of each cell, int64 [N]; None: not asked for.
    """

    matrices: tuple[CSR, ...]
    places: tuple[np.ndarray, ...]
    known: tuple[np.ndarray, ...]
    lacking: tuple[np.ndarray, ...]
    num_genes: int
    scale: np.ndarray | None
    batches: np.ndarray | None = None

    def __call__(self, index: np.ndarray) -> Tensor:
        """Return cells by number, float32 [b, G] (or [b, G + 1]); NaN where a gene is lacking."""
        width = self.num_genes + (self.batches is not None)
        samples = np.zeros((len(index), width), dtype=np.float32)
        starts = np.cumsum([0, *map(len, self.matrices)])
        for number, (start, stop) in enumerate(pairwise(starts.tolist())):
            here = np.flatnonzero((index >= start) & (index < stop))
            self._fill(samples, here, number, index[here] - start, index[here])
        if self.batches is not None:
            samples[:, -1] = self.batches[index]
        return torch.from_numpy(samples)

    def _fill(
        self,
        samples: np.ndarray,
        here: np.ndarray,
        number: int,
        rows: np.ndarray,
        index: np.ndarray,
    ) -> None:
        sizes, columns, values = self.matrices[number].read(rows)
        known = self.known[number].take(columns, mode="clip")  # without a check: faster
        if not known.all():
            known = np.flatnonzero(known)
            sizes = np.diff(known.searchsorted(sizes.cumsum()), prepend=0)
            columns, values = columns.take(known), values.take(known)
        values = values.astype(np.float32, copy=False)
        if self.scale is not None:
            values = np.log1p(values * np.repeat(self.scale[index], sizes))
        place = self.places[number].take(columns, mode="clip")
        samples.ravel()[np.repeat(here * samples.shape[1], sizes) + place] = values
        if len(self.lacking[number]):
            samples[np.ix_(here, self.lacking[number])] = np.nan


def reader(
    matrices: Sequence[CSR],
    matchings: Sequence[Matching],
    library: np.ndarray,
    target_sum: float | None,
    batches: np.ndarray | None,
) -> Reader:
    """Return a reader of data sets whose genes were matched to a vocabulary.

    Args:
        matrices: of the data sets.
        matchings: which gene of each a gene of the vocabulary is.
        library: the sum of each cell's counts, over all genes of its data set, [N].
        target_sum: what cells are normalised to before log1p; None: they are taken as they are.
        batches: as in `Reader`.
    """
    places = []
    for matrix, matching in zip(matrices, matchings, strict=True):
        place = np.full(matrix.num_columns, -1, dtype=np.int32)
        found = np.flatnonzero(matching.columns >= 0)
        place[matching.columns[found]] = found
        places.append(place)
    scale = None
    if target_sum is not None:
        scale = (target_sum / np.maximum(library, 1)).astype(np.float32)
    lacking = tuple(np.flatnonzero(matching.columns < 0) for matching in matchings)
    num_genes = len(matchings[0].columns)
    known = tuple(place >= 0 for place in places)
    return Reader(tuple(matrices), tuple(places), known, lacking, num_genes, scale, batches)
