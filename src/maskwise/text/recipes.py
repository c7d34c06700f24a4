"""Recipes for texts: R²MAE by default, BERT's fixed ratio in the variants named -fixed."""

from typing import Literal

from pydantic import Field

from maskwise.settings import settings
from maskwise.text.data import TextDataSettings
from maskwise.text.evaluation import TextEvaluateSettings
from maskwise.text.model import TextModelSettings
from maskwise.train.config import LawText, RunSettings, TrainSettings


@settings
class TextRunSettings(RunSettings):
    """Everything that decides what a run on texts does."""

    modality: Literal["text"] = "text"
    """kind of data"""
    data: TextDataSettings = Field(default_factory=TextDataSettings)
    model: TextModelSettings = Field(default_factory=TextModelSettings)
    evaluate: TextEvaluateSettings = Field(default_factory=TextEvaluateSettings)
    law: LawText = "uniform:0.1,0.5"
    """the law of the mask ratio"""


def pydoc(law: str = "uniform:0.1,0.5") -> TextRunSettings:
    """Python's own manual, 0.5 MB of English, built in; a minute on two cores."""
    return TextRunSettings(
        data=TextDataSettings(source="pydoc", vocab_size=2048, length=64),
        model=TextModelSettings(width=96, depth=3, heads=3),
        law=law,
        train=TrainSettings(steps=600, batch_size=64, lr=3e-3),
    )


def any_texts(source: str) -> TextRunSettings:
    """Texts of your own: 6 layers of width 256, rows of 128 tokens, R²MAE."""
    return TextRunSettings(
        data=TextDataSettings(source=source),
        law="uniform:0.1,0.5",
        train=TrainSettings(steps=20_000, batch_size=64, lr=1e-3, weight_decay=0.01),
    )


RECIPES = {"pydoc": pydoc, "pydoc-fixed": lambda: pydoc(law="fixed:0.15")}
