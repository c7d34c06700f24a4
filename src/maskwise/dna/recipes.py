"""Recipes for DNA: R²MAE by default."""

from typing import Literal

from pydantic import Field

from maskwise.dna.data import DNADataSettings
from maskwise.dna.evaluation import DNAEvaluateSettings
from maskwise.dna.model import DNAModelSettings
from maskwise.settings import settings
from maskwise.train.config import LawText, RunSettings, TrainSettings


@settings
class DNARunSettings(RunSettings):
    """Everything that decides what a run on DNA does."""

    modality: Literal["dna"] = "dna"
    """kind of data"""
    data: DNADataSettings = Field(default_factory=DNADataSettings)
    model: DNAModelSettings = Field(default_factory=DNAModelSettings)
    evaluate: DNAEvaluateSettings = Field(default_factory=DNAEvaluateSettings)
    law: LawText = "uniform:0.05,0.5"
    """the law of the mask ratio"""


def any_dna(source: str) -> DNARunSettings:
    """Sequences of your own: 8 dilated convolutions of width 128, windows of 512 bases, R²MAE."""
    return DNARunSettings(
        data=DNADataSettings(source=source),
        train=TrainSettings(steps=20_000, batch_size=64, lr=1e-3, weight_decay=0.01),
    )
