"""Models: layers, masked models of images, texts and DNA, and their folders."""

from maskwise.models.dna import DNAModel
from maskwise.models.language import LanguageModel, TextModel
from maskwise.models.masked import MaskedModel, Model, Pool
from maskwise.models.storage import (
    AnyModel,
    EncoderFactory,
    build,
    load_model,
    save_model,
    untrained,
)

__all__ = [
    "AnyModel",
    "DNAModel",
    "EncoderFactory",
    "LanguageModel",
    "MaskedModel",
    "Model",
    "Pool",
    "TextModel",
    "build",
    "load_model",
    "save_model",
    "untrained",
]
