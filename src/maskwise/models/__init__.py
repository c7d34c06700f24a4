"""Models: layers, masked models of every modality, and their folders."""

from maskwise.models.dna import DNAModel
from maskwise.models.language import LanguageModel, TextModel
from maskwise.models.masked import MaskedModel, Model, Pool
from maskwise.models.storage import (
    AnyModel,
    EncoderFactory,
    build,
    encoder_of,
    load_model,
    save_model,
    untrained,
)
from maskwise.models.tabular import Tabular, TabularModel

__all__ = [
    "AnyModel",
    "DNAModel",
    "EncoderFactory",
    "LanguageModel",
    "MaskedModel",
    "Model",
    "Pool",
    "Tabular",
    "TabularModel",
    "TextModel",
    "build",
    "encoder_of",
    "load_model",
    "save_model",
    "untrained",
]
