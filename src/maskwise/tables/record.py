"""Runs on tables: their settings, what reports say of them, and all that a run asks for."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from maskwise.columns.evaluation import embed_rows, record, words
from maskwise.columns.init import from_columns
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import (
    TabularModelSettings,
    TabularRunSettings,
    TabularSplits,
    check_pattern,
    rows_of,
    splits_of,
)
from maskwise.errors import UserError
from maskwise.exports.formats import graph_formats
from maskwise.given import Items, Streamed
from maskwise.inspection import Inspection, Problem
from maskwise.modality import Entries, Features, Pool
from maskwise.settings import override, settings
from maskwise.tables import partial
from maskwise.tables.data import TableDataSettings, example, from_frame, load, read_samples
from maskwise.tables.files import features_of_file, fill, fill_file
from maskwise.tables.given_rows import are_rows, of_items
from maskwise.tables.graph import table_graph
from maskwise.tables.inspection import inspect
from maskwise.tables.streams import load_map, load_stream
from maskwise.tables.table import Table
from maskwise.tables.texts import Dialect
from maskwise.textio import few
from maskwise.train.config import TrainSettings

log = logging.getLogger("maskwise")


@settings
class TableRunSettings(TabularRunSettings):
    """Everything that decides what a run on a table does."""

    modality: Literal["tables"] = "tables"
    """kind of data"""
    data: TableDataSettings = Field(default_factory=TableDataSettings)


def breast_cancer(law: str = "uniform:0.1,0.9") -> TableRunSettings:
    """Scikit-learn's 569 tumours by 30 measurements, built in; a quarter of a minute."""
    return TableRunSettings(
        data=TableDataSettings(source="breast-cancer", labels="diagnosis", holdout=0.2),
        model=TabularModelSettings(width=128, code=16),
        law=law,
        train=TrainSettings(steps=2000, batch_size=128, lr=2e-3, weight_decay=0.01),
    )


def any_tables(source: str) -> TableRunSettings:
    """A table of your own: an MLP with a code of 64, R²MAE."""
    return TableRunSettings(
        data=TableDataSettings(source=source),
        train=TrainSettings(budget="10m", steps=3000, batch_size=256, lr=2e-3, weight_decay=0.01),
    )


RECIPES: dict[str, Callable[[], TableRunSettings]] = {
    "breast-cancer": breast_cancer,
    "breast-cancer-fixed": lambda: breast_cancer(law="fixed:0.3"),
}

WORDS = words(
    "rows",
    "column",
    loss="half the squared error of a number, the cross-entropy of a category",
    compare="Numbers have densities in the units of the table and categories have probabilities:"
    " compare models of the same columns only. ",
    between=("labels", "drop", "categorical", "scale", "dates", "lags"),
    differ="data, columns or pattern",
)


def _impute_file(
    model: TabularModel, source: Path, out: Path, config: TableRunSettings, entries: str
) -> str:
    data = config.data
    filled = fill_file(
        *(model, source, out, data.dialect),
        round=data.round,
        clip=data.clip,
        formulas=data.formulas,
    )
    return f"{out}: {sum(filled.values()):,} missing values filled in, {len(filled)} columns"


def _features(source: str, changes: Entries, target: str | None, classes: bool) -> Features | None:
    told = {each.name for each in dataclasses.fields(Dialect)} & set(changes)
    data = override(TableDataSettings(), {name: changes[name] for name in told})
    rest = {name: value for name, value in changes.items() if name not in told}
    return features_of_file(source, rest, target, classes, data.dialect)


def _in_memory(data: object) -> bool:
    if isinstance(data, (Items, Streamed)):
        return are_rows(data)
    values = _unlabelled(data)
    named = isinstance(values, dict) or hasattr(values, "columns")
    return named or getattr(values, "ndim", 0) == 2


def _unlabelled(data: object) -> object:
    return data[0] if isinstance(data, tuple) and len(data) == 2 else data


def _is_map(data: object) -> bool:
    values = _unlabelled(data)
    return isinstance(values, np.memmap) and values.ndim == 2


def _from_memory(frame: object, data: TableDataSettings) -> TabularSplits:
    if not _is_map(frame):
        return from_frame(frame, data)
    x, labels = frame if isinstance(frame, tuple) else (frame, None)
    return load_map(x, labels, data)


def _inspect(given: object, config: TabularRunSettings) -> Inspection:
    if not _is_map(given):
        return inspect(given, config)
    try:
        splits = splits_of(given, config, load, _from_memory, "a table")
    except UserError as error:
        return Inspection({}, problems=[Problem.of(error)])
    num = len(splits.train)
    return Inspection({"rows": num + len(splits.test), "rows held out": len(splits.test)}, num)


def _stream(stream: Streamed, config: TabularRunSettings) -> TabularSplits:
    check_pattern(config.pattern)
    return load_stream(stream, config.data)


def _embed(
    model: TabularModel, frame: object, config: TableRunSettings, pool: Pool, layer: int
) -> np.ndarray:
    """Return features of rows; NaN of those of which nothing is known."""
    table = model.tokenizer
    assert isinstance(table, Table)
    samples = table.encode(_unlabelled(frame))
    features = embed_rows(model, rows_of(samples), layer=layer, pool=pool)
    empty = np.isnan(samples).all(axis=1)
    if empty.any():
        told = few((np.flatnonzero(empty) + 1).tolist())
        log.warning("%d rows hold no value and have no features: row %s", empty.sum(), told)
    features[empty] = np.nan
    return features


RECORD = record(
    name="tables",
    settings=TableRunSettings,
    recipes=RECIPES,
    own=any_tables,
    words=WORDS,
    sources="FILE.csv|.tsv (.gz, .xz), FILE.parquet|.feather",
    endings=frozenset({".csv", ".tsv", ".feather", ".parquet"}),
    folders="none",
    of_memory=_in_memory,
    of_items=lambda items, config: of_items(items),
    of_stream=_stream,
    inspect=_inspect,
    load=lambda data, config: splits_of(data, config, load, _from_memory, "a table"),
    describe=lambda splits, config: (splits.tokenizer, config),
    fingerprint=lambda splits: splits.fingerprint,
    example=example,
    restore=Table.load,
    init=from_columns(
        "tables", Table.load, "columns", lambda table: [each.categories for each in table.features]
    ),
    embed=_embed,
    read=lambda config: read_samples(config.data),
    incomplete=partial.incomplete,
    labelled=partial.labelled,
    impute=lambda model, data, config: fill(
        model, _unlabelled(data), round=config.data.round, clip=config.data.clip
    ),
    impute_file=_impute_file,
    features=_features,
    exports=graph_formats(table_graph),
)
