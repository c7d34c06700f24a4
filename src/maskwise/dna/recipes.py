"""Recipes for DNA: R²MAE by default."""

from typing import Literal

from pydantic import Field

from maskwise.dna.data import DNAData
from maskwise.dna.evaluation import DNAEvaluate
from maskwise.dna.model import DNAModel
from maskwise.settings import settings
from maskwise.train.config import Config, LawText, Train


@settings
class DNAConfig(Config):
    """Everything that decides what a run on DNA does."""

    modality: Literal["dna"] = "dna"
    """kind of data"""
    data: DNAData = Field(default_factory=DNAData)
    model: DNAModel = Field(default_factory=DNAModel)
    evaluate: DNAEvaluate = Field(default_factory=DNAEvaluate)
    law: LawText = "uniform:0.05,0.5"
    """the law of the mask ratio"""


def any_dna(source: str) -> DNAConfig:
    """Sequences of your own: 8 dilated convolutions of width 128, windows of 512 bases, R²MAE."""
    return DNAConfig(
        data=DNAData(source=source),
        train=Train(steps=20_000, batch_size=64, lr=1e-3, weight_decay=0.01),
    )
