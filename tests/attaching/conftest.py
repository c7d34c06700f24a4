"""A tokenizer and samples, as the tests of collators have them."""

from tests.integrations.conftest import samples, tokenizer

__all__ = ["samples", "tokenizer"]
