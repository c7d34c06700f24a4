"""Recipes for DNA: R²MAE by default."""

from maskwise.dna.data import DNAData
from maskwise.train.config import DNAConfig, Train


def any_dna(source: str) -> DNAConfig:
    """Sequences of your own: 8 dilated convolutions of width 128, windows of 512 bases, R²MAE."""
    return DNAConfig(
        data=DNAData(source=source),
        train=Train(steps=20_000, batch_size=64, lr=1e-3, weight_decay=0.01),
    )
