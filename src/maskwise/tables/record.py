"""Runs on tables."""

from typing import Any

import numpy as np

from maskwise.columns import runs as tabular
from maskwise.columns.features import embed_rows
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import rows_of
from maskwise.errors import UserError
from maskwise.measure.features import Pool
from maskwise.pipeline import Pipeline
from maskwise.tables import data as table_data
from maskwise.tables.data import TableSplits
from maskwise.tables.files import read_table
from maskwise.train.config import TablesConfig


def _load(data: Any, config: Any) -> TableSplits:
    tabular.check_pattern(config)
    if data is not None:
        return table_data.from_frame(data, config.data)
    if config.data.source == "array":
        raise UserError("this run was given a table: give it again, as data=")
    return table_data.load(config.data)


def _embed(model: TabularModel, frame: Any, config: Any, pool: Pool, layer: int) -> np.ndarray:
    """Return features of the rows of a table, in their order."""
    table: Any = model.modality
    return embed_rows(model, rows_of(table.encode(frame)), layer=layer, pool=pool)


PIPELINE = Pipeline(
    config=TablesConfig,
    load=_load,
    describe=lambda splits, config: (table_data.describe(splits, config.data), config),
    fingerprint=lambda splits: splits.fingerprint,
    settle=tabular.settle,
    evaluate=tabular.evaluate,
    samples=tabular.samples,
    likelihood=tabular.likelihood,
    embed=_embed,
    read=lambda config: read_table(config.data.source),
)
