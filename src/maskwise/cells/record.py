"""Runs on single cells: their settings, what reports say of them, and all that a run asks for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from maskwise.cells import annotated, partial
from maskwise.cells.anndata_files import AnnData
from maskwise.cells.cells import Cells
from maskwise.cells.data import CellsDataSettings, from_anndata, load
from maskwise.cells.graph import cell_graph
from maskwise.cells.looking import look
from maskwise.cells.others import Filled, align, example, samples_of
from maskwise.columns.evaluation import embed_rows, record, words
from maskwise.columns.init import from_columns
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import (
    TabularEvaluateSettings,
    TabularModelSettings,
    TabularRunSettings,
    splits_of,
)
from maskwise.exports.formats import graph_formats
from maskwise.modality import Blanks, Pool
from maskwise.settings import settings
from maskwise.train.config import TrainSettings


@settings
class CellsRunSettings(TabularRunSettings):
    """Everything that decides what a run on single cells does."""

    modality: Literal["cells"] = "cells"
    """kind of data"""
    data: CellsDataSettings = Field(default_factory=CellsDataSettings)
    model: TabularModelSettings = Field(
        default_factory=lambda: TabularModelSettings(corruption="zero", norm=False)
    )
    # Genes have no neighbours; a panel measures the same ones of all cells.
    evaluate: TabularEvaluateSettings = Field(
        default_factory=lambda: TabularEvaluateSettings(visible_patterns=("random", "panel"))
    )


CELLS = TrainSettings(steps=2000, batch_size=128, lr=3e-3, weight_decay=0.01)


def pbmc68k(law: str = "uniform:0.1,0.9") -> CellsRunSettings:
    """700 blood cells by 765 genes that scanpy brings along, log-normalised; half a minute."""
    return CellsRunSettings(
        data=CellsDataSettings(
            source="pbmc68k", layer="raw", values="normalised", labels="bulk_labels", holdout=0.2
        ),
        law=law,
        train=CELLS,
    )


def any_cells(source: str) -> CellsRunSettings:
    """Cells of your own: 2,000 highly variable genes, an MLP with a code of 64, R²MAE."""
    train = replace(CELLS, budget="10m")
    return CellsRunSettings(data=CellsDataSettings(source=source), train=train)


RECIPES: dict[str, Callable[[], CellsRunSettings]] = {
    "pbmc68k": pbmc68k,
    "pbmc68k-fixed": lambda: pbmc68k(law="fixed:0.5"),
}

WORDS = words(
    "cells",
    "gene",
    loss="half the squared error, or minus the log-probability of a count",
    compare="Counts have probabilities and normalised values have densities: compare models of one"
    " loss and of the same genes only. ",
    between=("layer", "values", "normalised", "loss", "num_genes", "genes"),
    differ="data, genes, loss or pattern",
    more="Probes and clusters need the types of cells, a column of obs:",
    more_options=" --data.labels COLUMN",
)


def _embed(
    model: TabularModel, cells: AnnData | Filled, config: CellsRunSettings, pool: Pool, layer: int
) -> np.ndarray:
    known = model.tokenizer
    assert isinstance(known, Cells)
    if isinstance(cells, Filled):
        rows = align(cells.source, known, config.data).rows
        return embed_rows(model, rows, cells.rows, layer, pool)
    found = align(cells, known, config.data)
    return annotated.features_of(model, found, layer, pool)


def _embed_file(
    model: TabularModel, source: Path, out: Path, config: CellsRunSettings, layer: int
) -> str:
    num, width = annotated.embed_file(model, source, out, layer=layer, data=config.data)
    return f"{out}: obsm['{annotated.KEY}'], {num} x {width}, float32"


def _impute(model: TabularModel, adata: AnnData, config: CellsRunSettings) -> AnnData:
    annotated.impute(model, adata, data=config.data)
    return adata


def _impute_file(
    model: TabularModel, source: Path, out: Path, config: CellsRunSettings, entries: Blanks
) -> str:
    shape = annotated.impute_file(model, source, out, entries=entries, data=config.data)
    return f"{out}: layers['{annotated.LAYER}'], {shape[0]} x {shape[1]}, float32"


RECORD = record(
    name="cells",
    settings=CellsRunSettings,
    recipes=RECIPES,
    own=any_cells,
    words=WORDS,
    sources="FILE.h5ad|.zarr|.h5|.mtx, a folder of these, A.h5ad+B.h5ad",
    endings=frozenset({".h5ad", ".zarr", ".h5", ".mtx"}),
    folders="flat",
    several=True,
    of_memory=lambda data: hasattr(data, "obs") and hasattr(data, "var"),
    precedence=3,
    load=lambda data, config: splits_of(data, config, load, from_anndata, "an AnnData"),
    describe=lambda splits, config: (splits.tokenizer, config),
    fingerprint=lambda splits: splits.fingerprint,
    example=example,
    restore=Cells.load,
    init=from_columns("cells", Cells.load, "genes", batches=lambda cells: cells.batches),
    inspect=look,
    embed=_embed,
    read=lambda config: samples_of(config.data),
    incomplete=partial.incomplete,
    labelled=partial.labelled,
    impute=_impute,
    impute_file=_impute_file,
    embed_file=_embed_file,
    exports=graph_formats(cell_graph),
)
