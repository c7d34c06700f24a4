"""Recipes for tables: R²MAE by default."""

from typing import Literal

from pydantic import Field

from maskwise.columns.evaluation import TabularEvaluate
from maskwise.columns.model import Tabular
from maskwise.measure.features import check_layer
from maskwise.settings import settings
from maskwise.tables.data import TableData
from maskwise.train.config import Config, Train


@settings
class TablesConfig(Config):
    """Everything that decides what a run on a table does."""

    modality: Literal["tables"] = "tables"
    """kind of data"""
    data: TableData = Field(default_factory=TableData)
    model: Tabular = Field(default_factory=Tabular)
    evaluate: TabularEvaluate = Field(default_factory=TabularEvaluate)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer(self.evaluate.layer, self.model.num_layers)


TABLES = Train(steps=3000, batch_size=256, lr=2e-3, weight_decay=0.01)


def breast_cancer(law: str = "uniform:0.1,0.9") -> TablesConfig:
    """Scikit-learn's 569 tumours by 30 measurements, built in; a quarter of a minute."""
    return TablesConfig(
        data=TableData(source="breast-cancer", labels="diagnosis", holdout=0.2),
        model=Tabular(width=128, code=16),
        law=law,
        train=Train(steps=2000, batch_size=128, lr=2e-3, weight_decay=0.01),
    )


def any_tables(source: str) -> TablesConfig:
    """A table of your own: an MLP with a code of 64, R²MAE."""
    return TablesConfig(data=TableData(source=source), train=TABLES)


RECIPES = {
    "breast-cancer": breast_cancer,
    "breast-cancer-fixed": lambda: breast_cancer(law="fixed:0.3"),
}
