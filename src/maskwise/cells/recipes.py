"""Recipes for single cells: R²MAE by default."""

from maskwise.cells.data import CellsData
from maskwise.train.config import CellsConfig, Train

CELLS = Train(steps=2000, batch_size=128, lr=3e-3, weight_decay=0.01)


def pbmc68k(law: str = "uniform:0.1,0.9") -> CellsConfig:
    """700 blood cells by 765 genes that scanpy brings along, log-normalised; half a minute."""
    return CellsConfig(
        data=CellsData(
            source="pbmc68k", layer="raw", values="normalised", labels="bulk_labels", holdout=0.2
        ),
        law=law,
        train=CELLS,
    )


def any_cells(source: str) -> CellsConfig:
    """Cells of your own: 2,000 highly variable genes, an MLP with a code of 64, R²MAE."""
    return CellsConfig(data=CellsData(source=source), train=CELLS)
