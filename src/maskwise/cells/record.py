"""Runs on single cells."""

from typing import Any

import numpy as np

from maskwise.cells import data as cells_data
from maskwise.cells.data import CellsSplits
from maskwise.columns import runs as tabular
from maskwise.columns.features import embed_rows
from maskwise.columns.model import TabularModel
from maskwise.errors import UserError
from maskwise.measure.features import Pool
from maskwise.pipeline import Pipeline
from maskwise.train.config import CellsConfig


def _load(data: Any, config: Any) -> CellsSplits:
    tabular.check_pattern(config)
    if data is not None:
        return cells_data.from_anndata(data, config.data)
    if config.data.source == "array":
        raise UserError("this run was given an AnnData: give it again, as data=")
    return cells_data.load(config.data)


def _embed(model: TabularModel, cells: Any, config: Any, pool: Pool, layer: int) -> np.ndarray:
    """Return features of the cells of an AnnData or a file, in their order."""
    known: Any = model.modality
    rows, _ = cells_data.align(cells, known, config.data)
    return embed_rows(model, rows, layer=layer, pool=pool)


PIPELINE = Pipeline(
    config=CellsConfig,
    load=_load,
    describe=lambda splits, config: (cells_data.describe(splits, config.data), config),
    fingerprint=lambda splits: splits.fingerprint,
    settle=tabular.settle,
    evaluate=tabular.evaluate,
    samples=tabular.samples,
    likelihood=tabular.likelihood,
    embed=_embed,
    read=lambda config: config.data.source,
)
