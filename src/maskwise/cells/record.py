"""Runs on single cells."""

from pathlib import Path
from typing import Any

import numpy as np

from maskwise.cells import annotated
from maskwise.cells import data as cells_data
from maskwise.cells.cells import Cells
from maskwise.cells.data import CellsSplits
from maskwise.cells.recipes import RECIPES, CellsRunSettings, any_cells
from maskwise.cells.words import WORDS
from maskwise.columns import runs
from maskwise.columns.features import embed_rows
from maskwise.columns.losses import column_likelihood
from maskwise.columns.model import TabularModel
from maskwise.errors import UserError
from maskwise.modality import Modality, Pool


def _load(data: Any, config: Any) -> CellsSplits:
    runs.check_pattern(config)
    if data is not None:
        return cells_data.from_anndata(data, config.data)
    if config.data.source == "array":
        raise UserError("this run was given an AnnData: give it again, as data=")
    return cells_data.load(config.data)


def _embed(model: TabularModel, cells: Any, config: Any, pool: Pool, layer: int) -> np.ndarray:
    """Return features of the cells of an AnnData or a file, in their order."""
    known: Any = model.tokenizer
    rows, _ = cells_data.align(cells, known, config.data)
    return embed_rows(model, rows, layer=layer, pool=pool)


def _embed_file(model: TabularModel, source: Path, out: Path, config: Any, layer: int) -> str:
    num, width = annotated.embed_file(model, source, out, layer=layer, data=config.data)
    return f"{out}: obsm['{annotated.KEY}'], {num} x {width}, float32"


def _impute(model: TabularModel, adata: Any, config: Any) -> Any:
    annotated.impute(model, adata, data=config.data)
    return adata


def _impute_file(
    model: TabularModel, source: Path, out: Path, config: Any, entries: annotated.Entries
) -> str:
    shape = annotated.impute_file(model, source, out, entries=entries, data=config.data)
    return f"{out}: layers['{annotated.LAYER}'], {shape[0]} x {shape[1]}, float32"


RECORD = Modality(
    name="cells",
    title="a model of features",
    settings=CellsRunSettings,
    recipes=RECIPES,
    own=any_cells,
    words=WORDS,
    sources="FILE.h5ad|.zarr, a folder of these, A.h5ad+B.h5ad",
    endings=frozenset({".h5ad", ".zarr", ".h5"}),  # the last says how to make the others
    folders="flat",
    several=True,
    of_memory=lambda data: hasattr(data, "obs") and hasattr(data, "var"),
    precedence=3,
    load=_load,
    describe=lambda splits, config: (cells_data.describe(splits, config.data), config),
    fingerprint=lambda splits: splits.fingerprint,
    build=runs.build,
    settle=runs.settle,
    evaluate=runs.evaluate,
    samples=runs.samples,
    restore=Cells.load,
    embed=_embed,
    read=lambda config: config.data.source,
    likelihood=column_likelihood,
    impute=_impute,
    impute_file=_impute_file,
    embed_file=_embed_file,
)
