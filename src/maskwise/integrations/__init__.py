"""Models of other libraries, as `maskwise.likelihood` needs them."""

from maskwise.integrations.hf import MaskedLM, Tokens

__all__ = ["MaskedLM", "Tokens"]
