"""Runs on tables."""

from pathlib import Path
from typing import Any

import numpy as np

from maskwise.columns import runs
from maskwise.columns.features import embed_rows
from maskwise.columns.losses import column_likelihood
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import rows_of
from maskwise.errors import UserError
from maskwise.modality import Modality, Pool
from maskwise.tables import data as table_data
from maskwise.tables.data import TableSplits
from maskwise.tables.features import features_of_file
from maskwise.tables.files import read_table
from maskwise.tables.filling import fill, fill_file
from maskwise.tables.recipes import RECIPES, TableRunSettings, any_tables
from maskwise.tables.table import Table
from maskwise.tables.words import WORDS


def _load(data: Any, config: Any) -> TableSplits:
    runs.check_pattern(config)
    if data is not None:
        return table_data.from_frame(data, config.data)
    if config.data.source == "array":
        raise UserError("this run was given a table: give it again, as data=")
    return table_data.load(config.data)


def _embed(model: TabularModel, frame: Any, config: Any, pool: Pool, layer: int) -> np.ndarray:
    """Return features of the rows of a table, in their order."""
    table: Any = model.tokenizer
    return embed_rows(model, rows_of(table.encode(frame)), layer=layer, pool=pool)


def _impute_file(model: TabularModel, source: Path, out: Path, config: Any, entries: str) -> str:
    filled = fill_file(model, source, out)
    return f"{out}: {sum(filled.values()):,} missing values filled in, {len(filled)} columns"


def _in_memory(data: object) -> bool:
    values = data[0] if isinstance(data, tuple) and len(data) == 2 else data
    named = isinstance(values, dict) or hasattr(values, "columns")
    return named or getattr(values, "ndim", 0) == 2


RECORD = Modality(
    name="tables",
    title="a model of features",
    settings=TableRunSettings,
    recipes=RECIPES,
    own=any_tables,
    words=WORDS,
    sources="FILE.csv|.tsv (.gz, .xz), FILE.parquet|.feather",
    endings=frozenset({".csv", ".tsv", ".feather", ".parquet"}),
    folders="none",
    of_memory=_in_memory,
    load=_load,
    describe=lambda splits, config: (table_data.describe(splits, config.data), config),
    fingerprint=lambda splits: splits.fingerprint,
    build=runs.build,
    settle=runs.settle,
    evaluate=runs.evaluate,
    samples=runs.samples,
    restore=Table.load,
    embed=_embed,
    read=lambda config: read_table(config.data.source),
    likelihood=column_likelihood,
    impute=lambda model, data, config: fill(model, data),
    impute_file=_impute_file,
    features=features_of_file,
)
