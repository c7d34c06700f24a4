"""The settings of a model of patches."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from maskwise.errors import UserError
from maskwise.settings import Commas, settings

Positions = Literal["sincos", "learned", "fixed"]


@settings
class PatchModelSettings:
    """The shape of a masked transformer."""

    width: int = 192
    """encoder width"""
    depth: int = 12
    """encoder blocks"""
    heads: int = 3
    """encoder attention heads"""
    mlp_ratio: float = 4.0
    """hidden width of the MLPs over the width, encoder and decoder"""
    mode: Literal["drop", "replace"] = "drop"
    """drop: the encoder sees visible positions only; replace: hidden ones become a mask token"""
    class_token: bool = True
    """give the encoder one more token that belongs to no position"""
    positions: Positions = "sincos"
    """sine-cosine positions, learned ones, or those of the weights it starts from, fixed"""
    position_grid: tuple[PositiveFloat, ...] | None = None
    """cells along each axis that sine-cosine positions are laid over; none: those of the samples
    (of the same pictures at another size they stay where they were)"""
    decoder_width: int = 128
    """decoder width (drop mode); of networks of pictures, what a cell says of a patch in it"""
    decoder_depth: int = 2
    """decoder blocks (drop mode)"""
    decoder_heads: int = 4
    """decoder attention heads (drop mode)"""
    eps: Annotated[float, Field(gt=0)] = 1e-6
    """what LayerNorms add to variances"""
    predict_fraction: float = 1.0
    """share of the hidden positions that training predicts; the others leave the decoder"""
    encoder: Commas = None
    """a network of timm that reads images, timm:NAME or timm:NAME,argument=value,...; a vision
    transformer in the mode that is set, any other in replace mode; width, depth, heads, mlp_ratio,
    class_token and positions are then the network's own"""
    init: str | None = None
    """weights to start from, which say the shape: a run, or a vision transformer of timm, of
    transformers or of MAE, as a file (.safetensors, .pth) or a folder"""

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "decoder_width", "decoder_depth", "decoder_heads"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} must be at least 1, not {getattr(self, name)}")
        if self.mlp_ratio * min(self.width, self.decoder_width) < 1:
            raise UserError(f"model.mlp_ratio {self.mlp_ratio:g} leaves the MLPs no hidden unit")
        if self.init is not None and self.encoder is not None:
            raise UserError(
                f"model.init {self.init} says the shape of our transformer, and model.encoder"
                f" {self.encoder} is another network: give one of them"
            )
        if not 0 < self.predict_fraction <= 1:
            raise UserError(f"model.predict_fraction {self.predict_fraction:g} is outside (0, 1]")
