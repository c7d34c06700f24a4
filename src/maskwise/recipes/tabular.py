"""Recipes for single cells and tables: R²MAE by default."""

from maskwise.modalities.cells_data import CellsData
from maskwise.modalities.table_data import TableData
from maskwise.models import Tabular
from maskwise.train.config import CellsConfig, TablesConfig, Train

CELLS = Train(steps=2000, batch_size=128, lr=3e-3, weight_decay=0.01)
TABLES = Train(steps=3000, batch_size=256, lr=2e-3, weight_decay=0.01)


def pbmc68k(law: str = "uniform:0.1,0.9") -> CellsConfig:
    """700 blood cells by 765 genes that scanpy brings along, log-normalised; half a minute."""
    return CellsConfig(
        data=CellsData(
            source="pbmc68k", layer="raw", values="normalised", labels="bulk_labels", holdout=0.2
        ),
        law=law,
        train=CELLS,
    )


def breast_cancer(law: str = "uniform:0.1,0.9") -> TablesConfig:
    """Scikit-learn's 569 tumours by 30 measurements, built in; a quarter of a minute."""
    return TablesConfig(
        data=TableData(source="breast-cancer", labels="diagnosis", holdout=0.2),
        model=Tabular(width=128, code=16),
        law=law,
        train=Train(steps=2000, batch_size=128, lr=2e-3, weight_decay=0.01),
    )


def any_cells(source: str) -> CellsConfig:
    """Cells of your own: 2,000 highly variable genes, an MLP with a code of 64, R²MAE."""
    return CellsConfig(data=CellsData(source=source), train=CELLS)


def any_tables(source: str) -> TablesConfig:
    """A table of your own: an MLP with a code of 64, R²MAE."""
    return TablesConfig(data=TableData(source=source), train=TABLES)
