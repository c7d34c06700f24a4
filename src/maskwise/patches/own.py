"""Which kind of encoder of one's own a module is: by what it is, what it says, or by trying it."""

import math
from typing import Literal, Protocol

import torch
from torch import nn

from maskwise.errors import UserError, option
from maskwise.layers.trying import require_same_shape
from maskwise.patches.own_encoder import PictureReader
from maskwise.patches.own_vit import ViTReader, is_vit
from maskwise.patches.tokenizer import PatchTokenizer, PictureTokenizer

READS = ("tokens", "pictures")
"""what the attribute `reads` of a module may say that it reads"""
FITTING = {"model.mode": "replace", "model.class_token": "false"}
"""the settings that go with any module"""


class Shape(Protocol):
    """What is asked of the settings of a model."""

    @property
    def width(self) -> int:
        """Of embedded patches."""

    @property
    def decoder_width(self) -> int:
        """Of what a cell of a feature map says of each patch that it covers."""

    @property
    def mode(self) -> Literal["drop", "replace"]:
        """What becomes of hidden positions."""

    @property
    def class_token(self) -> bool:
        """Whether a token of no position goes with the others."""


def own_encoder(module: nn.Module, tokenizer: PatchTokenizer, config: Shape) -> nn.Module:
    """Return an encoder of one's own as a model calls it.

    A vision transformer of timm is read by `ViTReader`, in either mode. Any other module is for
    mode "replace" without a class token: one of embedded patches, from [B, L, width] to the same,
    as it is; a network of pictures by `PictureReader`. Which of the two says its attribute
    `reads`, "tokens" or "pictures", or it is tried on two samples of zeros.

    Args:
        module: in whose weights nothing is changed.
        tokenizer: of the samples.
        config: of the model.

    Raises:
        UserError: a module that does not fit, and what it did.
    """
    if is_vit(module) and isinstance(tokenizer, PictureTokenizer):
        return ViTReader(module, tokenizer)
    if config.mode == "drop" or config.class_token:
        raise UserError(
            "an encoder of your own needs model.mode='replace' and model.class_token=False: only"
            " vision transformers of timm leave hidden patches out",
            FITTING,
        )
    told, why = getattr(module, "reads", None), {}
    if told is not None and told not in READS:
        raise UserError(f"reads={told!r} of an encoder of your own is none of {', '.join(READS)}")
    tokens = torch.zeros(2, math.prod(tokenizer.grid), config.width)
    if told != "pictures":
        try:
            require_same_shape(module, tokens)
            return module
        except UserError as error:
            width = f"{option('model.width')} is {config.width}"
            why[f"embedded patches {list(tokens.shape)} ({width})"] = error
    if told != "tokens" and isinstance(tokenizer, PictureTokenizer):
        try:
            return PictureReader(module, tokenizer, config.decoder_width)
        except UserError as error:
            why[f"pictures {[2, *tokenizer.shape]}"] = error
    both = "; nor ".join(f"{each}: {error}" for each, error in why.items())
    raise UserError(f"an encoder of your own does not read {both}")
