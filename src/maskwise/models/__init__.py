"""Models: transformer layers, the masked model, and its folder."""

from maskwise.models.masked import MaskedModel, Model, Pool
from maskwise.models.storage import EncoderFactory, build, load_model, save_model

__all__ = ["EncoderFactory", "MaskedModel", "Model", "Pool", "build", "load_model", "save_model"]
