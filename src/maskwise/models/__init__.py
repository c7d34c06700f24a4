"""Models: layers, masked models of images and of texts, and their folders."""

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
