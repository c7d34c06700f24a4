"""The shape of a masked language model of texts."""

from typing import Annotated

from pydantic import Field

from maskwise.errors import UserError
from maskwise.layers.transformer import Attention
from maskwise.objectives.cross_entropy import Shares, check_shares
from maskwise.settings import settings
from maskwise.text.text import Text
from maskwise.tokens.network import SequenceNetwork


@settings
class TextModelSettings:
    """The shape of a masked language model."""

    width: int = 256
    """width of the tokens"""
    depth: int = 6
    """blocks"""
    heads: int = 4
    """attention heads"""
    mlp_ratio: float = 4.0
    """size of the gated MLPs, as the ratio of a plain MLP with as many weights"""
    corruption: Shares = (1.0, 0.0, 0.0)
    """shares of the hidden tokens that become the mask token, become a random token and stay
    (BERT: 0.8,0.1,0.1)"""
    predict_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """share of the hidden tokens that training predicts"""
    hf: str | None = None
    """train this masked language model of transformers instead (a folder or hub name), with its
    tokenizer; width, depth, heads and mlp_ratio are not used"""
    pretrained: bool = False
    """go on from the weights of `hf`; else they are random"""

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} must be at least 1, not {getattr(self, name)}")
        check_shares(self.corruption)
        if self.pretrained and self.hf is None:
            raise UserError("model.pretrained needs --model.hf, which says whose weights")
        if self.mlp_ratio <= 0:
            raise UserError(f"model.mlp_ratio must be above 0, not {self.mlp_ratio:g}")

    def network(self, tokenizer: Text, attention: Attention) -> SequenceNetwork:
        """Return the transformer that these settings describe."""
        shape = self.width, self.depth, self.heads, self.mlp_ratio
        return SequenceNetwork(tokenizer.num_tokens, *shape, attention)
