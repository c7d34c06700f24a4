"""Runs on tables: their settings, what reports say of them, and all that a run asks for."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field

from maskwise.columns.evaluation import embed_rows, record, words
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import TabularModelSettings, TabularRunSettings, rows_of, splits_of
from maskwise.modality import Entries, Features
from maskwise.settings import override, settings
from maskwise.tables.data import TableDataSettings, from_frame, load
from maskwise.tables.files import features_of_file, fill, fill_file, read_table
from maskwise.tables.table import Table
from maskwise.tables.texts import Dialect
from maskwise.train.config import TrainSettings


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
    between=("labels", "drop", "categorical", "scale", "lags"),
    differ="data, columns or pattern",
)


def _impute_file(
    model: TabularModel, source: Path, out: Path, config: TableRunSettings, entries: str
) -> str:
    filled = fill_file(
        model, source, out, config.data.dialect, round=config.data.round, clip=config.data.clip
    )
    return f"{out}: {sum(filled.values()):,} missing values filled in, {len(filled)} columns"


def _features(source: str, changes: Entries, target: str | None, classes: bool) -> Features | None:
    told = {each.name for each in dataclasses.fields(Dialect)} & set(changes)
    data = override(TableDataSettings(), {name: changes[name] for name in told})
    rest = {name: value for name, value in changes.items() if name not in told}
    return features_of_file(source, rest, target, classes, data.dialect)


def _in_memory(data: object) -> bool:
    values = data[0] if isinstance(data, tuple) and len(data) == 2 else data
    named = isinstance(values, dict) or hasattr(values, "columns")
    return named or getattr(values, "ndim", 0) == 2


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
    load=lambda data, config: splits_of(data, config, load, from_frame, "a table"),
    describe=lambda splits, config: (splits.tokenizer, config),
    fingerprint=lambda splits: splits.fingerprint,
    restore=Table.load,
    embed=lambda model, frame, config, pool, layer: embed_rows(
        model, rows_of(model.tokenizer.encode(frame)), layer=layer, pool=pool
    ),
    read=lambda config: read_table(config.data.source, config.data.dialect),
    impute=lambda model, data, config: fill(
        model, data, round=config.data.round, clip=config.data.clip
    ),
    impute_file=_impute_file,
    features=_features,
)
