"""Recipes for tables: R²MAE by default."""

from typing import Literal

from pydantic import Field

from maskwise.columns.evaluation import TabularEvaluateSettings
from maskwise.columns.model import TabularModelSettings
from maskwise.measure.features import check_layer
from maskwise.settings import settings
from maskwise.tables.data import TableDataSettings
from maskwise.train.config import RunSettings, TrainSettings


@settings
class TableRunSettings(RunSettings):
    """Everything that decides what a run on a table does."""

    modality: Literal["tables"] = "tables"
    """kind of data"""
    data: TableDataSettings = Field(default_factory=TableDataSettings)
    model: TabularModelSettings = Field(default_factory=TabularModelSettings)
    evaluate: TabularEvaluateSettings = Field(default_factory=TabularEvaluateSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer(self.evaluate.layer, self.model.num_layers)


TABLES = TrainSettings(steps=3000, batch_size=256, lr=2e-3, weight_decay=0.01)


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
    return TableRunSettings(data=TableDataSettings(source=source), train=TABLES)


RECIPES = {
    "breast-cancer": breast_cancer,
    "breast-cancer-fixed": lambda: breast_cancer(law="fixed:0.3"),
}
