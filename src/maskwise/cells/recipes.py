"""Recipes for single cells: R²MAE by default."""

from typing import Literal

from pydantic import Field

from maskwise.cells.data import CellsDataSettings
from maskwise.columns.evaluation import TabularEvaluateSettings
from maskwise.columns.model import TabularModelSettings
from maskwise.measure.features import check_layer
from maskwise.settings import settings
from maskwise.train.config import RunSettings, TrainSettings


@settings
class CellsRunSettings(RunSettings):
    """Everything that decides what a run on single cells does."""

    modality: Literal["cells"] = "cells"
    """kind of data"""
    data: CellsDataSettings = Field(default_factory=CellsDataSettings)
    model: TabularModelSettings = Field(
        default_factory=lambda: TabularModelSettings(corruption="zero", norm=False)
    )
    evaluate: TabularEvaluateSettings = Field(default_factory=TabularEvaluateSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer(self.evaluate.layer, self.model.num_layers)


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
    return CellsRunSettings(data=CellsDataSettings(source=source), train=CELLS)


RECIPES = {"pbmc68k": pbmc68k, "pbmc68k-fixed": lambda: pbmc68k(law="fixed:0.5")}
