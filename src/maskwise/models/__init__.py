"""Models: transformer layers and the masked model."""

from maskwise.models.masked import MaskedModel, Model, Pool

__all__ = ["MaskedModel", "Model", "Pool"]
