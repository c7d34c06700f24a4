"""Where cells come from: settings, and `load`, which reads them and chooses genes."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated as Limited
from typing import Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from maskwise.cells.anndata_files import (
    AnnData,
    Annotated,
    files_of,
    of_anndata,
    open_file,
    pbmc68k,
    read_column,
)
from maskwise.cells.cells import Cells, Held, Library
from maskwise.cells.genes import Matching, choose, listed_genes, union
from maskwise.cells.matrix import CSR
from maskwise.cells.survey import survey
from maskwise.columns.tabular import Loss, TabularRows, TabularSplits
from maskwise.errors import UserError, option
from maskwise.settings import settings
from maskwise.textio import Broken

log = logging.getLogger("maskwise")


@settings
class CellsDataSettings:
    """Which cells to use and how to read them."""

    source: str = "array"
    """`pbmc68k`, built in; an .h5ad file, a .zarr folder, a matrix of 10x (.h5, or an .mtx beside
    features.tsv and barcodes.tsv), a folder of these, a pattern (`"data/*.h5ad"`), or several as
    A.h5ad+B.h5ad."""
    broken: Broken = "stop"
    """What is done about cells with values that are NaN or infinite: `stop`, or `skip`, which
    counts them."""
    layer: str | None = None
    """Which matrix: none = X, `raw` = that of raw, or the name of a layer."""
    values: Literal["auto", "counts", "fractional", "normalised"] = "auto"
    """What the matrix holds: `counts` (`auto`: an error where it does not); `fractional` estimates
    of counts, such as alevin's, which `nb` and `zinb` round; or log1p-`normalised` expression,
    which is taken as it is."""
    normalised: bool | None = None
    """The matrix holds expression that is normalised for depth and no logarithm yet, such as TPM
    and CPM: its log1p is taken."""
    loss: Loss = "mse"
    """`mse` of counts normalised to the median library size and log1p; `nb` or `zinb`, (zero-
    inflated) negative binomial, of counts."""
    library: Library = "visible"
    """What tells `nb` and `zinb` a cell's library size: its `visible` genes, or `all`, which leaks
    the sum of the hidden ones."""
    zeros: Limited[float, Field(ge=0, le=1)] = 1.0
    """How likely a gene that a cell lacks is to be eligible in a step of training: 1 = zeros are
    hidden like the rest, 0.1 = at a tenth of the rate, 0 = never."""
    num_genes: PositiveInt | None = 2000
    """How many highly variable genes to use; none: all."""
    genes: str | None = None
    """A file with the genes to use, one in a line."""
    gene_ids: str | None = None
    """The column of var that names genes; none: its index."""
    labels: str | None = None
    """The column of obs with cell types, for probes."""
    batch: str | None = None
    """The column of obs with batches that the model is told, or `file`."""
    group: str | None = None
    """The column of obs (a donor, a sample) whose cells are held out together, or `file`."""
    holdout: Limited[float, Field(gt=0, lt=1)] = 0.1
    """Share of the cells held out."""


def load(data: CellsDataSettings) -> TabularSplits:
    """Open the cells that `data` describes, look through them and choose genes.

    Raises:
        UserError: a source that does not exist or cannot be used, saying which and why.
    """
    return splits_of_sets(open_sets(data.source, data), data)


def from_anndata(adata: AnnData, data: CellsDataSettings) -> TabularSplits:
    """Use cells of an AnnData; see `load`."""
    return splits_of_sets(open_sets(adata, data), data)


def held_by(data: CellsDataSettings) -> Held:
    """Return what the settings say that the matrix holds."""
    if data.normalised and data.values != "auto":
        raise UserError(
            f"{option('data.normalised')} is of values without a logarithm, and"
            f" {option('data.values', data.values)} says that they are others: give"
            f" {option('data.values', 'auto')}, or {option('data.normalised', 'false')}",
            {"data.values": "auto"},
        )
    if data.normalised:
        return "linear"
    return "counts" if data.values == "auto" else data.values


def reader(
    sets: Sequence[Annotated],
    matchings: Sequence[Matching],
    library: np.ndarray,
    held: Held,
    known: Cells,
    batches: np.ndarray | None,
) -> "Reader":
    """Return what reads cells of what they hold as a model wants them."""
    scale, rounded = None, held == "fractional" and known.loss != "mse"
    if known.loss == "mse" and held != "normalised":
        scale = (known.target_sum / np.where(library > 0, library, 1)).astype(np.float32)
    if held == "linear":
        scale = np.ones(len(library), dtype=np.float32)
    if held == "fractional":
        log.info("estimates of counts are %s", "rounded" if rounded else "normalised as counts")
    elif held == "linear":
        log.info("the values are normalised: their log1p is taken")
    return Reader([each.matrix for each in sets], matchings, scale, batches, rounded)


def open_sets(cells: AnnData | str | Path, data: CellsDataSettings) -> list[Annotated]:
    """Open all data sets of a source.

    Raises:
        UserError: one cannot be read, or lacks what settings name; there are no cells or genes.
    """
    sets = _opened(cells, data)
    for what, num in (
        ("cells", sum(len(each.matrix) for each in sets)),
        ("genes", min(each.matrix.num_columns for each in sets)),
    ):
        if not num:
            raise UserError(f"{sets[0].genes.where} has no {what}: give data that have some")
    return sets


def _opened(cells: AnnData | str | Path, data: CellsDataSettings) -> list[Annotated]:
    if not isinstance(cells, str | Path):
        return [of_anndata(cells, data.layer, data.gene_ids)]
    if cells == "pbmc68k":
        return [replace(of_anndata(pbmc68k(), data.layer, data.gene_ids), name=cells)]
    paths = files_of(str(cells))
    sets = [open_file(path, data.layer, data.gene_ids) for path in paths]
    if len({each.name for each in sets}) < len(sets):
        sets = [
            replace(each, name=f"{path.absolute().parent.name}/{each.name}")
            for path, each in zip(paths, sets, strict=True)
        ]
    return sets


def check_loss(data: CellsDataSettings) -> Held:
    """Return what the matrix holds, of which the loss can be.

    Raises:
        UserError: settings that do not go together.
    """
    held = held_by(data)
    if data.loss != "mse" and held not in ("counts", "fractional"):
        given = ("data.values", "normalised")
        given_as = option("data.normalised") if data.normalised else option(*given)
        told = f"loss {data.loss} is of counts: leave out {given_as}"
        raise UserError(told, {"data.loss": "mse"})
    return held


def splits_of_sets(sets: Sequence[Annotated], data: CellsDataSettings) -> TabularSplits:
    """Look through cells, choose genes, and split the cells in those to train on and others."""
    held = check_loss(data)
    counts = held in ("counts", "fractional")
    known = [each.genes for each in sets]
    genes = union(known) if data.genes is None else listed_genes(data.genes, known)
    if len(sets) > 1 or data.genes is not None:
        for matching in genes.matchings:
            log.info("%s", matching)
    batch, group, labels = (
        None if name is None else read_column(sets, name, what)
        for name, what in ((data.batch, "batch"), (data.group, "group"), (data.labels, "labels"))
    )
    sizes = [len(each.matrix) for each in sets]
    out = held_out(sum(sizes), data.holdout, None if group is None else group.codes)
    parts = np.split(~out, np.cumsum(sizes)[:-1])
    surveys = [survey(*each, held, broken=data.broken) for each in zip(sets, parts, strict=True)]
    for found, each in zip(surveys, sets, strict=True):
        found.tell(each)
    library = np.concatenate([each.library for each in surveys])
    train, test = _filled(library, out)
    target = float(np.median(library[train])) if counts else 1e4
    num_genes = data.num_genes if data.genes is None else None
    genes, shares = choose(genes, surveys, parts, num_genes, target if counts else 1.0)
    if batch is not None:
        trained = np.unique(batch.codes[train])
        batch = batch.numbered([batch.names[code] for code in trained if code >= 0])
    cells = Cells(
        genes.names,
        *(data.loss, data.library, data.zeros),
        *(tuple(shares.tolist()) if counts else (), target, counts),
        () if batch is None else batch.names,
        fractional=held in ("fractional", "linear"),
    )
    batches = None if batch is None else batch.codes
    read = reader(sets, genes.matchings, library, held, cells, batches)
    codes = [None if each is None else each.codes for each in (labels, batch)]
    every = TabularRows(read, np.arange(len(library)), *codes)
    name = "+".join(each.name for each in sets) if len(sets) < 4 else Path(data.source).name
    what = "%s: %d cells to train on, %d held out, %d genes"
    log.info(what, name, len(train), len(test), len(genes.names))
    digest = hashlib.sha256(library.tobytes() + "\n".join(genes.names).encode()).hexdigest()
    return TabularSplits(
        *(every.some(train), every.some(test), name),
        *(None if labels is None else labels.names, cells.batches or None),
        {"train": len(train), "heldout": len(test), "cells": digest},
        cells,
    )


def held_out(num: int, holdout: float, groups: np.ndarray | None = None) -> np.ndarray:
    """Return which cells to evaluate on, bool [num]: at random, or whole groups at random.

    Of groups, int64 [num], as many as do not exceed the share, but one; -1 = one of its own.

    >>> bool(held_out(4, 0.5, np.array([0, 1, 0, 1]))[:2].all())  # not of both groups
    False
    """
    units = np.arange(num)
    if groups is not None:
        alone = groups.max(initial=0) + 1 + units
        units = np.unique(np.where(groups < 0, alone, groups), return_inverse=True)[1]
    sizes = np.bincount(units, minlength=1)
    if len(sizes) < 2:
        few = f"{num} cells are too few" if groups is None else "all cells are in one group"
        given = f" ({option('data.group')})" if groups is not None else ""
        mended = {"data.group": "none"} if groups is not None and num > 1 else {}
        raise UserError(f"{few}{given}: none can be held out", mended)
    order = np.random.default_rng(0).permutation(len(sizes))
    total = sizes[order].cumsum()
    chosen = order[total <= holdout * num]
    return np.isin(units, chosen if len(chosen) else order[sizes[order].argmin()])


def _filled(library: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which cells to train on and which are held out; without empty ones, counted."""
    some = library > 0
    if empty := int((library == 0).sum()):
        log.warning("%d cells without any count left out, %d kept", empty, some.sum())
    train, test = np.flatnonzero(some & ~held), np.flatnonzero(some & held)
    if not len(train) or not len(test):
        raise UserError(
            f"{len(train)} cells with counts to train on and {len(test)} held out are too few"
        )
    return train, test


class Reader:
    """Reads cells of several data sets, one after the other, by the genes of a vocabulary.

    They are multiplied by `scale` [N] and log1p, or taken as they are (None), rounded if asked
    for. Their batches, int64 [N], are the last column, if asked for.
    """

    def __init__(
        self,
        matrices: Sequence[CSR],
        matchings: Sequence[Matching],
        scale: np.ndarray | None,
        batches: np.ndarray | None,
        rounded: bool = False,
    ) -> None:
        self.matrices, self.batches = tuple(matrices), batches
        self.scale, self.rounded = scale, rounded
        self.num_genes = len(matchings[0].columns)
        # Of each data set: which gene of the vocabulary its genes are, -1 = none; whether they
        # are one; and which it lacks.
        self.places = []
        for matrix, matching in zip(matrices, matchings, strict=True):
            place = np.full(matrix.num_columns, -1, dtype=np.int32)
            found = np.flatnonzero(matching.columns >= 0)
            place[matching.columns[found]] = found
            self.places.append(place)
        self.known = [place >= 0 for place in self.places]
        self.lacking = [np.flatnonzero(matching.columns < 0) for matching in matchings]

    def __call__(self, index: np.ndarray) -> Tensor:
        """Return cells by number, float32 [b, G] (or [b, G + 1]); NaN where a gene is lacking."""
        width = self.num_genes + (self.batches is not None)
        samples = np.zeros((len(index), width), dtype=np.float32)
        starts = np.cumsum([0, *map(len, self.matrices)])
        for number, (start, stop) in enumerate(pairwise(starts.tolist())):
            here = np.flatnonzero((index >= start) & (index < stop))
            self._fill(samples, number, here, index[here], start)
        if self.batches is not None:
            samples[:, -1] = self.batches[index]
        return torch.from_numpy(samples)

    def _fill(
        self, samples: np.ndarray, number: int, here: np.ndarray, index: np.ndarray, start: int
    ) -> None:
        sizes, columns, values = self.matrices[number].read(index - start)
        known = self.known[number].take(columns, mode="clip")  # without a check: faster
        if not known.all():
            kept = np.flatnonzero(known)
            sizes = np.diff(kept.searchsorted(sizes.cumsum()), prepend=0)
            columns, values = columns.take(kept), values.take(kept)
        values = values.astype(np.float32, copy=False)
        if self.rounded:
            values = np.rint(values)
        if self.scale is not None:
            values = np.log1p(values * np.repeat(self.scale[index], sizes))
        place = self.places[number].take(columns, mode="clip")
        samples.ravel()[np.repeat(here * samples.shape[1], sizes) + place] = values
        if len(self.lacking[number]):
            samples[np.ix_(here, self.lacking[number])] = np.nan
